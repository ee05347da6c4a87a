import { nativeOp, needTensors, record, type Tensor } from '../core/index.ts';
import { areAlike, combined, foldedTo } from './broadcast.ts';

const product = nativeOp<'z'>('mul');
const scaled = nativeOp<'y'>('scale');

const times = (x: Tensor, y: Tensor): Tensor => (areAlike(x, y) ? product.run({ x, y }).z : combined('mul', x, y));

/**
 * z = x y, element by element; gx = gz y, gy = gz x, each added along the axes in which x or y was repeated.
 *
 * @param x real, any shape
 * @param y real, the same shape, or one that goes with it as in PyTorch: counted from the end, axes agree or one of them
 * has length 1 and is repeated
 * @throws SpikeloomError when the shapes or types do not fit
 */
export function mul(x: Tensor, y: Tensor): Tensor {
  needTensors('mul', { x, y });
  const z = times(x, y);
  record([z], [x, y], ([gz], [needX, needY]) => [
    needX ? foldedTo(times(gz!, y), x) : undefined,
    needY ? foldedTo(times(gz!, x), y) : undefined,
  ]);
  return z;
}

/** y = factor x, any shape, for a real tensor and a number. */
export function scale(x: Tensor, factor: number): Tensor {
  const { y } = scaled.run({ x }, { factor });
  record([y], [x], ([gy]) => [scaled.run({ x: gy }, { factor }).y], [0]);
  return y;
}
