// Inputs of the fused layer fire(), and the same layer composed from the ops it replaces.
import type { RealType, Tensor } from '../../lib/core/index.ts';
import { add } from '../../lib/ops/add.ts';
import { batchNorm } from '../../lib/ops/batch-norm.ts';
import { type FireOptions, fire } from '../../lib/ops/current.ts';
import { dctBasis } from '../../lib/ops/dct.ts';
import { type FstaParams, fsta } from '../../lib/ops/fsta.ts';
import { type LifOptions, lif } from '../../lib/ops/lif.ts';
import { repeatOverTime } from '../../lib/ops/repeat-over-time.ts';
import { type HostInputs, host, noise, spikes, type Tensors } from './op-table.ts';

export interface Layer {
  channels: number;
  steps?: number;
  /** The steps y is held for; default `steps`. */
  held?: number;
  size?: readonly [number, number];
  batch?: number;
  residual?: 'spikes' | 'numbers' | 'second';
  fsta?: boolean;
  hidden?: number;
  training?: boolean;
  learned?: boolean;
  neuron?: LifOptions;
}

export const layerName = (layer: Layer): string => {
  const { channels, steps = 2, held = steps, size = [3, 3], batch = 2, residual, fsta: gated, hidden } = layer;
  return [
    `[${held}${held === steps ? '' : ` for ${steps}`},${batch},${channels},${size.join(',')}]`,
    residual ? `+ ${residual}` : '',
    gated ? `fsta${hidden ? ` hidden ${hidden}` : ''}` : '',
    layer.training === false ? 'evaluation' : '',
    layer.learned ? 'learned decay' : '',
    layer.neuron ? JSON.stringify(layer.neuron) : '',
  ]
    .filter(Boolean)
    .join(' ');
};

export function layerInputs(layer: Layer): HostInputs {
  const { channels: C, steps = 2, held = steps, size = [3, 3], batch = 2, hidden = 0 } = layer;
  const norm = (prefix: string, seed: number): HostInputs => ({
    [`${prefix}gamma`]: host(
      [C],
      noise([C], seed).data.map((v) => 0.8 + 0.3 * v),
    ),
    [`${prefix}beta`]: noise([C], seed + 1, 0.3),
    [`${prefix}mean`]: noise([C], seed + 2, 0.3),
    [`${prefix}var`]: host(
      [C],
      noise([C], seed + 3).data.map((v) => 0.5 + v * v),
    ),
  });
  const whole = [steps, batch, C, ...size];
  const y = noise([held, batch, C, ...size], 3 + C);
  const made: HostInputs = {
    y: host(
      y.shape,
      y.data.map((v) => v + 0.5),
    ),
    ...norm('', 11),
  };
  if (layer.residual === 'spikes') made.residual = spikes(whole, 0.3, 5);
  if (layer.residual === 'numbers') made.residual = noise(whole, 5);
  if (layer.residual === 'second') Object.assign(made, { y2: noise(whole, 6 + C) }, norm('2', 21));
  if (layer.learned) made.logit = host([1], [-0.4]);
  if (!layer.fsta) return made;
  const basis = dctBasis(3);
  const filters = basis.length / 9;
  made.basis = host([filters, 1, 3, 3], basis);
  Object.assign(made, {
    alpha: host([1], [0.55]),
    beta_: host([1], [0.4]),
    m: host([1], [0.65]),
    n: host([1], [0.45]),
    time: noise([steps, steps], 31, 0.5),
    freq1: noise([hidden || 1, filters, 7, 7], 32, 0.05),
  });
  if (hidden) made.freq2 = noise([1, hidden, 7, 7], 33, 0.05);
  return made;
}

/** Every input that has a gradient. */
export const trained = ['y,gamma,beta,residual,y2,2gamma,2beta,logit', 'alpha,beta_,m,n,time,freq1,freq2'].flatMap(
  (names) => names.split(','),
);

const normOf = (t: Tensors, prefix: string, training: boolean) => ({
  gamma: t[`${prefix}gamma`]!,
  beta: t[`${prefix}beta`]!,
  runningMean: t[`${prefix}mean`]!,
  runningVar: t[`${prefix}var`]!,
  training,
});

const paramsOf = ({ alpha, beta_, m, n, time, freq1, freq2 }: Tensors): FstaParams =>
  ({ alpha, beta: beta_, m, n, time, freq1, freq2 }) as FstaParams;

/** The running statistics too, which training changes. */
const outputs = (s: Tensor, t: Tensors): Tensor[] =>
  [s, t.mean, t.var, t['2mean'], t['2var']].filter((x) => x !== undefined);

export function fused(t: Tensors, layer: Layer): Tensor[] {
  const { training = true, steps = 2 } = layer;
  const options: FireOptions = { norm: normOf(t, '', training), steps, neuron: { ...layer.neuron, logit: t.logit! } };
  if (t.residual) options.residual = t.residual;
  if (t.y2) options.residual = { y: t.y2, norm: normOf(t, '2', training) };
  if (layer.fsta) options.fsta = { params: paramsOf(t), basis: t.basis! };
  return outputs(fire(t.y!, options), t);
}

export function composed(t: Tensors, layer: Layer): Tensor[] {
  const { training = true, steps = 2 } = layer;
  const y = t.y!.shape[0] === steps ? t.y! : repeatOverTime(t.y!, steps);
  let x = batchNorm(y, normOf(t, '', training));
  if (t.residual) x = add(x, t.residual, { real: x.dtype as RealType });
  if (t.y2) x = add(x, batchNorm(t.y2, normOf(t, '2', training)));
  if (layer.fsta) x = fsta(x, paramsOf(t), { basis: t.basis! });
  return outputs(lif(x, { ...layer.neuron, logit: t.logit! }), t);
}
