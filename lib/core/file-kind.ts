// What lies at a path. A path that cannot be looked at leads nowhere: below a file, through a loop of links, longer
// than the system allows.
import { readFileSync, type Stats, statSync } from 'node:fs';

/** Undefined where there is nothing; links are followed. */
export function statOf(path: string): Stats | undefined {
  try {
    return statSync(path);
  } catch {
    return undefined;
  }
}

export const isFolder = (path: string): boolean => statOf(path)?.isDirectory() ?? false;

export const isFile = (path: string): boolean => statOf(path)?.isFile() ?? false;

/** The text of a regular file. Others are not opened: a pipe would be waited for, and a device need not end. */
export function readTextFile(path: string): string {
  if (!statSync(path).isFile()) throw new Error('it is not a regular file');
  return readFileSync(path, 'utf8');
}
