// Tensors: integer handles of native memory with a dtype and a shape, and their lifetimes.
import { type Device, device, needDevice } from './device.ts';
import { type DType, dtypes, type HostArray, hostArray, hostArrays, hostNumbers, needDtype } from './dtype.ts';
import { nativeError, SpikeloomError } from './errors.ts';
import { bf16ToF32 } from './half-float.ts';
import { native } from './native.ts';
import { contentOf, isPromise, kindOf, needArguments, needOptions } from './options.ts';
import { explain } from './places.ts';
import type { Node } from './tape.ts';

export type Shape = readonly number[];

export function elements(shape: Shape): number {
  needArguments('elements()', 'an array', { shape });
  return shape.reduce((n, d) => (typeof d === 'number' ? n * d : Number.NaN), 1);
}

/** A readable type and shape: 'f32[2,8,16,16]'. */
export function describe(t: { dtype: DType; shape: Shape }): string {
  needArguments('describe()', 'an array', { shape: t?.shape });
  return `${t.dtype}[${t.shape.join(',')}]`;
}

// ---- lifetimes

type Scope = Set<Tensor>;
const scopes: Scope[] = [];

// The safety net for tensors that live outside of scopes and are dropped without dispose().
const dropped = new FinalizationRegistry<number>((handle) => native().free(handle));

function adopt(tensor: Tensor): void {
  const scope = scopes.at(-1);
  if (scope) scope.add(tensor);
  else dropped.register(tensor, tensor.handle, tensor);
}

/**
 * Takes a tensor out of every scope: it lives until dispose(), or until it is garbage.
 * Parameters and the optimizer's state are kept.
 */
export function keep<X extends Tensor>(tensor: X): X {
  needTensors('keep()', { tensor });
  for (const scope of scopes) scope.delete(tensor);
  dropped.unregister(tensor);
  dropped.register(tensor, tensor.handle, tensor);
  return tensor;
}

/** @internal Whether the innermost scope owns a tensor: it was made there, and nobody keeps it. */
export const isMadeHere = (tensor: Tensor): boolean => scopes.at(-1)?.has(tensor) ?? false;

/** @internal Keeps those of the tensors that the innermost scope owns, and returns them. */
export function keepMade(tensors: Iterable<Tensor>): Tensor[] {
  const mine = scopes.at(-1);
  return [...tensors].filter((tensor) => mine?.has(tensor)).map(keep);
}

/** @internal */
export function tensorsIn(value: unknown, found: Set<Tensor> = new Set(), depth = 0): Set<Tensor> {
  if (value instanceof Tensor) found.add(value);
  else if (Array.isArray(value) && depth < 4) for (const item of value) tensorsIn(item, found, depth + 1);
  else if (
    value !== null &&
    typeof value === 'object' &&
    Object.getPrototypeOf(value) === Object.prototype &&
    depth < 4
  ) {
    for (const item of Object.values(value)) tensorsIn(item, found, depth + 1);
  }
  return found;
}

/**
 * Runs `body` and frees every tensor it made except those it returns (a tensor, or arrays and plain objects of
 * tensors), which pass to the scope around, if there is one. `body` is synchronous: a promise is refused, since its
 * tensors would be freed under it.
 *
 * @example const loss = scope(() => { const l = crossEntropy(net(x), y); backward(l); optimizer.step(); return l; });
 */
export function scope<R>(body: () => R): R {
  needArguments('scope()', 'a function', { body });
  const mine = openScope();
  try {
    const result = body();
    refusePromise(result);
    passOut(result);
    return result;
  } finally {
    closeScope(mine);
  }
}

/** @internal For functions whose tensors do not outlive their return. */
export function refusePromise(result: unknown): void {
  if (isPromise(result)) {
    throw new SpikeloomError(
      'the tensors of a scope or a recorded step are freed when its function returns, so the function must not be async; read numbers outside of it',
    );
  }
}

/** @internal A scope that is not bound to a function; closeScope() ends it. */
export function openScope(): Scope {
  const mine: Scope = new Set();
  scopes.push(mine);
  return mine;
}

/** @internal The innermost scope's tensors in `result` pass to the scope around, if there is one. */
export function passOut(result: unknown): void {
  const [outer, mine] = [scopes.at(-2), scopes.at(-1)!];
  for (const tensor of tensorsIn(result)) {
    if (!mine.delete(tensor)) continue;
    if (outer) outer.add(tensor);
    else dropped.register(tensor, tensor.handle, tensor);
  }
}

/** @internal Ends the innermost scope, which is `mine`. */
export function closeScope(mine: Scope): void {
  scopes.pop();
  for (const tensor of mine) tensor.dispose();
}

/**
 * @internal Leaves `outermost` and the scopes in it, as if they were not there, until the returned function is called.
 */
export function leaveScopes(outermost: Scope): () => void {
  const left = scopes.splice(scopes.indexOf(outermost));
  return () => void scopes.push(...left);
}

// ---- tensors

export interface TensorOptions {
  /** Default: one axis. */
  shape?: Shape;
  /** Default: 'f64' for a Float64Array, 'i32' for an Int32Array, else 'f32'. */
  dtype?: DType;
  /** Default: the CPU. */
  device?: Device;
}

/**
 * A handle of memory on a device, with a type and a shape. What is queued for it may not be computed yet: array() and
 * item() wait for it. Made by tensor(), zeros(), empty() and every op; scope(), keep() and dispose() say how long it
 * lives.
 */
export class Tensor implements Disposable {
  /** Whether backward() computes the derivative of the loss with respect to this tensor. */
  requiresGrad = false;
  /** The derivative that backward() left, for tensors that were not computed from others. Owned by this tensor. */
  grad: Tensor | undefined;
  /** @internal how the tape reaches the tensors this one was computed from */
  node: Node | undefined;

  /** @internal use tensor(), zeros(), empty() or an op */
  constructor(
    readonly handle: number,
    readonly dtype: DType,
    readonly shape: Shape,
    readonly device: Device,
    /** @internal */
    readonly writes: Writes = { count: 0, awaitsReplay: false },
  ) {
    adopt(this);
  }

  get size(): number {
    return elements(this.shape);
  }

  /**
   * A copy of the elements in row-major order of `shape` (spikes as bytes 0 and 1, bf16 as its bits). Waits for the
   * work that makes them. Within a step that is being recorded nothing is made: the recording is refused for it, and
   * the promise stays open.
   */
  async array(): Promise<HostArray> {
    needMade(this);
    return readInto(this, hostArray(this.dtype, this.size));
  }

  /** The only element of a tensor of size 1. */
  async item(): Promise<number> {
    if (this.size !== 1)
      throw new SpikeloomError(`item() reads a tensor of one element, this one is ${describe(this)}; use array()`);
    const array = await this.array();
    if (this.dtype !== 'bf16') return array[0]!;
    const value = new Float32Array(1);
    bf16ToF32(array as Uint16Array, value);
    return value[0]!;
  }

  /**
   * Replaces the elements by a copy of `data`, in row-major order of `shape`.
   * @throws SpikeloomError for an array of another kind or length, and for spikes that are neither 0 nor 1
   */
  set(data: HostArray): void {
    const Kind = hostArrays[this.dtype];
    if (!(data instanceof Kind) || data.length !== this.size) {
      throw new SpikeloomError(
        `${describe(this)} takes a ${Kind.name} of ${this.size} elements, not ${kindOf(data)} of ${kindOf(data?.length)}`,
      );
    }
    write(this.handle, data);
    this.writes.count++;
    this.writes.awaitsReplay = false;
  }

  /**
   * Replaces rows of the first axis, from index `first` on, by a copy of `data`: as many rows as it holds, in row-major
   * order. For tensors of two or more axes that are too large to be written in one turn of the event loop.
   * @throws SpikeloomError for rows that there are not, and as {@link set}
   */
  setRows(first: number, data: HostArray): void {
    const Kind = hostArrays[this.dtype];
    const row = this.size / (this.shape[0] ?? 1);
    const rows = data instanceof Kind ? data.length / row : Number.NaN;
    const fits = Number.isSafeInteger(first) && first >= 0 && rows >= 1 && first + rows <= this.shape[0]!;
    if (this.shape.length < 2 || !Number.isInteger(rows) || !fits) {
      throw new SpikeloomError(
        `rows of ${describe(this)} are ${Kind.name}s of a multiple of ${row} elements within 0..${this.shape[0]}, not ${kindOf(data)} of ${kindOf(data?.length)} from ${kindOf(first)} on`,
      );
    }
    write(this.handle, data, first);
    this.writes.count++;
  }

  /**
   * The same elements under another shape, sharing the memory. The storage order must not change: see reshape() in
   * lib/ops.
   */
  alias(shape: Shape): Tensor {
    try {
      return new Tensor(native().alias(this.handle, ...shape), this.dtype, shape, this.device, this.writes);
    } catch (error) {
      return explain(error as Error);
    }
  }

  /**
   * The same numbers without their history: no gradient passes through. Where a sequence is cut into pieces, each begins
   * with the detached state of the one before (truncated backpropagation through time).
   * @example const { s, v } = lifWithState(x, { v0: before.detach() });
   */
  detach(): Tensor {
    return this.alias(this.shape);
  }

  /** Frees the memory (of this view of it). Harmless when done already. */
  dispose(): void {
    for (const scope of scopes) scope.delete(this);
    dropped.unregister(this);
    this.node = undefined;
    this.freeGrad();
    native().free(this.handle);
  }

  /** Frees the gradient, if there is one. */
  freeGrad(): void {
    this.grad?.dispose();
    this.grad = undefined;
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** What is known of a tensor's memory; its views share it. */
interface Writes {
  /** How often set(), setRows() and ops have written it. */
  count: number;
  /** Whether a recorded step is to make it and was not replayed yet. */
  awaitsReplay: boolean;
}

/** @internal Refuses what a recorded step makes before its first replay: it holds nothing yet. */
export function needMade(t: Tensor): void {
  if (!t.writes.awaitsReplay) return;
  throw new SpikeloomError(`${describe(t)} is made by a recorded step that was not replayed yet; replay it first`);
}

/** @internal */
export const isTensor = (value: unknown): boolean => typeof (value as Tensor | undefined)?.handle === 'number';

/**
 * Refuses what is not a tensor, for functions that look at tensors before an op does.
 * @throws SpikeloomError that names the first such argument
 */
export function needTensors(of: string, given: Readonly<Record<string, unknown>>): void {
  for (const [name, value] of Object.entries(given)) {
    if (!isTensor(value)) throw new SpikeloomError(`${of}: '${name}' is a tensor, not ${kindOf(value)}`);
  }
}

/**
 * @internal Tensor.array() into an array of the same type and size; nobody may touch it before the promise is settled.
 */
export async function readInto(tensor: Tensor, array: HostArray): Promise<HostArray> {
  try {
    return await native().read(tensor.handle, array);
  } catch (error) {
    const { message } = error as Error;
    if (takeUnanswered(nativeError(message, error))) return new Promise<never>(() => {});
    return explain(error as Error);
  }
}

let takeUnanswered = (_error: SpikeloomError): boolean => false;

/**
 * @internal `take` gets what reads fail for, and says whether that is told elsewhere. Such a promise stays open: who
 * asked in passing has no handler, and a rejection would end the process.
 */
export function onUnanswered(take: (error: SpikeloomError) => boolean): void {
  takeUnanswered = take;
}

/** Without data: zeros. With `first`: from that index of the first axis on. */
function write(handle: number, data?: HostArray, first?: number): void {
  try {
    native().write(handle, data, first);
  } catch (error) {
    explain(error as Error);
  }
}

function take(on: Device, dtype: DType, shape: Shape): number {
  try {
    return native().empty(on.id, dtypes.indexOf(dtype), ...shape);
  } catch (error) {
    return explain(error as Error);
  }
}

/**
 * A tensor whose elements are not set yet.
 * @throws SpikeloomError for a shape or a dtype that there is not; OutOfMemoryError where the device has no room
 */
export function empty(shape: Shape, dtype: DType = 'f32', on: Device = device()): Tensor {
  needDtype(dtype);
  needDevice(on);
  if (!Array.isArray(shape) || !shape.every((d) => Number.isSafeInteger(d) && d >= 1)) {
    throw new SpikeloomError(`a shape is an array of whole numbers of at least 1, not ${contentOf(shape)}`);
  }
  return new Tensor(take(on, dtype, shape), dtype, [...shape], on);
}

/**
 * A tensor from numbers, in row-major order of `shape` (default: one axis). A Uint16Array for bf16 holds its bits;
 * other numbers are rounded.
 * @throws SpikeloomError when the count does not fit the shape, or the type does not hold a number
 * @example tensor([1, 2, 3, 4, 5, 6], { shape: [2, 3] })
 */
export function tensor(data: HostArray | readonly number[], options: TensorOptions = {}): Tensor {
  needOptions('tensor()', options, { shape: true, dtype: true, device: true });
  const dtype = options.dtype ?? (data instanceof Float64Array ? 'f64' : data instanceof Int32Array ? 'i32' : 'f32');
  if (!Array.isArray(data) && (!ArrayBuffer.isView(data) || data instanceof DataView)) {
    throw new SpikeloomError(`a tensor is made of an array of numbers, not of ${kindOf(data)}`);
  }
  const shape = options.shape ?? [data.length];
  if (!Array.isArray(shape) || elements(shape) !== data.length)
    throw new SpikeloomError(`${data.length} numbers do not fill the shape ${contentOf(shape)}`);
  needDtype(dtype);
  const numbers = hostNumbers(data, dtype);
  const made = empty(shape, dtype, options.device);
  try {
    made.set(numbers);
  } catch (error) {
    made.dispose();
    throw error;
  }
  return made;
}

let makeZeros = (_t: Tensor): boolean => false;

/** @internal `make` makes a tensor zeros by a call, and says whether it did: while a step is recorded. */
export function onZeros(make: (t: Tensor) => boolean): void {
  makeZeros = make;
}

/** A tensor of zeros; in a step that is recorded, anew at every replay. @throws SpikeloomError as {@link empty} */
export function zeros(shape: Shape, dtype: DType = 'f32', on?: Device): Tensor {
  const made = empty(shape, dtype, on);
  if (!makeZeros(made)) write(made.handle);
  return made;
}

let checkParameter: (t: Tensor) => void = () => {};

/** @internal `check` throws for a tensor that cannot be a parameter. */
export function onParameter(check: (t: Tensor) => void): void {
  checkParameter = check;
}

/**
 * Marks a tensor as trainable and keeps it: backward() fills its `grad`.
 * @throws SpikeloomError for a tensor that the step under way makes, which is being recorded
 */
export function parameter(t: Tensor): Tensor {
  needTensors('parameter()', { t });
  checkParameter(t);
  t.requiresGrad = true;
  return keep(t);
}
