// Layers of the user's own: twins of built-in ones, which make the same bits where they have the same names, and some
// that nothing built in does.
import { elements } from '../../lib/core/index.ts';
import { define, type Layer, layer, type ModelOptions } from '../../lib/nn/index.ts';
import * as ops from '../../lib/ops/index.ts';

const sizes = (shape: readonly number[]) => shape as [number, number, number];

export const ownConv = layer({
  kind: 'ownConv',
  settings: { channels: 1 },
  parameters: ({ input, settings: { channels } }) => ({
    weight: { shape: [channels, sizes(input.shape)[0], 3, 3], init: { std: Math.sqrt(2 / (9 * channels)) } },
  }),
  output: ({ input, settings }) => ({ shape: [settings.channels, ...input.shape.slice(1)] }),
  macs: ({ input, settings }) => 9 * settings.channels * elements(input.shape),
  overTime: 'each',
  forward: (x, { weight }) => ops.conv2d(x, weight, { padding: 1 }),
});

const perChannel = (shape: readonly number[], constant: number) => ({ shape: [shape[0]!], init: { constant } });

export const ownNorm = layer({
  kind: 'ownNorm',
  parameters: ({ input: { shape } }) => ({ weight: perChannel(shape, 1), bias: perChannel(shape, 0) }),
  buffers: ({ input: { shape } }) => ({ running_mean: perChannel(shape, 0), running_var: perChannel(shape, 1) }),
  macs: () => 0,
  forward: (x, { weight, bias, running_mean, running_var }, { training }) =>
    ops.batchNorm(x, { gamma: weight, beta: bias, runningMean: running_mean, runningVar: running_var, training }),
});

export const ownLif = layer({
  kind: 'ownLif',
  settings: { decay: 0.25 },
  output: () => ({ spikes: true }),
  macs: () => 0,
  forward: (x, _none, { settings: { decay } }) => ops.lif(x, { decay }),
});

export const ownDropout = layer({
  kind: 'ownDropout',
  settings: { p: 0.5 },
  macs: () => 0,
  overTime: 'each',
  forward: (x, _none, { settings: { p }, training, counter, seed, real }) => {
    if (training) return ops.dropout(x, counter, { p, seed, real });
    return x.dtype === 'spike' ? ops.toReal(x, { real }) : x;
  },
});

export const ownPool = layer({
  kind: 'ownPool',
  output: ({ input }) => ({ shape: input.shape.slice(0, 1) }),
  macs: () => 0,
  overTime: 'each',
  forward: (x, _none, { real }) => ops.globalAvgPool(x, { real }),
});

export const ownLinear = layer({
  kind: 'ownLinear',
  settings: { features: 1 },
  parameters: ({ input: { shape }, settings: { features } }) => ({
    weight: { shape: [features, shape[0]!], init: { std: 1 / shape[0]! } },
    bias: { shape: [features], init: { constant: 0 } },
  }),
  output: ({ settings: { features } }) => ({ shape: [features] }),
  macs: ({ input, settings }) => input.shape[0]! * settings.features,
  overTime: 'each',
  forward: (x, { weight, bias }) => ops.linear(x, weight, bias),
});

export const ownMean = layer({
  kind: 'ownMean',
  output: () => ({ timed: false }),
  macs: () => 0,
  forward: (x, _none, { real }) => ops.meanOverTime(x, { real }),
});

export const ownLayers = [ownConv, ownNorm, ownLif, ownDropout, ownPool, ownLinear, ownMean];

const named = (layers: readonly Layer[]): Layer[] => layers.map((made, i) => ({ ...made, name: `layer${i}` }));

/** A network of twins; that of small-training.ts with these names, unfused, makes the same bits. */
export const ownTiny = define('tiny', ({ classes }: ModelOptions) =>
  named([
    ...[ownConv({ channels: 5 }), ownNorm(), ownLif(), ownDropout({ p: 0.2 })],
    ...[ownConv({ channels: 6 }), ownNorm(), ownLif()],
    ...[ownPool(), ownLinear({ features: classes }), ownMean()],
  ]),
);

/** y = w x, a weight for every channel. */
export const channelScale = layer({
  kind: 'channelScale',
  settings: { start: 1 },
  parameters: ({ input, settings }) => ({
    weight: { shape: [sizes(input.shape)[0], 1, 1], init: { constant: settings.start } },
  }),
  overTime: 'each',
  forward: (x, { weight }, { real }) =>
    ops.mul(x.dtype === 'spike' ? ops.toReal(x, { real }) : x, ops.expand(weight, x.shape)),
});

/** y = gate x, the gate a learned matrix over the means of all channels: Hu et al., arXiv 1709.01507. */
export const squeezeExcite = layer({
  kind: 'squeezeExcite',
  settings: { reduction: 4 },
  parameters: ({ input, settings }) => {
    const [channels] = sizes(input.shape);
    const fewer = Math.max(1, Math.floor(channels / settings.reduction));
    return {
      squeeze: { shape: [fewer, channels], init: { std: channels ** -0.5 } },
      excite: { shape: [channels, fewer], init: { std: fewer ** -0.5 } },
    };
  },
  overTime: 'each',
  forward: (x, { squeeze, excite }, { real }) => {
    const means = ops.globalAvgPool(x, { real });
    const gate = ops.sigmoid(ops.linear(ops.relu(ops.linear(means, squeeze)), excite));
    return ops.mul(x, ops.expand(ops.reshape(gate, [...gate.shape, 1, 1]), x.shape));
  },
});

/** Neurons whose membrane is a learned matrix over time: Fang et al., arXiv 2304.12760. */
export const parallelNeurons = layer({
  kind: 'parallelNeurons',
  parameters: ({ steps }) => ({
    weight: { shape: [steps, steps], init: { bound: steps ** -0.5 } },
    bias: { shape: [steps], init: { constant: 0.25 } },
  }),
  output: () => ({ spikes: true }),
  macs: ({ input, steps }) => steps * elements(input.shape),
  forward: (x, { weight, bias }) => {
    const [T, B] = sizes(x.shape);
    const rows = ops.reshape(x, [1, T, B, x.size / T / B]); // time in the place of channels
    const membrane = ops.conv2d(rows, ops.reshape(weight, [T, T, 1, 1]), { bias });
    return ops.lif(ops.reshape(membrane, x.shape), { decay: 0 });
  },
});

/** Spikes in, spikes out: what a threshold for every channel makes of them. */
export const refire = layer({
  kind: 'refire',
  parameters: ({ input }) => ({ weight: { shape: [sizes(input.shape)[0], 1, 1], init: { constant: 1 } } }),
  output: () => ({ spikes: true }),
  forward: (x, { weight }, { real }) =>
    ops.lif(ops.mul(ops.toReal(x, { real }), ops.expand(weight, x.shape)), { decay: 0 }),
});
