import { type LifOptions, lif, lifSmooth, lifWithState, surrogates } from '../../lib/ops/lif.ts';
import {
  type HostInputs,
  type HostTensor,
  host,
  noise,
  type OpCase,
  type OpTable,
  type Tensors,
} from '../support/op-table.ts';

/** x between low and high, so that neurons are silent or always fire. */
function between(shape: readonly number[], low: number, high: number): HostTensor {
  const x = noise(shape, 3, 0.5);
  return host(
    shape,
    x.data.map((v) => Math.fround(low + ((high - low) * (v + 1)) / 2)),
  );
}

/** Spikes and the last membrane, neuron by neuron. */
export function lifTwin({ x, v0, logit }: HostInputs, options: LifOptions): { s: HostTensor; v: HostTensor } {
  const { vth = 1, threshold = 0.5, reset = 'hard' } = options;
  const decay = logit ? 1 / (1 + Math.exp(-logit.data[0]!)) : (options.decay ?? 0.25);
  const [steps, ...rest] = x!.shape;
  const neurons = x!.data.length / steps!;
  const s = new Float64Array(x!.data.length);
  const v = Float64Array.from({ length: neurons }, (_, i) => v0?.data[i] ?? 0);
  for (let t = 0; t < steps!; t++) {
    for (let i = 0; i < neurons; i++) {
      const u = decay * v[i]! + x!.data[t * neurons + i]!;
      const fired = u / vth > threshold;
      s[t * neurons + i] = fired ? 1 : 0;
      v[i] = !fired ? u : reset === 'hard' ? 0 : u - threshold * vth;
    }
  }
  return { s: host(x!.shape, s, 'spike'), v: host(rest, v) };
}

const given = ({ v0, logit }: Tensors, options: Record<string, unknown>): LifOptions => ({ ...options, v0, logit });

const combinations: OpCase[] = surrogates.flatMap((surrogate) =>
  (['hard', 'soft'] as const).map((reset) => ({
    name: `${surrogate}, ${reset} reset`,
    inputs: () => ({ x: noise([3, 1, 5, 1, 2], 7), v0: noise([1, 5, 1, 2], 8) }),
    options: { surrogate, reset, vth: 1.25, threshold: 0.6, decay: 0.6 },
  })),
);

const learned = () => ({ logit: host([1], [-0.4]) });

const cases: OpCase[] = [
  ...[1, 2, 3, 4, 5].map((steps) => ({
    name: `T = ${steps}`,
    inputs: () => ({ x: noise([steps, 2, 3, 3, 2], steps) }),
  })),
  ...[1, 31, 32, 33, 64].map((channels) => ({
    name: `${channels} channels`,
    inputs: () => ({ x: noise([2, 2, channels, 1, 3], 4) }),
  })),
  ...[1, 31, 33, 64, 300].map((features) => ({
    name: `[3,2,${features}]`,
    inputs: () => ({ x: noise([3, 2, features], 5), v0: noise([2, features], 6) }),
  })),
  { name: '[4,7]', inputs: () => ({ x: noise([4, 7], 9) }) },
  {
    name: 'more than one task',
    inputs: () => ({ x: noise([2, 2, 33, 9, 9], 5), ...learned() }),
    options: { surrogate: 'atan' },
  },
  { name: 'silent', inputs: () => ({ x: between([3, 1, 33, 2, 2], -0.3, -0.1) }) },
  { name: 'all firing', inputs: () => ({ x: between([3, 1, 33, 2, 2], 0.55, 0.95) }) },
  { name: 'far outside of the surrogate', inputs: () => ({ x: between([3, 1, 33, 2, 2], 40, 900) }) },
  { name: 'integrate and fire', inputs: () => ({ x: noise([4, 2, 5], 11) }), options: { decay: 1, reset: 'soft' } },
  { name: 'learned decay, hard', inputs: () => ({ x: noise([4, 2, 33], 12), v0: noise([2, 33], 13), ...learned() }) },
  {
    name: 'learned decay, soft',
    inputs: () => ({ x: noise([4, 1, 3, 2, 2], 14), v0: noise([1, 3, 2, 2], 15), ...learned() }),
    options: { reset: 'soft' },
  },
  {
    name: 'negative threshold',
    inputs: () => ({ x: noise([3, 2, 5], 16) }),
    options: { threshold: -0.2, surrogate: 'sigmoid' },
  },
  { name: 'temperature 3', inputs: () => ({ x: noise([3, 2, 5], 17) }), options: { temperature: 3 } },
  ...combinations,
];

export const spikesTable: OpTable = {
  name: 'lif',
  natives: ['lif', 'lifGrad', 'lifSmooth', 'lifSmoothGrad'],
  cases,
  run: (inputs, options) => [lif(inputs.x!, given(inputs, options))],
  smooth: (inputs, options) => [lifSmooth(inputs.x!, given(inputs, options)).s],
  twin: (inputs, options) => [lifTwin(inputs, options).s],
  gradients: ['x', 'v0', 'logit'],
};

export const stateTable: OpTable = {
  name: 'lifWithState, the last membrane',
  natives: ['lif', 'lifGrad', 'lifSmooth', 'lifSmoothGrad'],
  cases,
  run: (inputs, options) => [lifWithState(inputs.x!, given(inputs, options)).v],
  smooth: (inputs, options) => [lifSmooth(inputs.x!, given(inputs, options)).v],
  twin: (inputs, options) => [lifTwin(inputs, options).v],
  gradients: ['x', 'v0', 'logit'],
};
