// Recordings of a data set in one file:
//
//     'SLEVENTS', u32 length, JSON: version, hashes of the source, sensor and classes; 32 bytes: the source's stamp
//     the recordings as packRecording() makes them, end to end
//     index: f64 [N, 6] offset, bytes, events, CRC-32, first and last time; i32 [N] class; names, one a line
//     u64 offset and length of the index, u64 N, SHA-256 of header, index and these three numbers, 'SLEVENTS'
//
// All little-endian. It is written once from beginning to end, atomically; only the stamp, which no checksum covers,
// may be renewed: it is a shortcut, and one that is torn or wrong costs a look at the source's contents. Recordings are
// read from a mapping of the file that outlives its being cut (native/core/mapped_file.h).
import { createHash } from 'node:crypto';
import { closeSync, fstatSync, openSync, readSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { crc32 } from 'node:zlib';
import { makeFolders, removeLeftovers, writeFileAtomicAsync } from '../../core/atomic-file.ts';
import { SpikeloomError } from '../../core/errors.ts';
import { type MappedFile, native } from '../../core/native.ts';
import { DataError, openDataFile, unreadable } from '../files.ts';
import type { Events } from './events.ts';
import type { SensorSize } from './formats.ts';
import { leastBytes, packRecording } from './packed.ts';

/** To be raised when the file's layout changes, or what readers make of original files. */
const VERSION = 2;

const MAGIC = Buffer.from('SLEVENTS');
const TRAILER = 64;
const STAMP = 32;
/** Numbers of a recording in the index. */
export const COLUMNS = 6;
const INDEX_BYTES = COLUMNS * 8 + 4;
/** Recordings are collected until they have this many bytes, then written together. */
const WRITE_BYTES = 2 ** 22;
const MOST_INDEX_BYTES = 2 ** 30;

/** A recording on its way into a cache. */
export interface CacheItem {
  /** What the sample is called in splits, the same however the files lie. */
  name: string;
  label: number;
  events: Events;
}

/** Identifies the files that recordings were made from, by SHA-256 in hex. */
export interface CacheSource {
  /** Of names and sizes. */
  listing: string;
  /** Of names and contents. */
  contents: string;
  /** Of names, sizes and times of change. */
  stamp: string;
}

/** What a cache is of. */
export interface CacheContent extends SensorSize {
  classes: string[];
  source: CacheSource;
}

/** An opened cache; its recordings are read by {@link RecordingFile}. */
export interface EventCache extends CacheContent {
  file: string;
  /** SHA-256 over header and index. */
  id: string;
  names: string[];
  labels: Int32Array;
  /** [N, 6]: offset, bytes, events, CRC-32, first and last time in microseconds. */
  recordings: Float64Array;
}

export interface BuildOptions {
  /** Ends the build with its reason; nothing is left of it. */
  signal?: AbortSignal;
  /** Told how many recordings are in. */
  onProgress?: (done: number) => void;
}

const littleEndian = (length: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(length);
  return bytes;
};

/** The header without the stamp. */
const headerOf = ({ width, height, classes, source: { listing, contents } }: CacheContent): Buffer => {
  const text = Buffer.from(JSON.stringify({ version: VERSION, source: { listing, contents }, width, height, classes }));
  return Buffer.concat([MAGIC, littleEndian(text.length), text]);
};

const digestOf = (header: Buffer, index: Buffer, trailer: Buffer): Buffer =>
  createHash('sha256').update(header).update(index).update(trailer.subarray(0, 24)).digest();

function trailerOf(header: Buffer, index: Buffer, offset: number, count: number): Buffer {
  const trailer = Buffer.alloc(TRAILER);
  trailer.writeBigUInt64LE(BigInt(offset), 0);
  trailer.writeBigUInt64LE(BigInt(index.length), 8);
  trailer.writeBigUInt64LE(BigInt(count), 16);
  digestOf(header, index, trailer).copy(trailer, 24);
  MAGIC.copy(trailer, 56);
  return trailer;
}

const bytesOf = (array: Float64Array | Int32Array): Buffer => Buffer.from(array.buffer, 0, array.byteLength);

function checkItem({ name, label }: CacheItem, classes: string[], seen: Set<string>): void {
  if (seen.has(name)) throw new SpikeloomError(`two recordings are called '${name}'; names tell samples apart`);
  if (/\n/.test(name)) throw new SpikeloomError(`a recording's name is one line, but '${name}' is more`);
  if (Number.isInteger(label) && label >= 0 && label < classes.length) return;
  throw new SpikeloomError(`'${name}' has the class ${label} of ${classes.length}`);
}

/**
 * The file in parts, each to be used before the next one is asked for: they share the same memory, that of one
 * recording, one part and the index, so that nothing is left to the garbage collector.
 */
async function* cacheParts(content: CacheContent, items: AsyncIterable<CacheItem>, options: BuildOptions) {
  const header = headerOf(content);
  const names = new Set<string>();
  const labels: number[] = [];
  const table: number[] = [];
  const part = Buffer.allocUnsafe(WRITE_BYTES);
  let room = new Uint8Array(WRITE_BYTES);
  let [offset, filled] = [header.length + STAMP, 0];
  yield header;
  yield Buffer.from(content.source.stamp, 'hex');
  for await (const item of items) {
    options.signal?.throwIfAborted();
    checkItem(item, content.classes, names);
    const { bytes: packed, count, first, last } = packRecording(item.events, content, room);
    if (packed.buffer.byteLength > room.length) room = new Uint8Array(packed.buffer as ArrayBuffer);
    table.push(offset, packed.length, count, crc32(packed), first, last);
    names.add(item.name);
    labels.push(item.label);
    offset += packed.length;
    if (filled + packed.length > part.length) {
      yield part.subarray(0, filled);
      filled = 0;
    }
    if (packed.length > part.length) yield packed;
    else {
      part.set(packed, filled);
      filled += packed.length;
    }
    options.onProgress?.(labels.length);
  }
  options.signal?.throwIfAborted();
  const text = Buffer.from([...names].join('\n'));
  const index = Buffer.concat([bytesOf(Float64Array.from(table)), bytesOf(Int32Array.from(labels)), text]);
  yield part.subarray(0, filled);
  yield index;
  yield trailerOf(header, index, offset, labels.length);
}

/**
 * Writes a cache. Whenever it is stopped, `file` is what it was before or the whole new cache.
 * @throws what `items` or the signal throw; SpikeloomError where the file cannot be written or an item does not fit
 */
export async function buildEventCache(
  file: string,
  content: CacheContent,
  items: AsyncIterable<CacheItem>,
  options: BuildOptions = {},
): Promise<void> {
  try {
    makeFolders(dirname(file));
    removeLeftovers(file);
  } catch (cause) {
    throw new SpikeloomError(
      `the folder ${dirname(file)} cannot be made for the cache (${(cause as Error).message}); name another one (cacheFolder, in a recipe data.cache)`,
      { cause },
    );
  }
  await writeFileAtomicAsync(file, cacheParts(content, items, options));
}

const REMEDY = 'delete it, and it will be rebuilt; nothing may change it while a run reads it';

/** Reads exactly the bytes from `offset` on; a file that ends before is a {@link DataError}. */
function readFully(fd: number, file: string, bytes: Uint8Array, offset: number): void {
  for (let at = 0; at < bytes.length; ) {
    const place = { offset: offset + at };
    let read: number;
    try {
      read = readSync(fd, bytes, at, bytes.length - at, place.offset);
    } catch (cause) {
      throw new DataError(file, `the cache cannot be read here (${(cause as Error).message})`, { ...place, cause });
    }
    if (read === 0) throw new DataError(file, `the cache ends here, before its contents do: ${REMEDY}`, place);
    at += read;
  }
}

const damaged = (file: string, what: string, offset: number): DataError =>
  new DataError(file, `${what}: the cache is damaged; ${REMEDY}`, { offset });

interface Trailer {
  /** Place and length of the index. */
  start: number;
  length: number;
  /** Recordings. */
  count: number;
  id: string;
  trailer: Buffer;
}

/** The trailer, once it is known to be one. */
function readTrailer(fd: number, file: string, size: number): Trailer {
  const trailer = Buffer.alloc(TRAILER);
  if (size < TRAILER + MAGIC.length + 4 + STAMP) throw damaged(file, `${size} bytes are too few`, 0);
  readFully(fd, file, trailer, size - TRAILER);
  const [start, length] = [Number(trailer.readBigUInt64LE(0)), Number(trailer.readBigUInt64LE(8))];
  const count = Number(trailer.readBigUInt64LE(16));
  const isSound =
    MAGIC.equals(trailer.subarray(56)) &&
    length <= MOST_INDEX_BYTES &&
    start + length === size - TRAILER &&
    count * INDEX_BYTES <= length;
  if (!isSound) throw damaged(file, 'its last bytes are not those of a cache', size - TRAILER);
  return { start, length, count, id: trailer.subarray(24, 56).toString('hex'), trailer };
}

interface Header {
  /** Without the stamp, which follows. */
  bytes: Buffer;
  content: CacheContent & { version: number };
}

function readHeader(fd: number, file: string, end: number): Header {
  const start = Buffer.alloc(MAGIC.length + 4);
  readFully(fd, file, start, 0);
  const length = start.readUInt32LE(MAGIC.length);
  const most = Math.min(end, MOST_INDEX_BYTES) - start.length - STAMP;
  if (!MAGIC.equals(start.subarray(0, MAGIC.length)) || length > most) {
    throw damaged(file, 'its first bytes are not those of a cache', 0);
  }
  const text = Buffer.alloc(length);
  const stamp = Buffer.alloc(STAMP);
  readFully(fd, file, text, start.length);
  readFully(fd, file, stamp, start.length + length);
  try {
    const content = JSON.parse(text.toString());
    content.source = { ...content.source, stamp: stamp.toString('hex') };
    return { bytes: Buffer.concat([start, text]), content };
  } catch {
    throw damaged(file, 'its header cannot be read', start.length);
  }
}

/**
 * Every recording lies between header and index and has bytes for its events; so no number of the index can lead a
 * reader astray.
 */
function checkTable(cache: EventCache, start: number, end: number): void {
  const least = leastBytes(cache);
  for (let i = 0; i < cache.labels.length; i++) {
    const [offset, bytes, count, , first, last] = cache.recordings.subarray(i * COLUMNS);
    const places = [offset, bytes, count].every((n) => Number.isSafeInteger(n) && n! >= 0);
    const inside = offset! >= start && offset! + bytes! <= end && count! * least <= bytes!;
    const label = cache.labels[i]!;
    if (places && inside && first! <= last! && label >= 0 && label < cache.classes.length) continue;
    throw damaged(cache.file, `the index has no sound entry for recording ${i}`, end);
  }
}

/** @returns undefined for a cache of another version */
function readCache(fd: number, file: string): EventCache | undefined {
  const { size } = fstatSync(fd);
  const { start, length, count, id, trailer } = readTrailer(fd, file, size);
  const { bytes: header, content } = readHeader(fd, file, start);
  const index = Buffer.alloc(length);
  readFully(fd, file, index, start);
  if (digestOf(header, index, trailer).toString('hex') !== id) {
    throw damaged(file, 'header and index do not have their checksum', start);
  }
  if (content.version !== VERSION) return undefined;
  const columns = new Uint8Array(index).buffer; // aligned for the arrays
  const recordings = new Float64Array(columns, 0, count * COLUMNS);
  const labels = new Int32Array(columns, recordings.byteLength, count);
  const names = count === 0 ? [] : index.toString('utf8', count * INDEX_BYTES).split('\n');
  const cache: EventCache = { ...content, file, id, names, labels, recordings };
  if (names.length !== count) throw damaged(file, `the index names ${names.length} of ${count} recordings`, start);
  checkTable(cache, header.length + STAMP, start);
  return cache;
}

/**
 * Opens a cache. Its `source` says what it was made from.
 * @returns undefined where there is none, or one of another version
 * @throws DataError with the byte where it is damaged
 */
export function openEventCache(file: string): EventCache | undefined {
  let fd: number | undefined;
  try {
    fd = openDataFile(file);
    return readCache(fd, file);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw unreadable(file, cause);
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

/**
 * Marks a cache as made from files with that stamp. A cache that cannot be written to stays as it is; the next open
 * compares contents again.
 */
export function renewStamp({ file, id }: Pick<EventCache, 'file' | 'id'>, stamp: string): void {
  let fd: number | undefined;
  try {
    fd = openSync(file, 'r+');
    const { start, id: found } = readTrailer(fd, file, fstatSync(fd).size);
    if (found === id) writeSync(fd, Buffer.from(stamp, 'hex'), 0, STAMP, readHeader(fd, file, start).bytes.length);
  } catch {
    // a cache that others keep, or that was replaced meanwhile
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

/** A cache's recordings, read from a mapping, or by positioned reads where the file cannot be mapped; to be closed. */
export class RecordingFile {
  readonly #file: string;
  readonly #fd: number;
  #mapped: MappedFile | undefined;
  #room = Buffer.alloc(0);

  /** @throws DataError where the file is not the cache of that id any more */
  constructor({ file, id }: Pick<EventCache, 'file' | 'id'>) {
    this.#file = file;
    try {
      this.#fd = openDataFile(file);
    } catch (cause) {
      throw new DataError(file, `the cache cannot be read (${(cause as Error).message})`, { cause });
    }
    try {
      if (readTrailer(this.#fd, file, fstatSync(this.#fd).size).id !== id) {
        throw new DataError(file, 'the cache was rebuilt after this data set was opened; open it again');
      }
      this.#mapped = native().mapFile(this.#fd);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** The bytes of a recording, given its row of the index, checked against its CRC-32. Valid until the next call. */
  read([offset, size, , checksum]: ArrayLike<number> & Iterable<number>): Uint8Array {
    if (this.#room.length < size!) this.#room = Buffer.allocUnsafeSlow(size!);
    const bytes = this.#room.subarray(0, size!);
    if (this.#mapped && native().readMapped(this.#mapped, offset!, bytes) && crc32(bytes) === checksum) return bytes;
    // Also where the mapping has lost pages: a positioned read tells where the file ends now.
    readFully(this.#fd, this.#file, bytes, offset!);
    if (crc32(bytes) !== checksum) throw this.damaged(offset!);
    return bytes;
  }

  /** The error for a recording that does not have its checksum any more. */
  damaged(offset: number): DataError {
    return damaged(this.#file, 'the recording here does not have its checksum', offset);
  }

  close(): void {
    if (this.#mapped) native().unmapFile(this.#mapped);
    this.#mapped = undefined;
    closeSync(this.#fd);
  }
}
