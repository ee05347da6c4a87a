import { join } from 'node:path';
import { SpikeloomError } from '../../core/errors.ts';
import { type ByteSource, fileSource } from '../archive/source.ts';
import { DataError, readDataFile } from '../files.ts';

/**
 * Where the files of a set's samples lie: plain data over shared memory, so that a million names are one block of bytes
 * and a thread is given them without a copy.
 */
export interface PackedFiles {
  /** Folders or tar archives. */
  places: string[];
  /** Index into `places` of every file [N]. */
  place: Uint32Array<SharedArrayBuffer>;
  /** UTF-8 of all names, one after another, relative to the folder or archive. */
  names: Uint8Array<SharedArrayBuffer>;
  /** Where the name of a file ends in `names` [N]. */
  nameEnds: Float64Array<SharedArrayBuffer>;
  /** In archives: [N,2], the first byte and the number of bytes. */
  spans?: Float64Array<SharedArrayBuffer>;
}

/** One file for {@link packFiles}. */
export interface PlacedFile {
  place: number;
  name: string;
  /** In archives: where its bytes begin and how many there are. */
  span?: readonly [number, number];
}

/** Larger files are not pictures of a data set. */
const MAX_BYTES = 2 ** 28;
/** Archives that a thread keeps open. */
const MAX_OPEN = 64;

/** Packs the places of files; either all of them have a span, or none. */
export function packFiles(places: string[], files: PlacedFile[]): PackedFiles {
  const bytes = files.reduce((sum, { name }) => sum + Buffer.byteLength(name), 0);
  const packed: PackedFiles = {
    places,
    place: new Uint32Array(new SharedArrayBuffer(4 * files.length)),
    names: new Uint8Array(new SharedArrayBuffer(bytes)),
    nameEnds: new Float64Array(new SharedArrayBuffer(8 * files.length)),
  };
  const names = Buffer.from(packed.names.buffer);
  let end = 0;
  for (const [i, { place, name }] of files.entries()) {
    packed.place[i] = place;
    end += names.write(name, end);
    packed.nameEnds[i] = end;
  }
  if (files[0]?.span) {
    packed.spans = new Float64Array(new SharedArrayBuffer(16 * files.length));
    for (const [i, { span }] of files.entries()) packed.spans.set(span!, 2 * i);
  }
  return packed;
}

/** The full name of a file: folder or archive, then its name inside. */
export function fileName({ places, place, names, nameEnds }: PackedFiles, index: number): string {
  const start = index === 0 ? 0 : nameEnds[index - 1]!;
  const name = Buffer.from(names.buffer, names.byteOffset + start, nameEnds[index]! - start).toString();
  return join(places[place[index]!]!, name);
}

/** Reads the files of a set synchronously; the last {@link MAX_OPEN} archives stay open until `close()`. */
export class FileReader {
  readonly #files: PackedFiles;
  readonly #open = new Map<number, ByteSource>();
  #closed = false;

  constructor(files: PackedFiles) {
    this.#files = files;
  }

  /**
   * @throws DataError where the file is gone, shorter than it was, or larger than a picture
   * @throws SpikeloomError behind close()
   */
  read(index: number): Buffer {
    if (this.#closed) throw new SpikeloomError('these files are closed: make a new loader to read on');
    const { spans, place } = this.#files;
    if (!spans) return readDataFile(fileName(this.#files, index), MAX_BYTES);
    const [offset, length] = [spans[2 * index]!, spans[2 * index + 1]!];
    if (length > MAX_BYTES) {
      throw new DataError(
        fileName(this.#files, index),
        `a picture has at most ${MAX_BYTES} bytes, but this one ${length}`,
      );
    }
    return this.#archive(place[index]!).readSync(offset, length);
  }

  close(): void {
    this.#closed = true;
    for (const source of this.#open.values()) source.close();
    this.#open.clear();
  }

  #archive(place: number): ByteSource {
    const open = this.#open.get(place) ?? fileSource(this.#files.places[place]!);
    this.#open.delete(place); // moved to the end: the one used longest ago is closed first
    this.#open.set(place, open);
    if (this.#open.size > MAX_OPEN) {
      const [oldest, source] = this.#open.entries().next().value!;
      source.close();
      this.#open.delete(oldest);
    }
    return open;
  }
}
