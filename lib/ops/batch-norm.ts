import { describe, nativeOp, needTensors, record, SpikeloomError, type Tensor } from '../core/index.ts';
import { kindOf, needOptions } from '../core/options.ts';

const training = nativeOp<'y' | 'mean' | 'invStd'>('batchNorm');
const trainingGrad = nativeOp<'gx' | 'ggamma' | 'gbeta'>('batchNormGrad');
const evaluation = nativeOp<'y' | 'invStd'>('batchNormEval');
const evaluationGrad = nativeOp<'gx' | 'ggamma' | 'gbeta'>('batchNormEvalGrad');

export interface BatchNormOptions {
  /** Scale and shift, [C]. */
  gamma: Tensor;
  beta: Tensor;
  /** Running statistics, [C]: read in evaluation, updated in place in training. */
  runningMean: Tensor;
  runningVar: Tensor;
  /** Statistics of this batch (true) or the running ones (false). */
  training: boolean;
  /** Share of the new statistics in the running ones, 0 to 1; default 0.1. */
  momentum?: number;
  /** Added to the variance, above 0; default 1e-5. */
  eps?: number;
}

/** @internal Their names. */
export const BATCH_NORM_OPTIONS: Record<keyof BatchNormOptions, true> = {
  ...({ gamma: true, beta: true, runningMean: true, runningVar: true } as const),
  ...({ training: true, momentum: true, eps: true } as const),
};

type NormNumbers = Pick<BatchNormOptions, 'momentum' | 'eps'>;

/** @internal The numbers of a batch norm with their defaults, checked. */
export function normNumbers(name: string, options: NormNumbers): Required<NormNumbers> {
  const { momentum = 0.1, eps = 1e-5 } = options;
  if (!Number.isFinite(momentum) || momentum < 0 || momentum > 1)
    throw new SpikeloomError(`${name}: momentum is between 0 and 1, not ${kindOf(momentum)}`);
  if (!Number.isFinite(eps) || eps <= 0)
    throw new SpikeloomError(`${name}: eps is a number above 0, not ${kindOf(eps)}`);
  return { momentum, eps };
}

/**
 * y = (x - mean) / sqrt(var + eps) * gamma + beta, with mean and variance per channel over every other axis (T, B, H
 * and W). The running variance takes the unbiased variance, as in PyTorch.
 *
 * @param x [..., C, H, W]
 * @returns the shape of x
 * @throws SpikeloomError when one value per channel is all there is to train on, and for numbers out of their range
 */
export function batchNorm(x: Tensor, options: BatchNormOptions): Tensor {
  needTensors('batchNorm', { x });
  if (x.shape.length < 4)
    throw new SpikeloomError(
      `batchNorm: takes pictures [..., C, H, W] of four axes or more, not ${describe(x)}; reshape() adds one`,
    );
  needOptions('batchNorm', options, BATCH_NORM_OPTIONS);
  const { gamma, beta, runningMean, runningVar } = options;
  const { momentum, eps } = normNumbers('batchNorm', options);
  needTensors('batchNorm', { gamma });
  if (!options.training) {
    const { y, invStd } = evaluation.run({ x, gamma, beta, runningMean, runningVar }, { eps });
    record([y], [x, gamma, beta], ([gy]) => {
      const { gx, ggamma, gbeta } = evaluationGrad.run({ gy, x, gamma, mean: runningMean, invStd });
      return [gx, ggamma, gbeta];
    });
    return y;
  }
  if (x.size === gamma.size) {
    throw new SpikeloomError(
      `batchNorm: training needs more than one value per channel, the input is [${x.shape.join(',')}]; use a larger batch`,
    );
  }
  const { y, mean, invStd } = training.run({ x, gamma, beta, runningMean, runningVar }, { eps, momentum });
  record([y], [x, gamma, beta], ([gy]) => {
    const { gx, ggamma, gbeta } = trainingGrad.run({ gy, x, gamma, mean, invStd });
    return [gx, ggamma, gbeta];
  });
  return y;
}
