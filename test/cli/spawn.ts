// Runs the program as a user would: as npm test has built it, by hand from its sources.
import { spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('../../', import.meta.url));

/** What Node.js gets before the program's own arguments. */
export const program = process.env.SPIKELOOM_TEST_BUILT ? ['dist/cli/main.js'] : ['--import', 'tsx', 'lib/cli/main.ts'];

export interface Outcome {
  status: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
}

export interface SpawnOptions {
  env?: Record<string, string>;
  /** Files in place of the pipes; `stdout` or `stderr` stays empty then. */
  stdoutFile?: string;
  stderrFile?: string;
  /** Called with all of stdout so far; may send signals. */
  onOutput?: (text: string, kill: (signal: NodeJS.Signals) => void) => void;
}

export function spikeloom(
  args: readonly string[],
  { env = {}, stdoutFile, stderrFile, onOutput }: SpawnOptions = {},
): Promise<Outcome> {
  const files = [stdoutFile, stderrFile].map((name) => (name === undefined ? undefined : openSync(name, 'w')));
  const child = spawn(process.execPath, [...program, ...args], {
    cwd: root,
    env: { ...process.env, ...env },
    stdio: ['ignore', files[0] ?? 'pipe', files[1] ?? 'pipe'],
  });
  for (const file of files) if (file !== undefined) closeSync(file);
  let [stdout, stderr] = ['', ''];
  child.stdout?.on('data', (data) => {
    stdout += data;
    onOutput?.(stdout, (signal) => child.kill(signal));
  });
  child.stderr?.on('data', (data) => {
    stderr += data;
  });
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (status, signal) => resolve({ status, signal, stdout, stderr }));
  });
}
