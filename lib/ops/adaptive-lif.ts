import { isRecording, nativeOp, record, SpikeloomError, type Tensor } from '../core/index.ts';
import { given, kindOf, needOptions } from '../core/options.ts';
import { type LifOptions, needCurrent, needDecay, neuronSettings } from './lif.ts';
import { inF32 } from './to-real.ts';

const forward = nativeOp<'s'>('adaptiveLif');
const gradient = nativeOp<'gx'>('adaptiveLifGrad');
const smoothForward = nativeOp<'s'>('adaptiveLifSmooth');
const smoothGradient = nativeOp<'gx'>('adaptiveLifSmoothGrad');

export interface CubaLifOptions extends Omit<LifOptions, 'v0' | 'logit'> {
  /** What is left of the synaptic current after a step, 0 to 1. Default 0.5; alif(): 0, no current of its own. */
  synapticDecay?: number;
}

export interface AlifOptions extends CubaLifOptions {
  /** What is left of the adaptation after a step, 0 to 1. Default 0.9. */
  adaptationDecay?: number;
  /** How much a spike raises the threshold, 0 or more. Default 0.1. */
  adaptationStrength?: number;
}

const CUBA_LIF_OPTIONS: Record<keyof CubaLifOptions, true> = {
  ...({ synapticDecay: true, decay: true, vth: true, threshold: true, reset: true } as const),
  ...({ detachReset: true, surrogate: true, temperature: true } as const),
};
const ALIF_OPTIONS: Record<keyof AlifOptions, true> = {
  ...{ ...CUBA_LIF_OPTIONS, adaptationDecay: true, adaptationStrength: true },
};

const cubaLifDefaults = { synapticDecay: 0.5, adaptationDecay: 0, adaptationStrength: 0 };
const alifDefaults = { synapticDecay: 0, adaptationDecay: 0.9, adaptationStrength: 0.1 };

/** Spikes of either neuron; `states` are the defaults of what a LIF neuron has not. */
function run(op: string, x: Tensor, options: AlifOptions, states: typeof alifDefaults, smooth = false): Tensor {
  const { synapticDecay, adaptationDecay, adaptationStrength, ...rest } = { ...states, ...given(options) };
  needDecay(op, 'synapticDecay', synapticDecay);
  needDecay(op, 'adaptationDecay', adaptationDecay);
  if (!(Number.isFinite(adaptationStrength) && adaptationStrength >= 0))
    throw new SpikeloomError(`${op}: adaptationStrength is 0 or more, not ${kindOf(adaptationStrength)}`);
  const { shared: lif, slope, detachReset } = neuronSettings(op, rest);
  const own = { synapse: synapticDecay, adaptation: adaptationDecay, strength: adaptationStrength };
  const shared = { ...lif, ...own };
  const how = { calledAs: op };
  const { s } = smooth ? smoothForward.run({ x }, { ...shared, ...slope }, how) : forward.run({ x }, shared, how);
  if (!isRecording()) return s;
  record([s], [x], ([gs]) => {
    const { gx } = (smooth ? smoothGradient : gradient).run(
      { gs: inF32(gs!), x, s },
      { ...shared, detachReset, ...slope },
    );
    return [gx];
  });
  return s;
}

/**
 * Leaky integrate-and-fire neurons with a synaptic current (current-based LIF) over all time steps:
 *
 *     i[t] = synapticDecay·i[t-1] + x[t]
 *     u[t] = decay·v[t-1] + i[t]
 *     s[t] = 1 where u[t]/vth > threshold, else 0
 *     v[t] = u[t]·(1 - s[t])  (hard reset)   or   u[t] - s[t]·threshold·vth  (soft reset)
 *
 * i[-1] and v[-1] are 0. Surrogates and the reset's gradient are those of lif(); it flows through both states.
 *
 * Known as CubaLIF (NIR, Pedersen et al., 2024) and as Synaptic in snnTorch (Eshraghian et al., 2023), where a reset
 * comes one step later, undecayed (a hard one, too, unless its reset_delay is False).
 *
 * @param x input: real [T,B,C,H,W], [T,B,F] or [T,F]
 * @returns spikes of the shape of x, packed bits
 * @throws SpikeloomError for another rank or an option out of its range
 * @example const s = cubaLif(x, { synapticDecay: 0.8, decay: 0.9, reset: 'soft' });
 */
export function cubaLif(x: Tensor, options: CubaLifOptions = {}): Tensor {
  needCurrent('cubaLif', x);
  needOptions('cubaLif', options, CUBA_LIF_OPTIONS);
  return run('cubaLif', x, options, cubaLifDefaults);
}

/**
 * Leaky integrate-and-fire neurons whose threshold adapts (ALIF) over all time steps:
 *
 *     i[t] = synapticDecay·i[t-1] + x[t]                 (synapticDecay 0, the default: i = x)
 *     u[t] = decay·v[t-1] + i[t]
 *     a[t] = adaptationDecay·a[t-1] + s[t-1]
 *     s[t] = 1 where u[t]/vth > threshold + adaptationStrength·a[t], else 0
 *     v[t] = u[t]·(1 - s[t])  (hard reset)   or   u[t] - s[t]·threshold·vth  (soft reset)
 *
 * All states are 0 before the first step. Each spike raises the threshold by adaptationStrength; a soft reset takes
 * away what it is without. The gradient flows through all states, through a by the surrogate of the spikes in it.
 *
 * The adaptation is that of Bellec et al., "A solution to the learning dilemma for recurrent networks of spiking
 * neurons", Nature Communications 2020: beta there is adaptationStrength·vth, rho adaptationDecay. Their reset is soft
 * and comes one step later, undecayed.
 *
 * @param x input: real [T,B,C,H,W], [T,B,F] or [T,F]
 * @returns spikes of the shape of x, packed bits
 * @throws SpikeloomError for another rank or an option out of its range
 * @example const s = alif(x, { decay: 0.9, reset: 'soft', adaptationDecay: 0.95, adaptationStrength: 0.2 });
 */
export function alif(x: Tensor, options: AlifOptions = {}): Tensor {
  needCurrent('alif', x);
  needOptions('alif', options, ALIF_OPTIONS);
  return run('alif', x, options, alifDefaults);
}

/** @internal alif() with the primitive of the surrogate as spike (real): for finite differences in tests */
export const alifSmooth = (x: Tensor, options: AlifOptions = {}): Tensor => run('alif', x, options, alifDefaults, true);
