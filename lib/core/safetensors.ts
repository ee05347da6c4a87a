import { closeSync, fstatSync, openSync, readSync, statSync } from 'node:fs';
import { IO_CHUNK_BYTES, writeFileAtomicAsync } from './atomic-file.ts';
import { SpikeloomError } from './errors.ts';
import { bf16Bits, bf16ToF32, f16Bits, f16ToF32 } from './half-float.ts';
import { needArguments } from './options.ts';
import {
  elementCount,
  formatHeader,
  MAX_HEADER_BYTES,
  nameProblem,
  parseHeader,
  type SafetensorsDtype,
  type SafetensorsEntry,
} from './safetensors-header.ts';
import { Turns } from './turns.ts';

export type { SafetensorsDtype, SafetensorsEntry } from './safetensors-header.ts';

/** Element type in the file -> array in memory. 16-bit floats are widened to float32; a BOOL is a byte, 0 or 1. */
const ARRAYS = {
  F64: Float64Array,
  F32: Float32Array,
  BF16: Float32Array,
  F16: Float32Array,
  I64: BigInt64Array,
  U64: BigUint64Array,
  I32: Int32Array,
  U32: Uint32Array,
  I16: Int16Array,
  U16: Uint16Array,
  I8: Int8Array,
  U8: Uint8Array,
  BOOL: Uint8Array,
} as const;

export type SafetensorsArray = InstanceType<(typeof ARRAYS)[SafetensorsDtype]>;

/** A tensor to be written; `data` in row-major order, of the array type that read() returns. */
export interface SafetensorsTensor {
  dtype: SafetensorsDtype;
  shape: readonly number[];
  data: SafetensorsArray;
}

/** An open file: the header is in memory, tensors are read when asked for. */
export interface SafetensorsFile {
  readonly path: string;
  readonly metadata: Readonly<Record<string, string>>;
  /** Tensor names in the order of their data. */
  readonly names: readonly string[];
  readonly entries: ReadonlyMap<string, SafetensorsEntry>;
  /** A fresh array with the tensor's elements. @throws SpikeloomError for an unknown name or a failed read. */
  read(name: string): SafetensorsArray;
  close(): void;
}

const HALF_CHUNK_ELEMENTS = 2 ** 22;

/**
 * Opens a safetensors file (little-endian: 8 bytes header length, JSON header, data) and checks its whole header.
 * Memory grows with the header and with what is read, never with what a damaged header claims.
 * @throws SpikeloomError for anything that is not a complete, consistent file
 */
export function openSafetensors(path: string, { chunkBytes = IO_CHUNK_BYTES } = {}): SafetensorsFile {
  needArguments('a safetensors file', 'a text', { path });
  const fd = openForReading(path);
  try {
    const size = fstatSync(fd).size;
    const dataOffset = 8 + headerBytes(fd, size, path);
    const header = readRange(fd, 8, dataOffset, path, 'the header', chunkBytes);
    const { metadata, entries } = parseHeader(header, size - dataOffset, path);
    return new OpenFile(path, fd, metadata, entries, dataOffset, chunkBytes);
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

/**
 * Writes tensors and metadata as one safetensors file, atomically, in an order that depends on names and element types
 * only: equal content gives equal bytes. Float32 values for BF16 and F16 are rounded to nearest even. The event loop
 * goes on meanwhile, so the arrays must not change before the promise is settled.
 * @throws SpikeloomError for data that does not fit its shape or element type, and when the file cannot be written
 */
export async function writeSafetensors(
  path: string,
  tensors: Readonly<Record<string, SafetensorsTensor>>,
  metadata: Readonly<Record<string, string>> = {},
): Promise<void> {
  await writeFileAtomicAsync(path, await contentOf(path, tensors, metadata));
}

async function contentOf(
  path: string,
  tensors: Readonly<Record<string, SafetensorsTensor>>,
  metadata: Readonly<Record<string, string>>,
): Promise<Iterable<Uint8Array>> {
  const turns = new Turns();
  const named = new Map(Object.entries(tensors));
  for (const [name, tensor] of named) {
    checkTensor(path, name, tensor);
    await turns.pause();
  }
  for (const [key, value] of Object.entries(metadata)) {
    if (typeof value !== 'string') {
      throw new SpikeloomError(`${path}: metadata are strings, but ${JSON.stringify(key)} is a ${typeof value}`);
    }
  }
  const { bytes, entries } = await formatHeader(
    [...named].map(([name, { dtype, shape }]) => ({ name, dtype, shape })),
    metadata,
    turns,
  );
  if (bytes.length > MAX_HEADER_BYTES) {
    throw new SpikeloomError(`${path}: a header may have ${MAX_HEADER_BYTES} bytes, but this has ${bytes.length}`);
  }
  return fileParts(bytes, entries, named);
}

class OpenFile implements SafetensorsFile {
  readonly path: string;
  readonly metadata: Readonly<Record<string, string>>;
  readonly names: readonly string[];
  readonly entries: ReadonlyMap<string, SafetensorsEntry>;
  #fd: number | undefined;
  readonly #dataOffset: number;
  readonly #chunkBytes: number;

  constructor(
    path: string,
    fd: number,
    metadata: Readonly<Record<string, string>>,
    entries: readonly SafetensorsEntry[],
    dataOffset: number,
    chunkBytes: number,
  ) {
    this.path = path;
    this.metadata = metadata;
    this.names = entries.map(({ name }) => name);
    this.entries = new Map(entries.map((entry) => [entry.name, entry]));
    this.#fd = fd;
    this.#dataOffset = dataOffset;
    this.#chunkBytes = chunkBytes;
  }

  read(name: string): SafetensorsArray {
    if (this.#fd === undefined) throw new SpikeloomError(`${this.path}: the file was closed; open it again to read`);
    const entry = this.entries.get(name);
    if (entry === undefined) {
      const some = this.names.slice(0, 8).join(', ') + (this.names.length > 8 ? ', ...' : '');
      throw new SpikeloomError(`${this.path}: there is no tensor ${JSON.stringify(name)}; it holds ${some || 'none'}`);
    }
    if (entry.dtype === 'BF16') return this.#readHalf(this.#fd, entry, bf16ToF32);
    if (entry.dtype === 'F16') return this.#readHalf(this.#fd, entry, f16ToF32);
    return new ARRAYS[entry.dtype](this.#bytes(this.#fd, entry, entry.begin, entry.end).buffer);
  }

  close(): void {
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
  }

  #bytes(fd: number, entry: SafetensorsEntry, begin: number, end: number): Uint8Array<ArrayBuffer> {
    const what = `tensor ${JSON.stringify(entry.name)}`;
    return readRange(fd, this.#dataOffset + begin, this.#dataOffset + end, this.path, what, this.#chunkBytes);
  }

  #readHalf(
    fd: number,
    entry: SafetensorsEntry,
    widen: (bits: Uint16Array, out: Float32Array) => void,
  ): Float32Array<ArrayBuffer> {
    const count = (entry.end - entry.begin) / 2;
    const out = allocate(count * 4, this.path, `tensor ${JSON.stringify(entry.name)}`);
    const values = new Float32Array(out.buffer);
    for (let at = 0; at < count; at += HALF_CHUNK_ELEMENTS) {
      const stop = Math.min(count, at + HALF_CHUNK_ELEMENTS);
      const bits = new Uint16Array(this.#bytes(fd, entry, entry.begin + 2 * at, entry.begin + 2 * stop).buffer);
      widen(bits, values.subarray(at, stop));
    }
    return values;
  }
}

function openForReading(path: string): number {
  try {
    // asked before opening: opening a pipe would wait for its writer
    if (!statSync(path).isFile())
      throw new SpikeloomError(`${path}: a safetensors file is expected, not a folder or device`);
    return openSync(path, 'r');
  } catch (error) {
    if (error instanceof SpikeloomError) throw error;
    throw new SpikeloomError(`cannot open ${path}: ${(error as Error).message}`, { cause: error });
  }
}

function headerBytes(fd: number, size: number, path: string): number {
  if (size < 8) throw new SpikeloomError(`${path}: a safetensors file has at least 8 bytes, but this has ${size}`);
  const length = Buffer.from(readRange(fd, 0, 8, path, 'the header length', 8)).readBigUInt64LE();
  const limit = Math.min(size - 8, MAX_HEADER_BYTES);
  if (length > limit) {
    const rule = `the header length at offset 0 may be ${limit} at most, but is ${length}`;
    throw new SpikeloomError(`${path}: ${rule}. The file is damaged, cut short or is not a safetensors file`);
  }
  return Number(length);
}

function readRange(
  fd: number,
  begin: number,
  end: number,
  path: string,
  what: string,
  chunkBytes: number,
): Uint8Array<ArrayBuffer> {
  const bytes = allocate(end - begin, path, what);
  for (let at = 0; at < bytes.length; ) {
    const got = readChunk(fd, bytes, at, Math.min(chunkBytes, bytes.length - at), begin + at, path, what);
    if (got === 0) throw new SpikeloomError(`${path}: the file ends at offset ${begin + at}, within ${what}`);
    at += got;
  }
  return bytes;
}

function readChunk(
  fd: number,
  bytes: Uint8Array,
  at: number,
  length: number,
  position: number,
  path: string,
  what: string,
): number {
  try {
    return readSync(fd, bytes, at, length, position);
  } catch (error) {
    const message = `${path}: cannot read ${what} at offset ${position}: ${(error as Error).message}`;
    throw new SpikeloomError(message, { cause: error });
  }
}

function allocate(bytes: number, path: string, what: string): Uint8Array<ArrayBuffer> {
  try {
    return new Uint8Array(bytes);
  } catch (error) {
    throw new SpikeloomError(`${path}: ${what} needs ${bytes} bytes of memory, more than is available`, {
      cause: error,
    });
  }
}

function checkTensor(path: string, name: string, { dtype, shape, data }: SafetensorsTensor): void {
  const fail = (what: string): never => {
    throw new SpikeloomError(`${path}: cannot write tensor ${JSON.stringify(name)}: ${what}`);
  };
  const problem = nameProblem(name);
  if (problem !== undefined) fail(problem);
  if (!Object.hasOwn(ARRAYS, dtype)) fail(`element types are ${Object.keys(ARRAYS).join(', ')}, not ${dtype}`);
  const Arrays = ARRAYS[dtype];
  if (!(data instanceof Arrays)) fail(`${dtype} takes a ${Arrays.name}, not a ${Object(data).constructor?.name}`);
  const count = elementCount(shape);
  if (count !== data.length)
    fail(`the shape [${shape}] has ${count ?? 'no valid number of'} elements, the data ${data.length}`);
}

function* fileParts(
  header: Uint8Array,
  entries: readonly SafetensorsEntry[],
  tensors: ReadonlyMap<string, SafetensorsTensor>,
): Generator<Uint8Array> {
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  yield length;
  yield header;
  for (const { name } of entries) {
    const { dtype, data } = tensors.get(name)!;
    if (dtype === 'BF16') yield* narrowed(data as Float32Array, bf16Bits);
    else if (dtype === 'F16') yield* narrowed(data as Float32Array, f16Bits);
    else yield new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  }
}

function* narrowed(values: Float32Array, bits: (value: number) => number): Generator<Uint8Array> {
  for (let at = 0; at < values.length; at += HALF_CHUNK_ELEMENTS) {
    const half = Uint16Array.from(values.subarray(at, at + HALF_CHUNK_ELEMENTS), bits);
    yield new Uint8Array(half.buffer);
  }
}
