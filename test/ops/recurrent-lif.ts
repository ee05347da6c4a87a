import { surrogates } from '../../lib/ops/lif.ts';
import { type RecurrentLifOptions, recurrentLif, recurrentLifSmooth } from '../../lib/ops/recurrent-lif.ts';
import { type HostInputs, type HostTensor, host, noise, type OpCase, type OpTable } from '../support/op-table.ts';

/** Spikes, neuron by neuron. */
export function recurrentLifTwin({ x, w }: HostInputs, options: RecurrentLifOptions): HostTensor {
  const { synapticDecay = 0, decay = 0.25, vth = 1, threshold = 0.5, reset = 'hard' } = options;
  const [T, B, F] = x!.shape as [number, number, number];
  const s = new Float64Array(T * B * F);
  for (let b = 0; b < B; b++) {
    const v = new Float64Array(F);
    const i = new Float64Array(F);
    for (let t = 0; t < T; t++) {
      const row = (t * B + b) * F;
      for (let f = 0; f < F; f++) {
        let c = x!.data[row + f]!;
        for (let g = 0; t > 0 && g < F; g++) c += w!.data[f * F + g]! * s[row - B * F + g]!;
        i[f] = synapticDecay * i[f]! + c;
        const u = decay * v[f]! + i[f]!;
        const fired = u / vth > threshold;
        s[row + f] = fired ? 1 : 0;
        v[f] = !fired ? u : reset === 'hard' ? 0 : u - threshold * vth;
      }
    }
  }
  return host(x!.shape, s, 'spike');
}

/** Noise around a mean, so that neurons are silent or always fire. */
function around(mean: number, shape: readonly number[]): HostTensor {
  const x = noise(shape, 3, 0.05);
  return host(
    shape,
    x.data.map((value) => Math.fround(mean + value)),
  );
}

const item = (name: string, x: HostTensor, options: RecurrentLifOptions = {}, reach = 1.5): OpCase => {
  const F = x.shape[2]!;
  return {
    name,
    inputs: () => ({ x: { ...x, data: x.data.slice() }, w: noise([F, F], 21, reach / Math.sqrt(F)) }),
    options: { ...options },
  };
};

const both = { synapticDecay: 0.7, decay: 0.8 };

export const table: OpTable = {
  name: 'recurrentLif',
  natives: [
    ...['recurrentLif', 'recurrentLifGrad', 'recurrentLifGradW'],
    ...['recurrentLifSmooth', 'recurrentLifSmoothGrad'],
  ],
  cases: [
    ...[1, 2, 3, 8].map((steps) => item(`T = ${steps}`, noise([steps, 2, 5], steps), both)),
    ...[1, 3, 4, 31, 32, 33, 64].map((features) => item(`[4,2,${features}]`, noise([4, 2, features], 5), both)),
    item('its defaults', noise([5, 3, 20], 6)),
    item('more samples than a task has', noise([3, 19, 17], 7), both),
    item('more neurons than a block has threads', noise([2, 2, 300], 8), both, 0.8),
    item('silent', around(-0.2, [4, 2, 33]), both),
    item('all firing', around(9, [4, 2, 33]), both),
    item('no leak at all', noise([4, 2, 5], 11), { decay: 1, synapticDecay: 1 }),
    item('negative threshold', noise([3, 2, 5], 16), { ...both, threshold: -0.2, surrogate: 'sigmoid' }),
    item('temperature 3', noise([4, 2, 5], 17), { ...both, temperature: 3 }),
    ...surrogates.flatMap((surrogate) =>
      (['hard', 'soft'] as const).map((reset) =>
        item(`${surrogate}, ${reset} reset`, noise([5, 2, 6], 7), {
          ...{ ...both, surrogate, reset, vth: 1.25, threshold: 0.6, decay: 0.6 },
        }),
      ),
    ),
  ],
  run: ({ x, w }, options) => [recurrentLif(x!, w!, options)],
  smooth: ({ x, w }, options) => [recurrentLifSmooth(x!, w!, options)],
  twin: (inputs, options) => [recurrentLifTwin(inputs, options)],
  gradients: ['x', 'w'],
};
