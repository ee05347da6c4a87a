// Losses by name, for outputs with and without a time axis.
import { type RealType, SpikeloomError, type Tensor } from '../core/index.ts';
import { kindOf } from '../core/options.ts';
import type { ModelPlan } from '../nn/index.ts';
import { bceWithLogits } from '../ops/bce-with-logits.ts';
import { crossEntropy, tetLoss } from '../ops/cross-entropy.ts';
import { meanOverTime } from '../ops/mean-over-time.ts';
import { toReal } from '../ops/to-real.ts';

export interface LossSettings {
  /** Cross-entropy of the mean logits, binary cross-entropy of them, or the mean of every time step's cross-entropy. */
  kind: 'ce' | 'bce' | 'tet';
  /** Label smoothing, 0 to 1. */
  smoothing: number;
}

export const LOSS_DEFAULTS: LossSettings = { kind: 'ce', smoothing: 0 };

export interface LossResult {
  /** [1], the mean over the batch. */
  loss: Tensor;
  /** [B,K], the mean over the time steps: what the prediction is taken from. */
  logits: Tensor;
}

/**
 * The loss of a network's output.
 * @param output [B,K] or, with a time axis, [T,B,K]
 * @param labels classes, i32 [B], or a weight for every class, [B,K]
 * @param real type of the network's numbers: what spikes become
 */
export function lossOf({ kind, smoothing }: LossSettings, output: Tensor, labels: Tensor, real: RealType): LossResult {
  const logits = output.shape.length === 3 ? meanOverTime(output, { real }) : output;
  if (kind === 'tet') {
    const steps = output.dtype === 'spike' ? toReal(output, { real }) : output;
    return { loss: tetLoss(steps, labels, { smoothing }), logits };
  }
  const loss = kind === 'bce' ? bceWithLogits : crossEntropy;
  return { loss: loss(logits, labels, { smoothing }), logits };
}

/** @throws SpikeloomError where a network's output cannot be classified into so many classes under this loss */
export function checkOutput({ kind }: Pick<LossSettings, 'kind'>, plan: ModelPlan, classes: number): void {
  if (!['ce', 'bce', 'tet'].includes(kind))
    throw new SpikeloomError(`a loss is one of ce, bce, tet, not ${kindOf(kind)}`);
  const { shape, timed } = plan.output;
  if (shape.length !== 1 || shape[0] !== classes) {
    throw new SpikeloomError(
      `the network must give one number for each class, but ${plan.model} gives [${shape.join(',')}] and the data has ${classes} classes; end it with linear(${classes})`,
    );
  }
  if (kind === 'tet' && !timed) {
    throw new SpikeloomError(
      `the loss 'tet' is a mean over time steps, but ${plan.model} ends with meanOverTime(); leave that layer out`,
    );
  }
}
