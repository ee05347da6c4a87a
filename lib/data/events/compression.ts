// What packets of AEDAT 4.0 are compressed with, taken apart with bounded memory whatever the bytes claim.
import { decompress } from 'fzstd';

/** Breaks the format's rules; the caller knows the file and the place. */
export class CompressionError extends Error {}

const LZ4_MAGIC = 0x184d2204;
const ZSTD_MAGIC = 0xfd2fb528;
const ZSTD_BLOCK = 2 ** 17;
const CUT = 'the compressed data is cut off';

const FEW = 64;

/** Appends to memory that grows up to `most` bytes. */
class Output {
  bytes = new Uint8Array(2 ** 16);
  length = 0;
  readonly #most: number;

  constructor(most: number) {
    this.#most = most;
  }

  #room(more: number): void {
    const needed = this.length + more;
    if (needed > this.#most) throw new CompressionError(`packets above ${this.#most} bytes are refused`);
    if (needed <= this.bytes.length) return;
    const larger = new Uint8Array(Math.min(this.#most, Math.max(needed, 2 * this.bytes.length)));
    larger.set(this.bytes.subarray(0, this.length));
    this.bytes = larger;
  }

  /** Appends `count` bytes of `source` from `from` on. Few are copied one by one, which is faster than a call. */
  add(source: Uint8Array, from: number, count: number): void {
    this.#room(count);
    const { bytes, length } = this;
    if (count > FEW) bytes.set(source.subarray(from, from + count), length);
    else for (let i = 0; i < count; i++) bytes[length + i] = source[from + i]!;
    this.length += count;
  }

  /** Appends `count` bytes that begin `back` bytes before the end; they may reach into what is being appended. */
  repeat(back: number, count: number): void {
    if (back < 1 || back > this.length) throw new CompressionError('a match of LZ4 begins before the data does');
    this.#room(count);
    const { bytes, length } = this;
    const start = length - back;
    if (back >= count && count > FEW) bytes.copyWithin(length, start, start + count);
    else for (let i = 0; i < count; i++) bytes[length + i] = bytes[start + i]!;
    this.length += count;
  }
}

/** A row of bytes that ends; reading behind it is an error. */
class Input {
  at = 0;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get left(): number {
    return this.#bytes.length - this.at;
  }

  take(count: number): Uint8Array {
    if (count > this.left) throw new CompressionError(CUT);
    this.at += count;
    return this.#bytes.subarray(this.at - count, this.at);
  }

  u8(): number {
    return this.take(1)[0]!;
  }

  u16(): number {
    this.take(2);
    return this.#view.getUint16(this.at - 2, true);
  }

  u24(): number {
    return this.u16() + 2 ** 16 * this.u8();
  }

  u32(): number {
    this.take(4);
    return this.#view.getUint32(this.at - 4, true);
  }
}

function lz4Block(source: Uint8Array, output: Output): void {
  const end = source.length;
  let at = 0;
  const byte = (): number => {
    if (at >= end) throw new CompressionError(CUT);
    return source[at++]!;
  };
  /** 15 goes on in the next byte, and 255 there in the one behind it. */
  const length = (nibble: number): number => {
    let sum = nibble;
    for (let more = nibble === 15 ? 255 : 0; more === 255; sum += more) more = byte();
    return sum;
  };
  for (;;) {
    const token = byte();
    const literals = length(token >> 4);
    if (literals > end - at) throw new CompressionError(CUT);
    output.add(source, at, literals);
    at += literals;
    if (at === end) return;
    const back = byte() + 256 * byte();
    output.repeat(back, 4 + length(token & 15));
  }
}

/**
 * An LZ4 frame (LZ4 Frame Format Description 1.6.3); its checksums are passed over.
 * @param most the most bytes that it may give
 */
export function unpackLz4(bytes: Uint8Array, most: number): Uint8Array {
  const input = new Input(bytes);
  if (input.u32() !== LZ4_MAGIC) throw new CompressionError('an LZ4 frame begins with 04 22 4d 18');
  const flags = input.u8();
  if (flags >> 6 !== 1 || flags & 0b11)
    throw new CompressionError('LZ4 frames of version 1 without dictionary are read');
  input.take(1 + (flags & 8 ? 8 : 0) + 1); // block size, content size, header checksum
  const output = new Output(most);
  for (;;) {
    const size = input.u32();
    if (size === 0) break;
    const block = input.take(size & 0x7fffffff);
    if (size >>> 31) output.add(block, 0, block.length);
    else lz4Block(block, output);
    if (flags & 16) input.take(4);
  }
  if (flags & 4) input.take(4);
  if (input.left > 0) throw new CompressionError('bytes are left over behind the LZ4 frame');
  return output.bytes.subarray(0, output.length);
}

/** Walks a Zstandard frame (RFC 8878) to see that it is one, ends with the data, and needs no more memory than `most`. */
function checkZstd(input: Input, most: number): void {
  if (input.u32() !== ZSTD_MAGIC) throw new CompressionError('a Zstandard frame begins with 28 b5 2f fd');
  const flags = input.u8();
  const single = flags & 32;
  if (flags & 0b1011) throw new CompressionError('Zstandard frames without dictionary are read');
  const window = single ? undefined : input.u8();
  const sizeBytes = [single ? 1 : 0, 2, 4, 8][flags >> 6]!;
  let size = 0;
  for (let i = 0; i < sizeBytes; i++) size += input.u8() * 2 ** (8 * i);
  if (sizeBytes === 2) size += 256;
  const needs = window === undefined ? size : Math.floor(2 ** (10 + (window >> 3)) * (1 + (window & 7) / 8));
  let last = false;
  for (let total = 0; !last; ) {
    const header = input.u24();
    last = (header & 1) === 1;
    const kind = (header >> 1) & 3;
    const stored = header >> 3;
    input.take(kind === 1 ? 1 : stored);
    total += kind === 2 ? ZSTD_BLOCK : stored;
    // Without its size a frame may hold as much as its blocks can.
    if (Math.max(size, needs, sizeBytes > 0 ? 0 : total) > most || (kind !== 2 && stored > ZSTD_BLOCK)) {
      throw new CompressionError(`packets above ${most} bytes are refused`);
    }
  }
  if (flags & 4) input.take(4);
  if (input.left > 0) throw new CompressionError('bytes are left over behind the Zstandard frame');
}

/**
 * A Zstandard frame; its checksum is passed over.
 * @param most the most bytes that it may give or need as a window
 */
export function unpackZstd(bytes: Uint8Array, most: number): Uint8Array {
  checkZstd(new Input(bytes), most);
  try {
    return decompress(bytes);
  } catch (cause) {
    throw new CompressionError(`the Zstandard data is damaged (${(cause as Error).message})`, { cause });
  }
}
