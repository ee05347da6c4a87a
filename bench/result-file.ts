// Result files: where the folder of one is made, and how one is written.
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { SpikeloomError } from '../lib/core/errors.ts';

/** Makes the folder a file of --out goes to, before hours of measuring. */
export function makeFolder(file: string): void {
  try {
    mkdirSync(dirname(file), { recursive: true });
  } catch (error) {
    throw new SpikeloomError(`--out cannot make its folder: ${(error as Error).message}`, { cause: error });
  }
}

export function writeResult(file: string, found: unknown): void {
  writeFileSync(file, `${JSON.stringify(found, null, 2)}\n`);
}
