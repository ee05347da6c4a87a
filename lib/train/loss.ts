// Losses by name, for outputs with and without a time axis, and losses of the user's own.
import {
  describe,
  empty,
  isRecording,
  noGrad,
  planStep,
  type RealType,
  SpikeloomError,
  scope,
  type Tensor,
  zeros,
} from '../core/index.ts';
import { given, isPromise, kindOf, needOptions } from '../core/options.ts';
import { isTensor } from '../core/tensor.ts';
import type { AnySet } from '../data/batch.ts';
import { targetBatch } from '../data/numbers/targets.ts';
import type { ModelPlan, Net } from '../nn/index.ts';
import { bceWithLogits } from '../ops/bce-with-logits.ts';
import { crossEntropy, lossOptions, tetLoss } from '../ops/cross-entropy.ts';
import { meanOverTime } from '../ops/mean-over-time.ts';
import { toReal } from '../ops/to-real.ts';
import {
  checkTargetOutput,
  isTargetLoss,
  TARGET_KINDS,
  type TargetLossSettings,
  targetLossFrom,
  targetLossOf,
} from './target-loss.ts';

export interface LossSettings {
  /** Cross-entropy of the mean logits, binary cross-entropy of them, or the mean of every time step's cross-entropy. */
  kind: 'ce' | 'bce' | 'tet';
  /** Label smoothing, 0 to 1. */
  smoothing: number;
}

/**
 * A loss of your own, made of ops: of the network's output, [B,K] or, with a time axis, [T,B,K] (spikes where the
 * network ends in neurons), and the labels, classes i32 [B] or, where batches are mixed, a weight for every class,
 * [B,K]. It gives the mean over the batch, [1], of the network's type. Where samples have targets it gets them in place
 * of labels, [B,...] or [T,B,...], of the network's type.
 *
 * A recorded step calls it once and repeats its ops (record: false: every step does), so that it reads nothing that
 * changes from step to step, and makes its constants outside. train() calls it once more before the first step, to see
 * that it takes the classes or targets of the test samples.
 */
export interface LossFunction {
  (output: Tensor, labels: Tensor): Tensor;
  /**
   * What tells it from another one, as plain data: a saved run (out, run) keeps them as they are when it is made, and is
   * resumed by them. `kind` is a name of its own, none of the built-in losses'.
   */
  readonly settings?: { readonly kind: string; readonly [key: string]: unknown };
}

/** How a loss is computed. */
export type Loss = LossSettings | TargetLossSettings | LossFunction;

/** A loss as users give it. */
export type LossOption = Partial<LossSettings> | TargetLossSettings | LossFunction;

export const LOSS_DEFAULTS: LossSettings = { kind: 'ce', smoothing: 0 };

const KINDS: readonly unknown[] = ['ce', 'bce', 'tet'] satisfies LossSettings['kind'][];

/** Whether a loss of this kind, for targets or for classes, is not one of the user's own. */
export const isBuiltIn = (kind: unknown, hasTargets: boolean): boolean =>
  (hasTargets ? TARGET_KINDS : KINDS).includes(kind);

/**
 * The loss that was given, settings with their defaults.
 * @param hasTargets whether samples have targets in place of classes
 * @throws SpikeloomError for settings that are none, or of the other kind of loss
 */
export function lossFrom(of: string, loss: LossOption | undefined, hasTargets: boolean): Loss {
  if (typeof loss === 'function') return loss;
  const kind =
    (loss as Exclude<LossOption, LossFunction> | null | undefined)?.kind ?? (hasTargets ? 'mse' : LOSS_DEFAULTS.kind);
  if (isBuiltIn(kind, !hasTargets)) {
    const [its, fact] = hasTargets ? ['classes', 'targets'] : ['targets', 'classes'];
    const others = (hasTargets ? TARGET_KINDS : KINDS).join(', ');
    throw new SpikeloomError(
      `the loss '${kind}' is one for ${its}, but the samples have ${fact}; take one of ${others}`,
    );
  }
  if (!isBuiltIn(kind, hasTargets)) {
    const kinds = `${KINDS.join(', ')} for classes, ${TARGET_KINDS.join(', ')} for targets`;
    throw new SpikeloomError(`a loss is one of ${kinds}, or a function of your own, not ${kindOf(kind)}`);
  }
  if (hasTargets) return targetLossFrom((loss === undefined ? {} : loss) as Partial<TargetLossSettings>);
  const own = loss as Partial<LossSettings> | undefined;
  if (own !== undefined) needOptions('loss', own, LOSS_DEFAULTS);
  const settings: LossSettings = { ...LOSS_DEFAULTS, ...given(own ?? {}) };
  lossOptions(of, { smoothing: settings.smoothing });
  return settings;
}

/** The loss of an evaluation: the same without label smoothing. */
export const testLossOf = (loss: Loss): Loss =>
  typeof loss === 'function' || isTargetLoss(loss) ? loss : { ...loss, smoothing: 0 };

export interface LossResult {
  /** [1], the mean over the batch. */
  loss: Tensor;
  /** [B,K], the mean over the time steps: what the prediction is taken from. */
  logits: Tensor;
}

/** @throws SpikeloomError for what is not one number of the network's type, and for one that no gradient flows from */
function ownLoss(loss: LossFunction, output: Tensor, labels: Tensor, real: RealType): Tensor {
  const result: unknown = loss(output, labels);
  const rule = `a loss of your own gives the mean over the batch, ${real}[1]`;
  if (isPromise(result)) {
    Promise.resolve(result).catch(() => {}); // what it says is not what was wrong
    throw new SpikeloomError(`${rule}, but this one gave a promise; it must not be async, since nothing is read in it`);
  }
  if (!isTensor(result)) throw new SpikeloomError(`${rule}, but this one gave ${kindOf(result)}; make it of ops`);
  const tensor = result as Tensor;
  if (tensor.dtype !== real || tensor.shape.length !== 1 || tensor.size !== 1) {
    throw new SpikeloomError(
      `${rule}, but this one gave ${describe(tensor)}; take its mean, and keep the type of the network`,
    );
  }
  if (isRecording() && output.requiresGrad && !tensor.requiresGrad) {
    throw new SpikeloomError(
      `${rule}, made of the output by ops with a gradient, but none flows from what this one gave; leave out noGrad() and detach()`,
    );
  }
  return tensor;
}

/**
 * The loss of a network's output.
 * @param output [B,K] or, with a time axis, [T,B,K]
 * @param labels classes, i32 [B], or a weight for every class, [B,K]
 * @param real type of the network's numbers: what spikes become
 */
export function lossOf(loss: Loss, output: Tensor, labels: Tensor, real: RealType): LossResult {
  const logits = output.shape.length === 3 ? meanOverTime(output, { real }) : output;
  if (typeof loss === 'function') return { loss: ownLoss(loss, output, labels, real), logits };
  const { kind, smoothing } = loss as LossSettings;
  if (kind === 'tet') {
    const steps = output.dtype === 'spike' ? toReal(output, { real }) : output;
    return { loss: tetLoss(steps, labels, { smoothing }), logits };
  }
  const ofLogits = kind === 'bce' ? bceWithLogits : crossEntropy;
  return { loss: ofLogits(logits, labels, { smoothing }), logits };
}

/** {@link lossOf} targets, [B,...] or [T,B,...] of the network's type. @returns [1] */
export const lossOfTargets = (loss: Loss, output: Tensor, targets: Tensor, real: RealType): Tensor =>
  typeof loss === 'function'
    ? ownLoss(loss, output, targets, real)
    : targetLossOf(loss as TargetLossSettings, output, targets, real);

/** How a test loss will be called. */
interface TestCalls {
  /** Test samples. */
  count: number;
  batch: number;
  /** Whether steps are recorded. */
  record: boolean;
  /** The shape of a sample's target, where samples have one. */
  targets: readonly number[] | undefined;
}

/**
 * Calls a loss of the user's own with an output of zeros and classes or targets, as evaluations will: what it throws
 * would be thrown after a whole epoch of training else, where batches are mixed and it gets weights.
 */
export function tryTestLoss(loss: Loss, { plan, dtype, device }: Net, calls: TestCalls): void {
  if (typeof loss !== 'function') return;
  const { count, batch: most, record, targets } = calls;
  const { shape, timed, spikes } = plan.output;
  const call = (size: number) => {
    const batch = [size, ...shape];
    const make = record ? empty : zeros; // in a plan nothing is computed
    const output = make(timed ? [plan.steps, ...batch] : batch, spikes ? 'spike' : dtype, device);
    const labels = targets ? make(targetBatch(targets, size), dtype, device) : make([size], 'i32', device);
    return noGrad(() => ownLoss(loss, output, labels, dtype));
  };
  for (const size of new Set([Math.min(most, count), count % most || most])) {
    if (record) planStep(device, () => call(size));
    else scope(() => void call(size));
  }
}

/** @throws SpikeloomError for a loss of time steps where the network gives none */
export function checkTimed(loss: Loss, plan: ModelPlan): void {
  if (typeof loss === 'function' || loss.kind !== 'tet' || plan.output.timed) return;
  throw new SpikeloomError(
    `the loss 'tet' is a mean over time steps, but ${plan.model} ends with meanOverTime(); leave that layer out`,
  );
}

/** @throws SpikeloomError where a network's output is not what this loss compares with a set's classes or targets */
export function checkOutput(
  loss: Loss,
  plan: ModelPlan,
  { classes, targets }: Pick<AnySet, 'classes' | 'targets'>,
): void {
  if (targets) {
    if (typeof loss !== 'function') checkTargetOutput(plan, targets.shape);
    return;
  }
  const { shape } = plan.output;
  if (shape.length !== 1 || shape[0] !== classes.length) {
    throw new SpikeloomError(
      `the network must give one number for each class, but ${plan.model} gives [${shape.join(',')}] and the data has ${classes.length} classes; end it with linear(${classes.length})`,
    );
  }
  checkTimed(loss, plan);
}
