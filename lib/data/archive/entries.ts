import { DataError } from '../files.ts';

/** A regular file in a tree. */
export interface FileEntry {
  /** Path inside the tree, with '/' between its parts. */
  path: string;
  /** Size in bytes, unpacked. */
  size: number;
}

/** More files than any data set in use has; it bounds the memory that an archive's index takes. */
export const MAX_ENTRIES = 2 ** 22;
const MAX_PATH = 4096;

/**
 * A path from an archive, normalized: no leading './', no empty parts.
 * @throws DataError where it is absolute, leaves the archive or cannot be a path
 */
export function plainPath(archive: string, path: string, offset?: number): string {
  const refuse = (why: string): never => {
    throw new DataError(archive, `the entry '${path.slice(0, 200)}' ${why}: the archive is damaged or malicious`, {
      offset,
    });
  };
  if (path.length > MAX_PATH) refuse(`has a name of ${path.length} characters`);
  if ([...path].some((c) => c < ' ' || c === '\\')) refuse('has a control character or a backslash in its name');
  if (/^\/|^[A-Za-z]:/.test(path)) refuse('has an absolute path');
  const parts = path.split('/').filter((part) => part !== '' && part !== '.');
  if (parts.includes('..')) refuse("leads out of the archive ('..')");
  if (parts.length === 0) refuse('has no name');
  return parts.join('/');
}

/** Entries by path, in archive order; refuses a second entry of the same path and more than {@link MAX_ENTRIES}. */
export class EntryTable<E extends FileEntry> {
  readonly #archive: string;
  readonly #entries = new Map<string, E>();

  constructor(archive: string) {
    this.#archive = archive;
  }

  add(entry: E, offset: number): void {
    if (this.#entries.has(entry.path)) {
      throw new DataError(this.#archive, `has two entries named '${entry.path}', the second one here`, { offset });
    }
    if (this.#entries.size === MAX_ENTRIES) {
      throw new DataError(this.#archive, `has more than ${MAX_ENTRIES} entries`, { offset });
    }
    this.#entries.set(entry.path, entry);
  }

  /** The entry of that path; a {@link DataError} where there is none or it is larger than `maxBytes`. */
  find(path: string, maxBytes: number): E {
    const entry = this.#entries.get(path);
    if (!entry) throw new DataError(`${this.#archive}/${path}`, 'there is no such file');
    refuseLarge(`${this.#archive}/${path}`, entry.size, maxBytes);
    return entry;
  }

  /** In archive order. */
  values(): E[] {
    return [...this.#entries.values()];
  }

  /** Sorted by path. */
  list(): FileEntry[] {
    return sorted(this.values().map(({ path, size }) => ({ path, size })));
  }
}

/** Sorted by path, by code units: the same order everywhere. */
export function sorted(entries: FileEntry[]): FileEntry[] {
  return entries.sort((a, b) => (a.path < b.path ? -1 : 1));
}

/** Refuses what would take more memory than the caller allows. */
export function refuseLarge(file: string, size: number, maxBytes: number): void {
  if (size <= maxBytes) return;
  throw new DataError(file, `at most ${maxBytes} bytes are read at once, but this file has ${size}`);
}
