import { isRecording, nativeOp, needTensors, record, SpikeloomError, type Tensor } from '../core/index.ts';
import { given, kindOf, needOptions } from '../core/options.ts';
import { inBf16, inF32 } from './to-real.ts';

const forward = nativeOp<'s' | 'v'>('lif');
const gradient = nativeOp<'gx' | 'gv0' | 'glogit'>('lifGrad');
const smoothForward = nativeOp<'s' | 'v'>('lifSmooth');
const smoothGradient = nativeOp<'gx' | 'gv0' | 'glogit'>('lifSmoothGrad');

/** The surrogate gradients (the order is the native numbering) and the default temperature of each. */
const surrogateTemperatures = { tanh: 1, atan: 2, sigmoid: 4, triangle: 1, rectangle: 1, fastSigmoid: 25 } as const;
export type Surrogate = keyof typeof surrogateTemperatures;
export const surrogates = Object.keys(surrogateTemperatures) as [Surrogate, ...Surrogate[]];

export type Reset = 'hard' | 'soft';

export interface IfOptions {
  /** Unit of the membrane, above 0. Default 1. */
  vth?: number;
  /** A neuron fires where u/vth is above this. Default 0.5. */
  threshold?: number;
  /** After a spike: 'hard' (default) sets the membrane to 0, 'soft' subtracts threshold·vth. */
  reset?: Reset;
  /** Whether the gradient stops at the reset. Default false. */
  detachReset?: boolean;
  /** What replaces the derivative of the spike. Default 'tanh'. */
  surrogate?: Surrogate;
  /** k of tanh (default 1), alpha of atan (2) and sigmoid (4), width of triangle (1) and rectangle (1), slope of
   * fastSigmoid (25); above 0. */
  temperature?: number;
  /** The membrane before the first step, of the shape of x without T. Default 0. */
  v0?: Tensor;
}

export interface LifOptions extends IfOptions {
  /** What is left of the membrane after a step, 0 to 1. Default 0.25. */
  decay?: number;
  /** One number: decay = sigmoid(logit), learned (PLIF). Takes the place of `decay`. */
  logit?: Tensor;
}

const defaults = { decay: 0.25, vth: 1, threshold: 0.5, reset: 'hard', detachReset: false, surrogate: 'tanh' } as const;

const IF_OPTIONS: Record<keyof IfOptions, true> = {
  ...({ vth: true, threshold: true, reset: true, detachReset: true } as const),
  ...({ surrogate: true, temperature: true, v0: true } as const),
};
const LIF_OPTIONS: Record<keyof LifOptions, true> = { ...IF_OPTIONS, decay: true, logit: true };

function fail(op: string, message: string): never {
  throw new SpikeloomError(`${op}: ${message}`);
}

function finite(op: string, name: string, value: number): void {
  if (typeof value !== 'number' || !Number.isFinite(value))
    fail(op, `${name} is a finite number, not ${kindOf(value)}`);
}

function aboveZero(op: string, name: string, value: number): void {
  finite(op, name, value);
  if (value <= 0) fail(op, `${name} is above 0, not ${kindOf(value)}`);
}

/** @internal A factor from one step to the next. */
export function needDecay(op: string, name: string, value: number): void {
  finite(op, name, value);
  if (value < 0 || value > 1) fail(op, `${name} is between 0 and 1, not ${kindOf(value)}`);
}

/** @internal */
export function needCurrent(op: string, x: Tensor): void {
  needTensors(op, { x });
  if ([2, 3, 5].includes(x.shape.length)) return;
  fail(op, `x is [T,B,C,H,W], [T,B,F] or [T,F] with time in front, not [${x.shape.join(',')}]; reshape it`);
}

/** @internal The neuron's options, checked, as the attributes of native ops. */
export function lifSettings(options: LifOptions, op = 'lif') {
  needOptions(op, options, LIF_OPTIONS);
  if (options.logit && options.decay !== undefined)
    fail(op, 'decay and logit both say how the membrane decays; give one of them');
  return neuronSettings(op, options);
}

/** @internal What all neurons have, checked. */
export function neuronSettings(op: string, options: Omit<LifOptions, 'v0' | 'logit'>) {
  const { decay, vth, threshold, reset, detachReset, surrogate } = { ...defaults, ...given(options) };
  if (!surrogates.includes(surrogate))
    fail(op, `the surrogate is one of ${surrogates.join(', ')}, not ${kindOf(surrogate)}`);
  if (reset !== 'hard' && reset !== 'soft') fail(op, `the reset is 'hard' or 'soft', not ${kindOf(reset)}`);
  const temperature = options.temperature ?? surrogateTemperatures[surrogate];
  needDecay(op, 'decay', decay);
  finite(op, 'threshold', threshold);
  aboveZero(op, 'vth', vth);
  aboveZero(op, 'temperature', temperature);
  const shared = { decay, vth, threshold, soft: reset === 'soft' };
  const slope = { surrogate: surrogates.indexOf(surrogate), temperature };
  return { shared, slope, detachReset };
}

/** What is called, and how. */
interface Call {
  op: string;
  /** Whether the membrane after the last step is asked for. */
  wantV?: boolean;
  smooth?: boolean;
}

/** Spikes, and the membrane after the last step where it was asked for. */
function run(x: Tensor, options: LifOptions, call: Call): { s: Tensor; v: Tensor | undefined } {
  const { op: calledAs, wantV = false, smooth = false } = call;
  needCurrent(calledAs, x);
  const { shared, slope, detachReset } = lifSettings(options, calledAs);
  const { v0, logit } = options;
  const want = wantV ? ['v'] : [];
  const { s, v } = smooth
    ? smoothForward.run({ x, v0, logit }, { ...shared, ...slope }, { want, calledAs })
    : forward.run({ x, v0, logit }, shared, { want, calledAs });
  if (!isRecording()) return { s, v };
  record(wantV && v ? [s, v] : [s], [x, v0, logit], ([gs, gv], [, needsV0, needsLogit]) => {
    const wanted = [...(needsV0 ? ['gv0'] : []), ...(needsLogit ? ['glogit'] : [])];
    const attributes = { ...shared, detachReset, ...slope };
    if (smooth) {
      const { gx, gv0, glogit } = smoothGradient.run({ gs, gv, x, s, v0, logit }, attributes, { want: wanted });
      return [gx, gv0, glogit];
    }
    // one type for x and both gradients: where only one is bf16, f32
    const [arrived, current] = gs && gs.dtype !== x.dtype ? [inF32(gs), inF32(x)] : [gs, x];
    const types = { gx: current.dtype };
    const made = gradient.run({ gs: arrived, gv, x: current, s, v0, logit }, attributes, { want: wanted, types });
    return [made.gx.dtype === x.dtype ? made.gx : inBf16(made.gx), made.gv0, made.glogit];
  });
  return { s, v };
}

/**
 * Leaky integrate-and-fire neurons over all time steps:
 *
 *     u[t] = decay·v[t-1] + x[t]
 *     s[t] = 1 where u[t]/vth > threshold, else 0
 *     v[t] = u[t]·(1 - s[t])  (hard reset)   or   u[t] - s[t]·threshold·vth  (soft reset),   v[-1] = v0 or 0
 *
 * Going back, ds/du = d(u/vth - threshold)/vth with the surrogate d:
 * tanh k(1 - tanh²(kz))/(2 tanh(k/2)) for |z| <= 1/2; atan (α/2)/(1 + (παz/2)²); sigmoid α·σ(αz)·(1 - σ(αz));
 * triangle max(0, 1 - |z|/w)/w; rectangle 1/w for |z| < w/2; fastSigmoid 1/(1 + k|z|)².
 * The gradient also flows through the reset, unless detachReset. A NaN never fires.
 *
 * The defaults are the neuron of Yu et al., "FSTA-SNN", AAAI 2025; atan and sigmoid follow SpikingJelly (Fang et al.,
 * 2023), triangle Bellec et al., 2018, rectangle Wu et al., 2018, fastSigmoid Zenke and
 * Ganguli, 2018, as in snnTorch.
 *
 * @param x current: real or bf16 [T,B,C,H,W], [T,B,F] or [T,F]; the gradient with respect to it has its type
 * @returns spikes of the shape of x, packed bits
 * @throws SpikeloomError for another rank, an option out of its range, v0 or logit of a wrong shape or dtype
 * @example const s = lif(current, { reset: 'soft', surrogate: 'atan' });
 */
export function lif(x: Tensor, options: LifOptions = {}): Tensor {
  return run(x, options, { op: 'lif' }).s;
}

/**
 * lif() with the membrane after the last step, of the shape of x without T: pass it as v0 to continue. Both carry
 * gradients.
 */
export function lifWithState(x: Tensor, options: LifOptions = {}): { s: Tensor; v: Tensor } {
  return run(x, options, { op: 'lifWithState', wantV: true }) as { s: Tensor; v: Tensor };
}

/** Integrate-and-fire neurons: lif() with decay 1. */
export function ifNode(x: Tensor, options: IfOptions = {}): Tensor {
  needOptions('ifNode', options, IF_OPTIONS);
  return run(x, { ...options, decay: 1 }, { op: 'ifNode' }).s;
}

/**
 * Parametric leaky integrate-and-fire neurons: lif() with decay = sigmoid(logit), shared by all neurons and learned.
 * Fang et al., "Incorporating Learnable Membrane Time Constant", ICCV 2021.
 *
 * @param logit real [1], of the dtype of x
 */
export function plif(x: Tensor, logit: Tensor, options: IfOptions = {}): Tensor {
  needTensors('plif', { logit });
  needOptions('plif', options, IF_OPTIONS);
  return run(x, { ...options, logit }, { op: 'plif' }).s;
}

/**
 * @internal lifWithState() with the primitive of the surrogate as spike (real): differentiable, for finite differences
 * in tests
 */
export function lifSmooth(x: Tensor, options: LifOptions = {}): { s: Tensor; v: Tensor } {
  return run(x, options, { op: 'lifSmooth', wantV: true, smooth: true }) as { s: Tensor; v: Tensor };
}
