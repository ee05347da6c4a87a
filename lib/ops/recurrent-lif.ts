import { describe, isRecording, nativeOp, needTensors, record, SpikeloomError, type Tensor } from '../core/index.ts';
import { given, needOptions } from '../core/options.ts';
import { type LifOptions, needDecay, neuronSettings } from './lif.ts';
import { inF32 } from './to-real.ts';

const forward = nativeOp<'s'>('recurrentLif');
const gradient = nativeOp<'gx'>('recurrentLifGrad');
const weightGradient = nativeOp<'gw'>('recurrentLifGradW');
const smoothForward = nativeOp<'s'>('recurrentLifSmooth');
const smoothGradient = nativeOp<'gx'>('recurrentLifSmoothGrad');

export interface RecurrentLifOptions extends Omit<LifOptions, 'v0' | 'logit'> {
  /** What is left of the synaptic current after a step, 0 to 1. Default 0, no current of its own. */
  synapticDecay?: number;
}

const OPTIONS: Record<keyof RecurrentLifOptions, true> = {
  ...({ synapticDecay: true, decay: true, vth: true, threshold: true, reset: true } as const),
  ...({ detachReset: true, surrogate: true, temperature: true } as const),
};

function run(x: Tensor, w: Tensor, options: RecurrentLifOptions, smooth: boolean): Tensor {
  needTensors('recurrentLif', { x, w });
  needOptions('recurrentLif', options, OPTIONS);
  if (x.shape.length !== 3)
    throw new SpikeloomError(`recurrentLif: x is [T,B,F] with time in front, not ${describe(x)}; reshape it`);
  const { synapticDecay: synapse, ...rest } = { synapticDecay: 0, ...given(options) };
  needDecay('recurrentLif', 'synapticDecay', synapse);
  const { shared: lif, slope, detachReset } = neuronSettings('recurrentLif', rest);
  const shared = { ...lif, synapse };
  const { s } = smooth ? smoothForward.run({ x, w }, { ...shared, ...slope }) : forward.run({ x, w }, shared);
  if (!isRecording()) return s;
  record([s], [x, w], ([gs], [, needW]) => {
    const { gx } = (smooth ? smoothGradient : gradient).run(
      { gs: inF32(gs!), x, w, s },
      { ...shared, detachReset, ...slope },
    );
    return [gx, needW ? weightGradient.run({ gx, s }).gw : undefined];
  });
  return s;
}

/**
 * A layer of leaky integrate-and-fire neurons that hear each other's spikes of the step before:
 *
 *     i[t] = synapticDecay·i[t-1] + x[t] + w s[t-1]      (synapticDecay 0, the default: i = x + w s)
 *     u[t] = decay·v[t-1] + i[t]
 *     s[t] = 1 where u[t]/vth > threshold, else 0
 *     v[t] = u[t]·(1 - s[t])  (hard reset)   or   u[t] - s[t]·threshold·vth  (soft reset)
 *
 * i, v and s are 0 before the first step. Row f of w holds the weights by which neuron f hears the others, and itself
 * on the diagonal. Surrogates and the reset's gradient are those of lif(); the gradient flows through both states and,
 * by the surrogate, through the spikes that are heard.
 *
 * With a synaptic current it is the recurrent network of Cramer et al., "The Heidelberg Spiking Data Sets for the
 * Systematic Evaluation of Spiking Neural Networks", IEEE TNNLS 2020; without, RLeaky of snnTorch (Eshraghian et al.,
 * 2023) and, in its own units, LIFRecurrent of Norse. There a reset comes one step later, undecayed.
 *
 * @param x input: real [T,B,F]
 * @param w recurrent weights: [F,F], of the type of x
 * @returns spikes [T,B,F], packed bits
 * @throws SpikeloomError for another rank, weights that do not fit or an option out of its range
 * @example const s = recurrentLif(linear(x, wIn), w, { synapticDecay: 0.5, decay: 0.8, surrogate: 'fastSigmoid' });
 */
export function recurrentLif(x: Tensor, w: Tensor, options: RecurrentLifOptions = {}): Tensor {
  return run(x, w, options, false);
}

/** @internal recurrentLif() with the primitive of the surrogate as spike (real): for finite differences in tests */
export const recurrentLifSmooth = (x: Tensor, w: Tensor, options: RecurrentLifOptions = {}): Tensor =>
  run(x, w, options, true);
