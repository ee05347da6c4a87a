import { nativeOp, record, type Tensor } from '../core/index.ts';

const forward = nativeOp<'y'>('sigmoid');
const gradient = nativeOp<'gx'>('sigmoidGrad');

/** y = 1 / (1 + exp(-x)), real, any shape; nothing overflows. gx = gy y (1 - y). */
export function sigmoid(x: Tensor): Tensor {
  const { y } = forward.run({ x });
  record([y], [x], ([gy]) => [gradient.run({ gy, y }).gx], [0]);
  return y;
}
