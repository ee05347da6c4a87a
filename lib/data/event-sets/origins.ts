// The files that recordings are made from, identified by hashes that tell whether a cache still fits them.
import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import { statOf } from '../../core/file-kind.ts';
import type { CacheSource } from '../events/cache.ts';
import { DataError, needRegularFile, unreadable } from '../files.ts';

/** A recording, a list, or an archive of them. */
export interface Origin {
  /** Independent of where the data set lies. */
  name: string;
  file: string;
}

interface Seen extends Origin {
  size: number;
  /** Time of the last change in milliseconds. */
  changed: number;
}

const READ_BYTES = 2 ** 20;

function look({ name, file }: Origin): Seen {
  const stat = statOf(file);
  if (!stat) throw new DataError(file, 'there is no such file or folder');
  needRegularFile(file, stat);
  return { name, file, size: stat.size, changed: stat.mtimeMs };
}

/** SHA-256 over a line of JSON for every file. */
function hashLines(lines: Iterable<unknown[]>): string {
  const hash = createHash('sha256');
  for (const line of lines) hash.update(`${JSON.stringify(line)}\n`);
  return hash.digest('hex');
}

/** SHA-256 of a file, read into `room` part by part. */
async function hashFile(file: string, room: Buffer, signal?: AbortSignal): Promise<string> {
  const hash = createHash('sha256');
  try {
    await using handle = await open(file);
    for (;;) {
      signal?.throwIfAborted();
      const { bytesRead } = await handle.read(room, 0, room.length);
      if (bytesRead === 0) return hash.digest('hex');
      hash.update(room.subarray(0, bytesRead));
    }
  } catch (cause) {
    signal?.throwIfAborted();
    throw unreadable(file, cause);
  }
}

/** The original files of a data set as they were when this was made. */
export class Origins {
  readonly #files: readonly Seen[];
  #contents: string | undefined;

  /** @throws DataError where one of them is missing */
  constructor(files: Iterable<Origin>) {
    this.#files = Array.from(files, look);
  }

  /** {@link CacheSource.listing} */
  get listing(): string {
    return hashLines(this.#files.map(({ name, size }) => [name, size]));
  }

  /** {@link CacheSource.stamp} */
  get stamp(): string {
    return hashLines(this.#files.map(({ name, size, changed }) => [name, size, changed]));
  }

  /** {@link CacheSource.contents}; the first call reads every file from beginning to end. */
  async contents(signal?: AbortSignal): Promise<string> {
    if (this.#contents !== undefined) return this.#contents;
    const room = Buffer.allocUnsafe(READ_BYTES);
    const lines: string[][] = [];
    for (const { name, file } of this.#files) lines.push([name, await hashFile(file, room, signal)]);
    this.#contents = hashLines(lines);
    return this.#contents;
  }

  async source(signal?: AbortSignal): Promise<CacheSource> {
    return { listing: this.listing, contents: await this.contents(signal), stamp: this.stamp };
  }

  /** @throws DataError with the first file that is not what it was */
  refuseChanges(): void {
    for (const seen of this.#files) {
      const { size, changed } = look(seen);
      if (size === seen.size && changed === seen.changed) continue;
      throw new DataError(seen.file, 'was changed while the cache was made of it; try again when nothing writes to it');
    }
  }
}
