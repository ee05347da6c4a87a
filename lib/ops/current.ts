// From a convolution's output to spikes in one layer: batch norm, residual, FSTA and neuron, with nothing of that size
// in between.
import {
  type DType,
  describe,
  forBackward,
  isRecording,
  nativeOp,
  needTensors,
  type RealType,
  record,
  recordStandIns,
  SpikeloomError,
  type Tensor,
} from '../core/index.ts';
import { kindOf, needArguments, needOptions } from '../core/options.ts';
import './add.ts'; // a residual, and FSTA's statistics, are used twice: their gradients are summed
import { BATCH_NORM_OPTIONS, type BatchNormOptions, normNumbers } from './batch-norm.ts';
import type { ChannelMoments } from './conv2d.ts';
import { type FstaOptions, type FstaParams, frequencyMap, fstaFilters, fstaSteps } from './fsta.ts';
import { type LifOptions, lifSettings } from './lif.ts';

const fill = nativeOp<'y'>('fill');
const moments = nativeOp<'mean' | 'var'>('channelMoments');
const affine = nativeOp<'scale' | 'shift' | 'invStd'>('normAffine');
const affineEval = nativeOp<'scale' | 'shift' | 'invStd'>('normAffineEval');
const stats = nativeOp<'mean' | 'peak' | 'plane' | 'argmax'>('currentStats');
const forward = nativeOp<'s'>('currentFire');
const gradient = nativeOp<'g' | 'sums' | 'ga' | 'gF' | 'gm' | 'gn' | 'glogit'>('currentFireGrad');
const currentGradient = nativeOp<'gy' | 'ggamma' | 'gbeta' | 'gx'>('currentGrad');

/** A convolution's output and the batch norm after it. */
export interface Normalised {
  /** [T,B,C,H,W], or [1,B,C,H,W]: then its only step is every step. Real or bf16. */
  y: Tensor;
  /**
   * Mean and biased variance of y per channel, where they are known (see conv2dWithMoments); else they are computed.
   */
  moments?: ChannelMoments | undefined;
  norm: BatchNormOptions;
}

export interface FireOptions extends Omit<Normalised, 'y'> {
  /**
   * Added to the normalised y: spikes [T,B,C,H,W] ([1,...]: every step), numbers of y's type, or another convolution's
   * output with its own norm.
   */
  residual?: Tensor | Normalised | undefined;
  fsta?: ({ params: FstaParams } & FstaOptions) | undefined;
  /** The neuron; without v0. */
  neuron?: Omit<LifOptions, 'v0'> | undefined;
  /** T. Default: the steps of y. */
  steps?: number | undefined;
}

const KNOWN: Record<keyof FireOptions, true> = {
  ...({ moments: true, norm: true, residual: true, fsta: true, neuron: true, steps: true } as const),
};

interface Affine {
  y: Tensor;
  norm: BatchNormOptions;
  mean: Tensor;
  scale: Tensor;
  shift: Tensor;
  invStd: Tensor;
}

const fail = (message: string): never => {
  throw new SpikeloomError(`fire: ${message}`);
};

function affineOf(given: Normalised, steps: number): Affine {
  const { y, moments: known, norm } = given;
  needOptions('the norm of fire', norm, BATCH_NORM_OPTIONS);
  const { gamma, beta, runningMean, runningVar } = norm;
  const { momentum, eps } = normNumbers('the norm of fire', norm);
  needTensors('fire', { y, gamma });
  if (!norm.training) {
    const made = affineEval.run({ gamma, beta, runningMean, runningVar }, { eps });
    return { y, norm, mean: runningMean, ...made };
  }
  const count = (y.size / gamma.size) * (steps / y.shape[0]!);
  if (count <= 1) {
    fail(`training needs more than one value per channel, the input is [${y.shape.join(',')}]; use a larger batch`);
  }
  const { mean, var: variance } = known ?? moments.run({ y }, {}, { real: gamma.dtype as RealType });
  const inputs = { mean, var: variance, gamma, beta, runningMean, runningVar };
  return { y, norm, mean, ...affine.run(inputs, { eps, momentum, count }) };
}

function checkSteps(name: string, t: Tensor, steps: number): void {
  if (t.shape.length !== 5) fail(`${name} is [T,B,C,H,W], not ${describe(t)}; reshape it`);
  if (t.shape[0] !== 1 && t.shape[0] !== steps)
    fail(`${name} has 1 step or all T = ${steps}, not ${t.shape[0]} (${describe(t)})`);
}

/** r = 1 r + 0. */
const identityMap = (like: Tensor) => ({
  scale: fill.run({ x: like }, { value: 1 }).y,
  shift: fill.run({ x: like }, { value: 0 }).y,
});

/** What the kernels compute the current from: see native/ops/current_stats. */
interface Source {
  first: Affine;
  second: Affine | undefined;
  /** Spikes, or numbers as they are. */
  residual: Tensor | undefined;
  steps: number;
  storage: DType;
  inputs: Record<string, Tensor | undefined>;
}

function sourceOf(y: Tensor, options: FireOptions): Source {
  const steps = options.steps ?? y.shape[0]!;
  if (!Number.isSafeInteger(steps) || steps < 1)
    fail(`the number of steps is a whole number from 1 on, not ${kindOf(steps)}`);
  checkSteps('y', y, steps);
  const given = options.residual;
  if (given !== undefined) needArguments('fire', 'an object', { residual: given });
  const other = given && 'norm' in given ? given : undefined;
  const residual = given && !('norm' in given) ? given : undefined;
  if (residual) needTensors('fire', { residual });
  if (given) checkSteps('the residual', other?.y ?? (given as Tensor), steps);
  if (residual && residual.dtype !== 'spike' && residual.dtype !== y.dtype)
    fail(`a residual is spikes, ${y.dtype} as y is, or { y, norm } of a second convolution, not ${describe(residual)}`);
  if (other && other.y.dtype !== y.dtype)
    fail(`the second convolution's output has the type of y, ${y.dtype}, not ${other.y.dtype}`);
  const first = affineOf({ ...options, y }, steps);
  const second = other && affineOf(other, steps);
  const asIs = residual && residual.dtype !== 'spike' ? identityMap(first.scale) : undefined;
  const inputs = {
    y,
    scale: first.scale,
    shift: first.shift,
    r: second?.y ?? residual,
    rscale: second?.scale ?? asIs?.scale,
    rshift: second?.shift ?? asIs?.shift,
  };
  return { first, second, residual, steps, storage: y.dtype, inputs };
}

/**
 * The current as the tape sees it: never made, so stand-ins carry its gradient g, and g's sums per channel, from the
 * spikes to it.
 */
interface Current {
  x: Tensor;
  sums: Tensor;
  seen?: { mean: Tensor; peak: Tensor; plane: Tensor; argmax: Tensor };
}

/** @param isLast whether nothing else needs g */
function normGradient(
  from: Affine,
  g: Tensor,
  known: Record<string, Tensor | undefined>,
  want: string[],
  isLast: boolean,
) {
  const { norm, mean, invStd } = from;
  const y = forBackward(from.y);
  const types = { gy: y.dtype, gx: y.dtype };
  const reuse = { gy: isLast ? g : undefined };
  return currentGradient.run(
    { g, y, gamma: norm.gamma, mean, invStd, ...known },
    { training: norm.training },
    { types, want, reuse },
  );
}

function enterCurrent(source: Source, withStats: boolean): Current {
  const { first, second, residual, steps, inputs } = source;
  const seen = withStats
    ? stats.run(inputs, {}, { dims: { T: steps }, real: first.scale.dtype as RealType })
    : undefined;
  const current: Current = { x: first.y.alias(first.y.shape), sums: first.scale.alias(first.scale.shape) };
  if (seen) current.seen = seen;
  record(
    [current.x, current.sums, ...(seen ? [seen.mean, seen.peak, seen.plane] : [])],
    [first.y, first.norm.gamma, first.norm.beta, residual, second?.y, second?.norm.gamma, second?.norm.beta],
    ([g, sums, gmean, gpeak, gplane], needs) => {
      if (!g) fail('the gradient came past the neuron; use the spikes, nothing else');
      const onward = needs.slice(3).some(Boolean);
      const want = [...(needs[0] ? ['gy'] : []), ...(onward && seen ? ['gx'] : [])];
      const own = seen !== undefined || !onward;
      const made = normGradient(first, g!, { sums, gmean, gpeak, gplane, argmax: seen?.argmax }, want, own);
      const gx = seen ? made.gx : g;
      const other =
        second && needs.slice(4).some(Boolean)
          ? normGradient(second, gx!, {}, needs[4] ? ['gy'] : [], true)
          : undefined;
      return [made.gy, made.ggamma, made.gbeta, gx, other?.gy, other?.ggamma, other?.gbeta];
    },
  );
  return current;
}

/** FSTA's gates from the statistics, on the tape. */
function gates(source: Source, current: Current, fsta: { params: FstaParams } & FstaOptions) {
  const { alpha, beta, m, n, time, freq1, freq2 } = fsta.params;
  const basis = fstaFilters(source.first.scale, fsta.params, fsta.basis);
  const { plane, mean, peak } = current.seen!;
  const { a, S } = fstaSteps(plane, mean, peak, alpha, beta, time);
  return { a, F: frequencyMap(S, basis, freq1, freq2), m, n };
}

/**
 * Spikes of the neurons that a normalised convolution drives, with a residual and FSTA where they are given:
 *
 *     x[t] = batchNorm(y)[t] (+ residual spikes[t], or + batchNorm(y2)[t])
 *     i    = fsta(x), or x
 *     s    = lif(i)
 *
 * It equals lif(fsta(add(batchNorm(y), residual))), see there, but reads y and the residual once for FSTA's statistics
 * and once for the spikes, and stores only these. A y of one step stands for its repetition over T: its statistics are
 * the same, its gradient is the sum over t, and the running variance counts the repetitions as values. In bf16, y and
 * the gradients of its size are stored as bf16; all arithmetic is f32.
 *
 * @param y a convolution's output [T,B,C,H,W] or [1,B,C,H,W], real or bf16
 * @returns spikes [T,B,C,H,W]
 * @throws SpikeloomError for shapes or types that do not fit, or options out of their range
 * @see batchNorm, fsta, lif
 * @example
 * const { y, moments } = conv2dWithMoments(x, w, { padding: 1 });
 * const s = fire(y, { moments, norm, steps: 4 });
 */
export function fire(y: Tensor, options: FireOptions): Tensor {
  needTensors('fire', { y });
  needOptions('fire', options, KNOWN);
  const neuron = options.neuron ?? {};
  const { shared, slope, detachReset } = lifSettings(neuron);
  const { logit } = neuron;
  const source = sourceOf(y, options);
  const current = enterCurrent(source, options.fsta !== undefined);
  const gate: Partial<Record<'a' | 'F' | 'm' | 'n', Tensor>> = options.fsta ? gates(source, current, options.fsta) : {};
  const inputs = { ...source.inputs, ...gate, logit };
  const { s } = forward.run(inputs, shared, { dims: { T: source.steps } });
  if (!isRecording()) return s;
  const { a, F, m, n } = gate;
  recordStandIns([s], [current.x, current.sums, a, F, m, n, logit], ([gs], needs) => {
    const names = ['g', 'sums', 'ga', 'gF', 'gm', 'gn', 'glogit'] as const;
    const { y, r } = source.inputs;
    const read = { y: forBackward(y!), r: r && forBackward(r) };
    const made = gradient.run(
      { ...inputs, ...read, gs, s, mean: source.first.mean },
      { ...shared, detachReset, ...slope },
      { types: { g: source.storage }, want: names.filter((_, i) => needs[i]), reuse: { g: gs } },
    );
    return names.map((name) => made[name]);
  });
  return s;
}
