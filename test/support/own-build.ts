// A build folder and a Node of its own, to look at what the loader makes of whatever lies there.
import { execFile, execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { buildFolders } from '../../lib/core/native.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));
export const CUDA_LIBRARY = 'libspikeloom_cuda.so';

/** A build folder of its own: the addon that is in use, and beside it whatever the test puts there. */
export function buildFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'spikeloom-cuda-'));
  const addon = buildFolders().find((candidate) => existsSync(join(candidate, 'spikeloom.node')));
  symlinkSync(join(addon!, 'spikeloom.node'), join(folder, 'spikeloom.node'));
  return folder;
}

/**
 * Runs `code` in a Node of its own that looks for its build in `folder`, with these settings beside those that are
 * there; what it gives to answer() comes back.
 */
export async function inNode(folder: string, code: string, settings: Record<string, string> = {}): Promise<unknown> {
  const program = `
    import { cudaBackend, device, recordStep, scope, tensor, native } from './lib/core/index.ts';
    import { add } from './lib/ops/add.ts';
    import { mul } from './lib/ops/mul.ts';
    import { relu } from './lib/ops/relu.ts';
    const answer = (value) => console.log(JSON.stringify(value));
    const caught = async (body) => { try { await body(); return 'nothing was thrown'; } catch (e) { return e.name + ': ' + e.message; } };
    ${code}`;
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ['--import', 'tsx', '--input-type=module', '-e', program],
    { cwd: root, env: { ...process.env, SPIKELOOM_CUDA: '', SPIKELOOM_BUILD: folder, ...settings }, timeout: 60_000 },
  );
  return JSON.parse(stdout);
}

/** The C++ compiler of this machine; undefined where there is none. */
export function compiler(): string | undefined {
  const program = process.env.CXX ?? 'g++';
  try {
    execFileSync(program, ['--version'], { stdio: 'ignore' });
    return program;
  } catch {
    return undefined;
  }
}

/** Builds test/support/NAME as the CUDA library of the folder. */
export function buildBackend(folder: string, name: string, defines: readonly string[] = []): void {
  const flags = ['-shared', '-fPIC', '-std=c++20', `-I${join(root, 'native')}`, ...defines];
  execFileSync(compiler()!, [...flags, '-o', join(folder, CUDA_LIBRARY), join(root, 'test/support', name)]);
}
