import { keep, nativeOp, needTensors, record, SpikeloomError, type Tensor, tensor } from '../core/index.ts';
import { needArguments, needOptions } from '../core/options.ts';
import './add.ts'; // x and a are used twice: their gradients are summed
import { conv2d } from './conv2d.ts';
import { checkSquare, fstaMap } from './fsta-map.ts';
import { relu } from './relu.ts';

const stats = nativeOp<'mean' | 'peak' | 'plane' | 'argmax'>('fstaStats');
const statsGrad = nativeOp<'gx'>('fstaStatsGrad');
const steps = nativeOp<'a' | 'S'>('fstaSteps');
const stepsGrad = nativeOp<'gplane' | 'gmean' | 'gpeak' | 'galpha' | 'gbeta' | 'gweight'>('fstaStepsGrad');
const gate = nativeOp<'y'>('fstaGate');
const gateGrad = nativeOp<'gx' | 'ga' | 'gF' | 'gm' | 'gn'>('fstaGateGrad');

export interface FstaStats {
  /** [T,B]: the mean over c, h, w. */
  mean: Tensor;
  /** [T,B]: the mean over c of the maximum over h, w. */
  peak: Tensor;
  /** [T,B,1,H,W]: the sum over c. */
  plane: Tensor;
  /** i32[T,B,C]: h·W + w of the first maximum, row by row; it alone gets the gradient of that maximum. */
  argmax: Tensor;
}

/** What FSTA reads off the current x [T,B,C,H,W], in one pass: see {@link FstaStats}. `argmax` carries no gradient. */
export function fstaStats(x: Tensor): FstaStats {
  const made = stats.run({ x });
  const { mean, peak, argmax } = made;
  record([mean, peak, made.plane], [x], ([gmean, gpeak, gplane]) => [
    statsGrad.run({ gmean, gpeak, gplane, argmax }, {}, { dims: sizes(x) }).gx,
  ]);
  return made;
}

const sizes = (x: Tensor) => ({ H: x.shape[3]!, W: x.shape[4]! });

/**
 * How much each step counts for, and the map that FSTA filters, from what {@link fstaStats} reads off the current:
 *
 *     z = alpha·mean + beta·peak          a = sigmoid(weight z)
 *     S[b,h,w] = 1/T sum over t of plane[t,b,h,w] (1 + a[t,b])
 *
 * @param plane [T,B,1,H,W]
 * @param mean,peak [T,B]
 * @param alpha,beta [1]
 * @param weight [T,T], row t the weights of the steps s for step t
 * @returns a [T,B] and S [B,1,H,W]
 * @example const { a, S } = fstaSteps(plane, mean, peak, alpha, beta, weight);
 */
export function fstaSteps(
  plane: Tensor,
  mean: Tensor,
  peak: Tensor,
  alpha: Tensor,
  beta: Tensor,
  weight: Tensor,
): { a: Tensor; S: Tensor } {
  const inputs = { plane, mean, peak, alpha, beta, weight };
  const { a, S } = steps.run(inputs);
  record([a, S], Object.values(inputs), ([ga, gS]) => {
    const g = stepsGrad.run({ ga, gS, a, ...inputs });
    return [g.gplane, g.gmean, g.gpeak, g.galpha, g.gbeta, g.gweight];
  });
  return { a, S };
}

/**
 * FSTA's product: y = x (1 + a[t,b]) (m + n + n sigmoid(F[b,h,w])) / 2.
 *
 * @param x [T,B,C,H,W]
 * @param a [T,B]
 * @param F [B,1,H,W], before its sigmoid
 * @param m,n [1]
 */
export function fstaGate(x: Tensor, a: Tensor, F: Tensor, m: Tensor, n: Tensor): Tensor {
  const { y } = gate.run({ x, a, F, m, n });
  record([y], [x, a, F, m, n], ([gy], needs) => {
    const g = gateGrad.run({ gy, x, a, F, m, n }, {}, { want: needs[0] ? ['gx'] : [] });
    return [g.gx, g.ga, g.gF, g.gm, g.gn];
  });
  return y;
}

/** The trainable parameters of one FSTA instance. */
export interface FstaParams {
  /** [1]: weight of the mean in z (starts at 0.5). */
  alpha: Tensor;
  /** [1]: weight of the maximum in z (starts at 0.5). */
  beta: Tensor;
  /** [1]: share of the current that passes without the spatial gate (starts at 0.6). */
  m: Tensor;
  /** [1]: share of the current that passes with it (starts at 0.5). */
  n: Tensor;
  /** [T,T]: how the steps weigh on each other; it fixes T. */
  time: Tensor;
  /** [1,F,7,7] for reduction 1, else [hidden,F,7,7]. */
  freq1: Tensor;
  /** [1,hidden,7,7]; only with a reduction above 1. */
  freq2?: Tensor;
}

export interface FstaOptions {
  /**
   * [F,1,k,k]: the DCT filters of dctBasis(k), on the device or as numbers (then uploaded once for each type). Not
   * trained.
   */
  basis: Tensor | Float64Array;
}

const uploaded = new WeakMap<Float64Array, Map<string, Tensor>>();

/** The filters on the device of x, in its type (f32 for bf16), checked against the parameters. */
export function fstaFilters(x: Tensor, params: FstaParams, basis: Tensor | Float64Array): Tensor {
  const filters = filtersOn(x, basis, params.freq1);
  checkKernels(params, filters);
  return filters;
}

function filtersOn(x: Tensor, basis: Tensor | Float64Array, freq1: Tensor): Tensor {
  if (!(basis instanceof Float64Array)) return basis;
  const count = freq1.shape[1] ?? 0;
  const size = Math.sqrt(basis.length / count);
  if (!Number.isSafeInteger(size)) {
    throw new SpikeloomError(
      `fsta: the ${basis.length} numbers of 'basis' are not ${count} square filters, which 'freq1' [${freq1.shape.join(',')}] needs`,
    );
  }
  const dtype = x.dtype === 'f64' ? 'f64' : 'f32';
  const copies = uploaded.get(basis) ?? new Map<string, Tensor>();
  uploaded.set(basis, copies);
  const key = `${x.device.name} ${dtype} ${count}`;
  const made =
    copies.get(key) ??
    keep(tensor(Float64Array.from(basis), { shape: [count, 1, size, size], dtype, device: x.device }));
  copies.set(key, made);
  return made;
}

const half = (kernel: Tensor): number => (kernel.shape[2]! - 1) / 2;

function checkKernels({ freq1, freq2 }: FstaParams, basis: Tensor): void {
  checkSquare('fsta', { basis, freq1, freq2 });
  const last = freq2 ?? freq1;
  if (last.shape[0] !== 1) {
    throw new SpikeloomError(
      `fsta: the spatial gate is one map, '${freq2 ? 'freq2' : 'freq1'}' makes ${last.shape[0]}; ${freq2 ? 'give it one output' : "add 'freq2' [1,hidden,7,7] behind it"}`,
    );
  }
}

/**
 * The map before the spatial gate's sigmoid: F = freq1 (*) (basis (*) S), or freq2 (*) relu(freq1 (*) (basis (*) S));
 * zero padding that keeps H and W.
 *
 * @param S [B,1,H,W]
 * @param basis [F,1,k,k]
 * @param freq1 [1,F,l,l], or [hidden,F,l,l] with freq2
 * @param freq2 [1,hidden,l,l]
 * @returns F [B,1,H,W]
 */
export function frequencyMap(S: Tensor, basis: Tensor, freq1: Tensor, freq2?: Tensor): Tensor {
  if (freq2 !== undefined) needTensors('frequencyMap', { freq2 });
  const mixed = fstaMap(S, basis, freq1);
  return freq2 ? conv2d(relu(mixed), freq2, { padding: half(freq2) }) : mixed;
}

/**
 * Frequency-based spatial-temporal attention on the current x, before the neuron:
 *
 *     z[t,b] = mean over c of (alpha mean_hw x + beta max_hw x)          a = sigmoid(time z)
 *     S[b]   = sum over c of mean over t of x (1 + a[t,b])               an H x W map
 *     P_k    = D_k (*) S                                                 DCT filters, zero padding
 *     F      = freq1 (*) P,  or  freq2 (*) relu(freq1 (*) P)
 *     y      = x (1 + a[t,b]) (m + n + n sigmoid(F[b,h,w])) / 2
 *
 * This is the collapsed form: it equals the published one, which repeats the filters and gates over all channels, since
 * everything before the sigmoids is linear. x is read twice and everything between is C times smaller. It looks at all
 * steps, so it is not causal.
 *
 * @param x [T,B,C,H,W]
 * @returns y [T,B,C,H,W]
 * @throws SpikeloomError for shapes that do not fit, or filters that are not square and odd
 * @see Yu et al., FSTA-SNN, AAAI 2025 (arXiv 2501.14744)
 * @example const y = fsta(x, params, { basis: dctBasis(7) });
 */
export function fsta(x: Tensor, params: FstaParams, options: FstaOptions): Tensor {
  needTensors('fsta', { x });
  needArguments('fsta', 'an object', { params });
  needOptions('fsta', options, { basis: true });
  needTensors('fsta', { freq1: params.freq1 });
  const { alpha, beta, m, n, time, freq1, freq2 } = params;
  const basis = fstaFilters(x, params, options.basis);
  const { plane, mean, peak } = fstaStats(x);
  const { a, S } = fstaSteps(plane, mean, peak, alpha, beta, time);
  const F = frequencyMap(S, basis, freq1, freq2);
  return fstaGate(x, a, F, m, n);
}
