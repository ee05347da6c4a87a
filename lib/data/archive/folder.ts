import { readdirSync, realpathSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { DataError } from '../files.ts';
import { type FileEntry, MAX_ENTRIES } from './entries.ts';

/** The regular files below a folder; links are followed, except back to a folder above them. */
export function walkFolder(root: string): FileEntry[] {
  const files: FileEntry[] = [];
  const visit = (folder: string, inside: string, above: string[]): void => {
    const real = realpathSync(folder);
    if (above.includes(real)) return;
    for (const entry of readdirSync(folder, { withFileTypes: true })) {
      const path = inside === '' ? entry.name : `${inside}/${entry.name}`;
      const full = join(folder, entry.name);
      const stat = entry.isDirectory() ? entry : statSync(full, { throwIfNoEntry: false });
      if (stat?.isDirectory()) visit(full, path, [...above, real]);
      else if (stat?.isFile()) files.push({ path, size: (stat as { size: number }).size });
      if (files.length > MAX_ENTRIES) throw new DataError(root, `has more than ${MAX_ENTRIES} files`);
    }
  };
  try {
    visit(root, '', []);
  } catch (cause) {
    if (cause instanceof DataError) throw cause;
    throw new DataError(root, `cannot be listed (${(cause as Error).message})`, { cause });
  }
  return files;
}
