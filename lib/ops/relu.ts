import { nativeOp, record, type Tensor } from '../core/index.ts';

const forward = nativeOp<'y'>('relu');
const gradient = nativeOp<'gx'>('reluGrad');

/** y = max(x, 0), any shape. */
export function relu(x: Tensor): Tensor {
  const { y } = forward.run({ x });
  record([y], [x], ([gy]) => [gradient.run({ gy, y }).gx], [0]);
  return y;
}
