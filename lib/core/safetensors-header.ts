import { SpikeloomError } from './errors.ts';
import type { Turns } from './turns.ts';

/** Bytes per element of the element types that the file format defines and this reader knows. */
const DTYPE_BYTES = {
  F64: 8,
  I64: 8,
  U64: 8,
  F32: 4,
  I32: 4,
  U32: 4,
  F16: 2,
  BF16: 2,
  I16: 2,
  U16: 2,
  I8: 1,
  U8: 1,
  BOOL: 1,
} as const;

export type SafetensorsDtype = keyof typeof DTYPE_BYTES;

/** One tensor of a file. `begin` and `end` are byte offsets into the data section, which follows the header. */
export interface SafetensorsEntry {
  readonly name: string;
  readonly dtype: SafetensorsDtype;
  readonly shape: readonly number[];
  readonly begin: number;
  readonly end: number;
}

export interface SafetensorsHeader {
  readonly metadata: Readonly<Record<string, string>>;
  /** In the order of the data. */
  readonly entries: readonly SafetensorsEntry[];
}

/** The largest header accepted, in bytes; the reference implementation has the same limit. */
export const MAX_HEADER_BYTES = 100_000_000;

const METADATA_KEY = '__metadata__';

/** The header, a tensor, its shape: no file has more levels. */
const MAX_DEPTH = 3;

/**
 * Parses and checks a header: UTF-8, JSON, no key twice, known element types, shapes that match their byte ranges, and
 * ranges that cover the data section from 0 to `dataBytes` without gap or overlap.
 * @throws SpikeloomError that names the file, the tensor and the offset
 */
export function parseHeader(bytes: Uint8Array, dataBytes: number, file: string): SafetensorsHeader {
  const fail = (what: string): never => {
    throw new SpikeloomError(`${file}: ${what}. The file is damaged or is not a safetensors file`);
  };
  const json = parseJson(bytes, fail);
  let metadata: Record<string, string> = {};
  const entries: SafetensorsEntry[] = [];
  for (const [name, value] of Object.entries(json)) {
    if (name === METADATA_KEY) metadata = checkMetadata(value, fail);
    else entries.push(checkEntry(name, value, dataBytes, fail));
  }
  entries.sort((a, b) => a.begin - b.begin || a.end - b.end || compare(a.name, b.name));
  checkCoverage(entries, dataBytes, fail);
  return { metadata, entries };
}

/**
 * Lays tensors out, widest elements first and then by name, and makes the header's bytes, padded with spaces to a
 * multiple of 8.
 */
export async function formatHeader(
  tensors: readonly Pick<SafetensorsEntry, 'name' | 'dtype' | 'shape'>[],
  metadata: Readonly<Record<string, string>>,
  turns: Turns,
): Promise<{ bytes: Uint8Array; entries: SafetensorsEntry[] }> {
  const ordered = [...tensors].sort((a, b) => DTYPE_BYTES[b.dtype] - DTYPE_BYTES[a.dtype] || compare(a.name, b.name));
  let at = 0;
  const entries = ordered.map(({ name, dtype, shape }) => {
    const begin = at;
    at += DTYPE_BYTES[dtype] * shape.reduce((product, size) => product * size, 1);
    return { name, dtype, shape, begin, end: at };
  });
  const fields: string[] = [];
  for (const { name, dtype, shape, begin, end } of entries) {
    fields.push(`${JSON.stringify(name)}:${JSON.stringify({ dtype, shape, data_offsets: [begin, end] })}`);
    await turns.pause();
  }
  const pairs = Object.entries(metadata).sort(([a], [b]) => compare(a, b));
  if (pairs.length > 0) {
    const text = pairs.map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`);
    fields.unshift(`"${METADATA_KEY}":{${text.join()}}`);
  }
  const json = Buffer.from(`{${fields.join()}}`);
  const bytes = Buffer.alloc(Math.ceil(json.length / 8) * 8, ' ');
  json.copy(bytes);
  return { bytes, entries };
}

type Fail = (what: string) => never;

/** Why a tensor cannot have this name, or undefined if it can. */
export function nameProblem(name: string): string | undefined {
  if (name === METADATA_KEY) return `the name ${METADATA_KEY} is reserved`;
  return Buffer.from(name).toString() === name ? undefined : 'the name holds half of a surrogate pair';
}

/** Number of elements of a shape (1 for a scalar's []), or undefined if a size or the product is not a safe integer. */
export function elementCount(shape: readonly unknown[]): number | undefined {
  let product = 1;
  for (const size of shape) {
    if (!isCount(size)) return undefined;
    product *= size;
    if (!Number.isSafeInteger(product * 8)) return undefined;
  }
  return product;
}

function parseJson(bytes: Uint8Array, fail: Fail): Record<string, unknown> {
  let text: string;
  let json: unknown;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
    json = JSON.parse(text);
  } catch (error) {
    return fail(`the header (${bytes.length} bytes from offset 8) is not valid JSON (${(error as Error).message})`);
  }
  if (!isRecord(json)) return fail('the header (offset 8) is not a JSON object');
  checkKeys(text, fail);
  return json;
}

/**
 * Refuses what JSON.parse accepts: a key twice in one object, and nesting deeper than the format has. The text is valid
 * JSON.
 */
function checkKeys(text: string, fail: Fail): void {
  const open: Set<string>[] = [];
  for (let at = 0; at < text.length; at++) {
    const mark = text[at];
    if (mark === '{' || mark === '[') open.push(new Set());
    else if (mark === '}' || mark === ']') open.pop();
    if (open.length > MAX_DEPTH) fail(`the header is nested deeper than ${MAX_DEPTH} levels`);
    if (mark !== '"') continue;
    const end = stringEnd(text, at);
    if (colonFollows(text, end)) {
      const key: string = JSON.parse(text.slice(at, end));
      const seen = open.at(-1)!;
      if (seen.has(key)) fail(`the header has the key ${JSON.stringify(key)} twice`);
      seen.add(key);
    }
    at = end - 1;
  }
}

/** The index after the closing quote of the string that opens at `at`. */
function stringEnd(text: string, at: number): number {
  let end = at + 1;
  while (text[end] !== '"') end += text[end] === '\\' ? 2 : 1;
  return end + 1;
}

function colonFollows(text: string, at: number): boolean {
  let next = at;
  while (text[next] === ' ' || text[next] === '\n' || text[next] === '\r' || text[next] === '\t') next++;
  return text[next] === ':';
}

function checkMetadata(value: unknown, fail: Fail): Record<string, string> {
  if (!isRecord(value) || Object.values(value).some((text) => typeof text !== 'string')) {
    return fail(`${METADATA_KEY} must map strings to strings`);
  }
  return value as Record<string, string>;
}

function checkEntry(name: string, value: unknown, dataBytes: number, fail: Fail): SafetensorsEntry {
  const tensor = `tensor ${JSON.stringify(name)}`;
  if (!isRecord(value)) return fail(`${tensor} is not described by a JSON object`);
  const { dtype, shape, data_offsets: range, ...rest } = value;
  const extra = Object.keys(rest)[0];
  if (extra !== undefined) return fail(`${tensor} has the unknown field ${JSON.stringify(extra)}`);
  if (typeof dtype !== 'string' || !Object.hasOwn(DTYPE_BYTES, dtype)) {
    return fail(`${tensor} has the element type ${brief(dtype)}; known are ${Object.keys(DTYPE_BYTES).join(', ')}`);
  }
  const count = Array.isArray(shape) ? elementCount(shape) : undefined;
  if (count === undefined)
    return fail(`${tensor} has the shape ${brief(shape)}, which is not a list of sizes in range`);
  if (!Array.isArray(range) || range.length !== 2 || !range.every(isCount)) {
    return fail(`${tensor} has the data offsets ${brief(range)}, which are not two counts of bytes`);
  }
  const [begin, end] = range as [number, number];
  const where = `${tensor} (bytes ${begin} to ${end} of the data)`;
  if (begin > end || end > dataBytes) return fail(`${where} does not lie within the data's ${dataBytes} bytes`);
  const bytes = count * DTYPE_BYTES[dtype as SafetensorsDtype];
  if (end - begin !== bytes) {
    return fail(`${where} holds ${end - begin} bytes but ${dtype}${brief(shape)} takes ${bytes}`);
  }
  return { name, dtype: dtype as SafetensorsDtype, shape: shape as number[], begin, end };
}

function checkCoverage(entries: readonly SafetensorsEntry[], dataBytes: number, fail: Fail): void {
  let at = 0;
  for (const { name, begin, end } of entries) {
    const tensor = `tensor ${JSON.stringify(name)} (bytes ${begin} to ${end} of the data)`;
    if (begin < at) fail(`${tensor} overlaps the tensor before it, which ends at ${at}`);
    if (begin > at) fail(`${tensor} leaves a gap after the tensor before it, which ends at ${at}`);
    at = end;
  }
  if (at !== dataBytes) fail(`${dataBytes - at} bytes at offset ${at} of the data belong to no tensor`);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function brief(value: unknown): string {
  const text = JSON.stringify(value) ?? 'undefined';
  return text.length <= 80 ? text : `${text.slice(0, 77)}...`;
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
