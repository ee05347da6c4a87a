// Decompression of AEDAT 4.0 packets, in bounded memory whatever the bytes claim.
import { decompress } from 'fzstd';
import { native } from '../../core/native.ts';

/** The data breaks its format's rules; the caller adds the file and the place. */
export class CompressionError extends Error {}

const ZSTD_MAGIC = 0xfd2fb528;
const ZSTD_BLOCK = 2 ** 17;
const FIRST_ROOM = 2 ** 16;
const CUT = 'the compressed data is cut off';

/** A sequence of bytes; reading past its end is an error. */
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

/**
 * An LZ4 frame (native/events/lz4.cpp); its checksums are not verified.
 * @param room memory of an earlier packet, reused where it is large enough
 * @param most the largest unpacked size that is accepted, in bytes
 * @returns what was unpacked, at the beginning of `room` or of larger memory
 */
export function unpackLz4(bytes: Uint8Array, room: Uint8Array<ArrayBuffer>, most: number): Uint8Array<ArrayBuffer> {
  for (let out = room; ; out = new Uint8Array(Math.min(most, Math.max(2 * out.length, FIRST_ROOM)))) {
    const found = native().unpackLz4(bytes, out);
    if (typeof found === 'string') throw new CompressionError(found);
    if (found >= 0) return out.subarray(0, found);
    if (out.length >= most) throw new CompressionError(`packets above ${most} bytes are refused`);
  }
}

/**
 * Walks a Zstandard frame (RFC 8878) to see that it is one, ends with the data, and needs no more memory than `most`.
 */
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
 * A Zstandard frame; its checksum is not verified.
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
