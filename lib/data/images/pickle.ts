import { elements } from '../../core/index.ts';
import { DataError } from '../files.ts';

/** An array of unsigned bytes, as numpy pickles one. */
export interface PickledArray {
  shape: number[];
  /** In C order. */
  bytes: Buffer;
}

/** What a pickle holds here. Byte strings, Python 2's plain strings among them, are Buffers. */
export type PickleValue =
  | null
  | boolean
  | number
  | string
  | Buffer
  | PickleValue[]
  | Map<string, PickleValue>
  | PickledArray
  | Unfinished;

/** One of the few known names, or the result of calling it until BUILD completes that. */
interface Unfinished {
  global: keyof typeof GLOBALS;
  array?: PickledArray;
}

/** The only globals that are taken; no other is looked up, let alone called. */
const GLOBALS = {
  reconstruct: ['numpy.core.multiarray _reconstruct', 'numpy._core.multiarray _reconstruct'],
  ndarray: ['numpy ndarray'],
  dtype: ['numpy dtype'],
  encode: ['_codecs encode'],
} as const;

const MAX_STEPS = 2 ** 22;
const MARK = Symbol('mark');

/**
 * Reads a pickle of protocol 2 or 3 that holds dictionaries, lists, tuples, numbers, strings and numpy arrays of
 * unsigned bytes, as CIFAR's Python files do. It builds plain data; every global but numpy's array and dtype and Python
 * 3's encoding of byte strings is refused.
 * @throws DataError with file and byte
 * @example unpickle('data_batch_1', bytes) as Map<string, PickleValue>
 */
export function unpickle(file: string, bytes: Buffer): PickleValue {
  return new Unpickler(file, bytes).run();
}

class Unpickler {
  readonly #file: string;
  readonly #bytes: Buffer;
  readonly #stack: (PickleValue | typeof MARK)[] = [];
  readonly #memo = new Map<number, PickleValue>();
  #at = 0;
  /** Offset of the current opcode. */
  #opcode = 0;

  constructor(file: string, bytes: Buffer) {
    this.#file = file;
    this.#bytes = bytes;
  }

  run(): PickleValue {
    if (this.#bytes[0] !== 0x80 || (this.#bytes[1] !== 2 && this.#bytes[1] !== 3)) {
      this.#refuse('a pickle of protocol 2 or 3 begins with its number, but this file does not');
    }
    this.#at = 2;
    for (let step = 0; step < MAX_STEPS; step++) {
      this.#opcode = this.#at;
      const opcode = String.fromCharCode(this.#take(1)[0]!);
      if (opcode === '.') return this.#pop();
      const action = OPCODES[opcode];
      if (!action) this.#refuse(`has the opcode ${JSON.stringify(opcode)}, which data files do not need`);
      action!(this.#machine);
    }
    return this.#refuse(`has more than ${MAX_STEPS} steps`);
  }

  readonly #machine: Machine = {
    take: (length) => this.#take(length),
    line: () => this.#line(),
    push: (value) => void this.#stack.push(value),
    mark: () => void this.#stack.push(MARK),
    pop: () => this.#pop(),
    popToMark: () => this.#popToMark(),
    top: () => this.#top(),
    put: (index) => void this.#memo.set(index, this.#top()),
    get: (index) => {
      const value = this.#memo.get(index);
      return value === undefined ? this.#refuse(`asks for value ${index}, which was not kept`) : value;
    },
    refuse: (why) => this.#refuse(why),
  };

  #refuse(why: string): never {
    throw new DataError(this.#file, `${why}: it is damaged or not a data set's pickle`, { offset: this.#opcode });
  }

  #take(length: number): Buffer {
    const start = this.#at;
    if (start + length > this.#bytes.length) this.#refuse('is cut off');
    this.#at += length;
    return this.#bytes.subarray(start, this.#at);
  }

  #line(): string {
    const end = this.#bytes.indexOf(10, this.#at);
    if (end < 0 || end - this.#at > 200) this.#refuse('has a name without an end');
    const text = this.#bytes.toString('latin1', this.#at, end);
    this.#at = end + 1;
    return text;
  }

  #pop(): PickleValue {
    const value = this.#stack.pop();
    return value === undefined || value === MARK
      ? this.#refuse('takes a value that is not there')
      : (value as PickleValue);
  }

  #top(): PickleValue {
    const value = this.#pop();
    this.#stack.push(value);
    return value;
  }

  #popToMark(): PickleValue[] {
    const at = this.#stack.lastIndexOf(MARK);
    if (at < 0) this.#refuse('ends a list that was not begun');
    return this.#stack.splice(at).slice(1) as PickleValue[];
  }
}

/** What an opcode's action works on. */
interface Machine {
  take(length: number): Buffer;
  line(): string;
  push(value: PickleValue): void;
  mark(): void;
  pop(): PickleValue;
  popToMark(): PickleValue[];
  top(): PickleValue;
  put(index: number): void;
  get(index: number): PickleValue;
  refuse(why: string): never;
}

const tuple = (length: number) => (m: Machine) => m.push(Array.from({ length }, () => m.pop()).reverse());

const OPCODES: Record<string, (m: Machine) => void> = {
  N: (m) => m.push(null),
  '\x88': (m) => m.push(true),
  '\x89': (m) => m.push(false),
  K: (m) => m.push(m.take(1)[0]!),
  M: (m) => m.push(m.take(2).readUInt16LE()),
  J: (m) => m.push(m.take(4).readInt32LE()),
  I: (m) => m.push(decimal(m)),
  // LONG1; labels are not negative
  '\x8a': (m) => m.push(m.take(m.take(1)[0]!).reduceRight((sum, byte) => sum * 256 + byte, 0)),
  G: (m) => m.push(m.take(8).readDoubleBE()),
  U: (m) => m.push(m.take(m.take(1)[0]!)),
  C: (m) => m.push(m.take(m.take(1)[0]!)),
  T: (m) => m.push(m.take(m.take(4).readUInt32LE())),
  B: (m) => m.push(m.take(m.take(4).readUInt32LE())),
  X: (m) => m.push(m.take(m.take(4).readUInt32LE()).toString('utf8')),
  '}': (m) => m.push(new Map()),
  ']': (m) => m.push([]),
  ')': (m) => m.push([]),
  '(': (m) => m.mark(),
  t: (m) => m.push(m.popToMark()),
  '\x85': tuple(1),
  '\x86': tuple(2),
  '\x87': tuple(3),
  q: (m) => m.put(m.take(1)[0]!),
  r: (m) => m.put(m.take(4).readUInt32LE()),
  h: (m) => m.push(m.get(m.take(1)[0]!)),
  j: (m) => m.push(m.get(m.take(4).readUInt32LE())),
  a: (m) => append(m, [m.pop()]),
  e: (m) => append(m, m.popToMark()),
  s: (m) => setItems(m, [m.pop(), m.pop()].reverse()),
  u: (m) => setItems(m, m.popToMark()),
  c: pushGlobal,
  R: (m) => m.push(called(m)),
  b: build,
};

function decimal(m: Machine): number | boolean {
  const text = m.line();
  if (text === '00' || text === '01') return text === '01';
  return /^-?\d{1,15}$/.test(text) ? Number(text) : m.refuse('has a number that cannot be read');
}

function append(m: Machine, values: PickleValue[]): void {
  const list = m.top();
  if (!Array.isArray(list)) m.refuse('appends to something that is not a list');
  for (const value of values) (list as PickleValue[]).push(value);
}

function setItems(m: Machine, items: PickleValue[]): void {
  const map = m.top();
  if (!(map instanceof Map) || items.length % 2 !== 0) m.refuse('sets an item of something that is not a dictionary');
  for (let i = 0; i < items.length; i += 2) {
    const key = items[i]!;
    if (typeof key !== 'string' && !Buffer.isBuffer(key)) m.refuse('has a key that is not text');
    (map as Map<string, PickleValue>).set(key!.toString().slice(0, 200), items[i + 1]!);
  }
}

function pushGlobal(m: Machine): void {
  const name = `${m.line()} ${m.line()}`;
  const known = Object.entries(GLOBALS).find(([, names]) => (names as readonly string[]).includes(name));
  if (!known) m.refuse(`asks for ${JSON.stringify(name)}, which is not on the list of harmless names`);
  m.push({ global: known![0] as Unfinished['global'] });
}

function isUnfinished(value: PickleValue, global: Unfinished['global']): value is Unfinished {
  return (value as Unfinished | null)?.global === global;
}

const isText = (value: PickleValue | undefined, text: string): boolean =>
  (typeof value === 'string' || Buffer.isBuffer(value)) && value.toString() === text;

/** The result of a call: of the known names only, in the ways that arrays of bytes need. */
function called(m: Machine): PickleValue {
  const given = m.pop();
  const callee = m.pop();
  const args = Array.isArray(given) ? given : [];
  if (isUnfinished(callee, 'encode') && typeof args[0] === 'string' && isText(args[1], 'latin1')) {
    return Buffer.from(args[0], 'latin1');
  }
  if (isUnfinished(callee, 'reconstruct') && args.length === 3 && isUnfinished(args[0]!, 'ndarray')) {
    return { global: 'ndarray', array: { shape: [], bytes: Buffer.alloc(0) } };
  }
  if (isUnfinished(callee, 'dtype') && isText(args[0], 'u1')) return { global: 'dtype' };
  return m.refuse('calls something in a way that arrays of unsigned bytes do not need');
}

function build(m: Machine): void {
  const state = m.pop();
  const target = m.top();
  if (isUnfinished(target, 'dtype')) return; // byte order and alignment mean nothing to bytes
  if (!isUnfinished(target, 'ndarray') || !target.array || !Array.isArray(state) || state.length !== 5) {
    m.refuse('completes something that is not an array');
  }
  const [, shape, dtype, isFortran, bytes] = state as PickleValue[];
  const isShape =
    Array.isArray(shape) &&
    shape.length <= 8 &&
    shape.every((size) => Number.isSafeInteger(size) && (size as number) >= 0);
  if (!isShape || !isUnfinished(dtype!, 'dtype') || !Buffer.isBuffer(bytes))
    m.refuse('has an array of another kind than unsigned bytes');
  const sizes = shape as number[];
  if (elements(sizes) !== (bytes as Buffer).length)
    m.refuse(`has an array [${sizes}] with ${(bytes as Buffer).length} bytes`);
  const array = (target as Unfinished).array!;
  array.shape = sizes;
  array.bytes = isFortran === true ? transposed(sizes, bytes as Buffer) : (bytes as Buffer);
}

/** Fortran order to C order. */
function transposed(shape: number[], bytes: Buffer): Buffer {
  const out = Buffer.alloc(bytes.length);
  const index = shape.map(() => 0);
  const strides = shape.map((_, axis) => elements(shape.slice(0, axis)));
  for (let to = 0; to < out.length; to++) {
    out[to] = bytes[index.reduce((sum, i, axis) => sum + i * strides[axis]!, 0)]!;
    for (let axis = shape.length - 1; axis >= 0 && ++index[axis]! === shape[axis]; axis--) index[axis] = 0;
  }
  return out;
}

/** The array in an entry of a pickled dictionary; undefined where the entry is no array. */
export function pickledArray(value: PickleValue | undefined): PickledArray | undefined {
  return (value as Unfinished | undefined)?.array;
}
