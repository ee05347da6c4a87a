import {
  type Backward,
  describe,
  empty,
  nativeOp,
  needTensors,
  record,
  type Shape,
  SpikeloomError,
  type Tensor,
} from '../core/index.ts';
import { native } from '../core/native.ts';
import { contentOf, kindOf, needOptions } from '../core/options.ts';
import { isTensor } from '../core/tensor.ts';
import { add } from './add.ts';
import { needAxis } from './axis.ts';
import { inReal } from './to-real.ts';

const natives = {
  slice: nativeOp<never>('slice'),
  place: nativeOp<never>('place'),
  addPart: nativeOp<never>('addPart'),
};

export interface SliceOptions {
  /** The axis that is cut; from the end where negative, -1 the last one. */
  axis: number;
  /** Where the part begins; from the end where negative. Default: 0. */
  from?: number;
  /** Where it ends, without this place; from the end where negative. Default: the axis' end. */
  to?: number;
}

export interface ConcatOptions {
  /** The axis along which the tensors follow each other; from the end where negative, -1 the last one. */
  axis: number;
}

const resized = (shape: Shape, axis: number, size: number): number[] =>
  shape.map((old, at) => (at === axis ? size : old));

/** So many places of x along an axis, from one on. */
function part(x: Tensor, axis: number, from: number, length: number): Tensor {
  const y = empty(resized(x.shape, axis, length), x.dtype, x.device);
  natives.slice.run({ x, y }, { axis, from });
  return y;
}

/** Zeros but for a part, added to what has arrived: into it, where nothing else shares its memory. */
function grown(part: Tensor, shape: Shape, axis: number, from: number, before: Tensor | undefined): Tensor {
  if (before?.dtype === part.dtype && native().isOnlyView(before.handle)) {
    natives.addPart.run({ x: part, y: before }, { axis, from });
    return before;
  }
  const whole = empty(shape, part.dtype, part.device);
  natives.place.run({ x: part, y: whole }, { axis, from, clear: true });
  return before ? add(before, whole) : whole;
}

/** The half-open range that `from` and `to` name of so many places. */
function range(x: Tensor, size: number, options: SliceOptions): { from: number; length: number } {
  const place = (name: 'from' | 'to', value: unknown): number => {
    if (!Number.isSafeInteger(value) || (value as number) < -size || (value as number) > size) {
      throw new SpikeloomError(
        `slice: '${name}' is a whole number from ${-size} to ${size} for axis ${options.axis} of ${describe(x)}, not ${kindOf(value)}`,
      );
    }
    return (value as number) < 0 ? (value as number) + size : (value as number);
  };
  const from = place('from', options.from ?? 0);
  const to = place('to', options.to ?? size);
  if (to <= from) {
    throw new SpikeloomError(
      `slice: from ${from} to ${to} of axis ${options.axis} of ${describe(x)} is no place at all; 'to' lies behind 'from'`,
    );
  }
  return { from, length: to - from };
}

/**
 * The places from `from` up to, and without, `to` along an axis, which stays: y[...,i,...] = x[...,from+i,...]. Negative
 * places count from the end, as in an array's slice(); what lies outside of the axis is refused, and so is an empty
 * part. It is a copy. gx is gy there and 0 elsewhere; the slices of one tensor add into one gradient, so that all time
 * steps together cost about as much as one pass over it.
 *
 * @param x any type, any shape; of spikes all axes are moved by words but the channels, whose bits are shifted
 * @throws SpikeloomError for an axis that x does not have and for places outside of it
 * @example const now = ops.slice(x, { axis: 0, from: t, to: t + 1 }); // a time step of [T,B,F], [1,B,F]
 */
export function slice(x: Tensor, options: SliceOptions): Tensor {
  needTensors('slice', { x });
  needOptions('slice', options, { axis: true, from: true, to: true });
  const axis = needAxis('slice', x, options.axis);
  const { from, length } = range(x, x.shape[axis]!, options);
  const y = part(x, axis, from, length);
  const backward: Backward = ([gy], _needs, take) => {
    const before = take(0);
    const real = (before ?? gy!).dtype === 'f64' ? 'f64' : 'f32';
    return [grown(inReal(gy!, real), x.shape, axis, from, before)];
  };
  record([y], [x], backward, [0]);
  return y;
}

/**
 * Tensors one behind the other along an axis. The gradient of each is its part of gy.
 *
 * @param tensors one or more of one type and device; their sizes agree but along the axis
 * @throws SpikeloomError for other tensors, and for an axis that they do not have
 * @example const spikes = ops.concat(steps, { axis: 0 }); // T times [1,B,F] to [T,B,F]
 */
export function concat(tensors: readonly Tensor[], options: ConcatOptions): Tensor {
  if (!Array.isArray(tensors) || tensors.length === 0 || !tensors.every(isTensor))
    throw new SpikeloomError(`concat: takes an array of one or more tensors, not ${contentOf(tensors)}`);
  needOptions('concat', options, { axis: true });
  const first = tensors[0]! as Tensor;
  const axis = needAxis('concat', first, options.axis);
  let size = 0;
  const starts = tensors.map((x: Tensor, i) => {
    const agrees =
      x.shape.length === first.shape.length && x.shape.every((n, at) => at === axis || n === first.shape[at]);
    if (!agrees || x.dtype !== first.dtype) {
      throw new SpikeloomError(
        `concat: tensors have one type and the same sizes but along axis ${axis}, and tensor ${i} is ${describe(x)} beside ${describe(first)}; reshape() and toReal() make them fit`,
      );
    }
    size += x.shape[axis]!;
    return size - x.shape[axis]!;
  });
  const y = empty(resized(first.shape, axis, size), first.dtype, first.device);
  tensors.forEach((x: Tensor, i) => {
    natives.place.run({ x, y }, { axis, from: starts[i]!, clear: false }, { calledAs: 'concat' });
  });
  record(
    [y],
    [...tensors],
    ([gy], needs) =>
      tensors.map((x: Tensor, i) => (needs[i] ? part(gy!, axis, starts[i]!, x.shape[axis]!) : undefined)),
    tensors.map((_, i) => i),
  );
  return y;
}
