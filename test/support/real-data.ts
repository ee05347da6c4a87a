// Recordings and pictures that may not be part of the project. Tests on them are pending where the data is not there.
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const FOLDERS = [process.env.SPIKELOOM_TEST_DATA, fileURLToPath(new URL('../../../shared/data', import.meta.url))];

/**
 * The folder of a data set: as it lies in SPIKELOOM_TEST_DATA or in shared/data beside the repository, or unpacked from
 * there, once, into the system's folder of temporary files.
 * @returns undefined where there is none
 */
export function realData(name: string): string | undefined {
  for (const folder of FOLDERS) {
    if (folder === undefined) continue;
    if (existsSync(join(folder, name))) return join(folder, name);
    const unpack = join(folder, 'unpack.mjs');
    if (!existsSync(unpack)) continue;
    const target = join(tmpdir(), 'spikeloom-test-data');
    if (!existsSync(join(target, name))) {
      execFileSync(process.execPath, [unpack, target, name], { stdio: 'ignore' });
    }
    return join(target, name);
  }
  return undefined;
}
