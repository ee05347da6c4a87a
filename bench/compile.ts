// Programs that measure the machine are compiled by its own compiler when they are needed.
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const start = promisify(execFile);

/**
 * Compiles C++17 with `CXX`, else with the first of g++, c++ and clang++ that can.
 * @throws Error of the first one, with what it printed
 */
export async function compile(args: readonly string[]): Promise<void> {
  let first: Error | undefined;
  for (const compiler of process.env.CXX ? [process.env.CXX] : ['g++', 'c++', 'clang++']) {
    try {
      await start(compiler, ['-std=c++17', ...args]);
      return;
    } catch (error) {
      first ??= error as Error;
    }
  }
  throw first;
}
