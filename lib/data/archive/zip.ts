import { randomUUID } from 'node:crypto';
import { closeSync, openSync, unlinkSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { promisify } from 'node:util';
import { crc32, createInflateRaw, inflateRaw as inflateRawCallback, inflateRawSync } from 'node:zlib';
import { DataError } from '../files.ts';
import { EntryTable, type FileEntry, MAX_ENTRIES, plainPath } from './entries.ts';
import { type ByteSource, fileSource, partOf } from './source.ts';

const inflateRaw = promisify(inflateRawCallback);

/** A file in a zip archive (PKWARE APPNOTE 6.3: stored or deflated, zip64). */
export interface ZipEntry extends FileEntry {
  /** Where its local header begins. */
  offset: number;
  /** Bytes in the archive. */
  packedSize: number;
  isDeflated: boolean;
  crc: number;
}

const END = 0x06054b50;
const END64 = 0x06064b50;
const LOCATOR64 = 0x07064b50;
const CENTRAL = 0x02014b50;
const LOCAL = 0x04034b50;
const END_BYTES = 22;
const FULL = 0xffffffff;
/** Deflate expands a byte to at most 1032. */
const MOST_EXPANSION = 1032;
/** Bytes read at a time of an entry that is unpacked piece by piece. */
const PIECE = 1 << 20;

/** The regular files of a zip archive, from its central directory. */
export function indexZip(source: ByteSource): EntryTable<ZipEntry> {
  const { file } = source;
  const { start, bytes, count } = centralDirectory(source);
  const directory = source.readSync(start, bytes);
  const table = new EntryTable<ZipEntry>(file);
  let at = 0;
  for (let i = 0; i < count; i++) {
    const offset = start + at;
    if (at + 46 > bytes || directory.readUInt32LE(at) !== CENTRAL) {
      throw new DataError(file, `the directory has ${count} entries, but number ${i} is not one: it is damaged`, {
        offset,
      });
    }
    const [name, extra, comment] = [28, 30, 32].map((field) => directory.readUInt16LE(at + field)) as [
      number,
      number,
      number,
    ];
    const next = at + 46 + name + extra + comment;
    if (next > bytes) throw new DataError(file, 'an entry of the directory is cut off', { offset });
    const entry = centralEntry(file, directory.subarray(at, next), offset);
    if (entry) {
      if (entry.offset + entry.packedSize > start) {
        throw new DataError(file, `'${entry.path}' would lie behind the archive's contents: it is damaged`, { offset });
      }
      table.add(entry, offset);
    }
    at = next;
  }
  return table;
}

/** The unpacked bytes of an entry, checked against its CRC-32. */
export function readZipSync(source: ByteSource, entry: ZipEntry): Buffer {
  const packed = source.readSync(contentStart(source, entry), entry.packedSize);
  try {
    return checked(source, entry, entry.isDeflated ? inflateRawSync(packed, limits(entry)) : packed);
  } catch (cause) {
    throw broken(source, entry, cause);
  }
}

/** {@link readZipSync} without blocking the event loop. */
export async function readZip(source: ByteSource, entry: ZipEntry): Promise<Buffer> {
  const packed = await source.read(contentStart(source, entry), entry.packedSize);
  try {
    return checked(source, entry, entry.isDeflated ? await inflateRaw(packed, limits(entry)) : packed);
  } catch (cause) {
    throw broken(source, entry, cause);
  }
}

/** Finds the end record: the last one whose comment fills the rest of the file; zip64's numbers where there are any. */
function centralDirectory(source: ByteSource): { start: number; bytes: number; count: number } {
  const { file, size } = source;
  const tailStart = Math.max(0, size - END_BYTES - 0xffff);
  const tail = source.readSync(tailStart, size - tailStart);
  let at = tail.length - END_BYTES;
  while (at >= 0 && !(tail.readUInt32LE(at) === END && at + END_BYTES + tail.readUInt16LE(at + 20) === tail.length))
    at--;
  if (at < 0)
    throw new DataError(file, 'the end record of a zip archive was not found: it is cut off or damaged', {
      offset: size,
    });
  let [count, bytes, start] = [tail.readUInt16LE(at + 10), tail.readUInt32LE(at + 12), tail.readUInt32LE(at + 16)];
  const end = tailStart + at;
  if (tail.readUInt16LE(at + 4) !== 0)
    throw new DataError(file, 'is a part of a split archive: join the parts first', { offset: end });
  if (count === 0xffff || bytes === FULL || start === FULL) {
    const locator = end >= 20 ? source.readSync(end - 20, 20) : undefined;
    if (locator?.readUInt32LE(0) === LOCATOR64)
      ({ count, bytes, start } = directory64(source, locator.readBigUInt64LE(8), end));
  }
  if (start + bytes > end)
    throw new DataError(file, 'the directory lies outside of the archive: it is damaged', { offset: end });
  if (count > MAX_ENTRIES || count * 46 > bytes) {
    throw new DataError(file, `a directory of ${bytes} bytes cannot have ${count} entries`, { offset: end });
  }
  return { start, bytes, count };
}

function directory64(source: ByteSource, at: bigint, end: number): { start: number; bytes: number; count: number } {
  const { file } = source;
  const record = Number(at) + 56 <= end ? source.readSync(Number(at), 56) : undefined;
  if (record?.readUInt32LE(0) !== END64)
    throw new DataError(file, 'the zip64 end record was not found: it is damaged', { offset: end });
  const [count, bytes, start] = [32, 40, 48].map((field) => Number(record.readBigUInt64LE(field))) as [
    number,
    number,
    number,
  ];
  return { start, bytes, count };
}

/** One entry of the central directory; undefined for what is not a regular file. */
function centralEntry(file: string, entry: Buffer, offset: number): ZipEntry | undefined {
  const nameEnd = 46 + entry.readUInt16LE(28);
  const name = entryName(entry.subarray(46, nameEnd));
  const mode = entry.readUInt32LE(38) >>> 28; // Unix file type, where the archive has one: 8 a file, 10 a link
  if (name.endsWith('/') || (mode !== 0 && mode !== 8)) return undefined;
  const path = plainPath(file, name, offset);
  if (entry.readUInt16LE(8) & 0x2041) throw new DataError(file, `'${path}' is encrypted: unpack it first`, { offset });
  const method = entry.readUInt16LE(10);
  if (method !== 0 && method !== 8) {
    throw new DataError(file, `'${path}' is packed by method ${method}, but only 0 (stored) and 8 (deflate) are read`, {
      offset,
    });
  }
  const sizes = { size: entry.readUInt32LE(24), packedSize: entry.readUInt32LE(20), offset: entry.readUInt32LE(42) };
  fill64(sizes, entry.subarray(nameEnd, nameEnd + entry.readUInt16LE(30)), () => {
    throw new DataError(file, `the zip64 field of '${path}' is damaged`, { offset });
  });
  const { size, packedSize } = sizes;
  const isPossible = method === 0 ? size === packedSize : size <= MOST_EXPANSION * packedSize;
  if (!isPossible)
    throw new DataError(file, `'${path}' cannot have ${size} bytes packed into ${packedSize}`, { offset });
  return { path, ...sizes, isDeflated: method === 8, crc: entry.readUInt32LE(16) };
}

/** Replaces the sizes that are too large for 32 bits by those of the extra field 1, in their fixed order. */
function fill64(sizes: { size: number; packedSize: number; offset: number }, extra: Buffer, refuse: () => never): void {
  const wanted = (['size', 'packedSize', 'offset'] as const).filter((key) => sizes[key] === FULL);
  for (let at = 0; wanted.length > 0 && at + 4 <= extra.length; at += 4 + extra.readUInt16LE(at + 2)) {
    if (extra.readUInt16LE(at) !== 1) continue;
    const field = extra.subarray(at + 4, at + 4 + extra.readUInt16LE(at + 2));
    if (field.length < 8 * wanted.length) refuse();
    for (const [i, key] of wanted.entries()) sizes[key] = Number(field.readBigUInt64LE(8 * i));
    if (!wanted.every((key) => Number.isSafeInteger(sizes[key]))) refuse();
    return;
  }
}

function entryName(bytes: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return bytes.toString('latin1');
  }
}

function contentStart(source: ByteSource, { path, offset, packedSize }: ZipEntry): number {
  const header = source.readSync(offset, 30);
  const name = header.readUInt16LE(26);
  const start = offset + 30 + name + header.readUInt16LE(28);
  if (header.readUInt32LE(0) === LOCAL && start + packedSize <= source.size) return start;
  throw new DataError(source.file, `the header of '${path}' is damaged`, { offset });
}

/**
 * The bytes of an entry as a source of their own: in place where they are stored, else unpacked once, piece by piece,
 * into a temporary file that is unlinked before the first byte is written, so that nothing is left behind however the
 * process ends.
 */
export async function openZipEntry(source: ByteSource, entry: ZipEntry): Promise<ByteSource> {
  const file = join(source.file, entry.path);
  const start = contentStart(source, entry);
  if (!entry.isDeflated) return partOf(source, file, start, entry.size);
  const unpacked = fileSource(file, await unpackTemporarily(source, entry, start));
  if (unpacked.size === entry.size) return unpacked;
  unpacked.close();
  throw damagedContents(source, entry);
}

async function unpackTemporarily(source: ByteSource, entry: ZipEntry, start: number): Promise<number> {
  const name = join(tmpdir(), `spikeloom-${randomUUID()}`);
  let handle = -1;
  try {
    handle = openSync(name, 'wx+', 0o600);
    unlinkSync(name);
    let sum = 0;
    let size = 0;
    const packed = async function* (): AsyncGenerator<Buffer> {
      for (let at = 0; at < entry.packedSize; at += PIECE) {
        yield await source.read(start + at, Math.min(PIECE, entry.packedSize - at));
      }
    };
    const keep = async (pieces: AsyncIterable<Buffer>): Promise<void> => {
      for await (const piece of pieces) {
        if (size + piece.length > entry.size) throw damagedContents(source, entry);
        for (let at = 0; at < piece.length; ) at += writeSync(handle, piece, at, piece.length - at, size + at);
        sum = crc32(piece, sum);
        size += piece.length;
      }
    };
    await pipeline(packed, createInflateRaw(), keep);
    if (sum !== entry.crc) throw damagedContents(source, entry);
    return handle;
  } catch (cause) {
    if (handle >= 0) closeSync(handle);
    if (cause instanceof DataError) throw cause;
    const { path, offset, size } = entry;
    const why = `cannot be unpacked into ${tmpdir()} (${(cause as Error).message})`;
    const remedy = `set TMPDIR to a folder with ${size} bytes of room, or unpack it yourself`;
    throw new DataError(source.file, `'${path}' ${why}: ${remedy}`, { offset, cause });
  }
}

const limits = ({ size }: ZipEntry) => ({ maxOutputLength: Math.max(1, size) });

function checked(source: ByteSource, entry: ZipEntry, bytes: Buffer): Buffer {
  if (bytes.length !== entry.size || crc32(bytes) !== entry.crc) throw damagedContents(source, entry);
  return bytes;
}

function damagedContents({ file }: ByteSource, { path, offset }: ZipEntry): DataError {
  const what = `the contents of '${path}' do not have the size and checksum of its entry: it is damaged`;
  return new DataError(file, what, { offset });
}

function broken({ file }: ByteSource, { path, offset }: ZipEntry, cause: unknown): DataError {
  if (cause instanceof DataError) return cause;
  return new DataError(file, `'${path}' cannot be unpacked (${(cause as Error).message})`, { offset, cause });
}
