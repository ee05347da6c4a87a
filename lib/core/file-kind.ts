// What lies at a path. A path that cannot be looked at leads nowhere: below a file, through a loop of links, longer
// than the system allows.
import { type Stats, statSync } from 'node:fs';

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
