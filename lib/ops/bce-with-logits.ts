import { nativeOp, needTensors, record, type Tensor } from '../core/index.ts';
import { type LossOptions, lossOptions, targetInput } from './cross-entropy.ts';

const forward = nativeOp<'loss'>('bceWithLogits');
const gradient = nativeOp<'gx'>('bceWithLogitsGrad');

/**
 * Binary cross-entropy with logits, the mean over batch and classes:
 *
 *     loss = 1/(B K) sum_bk max(x, 0) - x q + log(1 + exp(-|x|)),   q = (1 - smoothing) target + smoothing / K
 *
 * as PyTorch's binary_cross_entropy_with_logits of q. Smoothing is that of one-hot labels: the right class gets
 * 1 - smoothing + smoothing / K, every other one smoothing / K. It is computed in float64 whatever the type, and NaN
 * stays NaN.
 *
 * @param logits [B,K], f32 or f64
 * @param labels classes, i32 [B] (one-hot), or a probability for every class, [B,K] of the logits' type; no gradient
 * flows to them
 * @returns [1]
 * @throws SpikeloomError for shapes and types that do not fit; at the next read for a label outside of 0..K-1
 */
export function bceWithLogits(logits: Tensor, labels: Tensor, options: LossOptions = {}): Tensor {
  needTensors('bceWithLogits', { logits, labels });
  const attributes = { ...lossOptions('bceWithLogits', options) };
  const { loss } = forward.run({ x: logits, ...targetInput(labels) }, attributes);
  record([loss], [logits], ([gloss]) => [gradient.run({ gloss, x: logits, ...targetInput(labels) }, attributes).gx]);
  return loss;
}
