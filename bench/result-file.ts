// The file that a measurement is written to.
import { dirname } from 'node:path';
import { UsageError } from '../lib/cli/exit.ts';
import { makeFolders } from '../lib/core/atomic-file.ts';

/** Makes the folder of the file that --out names, before anything is measured. */
export function makeFolderOf(file: string): void {
  try {
    makeFolders(dirname(file));
  } catch (error) {
    throw new UsageError(`--out cannot make its folder: ${(error as Error).message}`, { cause: error });
  }
}

export { writeJsonAtomic as writeResult } from '../lib/core/atomic-file.ts';
