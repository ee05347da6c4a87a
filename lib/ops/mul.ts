import { nativeOp, record, type Tensor } from '../core/index.ts';

const product = nativeOp<'z'>('mul');
const scaled = nativeOp<'y'>('scale');

/**
 * z = x y, element by element; gx = gz y, gy = gz x.
 *
 * @param x real, any shape
 * @param y real, the same shape
 * @throws SpikeloomError when the shapes or types differ
 */
export function mul(x: Tensor, y: Tensor): Tensor {
  const { z } = product.run({ x, y });
  record([z], [x, y], ([gz], [needX, needY]) => [
    needX ? product.run({ x: gz, y }).z : undefined,
    needY ? product.run({ x: gz, y: x }).z : undefined,
  ]);
  return z;
}

/** y = factor x, any shape, for a real tensor and a number. */
export function scale(x: Tensor, factor: number): Tensor {
  const { y } = scaled.run({ x }, { factor });
  record([y], [x], ([gy]) => [scaled.run({ x: gy }, { factor }).y], [0]);
  return y;
}
