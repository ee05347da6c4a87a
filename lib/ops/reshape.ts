import {
  describe,
  elements,
  empty,
  nativeOp,
  needTensors,
  record,
  type Shape,
  SpikeloomError,
  type Tensor,
} from '../core/index.ts';
import { contentOf, kindOf } from '../core/options.ts';
import { inF32 } from './to-real.ts';

const reorder = nativeOp<never>('reorder');

/** Channels, and the pixels of each ([lead, C, inner] in the shape, [lead, inner, C] in memory). */
function layout(shape: Shape): { C: number; inner: number } {
  const axis = shape.length >= 4 ? shape.length - 3 : shape.length - 1;
  return { C: shape[axis] ?? 1, inner: elements(shape.slice(axis + 1)) };
}

/** Whether the elements of both shapes are stored in the same order, and spikes in the same words. */
function sameAtRest(dtype: Tensor['dtype'], from: Shape, to: Shape): boolean {
  const a = layout(from);
  const b = layout(to);
  if (a.C === b.C && a.inner === b.inner) return true;
  const plain = [a, b].every(({ C, inner }) => C === 1 || inner === 1);
  return plain && (dtype !== 'spike' || a.C === b.C || (a.C % 32 === 0 && b.C % 32 === 0));
}

function complete(x: Tensor, shape: Shape): number[] {
  const open = shape.indexOf(-1);
  const known = elements(shape.filter((_, i) => i !== open));
  const full = shape.map((d, i) => (i === open ? x.size / known : d));
  const valid = full.every((d) => Number.isSafeInteger(d) && d >= 1);
  if (!valid || elements(full) !== x.size) {
    throw new SpikeloomError(
      `reshape: ${describe(x)} has ${x.size} elements, which do not fill ${contentOf(shape)}; the sizes are whole numbers from 1 on, one of them may be -1 (what is left)`,
    );
  }
  return full;
}

/**
 * The same elements, in row-major order, under another shape (one size may be -1: what is left). Memory is shared where
 * the storage order stays: leading axes come, go, split or merge, or all is one pixel or one channel. Otherwise
 * ([T,B,C,H,W] to [T,B,C H W]) it is a copy. The gradient is gy under the shape of x.
 *
 * @param x real or spikes; other types only where memory is shared
 * @throws SpikeloomError when the number of elements differs
 */
export function reshape(x: Tensor, shape: Shape): Tensor {
  needTensors('reshape', { x });
  if (!Array.isArray(shape)) throw new SpikeloomError(`reshape: a shape is an array of sizes, not ${kindOf(shape)}`);
  const full = complete(x, shape);
  const y = rearranged(x, full);
  record([y], [x], ([gy]) => [rearranged(x.dtype === 'bf16' ? gy! : inF32(gy!), x.shape)], [0]);
  return y;
}

function rearranged(x: Tensor, shape: Shape): Tensor {
  if (sameAtRest(x.dtype, x.shape, shape)) return x.alias([...shape]);
  const y = empty(shape, x.dtype, x.device);
  reorder.run({ x, y }, {}, { calledAs: 'reshape' });
  return y;
}
