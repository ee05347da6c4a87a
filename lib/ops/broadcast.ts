// Two tensors element by element where their shapes differ, by PyTorch's rule: axes are counted from the end, axes that
// are missing in front have length 1, and an axis of length 1 is repeated along that of the other.
import { describe, empty, nativeOp, noGrad, type Shape, SpikeloomError, type Tensor } from '../core/index.ts';
import { reshape } from './reshape.ts';
import { summedTo } from './sum.ts';

const native = nativeOp<never>('broadcast');

/** The functions of native/ops/pointwise/broadcast.h, by their numbers. */
const kinds = { add: 0, sub: 1, mul: 2, div: 3, equal: 4 } as const;

/** Whether two tensors go element by element as they are. */
export const areAlike = (x: Tensor, y: Tensor): boolean =>
  x.shape.length === y.shape.length && x.shape.every((size, axis) => size === y.shape[axis]);

const inFront = (shape: Shape, rank: number): number[] => [...new Array<number>(rank - shape.length).fill(1), ...shape];

/** The shape of what is made of both. */
function commonShape(name: string, x: Tensor, y: Tensor): number[] {
  if (x.dtype !== y.dtype || (x.dtype !== 'f32' && x.dtype !== 'f64')) {
    throw new SpikeloomError(
      `${name}: tensors of different shapes are real numbers of one type, not ${describe(x)} and ${describe(y)}; toReal() makes numbers of spikes`,
    );
  }
  const rank = Math.max(x.shape.length, y.shape.length);
  const [a, b] = [inFront(x.shape, rank), inFront(y.shape, rank)];
  if (a.some((size, axis) => size !== b[axis] && size !== 1 && b[axis] !== 1)) {
    throw new SpikeloomError(
      `${name}: counted from the end axes agree, or one of them has length 1 and is repeated; those of ${describe(x)} and ${describe(y)} do not; reshape() puts axes in their places`,
    );
  }
  return a.map((size, axis) => Math.max(size, b[axis]!));
}

/** f(x, y) of two tensors of one real type whose shapes go together. @throws SpikeloomError for others, by `name` */
export function combined(kind: keyof typeof kinds, x: Tensor, y: Tensor, name: string = kind): Tensor {
  const shape = commonShape(name, x, y);
  using a = noGrad(() => reshape(x, inFront(x.shape, shape.length)));
  using b = noGrad(() => reshape(y, inFront(y.shape, shape.length)));
  const z = empty(shape, x.dtype, x.device);
  native.run({ x: a, y: b, z }, { kind: kinds[kind] }, { calledAs: name });
  return z;
}

/** The gradient of x from that of what x was repeated in: the sum along the axes of length 1. */
export function foldedTo(g: Tensor, x: Tensor): Tensor {
  return areAlike(g, x) ? g : summedTo(g, x.shape);
}
