import { nativeOp, type RealType } from '../../lib/core/index.ts';
import { type AvgPool2dOptions, avgPool2d } from '../../lib/ops/avg-pool2d.ts';
import { pair } from '../../lib/ops/conv2d.ts';
import { globalAvgPool } from '../../lib/ops/global-avg-pool.ts';
import { maxPool2d } from '../../lib/ops/max-pool2d.ts';
import { type PoolOptions, pooledSize, poolWindow } from '../../lib/ops/pool-window.ts';
import { type HostInputs, host, noise, type OpCase, type OpTable, spikes } from '../support/op-table.ts';

type Axes = [number, number, number, number, number];

/**
 * Calls body(output position, [position in x, or -1 in the padding]) for every window, without what hangs over the
 * padding's end.
 */
function windows({ x }: HostInputs, options: PoolOptions, body: (pixels: number[]) => number): [number[], number[]] {
  const [T, B, C, H, W] = x!.shape as Axes;
  const [kh, kw] = pair(options.kernel);
  const [sh, sw] = pair(options.stride ?? options.kernel);
  const [ph, pw] = pair(options.padding ?? 0);
  const P = pooledSize(H, kh, sh, ph, options.ceilMode ?? false);
  const Q = pooledSize(W, kw, sw, pw, options.ceilMode ?? false);
  const y: number[] = [];
  for (let n = 0; n < T * B * C; n++) {
    for (let p = 0; p < P; p++) {
      for (let q = 0; q < Q; q++) {
        const pixels: number[] = [];
        for (let h = p * sh - ph; h < Math.min(p * sh - ph + kh, H + ph); h++) {
          for (let w = q * sw - pw; w < Math.min(q * sw - pw + kw, W + pw); w++) {
            pixels.push(h >= 0 && h < H && w >= 0 && w < W ? (n * H + h) * W + w : -1);
          }
        }
        y.push(body(pixels));
      }
    }
  }
  return [[T, B, C, P, Q], y];
}

const windowed: [string, Axes, AvgPool2dOptions][] = [
  ['one pixel', [1, 1, 1, 1, 1], { kernel: 1 }],
  ['one pixel, ceil', [1, 1, 2, 1, 1], { kernel: 2, ceilMode: true }],
  ['2x2 on odd sizes', [2, 1, 3, 7, 5], { kernel: 2 }],
  ['2x2 on odd sizes, ceil', [2, 1, 3, 7, 5], { kernel: 2, ceilMode: true }],
  ['2x2 on even sizes', [2, 1, 3, 8, 6], { kernel: 2 }],
  ['2x2 on even sizes, 16 channels', [1, 2, 16, 2, 4], { kernel: 2 }],
  ['3x3 overlapping', [1, 2, 33, 5, 4], { kernel: 3, stride: 1, padding: 1 }],
  ['3x3 stride 2, ceil', [1, 2, 3, 8, 10], { kernel: 3, stride: 2, padding: 1, ceilMode: true }],
  ['the last window would start in the padding', [1, 1, 2, 4, 7], { kernel: 2, stride: 3, padding: 1, ceilMode: true }],
  ['oblong', [1, 1, 3, 7, 9], { kernel: [2, 5], stride: [3, 2], padding: [1, 2] }],
  ['stride over the kernel', [1, 1, 3, 8, 7], { kernel: 2, stride: 3 }],
  ['as large as the picture', [3, 1, 2, 5, 3], { kernel: [5, 3] }],
];

const fired: [string, Axes, number][] = [
  ...[1, 31, 32, 33, 64].map((c): [string, Axes, number] => [`${c} channels`, [2, 1, c, 5, 4], 0.3]),
  ['silent', [1, 1, 33, 5, 3], 0],
  ['all firing', [1, 1, 33, 5, 3], 1],
];
const spikeWindows: PoolOptions[] = [
  { kernel: 2, ceilMode: true },
  { kernel: 3, stride: 2, padding: 1 },
];

const realCases: OpCase[] = windowed.map(([name, shape, options]) => ({
  name,
  inputs: () => ({ x: noise(shape, 4) }),
  options: { ...options },
}));

export const average: OpTable = {
  name: 'avgPool2d',
  natives: ['avgPool2d', 'avgPool2dGrad'],
  cases: [
    ...realCases,
    ...realCases.map((item) => ({
      ...item,
      name: `${item.name}, without padding`,
      options: { ...item.options, countIncludePad: false },
    })),
    ...spikeWindows.flatMap((window) =>
      fired.map(([name, shape, rate]) => ({
        name: `spikes, ${name}, kernel ${window.kernel}`,
        inputs: () => ({ x: spikes(shape, rate) }),
        options: { ...window, real: 'f64' },
      })),
    ),
    {
      name: 'spikes, 40 channels, halved',
      inputs: () => ({ x: spikes([2, 2, 40, 4, 6], 0.4) }),
      options: { kernel: 2, real: 'f64' },
    },
    { name: 'spikes, f32 by default', inputs: () => ({ x: spikes([1, 2, 33, 6, 4], 0.4) }), options: { kernel: 2 } },
  ],
  run: ({ x }, options) => [avgPool2d(x!, options as unknown as AvgPool2dOptions)],
  twin: (inputs, given) => {
    const options = given as unknown as AvgPool2dOptions;
    const [shape, y] = windows(inputs, options, (pixels) => {
      const inside = pixels.filter((at) => at >= 0);
      const divisor = (options.countIncludePad ?? true) ? pixels.length : inside.length;
      return inside.reduce((sum, at) => sum + inputs.x!.data[at]!, 0) / divisor;
    });
    return [host(shape, y)];
  },
  gradients: ['x'],
};

const maximumOf = (inputs: HostInputs, options: PoolOptions) => {
  const [shape, y] = windows(inputs, options, (pixels) =>
    Math.max(...pixels.filter((at) => at >= 0).map((at) => inputs.x!.data[at]!)),
  );
  return host(shape, y, inputs.x!.kind);
};

export const largest: OpTable = {
  name: 'maxPool2d',
  natives: ['maxPool2d', 'maxPool2dGrad'],
  cases: realCases,
  run: ({ x }, options) => [maxPool2d(x!, options as unknown as PoolOptions)],
  twin: (inputs, options) => [maximumOf(inputs, options as unknown as PoolOptions)],
  gradients: ['x'],
};

/** Ties everywhere, where differences say nothing of the gradient: see largestOfSpikesGradient. */
export const largestOfSpikes: OpTable = {
  ...largest,
  name: 'maxPool2d of spikes',
  cases: spikeWindows.flatMap((window) =>
    fired.map(([name, shape, rate]) => ({
      name: `${name}, kernel ${window.kernel}`,
      inputs: () => ({ x: spikes(shape, rate) }),
      options: { ...window },
    })),
  ),
  gradients: [],
};

const spikeGradient = nativeOp<'gx'>('spikeMaxPool2dGrad');

/** The gradient of a window goes to its first pixel that fires, or to its first one. */
export const largestOfSpikesGradient: OpTable = {
  name: 'spikeMaxPool2dGrad',
  natives: ['spikeMaxPool2dGrad'],
  // the last: windows that cover the picture side by side
  cases: [...spikeWindows, { kernel: [2, 3] as const, stride: 1 }, { kernel: [5, 2] as const }].flatMap((window) =>
    fired.map(([name, shape, rate]) => ({
      name: `${name}, kernel ${window.kernel}, stride ${'stride' in window ? window.stride : 'the same'}`,
      inputs: () => {
        const x = spikes(shape, rate);
        return { x, gy: noise(windows({ x }, window, () => 0)[0], 8) };
      },
      options: { ...window },
    })),
  ),
  run: ({ gy, x }, options) => {
    const { attributes } = poolWindow('spikeMaxPool2dGrad', x!, options as unknown as PoolOptions);
    return [spikeGradient.run({ gy, x }, attributes, { types: { gx: gy!.dtype as RealType } }).gx];
  },
  twin: (inputs, options) => {
    const { x, gy } = inputs;
    const gx = new Float64Array(x!.data.length);
    let window = 0;
    windows(inputs, options as unknown as PoolOptions, (pixels) => {
      const inside = pixels.filter((at) => at >= 0);
      gx[inside.find((at) => x!.data[at] === 1) ?? inside[0]!]! += gy!.data[window++]!;
      return 0;
    });
    return [host(x!.shape, gx)];
  },
  gradients: [],
};

export const global: OpTable = {
  name: 'globalAvgPool',
  natives: ['globalAvgPool', 'globalAvgPoolGrad'],
  cases: [
    ...(
      [
        [1, 1, 1, 1, 1],
        [2, 3, 5, 7, 3],
        [1, 2, 33, 3, 5],
        [3, 1, 64, 1, 2],
      ] as Axes[]
    ).map((shape) => ({
      name: `[${shape}]`,
      inputs: () => ({ x: noise(shape) }),
    })),
    ...fired.map(([name, shape, rate]) => ({
      name: `spikes, ${name}`,
      inputs: () => ({ x: spikes(shape, rate) }),
      options: { real: 'f64' },
    })),
    { name: 'spikes, f32 by default', inputs: () => ({ x: spikes([1, 2, 33, 2, 4], 0.4) }) },
  ],
  run: ({ x }, options) => [globalAvgPool(x!, options)],
  twin: ({ x }) => {
    const [T, B, C, H, W] = x!.shape as Axes;
    const area = H * W;
    const y = Array.from(
      { length: T * B * C },
      (_, i) => x!.data.subarray(i * area, (i + 1) * area).reduce((a, b) => a + b, 0) / area,
    );
    return [host([T, B, C], y)];
  },
  gradients: ['x'],
};
