import { describe, nativeOp, needTensors, record, SpikeloomError, type Tensor } from '../core/index.ts';

const forward = nativeOp<'y'>('softmax');
const gradient = nativeOp<'gx'>('softmaxGrad');

function shares(name: string, x: Tensor, log: boolean): Tensor {
  needTensors(name, { x });
  if (x.shape.length !== 2 && x.shape.length !== 3)
    throw new SpikeloomError(`${name}: takes [B,K] or [T,B,K], not ${describe(x)}`);
  const K = x.shape.at(-1)!;
  const rows = [x.size / K, K];
  using flat = x.alias(rows);
  using made = forward.run({ x: flat }, { log }, { calledAs: name }).y;
  const y = made.alias(x.shape);
  record([y], [x], ([gy]) => [gradient.run({ gy: gy!.alias(rows), y: y.alias(rows) }, { log }).gx.alias(x.shape)], [0]);
  return y;
}

/**
 * y[k] = exp(x[k]) / sum_j exp(x[j]) over the last axis, as PyTorch's softmax(x, -1); gx = y (gy - sum_j gy[j] y[j]).
 * It is computed in float64 whatever the type, nothing overflows, and NaN stays NaN.
 *
 * @param x [B,K] or [T,B,K], f32 or f64
 * @returns the shape of x
 * @throws SpikeloomError for other shapes and types
 */
export function softmax(x: Tensor): Tensor {
  return shares('softmax', x, false);
}

/**
 * y[k] = x[k] - log sum_j exp(x[j]) over the last axis: the logarithm of {@link softmax}, finite where that rounds to
 * 0. gx = gy - exp(y) sum_j gy[j]. It is computed in float64 whatever the type, and NaN stays NaN.
 *
 * @param x [B,K] or [T,B,K], f32 or f64
 * @returns the shape of x
 * @throws SpikeloomError for other shapes and types
 * @example // the cross-entropy of every sample, [B]: crossEntropy() is their mean
 * ops.scale(ops.sum(ops.mul(ops.oneHot(labels, { classes: K }), ops.logSoftmax(logits)), { axes: [-1] }), -1);
 */
export function logSoftmax(x: Tensor): Tensor {
  return shares('logSoftmax', x, true);
}
