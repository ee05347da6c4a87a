// The optimizers' updates of one parameter, in place. What changes from step to step (learning rate, bias corrections,
// the factor that clips) is read from device tensors, so that a queued step holds no number of its own.
import { nativeOp, type Tensor } from '../core/index.ts';
import { needArguments } from '../core/options.ts';

const sgd = nativeOp<never>('sgdUpdate');
const momentumSgd = nativeOp<never>('momentumUpdate');
const adamw = nativeOp<never>('adamwUpdate');
const lamb = nativeOp<never>('lambUpdate');
const gradNorm = nativeOp<never>('gradNorm');
const clip = nativeOp<'norm' | 'factor'>('clipFactor');

/** A parameter with its gradient; all tensors of an update have one shape and type. */
export interface Update {
  /** Updated in place. */
  w: Tensor;
  g: Tensor;
  /** [1]: what the gradient is multiplied by first (see clipFactor()); not given: 1. */
  factor?: Tensor | undefined;
  weightDecay: number;
}

export interface Moments {
  /** Mean of the gradients, updated in place, 0 before the first step. */
  m: Tensor;
  /** Mean of their squares, likewise. */
  v: Tensor;
}

export interface MomentRule {
  beta1: number;
  beta2: number;
  eps: number;
}

/** w -= lr d, with d = factor g + weightDecay w; `hyper` is [lr]. */
export function sgdUpdate(hyper: Tensor, update: Update): void {
  needArguments('sgdUpdate', 'an object', { update });
  const { w, g, factor, weightDecay } = update;
  sgd.run({ w, g, hyper, factor }, { weightDecay });
}

/**
 * m = momentum m + d, w -= lr m (Nesterov: w -= lr (d + momentum m)), with d = factor g + weightDecay w; `hyper` is
 * [lr]. PyTorch's SGD with dampening 0; m is 0 before the first step.
 */
export function momentumUpdate(
  hyper: Tensor,
  m: Tensor,
  update: Update,
  rule: { momentum: number; nesterov: boolean },
): void {
  needArguments('momentumUpdate', 'an object', { update });
  const { w, g, factor, weightDecay } = update;
  momentumSgd.run({ w, m, g, hyper, factor }, { ...rule, weightDecay });
}

/**
 * AdamW (Loshchilov and Hutter, arXiv 1711.05101), decay decoupled:
 * w = (1 - lr weightDecay) w - lr m^ / (sqrt(v^) + eps). `hyper` is [lr, 1 - beta1^n, 1 - beta2^n] in the n-th step.
 */
export function adamwUpdate(hyper: Tensor, moments: Moments, update: Update, rule: MomentRule): void {
  needArguments('adamwUpdate', 'an object', { moments, update });
  const { m, v } = moments;
  const { w, g, factor, weightDecay } = update;
  adamw.run({ w, m, v, g, hyper, factor }, { ...rule, weightDecay });
}

/**
 * LAMB (You et al., arXiv 1904.00962): r = m^ / (sqrt(v^) + eps) + weightDecay w; w -= lr q r, with q = |w| / |r|, or 1
 * where a norm is 0 or weightDecay is 0. `hyper` is [lr, 1 - beta1^n, 1 - beta2^n] in the n-th step.
 */
export function lambUpdate(hyper: Tensor, moments: Moments, update: Update, rule: MomentRule): void {
  needArguments('lambUpdate', 'an object', { moments, update });
  const { m, v } = moments;
  const { w, g, factor, weightDecay } = update;
  lamb.run({ w, m, v, g, hyper, factor }, { ...rule, weightDecay });
}

/**
 * The norm of all gradients taken together and the factor that clips it: min(1, limit / (norm + 1e-6)), both [1] and
 * left on the device. Sums run in float64 and in a fixed order. A norm that is NaN gives a factor that is NaN.
 *
 * @param norms memory for one number per gradient, of their type
 */
export function clipFactor(
  gradients: readonly Tensor[],
  norms: Tensor,
  limit: number,
): { norm: Tensor; factor: Tensor } {
  needArguments('clipFactor', 'an array', { gradients });
  for (const [slot, g] of gradients.entries()) gradNorm.run({ g, norms }, { slot });
  return clip.run({ norms }, { limit });
}
