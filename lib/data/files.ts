import { accessSync, constants, existsSync, openSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { SpikeloomError } from '../core/errors.ts';
import { isFolder } from '../core/file-kind.ts';
import { kindOf } from '../core/options.ts';

/** A data file that is missing, damaged or of another format. */
export class DataError extends SpikeloomError {
  override name = 'DataError';
  /** The file, as it was asked for. */
  readonly file: string;
  /** The byte where reading went wrong (after decompression), where that is known. */
  readonly offset: number | undefined;
  /** The message without file and byte. */
  readonly detail: string;

  constructor(file: string, message: string, options: { offset?: number; cause?: unknown } = {}) {
    const place = options.offset === undefined ? '' : ` at byte ${options.offset}`;
    const name = typeof file === 'string' ? file : kindOf(file);
    super(`${name}${place}: ${message}`, { cause: options.cause });
    this.file = file;
    this.offset = options.offset;
    this.detail = message;
  }
}

/** A failed read as a {@link DataError}; one that is a DataError already passes through. */
export function unreadable(file: string, cause: unknown): DataError {
  return cause instanceof DataError
    ? cause
    : new DataError(file, `cannot be read (${(cause as Error).message})`, { cause });
}

/** @throws DataError for a folder, a device or a pipe */
export function needRegularFile(file: string, stat: { isFile(): boolean }): void {
  if (!stat.isFile()) throw new DataError(file, 'a data file must be a regular file, but this is not');
}

/** Opens a regular file to read it. It is looked at first: the opening of a pipe would wait for its writer. */
export function openDataFile(file: string): number {
  needRegularFile(file, statSync(file));
  return openSync(file, 'r');
}

/** Reads a whole regular file of at most `maxBytes`; every failure is a {@link DataError}. */
export function readDataFile(file: string, maxBytes: number): Buffer {
  try {
    const stat = statSync(file);
    needRegularFile(file, stat);
    if (stat.size > maxBytes) {
      throw new DataError(file, `files of this kind hold at most ${maxBytes} bytes, but this one has ${stat.size}`);
    }
    return readFileSync(file);
  } catch (cause) {
    throw unreadable(file, cause);
  }
}

/** What hides the files of a folder, if anything does. */
function folderNote(folder: string): string {
  if (!existsSync(folder)) return ' (no such folder)';
  if (!isFolder(folder)) return ' (a file, not a folder)';
  try {
    accessSync(folder, constants.X_OK);
    return '';
  } catch {
    return ' (you may not look into it)';
  }
}

/**
 * Finds the folder that holds all of `files` (each entry lists the accepted spellings of one file).
 * @param root where the user says the data is
 * @param inside folders below `root` to try after `root` itself: the names under which archives unpack
 * @returns the full path of every file, in order
 */
export function locate(name: string, root: string, inside: string[], files: string[][], remedy: string): string[] {
  const folders = [root, ...inside.map((folder) => join(root, folder))];
  const missing: string[] = [];
  for (const folder of folders) {
    const found = files.map((spellings) =>
      spellings.map((file) => join(folder, file)).find((file) => existsSync(file)),
    );
    const absent = files.filter((_, i) => found[i] === undefined).map((spellings) => spellings.join(' or '));
    if (absent.length === 0) return found as string[];
    missing.push(`  ${folder}${folderNote(folder)} lacks ${absent.join(', ')}`);
  }
  throw new DataError(root, `the files of ${name} were not found.\n${missing.join('\n')}\n${remedy}`);
}
