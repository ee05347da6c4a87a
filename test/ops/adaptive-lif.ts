import { type AlifOptions, alif, alifSmooth, cubaLif } from '../../lib/ops/adaptive-lif.ts';
import { surrogates } from '../../lib/ops/lif.ts';
import { type HostInputs, type HostTensor, host, noise, type OpCase, type OpTable } from '../support/op-table.ts';

/** Spikes, neuron by neuron. */
export function alifTwin({ x }: HostInputs, options: AlifOptions): HostTensor {
  const { decay = 0.25, vth = 1, threshold = 0.5, reset = 'hard' } = options;
  const { synapticDecay = 0, adaptationDecay = 0.9, adaptationStrength = 0.1 } = options;
  const steps = x!.shape[0]!;
  const neurons = x!.data.length / steps;
  const s = new Float64Array(x!.data.length);
  for (let n = 0; n < neurons; n++) {
    let [current, v, a] = [0, 0, 0];
    for (let at = n; at < s.length; at += neurons) {
      current = synapticDecay * current + x!.data[at]!;
      const u = decay * v + current;
      const fired = u / vth > threshold + adaptationStrength * a;
      s[at] = fired ? 1 : 0;
      v = !fired ? u : reset === 'hard' ? 0 : u - threshold * vth;
      a = adaptationDecay * a + (fired ? 1 : 0);
    }
  }
  return host(x!.shape, s, 'spike');
}

/** Noise around a mean, so that neurons are silent or always fire. */
function around(mean: number, shape: readonly number[], seed = 3): HostTensor {
  const x = noise(shape, seed, 0.05);
  return host(
    shape,
    x.data.map((value) => Math.fround(mean + value)),
  );
}

const both = { synapticDecay: 0.7, adaptationDecay: 0.8, adaptationStrength: 0.3 };

const cases: OpCase[] = [
  ...[1, 2, 3, 4, 5, 9].map((steps) => ({
    name: `T = ${steps}`,
    inputs: () => ({ x: noise([steps, 2, 3, 3, 2], steps) }),
    options: both,
  })),
  ...[1, 31, 32, 33, 64, 300].map((features) => ({
    name: `[3,2,${features}]`,
    inputs: () => ({ x: noise([3, 2, features], 5) }),
    options: both,
  })),
  { name: '[4,7]', inputs: () => ({ x: noise([4, 7], 9) }), options: both },
  { name: 'more than one task', inputs: () => ({ x: noise([2, 2, 33, 9, 9], 5) }), options: both },
  { name: 'silent', inputs: () => ({ x: around(-0.2, [3, 1, 33, 2, 2]) }), options: both },
  { name: 'all firing', inputs: () => ({ x: around(5, [3, 1, 33, 2, 2]) }), options: both },
  {
    name: 'the threshold overtakes a steady input',
    inputs: () => ({ x: around(0.8, [12, 2, 33]) }),
    options: { adaptationDecay: 0.95, adaptationStrength: 0.2, reset: 'soft' },
  },
  { name: 'an adaptation for ever', inputs: () => ({ x: noise([6, 2, 5], 4) }), options: { adaptationDecay: 1 } },
  { name: 'no leak at all', inputs: () => ({ x: noise([4, 2, 5], 11) }), options: { decay: 1, synapticDecay: 1 } },
  {
    name: 'negative threshold',
    inputs: () => ({ x: noise([3, 2, 5], 16) }),
    options: { ...both, threshold: -0.2, surrogate: 'sigmoid' },
  },
  { name: 'temperature 3', inputs: () => ({ x: noise([3, 2, 5], 17) }), options: { ...both, temperature: 3 } },
  ...surrogates.flatMap((surrogate) =>
    (['hard', 'soft'] as const).map((reset) => ({
      name: `${surrogate}, ${reset} reset`,
      inputs: () => ({ x: noise([5, 1, 5, 1, 2], 7) }),
      options: { ...both, surrogate, reset, vth: 1.25, threshold: 0.6, decay: 0.6 },
    })),
  ),
];

const natives = ['adaptiveLif', 'adaptiveLifGrad', 'adaptiveLifSmooth', 'adaptiveLifSmoothGrad'];

export const alifTable: OpTable = {
  name: 'alif',
  natives,
  cases,
  run: ({ x }, options) => [alif(x!, options)],
  smooth: ({ x }, options) => [alifSmooth(x!, options)],
  twin: (inputs, options) => [alifTwin(inputs, options)],
  gradients: ['x'],
};

/** What cubaLif() makes of these options as those of alif(). */
const withoutAdaptation = (options: AlifOptions): AlifOptions => ({
  ...{ synapticDecay: 0.5, ...options, adaptationDecay: 0, adaptationStrength: 0 },
});

export const cubaLifTable: OpTable = {
  name: 'cubaLif',
  natives,
  cases: [
    { name: 'its defaults', inputs: () => ({ x: noise([4, 2, 33], 12) }) },
    { name: 'T = 1', inputs: () => ({ x: noise([1, 2, 5], 13) }), options: { synapticDecay: 0.9 } },
    {
      name: 'soft reset, atan',
      inputs: () => ({ x: noise([6, 2, 3, 2, 1], 14, 0.6) }),
      options: { synapticDecay: 0.8, decay: 0.9, reset: 'soft', surrogate: 'atan' },
    },
  ],
  run: ({ x }, options) => [cubaLif(x!, options)],
  smooth: ({ x }, options) => [alifSmooth(x!, withoutAdaptation(options))],
  twin: (inputs, options) => [alifTwin(inputs, withoutAdaptation(options))],
  gradients: ['x'],
};
