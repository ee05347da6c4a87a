import { nativeOp, type Tensor } from '../core/index.ts';

const count = nativeOp<'correct'>('correctCount');

/**
 * How many rows have their largest number at the label; of equal ones the first is the largest. A row with a NaN does
 * not count.
 *
 * @param logits [B,K], f32 or f64
 * @param labels classes, i32 [B]
 * @returns i32 [1], left on the device
 * @throws SpikeloomError at the next read for a label outside of 0..K-1
 */
export function accuracyCount(logits: Tensor, labels: Tensor): Tensor {
  return count.run({ x: logits, labels }, {}, { calledAs: 'accuracyCount' }).correct;
}
