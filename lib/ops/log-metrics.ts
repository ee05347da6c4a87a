import { nativeOp, type Tensor } from '../core/index.ts';
import { needArguments } from '../core/options.ts';

const append = nativeOp('logMetrics');

/** Where the numbers of steps are collected. */
export interface DeviceLog {
  /** [N,2], f32 or f64: loss and count of the last N steps. */
  log: Tensor;
  /** i32 [1], 0 to N - 1: the row of the next step; after the last row comes the first. */
  next: Tensor;
}

/**
 * Records the numbers of a step on the device, so that a loop reads those of many steps at once: log[next] = (loss,
 * correct), then next + 1.
 *
 * @param loss [1]
 * @param correct i32 [1], as accuracyCount() gives it; a count above 2^24 is rounded in f32
 * @example
 * const metrics = { log: zeros([10, 2]), next: zeros([1], 'i32') };
 * logMetrics(metrics, { loss, correct: accuracyCount(logits, labels) });
 * const lossOfFirstStep = (await metrics.log.array())[0];
 */
export function logMetrics(to: DeviceLog, metrics: { loss: Tensor; correct: Tensor }): void {
  needArguments('logMetrics', 'an object', { to, metrics });
  const { log, next } = to;
  const { loss, correct } = metrics;
  append.run({ log, next, loss, correct });
}
