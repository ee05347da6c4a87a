import { DataError } from '../files.ts';
import { EntryTable, type FileEntry, MAX_ENTRIES, plainPath } from './entries.ts';
import type { ByteSource } from './source.ts';

/** Where a regular file's bytes lie in a tar archive. */
export interface TarEntry extends FileEntry {
  offset: number;
}

/** What the walk over an archive asks for next: bytes to look at, or to skip the contents of an entry. */
export type TarRequest = { read: number } | { entry: TarEntry; skip: number } | { skip: number };

const BLOCK = 512;
/** Longest extended header that is read; names are shorter. */
const MAX_EXTENDED = 1 << 20;

/**
 * Walks a tar archive (POSIX.1-1988 ustar, POSIX.1-2001 pax, GNU long names and sizes), header by header. The driver
 * answers `read` with that many bytes and passes over `skip` bytes, so that the same walk serves files and streams.
 * @throws DataError at damaged headers; the driver notices the end of the bytes
 */
export function* walkTar(file: string): Generator<TarRequest, void, Buffer> {
  let at = 0;
  let extended: { path?: string; size?: number } = {};
  let headers = 0;
  for (;;) {
    const block = yield { read: BLOCK };
    const offset = at;
    at += BLOCK;
    if (isZero(block)) return;
    checkHeader(file, block, offset);
    if (++headers > MAX_ENTRIES) throw new DataError(file, `has more than ${MAX_ENTRIES} entries`, { offset });
    const kind = String.fromCharCode(block[156]!);
    const isExtended = kind === 'x' || kind === 'L';
    const size = contentSize(file, block, offset, kind, isExtended ? undefined : extended.size);
    const padded = Math.ceil(size / BLOCK) * BLOCK;
    if (isExtended) {
      if (size > MAX_EXTENDED) {
        const rule = `an extended header has at most ${MAX_EXTENDED} bytes`;
        throw new DataError(file, `${rule}, but this one has ${size}`, { offset });
      }
      const content = padded === 0 ? Buffer.alloc(0) : yield { read: padded };
      const own = content.subarray(0, size);
      extended = { ...extended, ...(kind === 'x' ? paxFields(file, own, at) : { path: text(own) }) };
    } else {
      if (kind === 'S') throw new DataError(file, 'sparse files are not supported: pack it without them', { offset });
      const name = extended.path ?? headerPath(block);
      // folders ended with '/' before there was a kind for them
      const isFile = '0\x007'.includes(kind) && !name.endsWith('/');
      if (isFile) yield { entry: { path: plainPath(file, name, offset), size, offset: at }, skip: padded };
      else yield { skip: padded };
      if (kind !== 'K' && kind !== 'g') extended = {};
    }
    at += padded;
  }
}

/** The regular files of a tar archive with the places of their bytes. */
export function indexTar(source: ByteSource): EntryTable<TarEntry> {
  const { file, size } = source;
  const table = new EntryTable<TarEntry>(file);
  const walk = walkTar(file);
  let at = 0;
  for (let step = walk.next(); !step.done; ) {
    const request = step.value;
    if ('read' in request) {
      if (at + request.read > size) throw cutOff(file, size);
      const bytes = source.readSync(at, request.read);
      at += request.read;
      step = walk.next(bytes);
      continue;
    }
    if (at + request.skip > size) throw cutOff(file, size);
    if ('entry' in request) table.add(request.entry, request.entry.offset);
    at += request.skip;
    step = walk.next();
  }
  return table;
}

/** The error for an archive that ends before its end mark. */
export function cutOff(file: string, offset: number): DataError {
  return new DataError(file, 'a tar archive ends with a block of zeros, but this one ends before: it is cut off', {
    offset,
  });
}

function isZero(block: Buffer): boolean {
  return block.every((byte) => byte === 0);
}

function checkHeader(file: string, block: Buffer, offset: number): void {
  if (isTarHeader(block)) return;
  const rule = offset === 0 ? 'is not a tar archive' : 'is damaged here';
  throw new DataError(file, `${rule}: the checksum of the header does not fit`, { offset });
}

/** Whether 512 bytes are a header with its right checksum: the sum of its bytes, the checksum's own taken as spaces. */
export function isTarHeader(block: Buffer): boolean {
  if (block.length < BLOCK) return false;
  let sum = 8 * 32;
  for (let i = 0; i < BLOCK; i++) if (i < 148 || i >= 156) sum += block[i]!;
  return octal(block.subarray(148, 156)) === sum;
}

/** Octal digits, with spaces before and spaces or NUL after them; NaN for anything else. */
function octal(field: Buffer): number {
  const digits = /^ *([0-7]*)[ \0]*$/.exec(field.toString('latin1'))?.[1];
  return digits === undefined ? Number.NaN : Number.parseInt(digits || '0', 8);
}

/** Links, devices, folders and pipes have no contents, whatever their size field says. */
function contentSize(file: string, block: Buffer, offset: number, kind: string, extended: number | undefined): number {
  return /[1-6]/.test(kind) ? 0 : (extended ?? headerSize(file, block, offset));
}

function headerSize(file: string, block: Buffer, offset: number): number {
  const field = block.subarray(124, 136);
  // GNU: a first byte of 0x80 announces a big-endian number.
  const size =
    field[0] === 0x80 ? Number(field.readBigUInt64BE(4)) + (field.readUInt32BE(0) % 2 ** 24) * 2 ** 64 : octal(field);
  return checkedSize(file, size, offset);
}

function checkedSize(file: string, size: number, offset: number): number {
  if (Number.isSafeInteger(size) && size >= 0) return size;
  throw new DataError(file, 'the size in a header cannot be read: the archive is damaged', { offset });
}

function text(field: Buffer): string {
  const end = field.indexOf(0);
  return field.toString('utf8', 0, end < 0 ? field.length : end);
}

function headerPath(block: Buffer): string {
  // GNU's own form, 'ustar  ', has other things at 345
  const isUstar = block.toString('latin1', 257, 263) === 'ustar\0';
  const prefix = isUstar ? text(block.subarray(345, 500)) : '';
  const name = text(block.subarray(0, 100));
  return prefix === '' ? name : `${prefix}/${name}`;
}

/** Records 'LENGTH KEY=VALUE\n' of an extended header, LENGTH counting the whole record. */
function paxFields(file: string, content: Buffer, offset: number): { path?: string; size?: number } {
  const fields: { path?: string; size?: number } = {};
  for (let at = 0; at < content.length; ) {
    const space = content.indexOf(32, at);
    const length = space < 0 ? Number.NaN : Number(content.toString('latin1', at, Math.min(space, at + 10)));
    const equals = content.indexOf(61, space);
    const isSound =
      Number.isInteger(length) && length > 0 && at + length <= content.length && content[at + length - 1] === 10;
    if (!isSound || equals < 0 || equals >= at + length) {
      throw new DataError(file, 'a record of an extended header cannot be read: the archive is damaged', {
        offset: offset + at,
      });
    }
    const key = content.toString('utf8', space + 1, equals);
    const value = content.toString('utf8', equals + 1, at + length - 1);
    if (key === 'path') fields.path = value;
    if (key === 'size') fields.size = checkedSize(file, /^\d+$/.test(value) ? Number(value) : Number.NaN, offset + at);
    if (key.startsWith('GNU.sparse.')) {
      throw new DataError(file, 'sparse files are not supported: pack it without them', { offset: offset + at });
    }
    at += length;
  }
  return fields;
}
