import {
  describe,
  elements,
  empty,
  nativeOp,
  needTensors,
  noGrad,
  type RealType,
  record,
  type Shape,
  SpikeloomError,
  type Tensor,
} from '../core/index.ts';
import { contentOf, kindOf, needOptions } from '../core/options.ts';
import { needAxes } from './axis.ts';
import { reshape } from './reshape.ts';

const natives = { sum: nativeOp<never>('sum'), expand: nativeOp<never>('expand') };

export interface SumOptions {
  /** The axes to add along, which the result is without; from the end where negative, -1 the last one. Default: all. */
  axes?: readonly number[];
  /** Type of what is made of spikes (default f32). */
  real?: RealType;
}

/** y, of the axes of x with length 1 where it is summed; both in the order at rest, divided by a number. */
function folded(x: Tensor, shape: Shape, divisor: number, real?: RealType): Tensor {
  const y = empty(shape, x.dtype === 'spike' ? (real ?? 'f32') : x.dtype, x.device);
  natives.sum.run({ x, y }, { divisor });
  return y;
}

/** The other way: x, of axes of length 1 where it is repeated. */
function repeated(x: Tensor, shape: Shape, divisor: number): Tensor {
  const y = empty(shape, x.dtype, x.device);
  natives.expand.run({ x, y }, { divisor });
  return y;
}

/** @internal What {@link expand} made of that shape, back: x added along its axes of length 1 and those before them. */
export function summedTo(x: Tensor, shape: Shape): Tensor {
  const kept = [...new Array<number>(x.shape.length - shape.length).fill(1), ...shape];
  return reshape(folded(x, kept, 1), shape);
}

/** @internal The shape of x with length 1 along `axes` (undefined: all), and without them ([1] where none is left). */
export function foldedShapes(name: string, x: Tensor, axes: readonly number[] | undefined): [number[], number[]] {
  const numbers = axes === undefined ? undefined : needAxes(name, x, axes, 'leave them out to take all');
  const isFolded = x.shape.map((_, axis) => numbers?.includes(axis) ?? true);
  const rest = x.shape.filter((_, axis) => !isFolded[axis]);
  return [x.shape.map((size, axis) => (isFolded[axis] ? 1 : size)), rest.length === 0 ? [1] : rest];
}

function total(name: 'sum' | 'mean', x: Tensor, options: SumOptions): Tensor {
  needTensors(name, { x });
  needOptions(name, options, { axes: true, real: true });
  if (x.dtype !== 'spike' && x.dtype !== 'f32' && x.dtype !== 'f64')
    throw new SpikeloomError(`${name}: takes real numbers or spikes, not ${describe(x)}`);
  const [kept, rest] = foldedShapes(name, x, options.axes);
  const divisor = name === 'mean' ? x.size / elements(rest) : 1;
  using whole = folded(x, kept, divisor, options.real);
  const y = reshape(whole, rest);
  record([y], [x], ([gy]) => [repeated(reshape(gy!, kept), x.shape, divisor)], [0]);
  return y;
}

/**
 * The sum of all elements, [1], or along axes, which the result is without ([1] where none is left). It is added in
 * double whatever the type, in an order that shapes alone decide, and rounded once. Every gx is the gy of its sum.
 *
 * @param x real or spikes, which count 1 each (their gradient is real, as that of toReal()); any shape
 * @throws SpikeloomError for other types and for axes that x does not have
 * @example // of logits [B,K] minus the entropy of every sample, [B]
 * ops.sum(ops.mul(ops.softmax(x), ops.logSoftmax(x)), { axes: [-1] });
 */
export function sum(x: Tensor, options: SumOptions = {}): Tensor {
  return total('sum', x, options);
}

/**
 * The mean of all elements, [1], or along axes, which the result is without ([1] where none is left): the sum of
 * {@link sum}, divided by how many there are before it is rounded. gx = gy / that number.
 *
 * @param x real or spikes, of which it is the firing rate; any shape
 * @throws SpikeloomError for other types and for axes that x does not have
 * @example ops.mean(spikes, { axes: [0, 1, 3, 4] }); // [T,B,C,H,W] to [C]: the firing rate of every channel
 */
export function mean(x: Tensor, options: SumOptions = {}): Tensor {
  return total('mean', x, options);
}

/**
 * x repeated along its axes of length 1, and along axes that it gets in front, for ops whose tensors have one shape
 * (add(), sub(), mul() and div() repeat by themselves). gx is the sum of gy along these axes, as by {@link sum}.
 *
 * @param x real
 * @param shape what x becomes: its own sizes at the end, where x has not length 1, and any sizes before them
 * @throws SpikeloomError when the shape does not fit
 * @example ops.expand(ops.reshape(ops.mean(x, { axes: [-1] }), [B, 1]), [B, K]); // the mean of every row, all along it
 */
export function expand(x: Tensor, shape: Shape): Tensor {
  needTensors('expand', { x });
  if (!Array.isArray(shape)) throw new SpikeloomError(`expand: a shape is an array of sizes, not ${kindOf(shape)}`);
  const more = shape.length - x.shape.length;
  const from = [...new Array<number>(Math.max(more, 0)).fill(1), ...x.shape];
  const fits = (size: unknown, axis: number) =>
    Number.isSafeInteger(size) && (size as number) >= 1 && (from[axis] === 1 || from[axis] === size);
  if (more < 0 || !shape.every(fits)) {
    throw new SpikeloomError(
      `expand: ${describe(x)} cannot become ${contentOf(shape)}; only axes of length 1 are repeated, and axes are added in front`,
    );
  }
  using whole = noGrad(() => reshape(x, from));
  const y = repeated(whole, shape, 1);
  record([y], [x], ([gy]) => [summedTo(gy!, x.shape)], [0]);
  return y;
}
