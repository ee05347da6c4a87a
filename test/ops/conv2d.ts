import { conv2d, convolvedSize, coveredSize, type Pair, pair } from '../../lib/ops/conv2d.ts';
import { type HostInputs, host, noise, type OpCase, type OpTable, spikes } from '../support/op-table.ts';

interface Options {
  stride?: Pair;
  padding?: Pair;
  groups?: number;
  dilation?: Pair;
}

export function convolved({ x, w, bias }: HostInputs, options: Options) {
  const [sh, sw] = pair(options.stride ?? 1);
  const [ph, pw] = pair(options.padding ?? 0);
  const [dh, dw] = pair(options.dilation ?? 1);
  const [C, H, W] = x!.shape.slice(-3) as [number, number, number];
  const [O, inputs, kh, kw] = w!.shape as [number, number, number, number];
  const outputs = O / (options.groups ?? 1);
  const P = convolvedSize(H, coveredSize(kh, dh), sh, ph);
  const Q = convolvedSize(W, coveredSize(kw, dw), sw, pw);
  const lead = x!.shape.slice(0, -3);
  const N = lead.reduce((n, d) => n * d, 1);
  const y = host([...lead, O, P, Q], new Float64Array(N * O * P * Q));
  for (let n = 0; n < N; n++) {
    for (let o = 0; o < O; o++) {
      const plane = y.data.subarray((n * O + o) * P * Q, (n * O + o + 1) * P * Q).fill(bias ? bias.data[o]! : 0);
      for (let k = 0; k < inputs; k++) {
        const c = Math.floor(o / outputs) * inputs + k;
        const source = x!.data.subarray((n * C + c) * H * W, (n * C + c + 1) * H * W);
        for (let i = 0; i < kh; i++) {
          for (let j = 0; j < kw; j++) {
            // the outputs whose column q * sw + j * dw - pw lies inside
            const column = j * dw - pw;
            const first = Math.max(0, Math.ceil(-column / sw));
            const end = Math.min(Q, Math.floor((W - 1 - column) / sw) + 1);
            const weight = w!.data[((o * inputs + k) * kh + i) * kw + j]!;
            for (let p = 0; p < P; p++) {
              const h = p * sh + i * dh - ph;
              if (h < 0 || h >= H) continue;
              for (let q = first; q < end; q++) plane[p * Q + q]! += weight * source[h * W + q * sw + column]!;
            }
          }
        }
      }
    }
  }
  return [y];
}

export function item(
  name: string,
  x: number[],
  w: number[],
  options: Options = {},
  rate?: number,
  bias = false,
): OpCase {
  return {
    name,
    options: { ...options },
    inputs: () => ({
      x: rate === undefined ? noise(x, 3) : spikes(x, rate, 3),
      w: noise(w, 5),
      ...(bias ? { bias: noise([w[0]!], 7) } : {}),
    }),
  };
}

const same = { padding: 1 };

// Channels that tensor cores take, at pixels that fill none of their tiles: 8 at a time, blocks of 32, more outputs
// than one block.
const tensorCores = [
  item('spikes, 64 to 72 channels', [1, 3, 64, 5, 3], [72, 64, 3, 3], same, 0.3, true),
  item('spikes, 96 to 64 channels, stride 2', [1, 2, 96, 5, 7], [64, 96, 3, 3], { stride: 2, padding: 1 }, 0.2),
  item('spikes, 40 to 136 channels, 1x1', [3, 40, 7, 7], [136, 40, 1, 1], {}, 0.4),
  item('real, 24 to 40 channels', [3, 24, 7, 5], [40, 24, 3, 3], same),
  item('real, 32 to 72 channels, 1x1 stride 2', [3, 32, 7, 5], [72, 32, 1, 1], { stride: 2 }),
  item('real, 16 to 16 channels, uneven stride', [2, 16, 9, 11], [16, 16, 2, 3], { stride: [3, 2], padding: [0, 2] }),
];

// Enough images and channels for a matrix unit, at sizes that fill none of its tiles.
const manyImages = [
  item('35 images, spikes, 40 to 50 channels', [5, 7, 40, 3, 5], [50, 40, 3, 3], same, 0.3),
  item('35 images, real, 40 to 50 channels', [5, 7, 40, 3, 5], [50, 40, 3, 3], same, undefined, true),
  item('33 images, spikes, stride 2', [3, 11, 64, 5, 6], [33, 64, 3, 3], { stride: 2, padding: 1 }, 0.3),
  item('33 images, real, stride 2', [3, 11, 33, 5, 6], [64, 33, 3, 3], { stride: 2, padding: 1 }),
  item('5 images of 9x7, 36 to 40 channels', [5, 36, 9, 7], [40, 36, 3, 3], same, 0.3),
  item('4 images of 6x4, real, 33 to 70 channels', [4, 33, 6, 4], [70, 33, 3, 3], same),
  item('4 images of 2x2, spikes', [4, 65, 2, 2], [96, 65, 3, 3], same, 0.5),
  item('20 images of 2x2, real, 40 to 70 channels', [4, 5, 40, 2, 2], [70, 40, 3, 3], same),
  item('5 images, 1x1 stride 2', [5, 32, 5, 3], [31, 32, 1, 1], { stride: 2 }, 0.2),
  item('5 images, uneven stride and padding', [5, 17, 7, 9], [16, 17, 2, 3], { stride: [3, 2], padding: [0, 2] }, 0.4),
  item('6 images, stride over the kernel', [6, 16, 7, 7], [19, 16, 2, 2], { stride: 3 }),
  item('a stride far beyond the picture', [2, 4, 2, 3], [3, 4, 1, 1], { stride: 100_000 }),
  item('one channel with a bias, weights in fours', [3, 4, 5, 6], [1, 4, 2, 2], {}, undefined, true),
  item('few channels, 5x5', [2, 3, 12, 8, 9], [64, 12, 5, 5], {}, 0.3, true),
  item('few channels, 5x5, stride 2', [5, 12, 9, 10], [9, 12, 5, 5], { stride: 2, padding: 2 }),
  item('few channels, wide kernel, stride over it', [4, 31, 3, 23], [8, 31, 2, 7], { stride: [3, 8], padding: [1, 3] }),
  item('4 wide images, several windows', [4, 16, 2, 500], [16, 16, 3, 3], same, 0.3),
  item(
    '66 images, spikes, 33 to 36 channels',
    [2, 33, 33, 3, 2],
    [36, 33, 2, 3],
    { stride: [2, 1], padding: [0, 2] },
    0.3,
    true,
  ),
  item('17 wide images, spikes, 21 to 17 channels', [17, 21, 1, 41], [17, 21, 1, 3], { padding: [0, 1] }, 0.6),
  item('8 images, spikes, several slices of pixels', [8, 20, 12, 12], [9, 20, 3, 3], same, 0.3),
  item('4 wide images of 3 channels', [4, 3, 2, 301], [20, 3, 3, 3], same),
  item('35 images, 3 to 20 channels, 7x7 stride 2', [5, 7, 3, 9, 11], [20, 3, 7, 7], { stride: 2, padding: 3 }),
  item('6 images, 5 to 9 channels, uneven stride', [6, 5, 7, 9], [9, 5, 2, 3], { stride: [3, 2], padding: [0, 4] }),
  item('35 images, spikes, 70 to 10 channels', [35, 70, 2, 2], [10, 70, 2, 2], same, 0.4),
];

export const table: OpTable = {
  name: 'conv2d',
  natives: ['conv2d', 'conv2dGradX', 'conv2dGradW'],
  cases: [
    item('1x1, one channel', [1, 1, 1, 3, 3], [1, 1, 1, 1]),
    item('3x3 stem', [2, 2, 3, 9, 7], [16, 3, 3, 3], same, undefined, true),
    item('3x3, 31 to 33 channels', [1, 2, 31, 5, 4], [33, 31, 3, 3], same),
    item('3x3, 64 to 64', [1, 1, 64, 4, 4], [64, 64, 3, 3], same),
    item('3x3 stride 2', [2, 1, 5, 8, 9], [6, 5, 3, 3], { stride: 2, padding: 1 }),
    item('1x1 stride 2 (a shortcut)', [1, 2, 33, 5, 5], [17, 33, 1, 1], { stride: 2 }),
    item('7x7 stride 2', [1, 1, 2, 11, 13], [4, 2, 7, 7], { stride: 2, padding: 3 }),
    item('7x7, one to 49 channels', [2, 1, 7, 8], [49, 1, 7, 7], { padding: 3 }),
    item('7x7, 49 channels to one', [2, 49, 7, 5], [1, 49, 7, 7], { padding: 3 }),
    item('7x7, 49 channels to three', [1, 49, 5, 5], [3, 49, 7, 7], { padding: 3 }, undefined, true),
    item('2x3 kernel, uneven stride and padding', [1, 1, 4, 7, 9], [5, 4, 2, 3], { stride: [3, 2], padding: [0, 2] }),
    item('stride over the kernel', [1, 1, 3, 7, 7], [2, 3, 2, 2], { stride: 3 }),
    item('kernel larger than the picture', [1, 1, 2, 2, 2], [3, 2, 5, 5], { padding: 2 }),
    item('many small pictures', [3, 50, 8, 2, 2], [9, 8, 3, 3], same),
    item('several units of rows', [1, 1, 2, 40, 17], [3, 2, 3, 3], same),
    ...[1, 31, 32, 33, 64].map((c) => item(`spikes, ${c} channels`, [2, 1, c, 5, 4], [10, c, 3, 3], same, 0.3)),
    item('spikes, 65 channels, stride 2', [1, 2, 65, 5, 5], [34, 65, 3, 3], { stride: 2, padding: 1 }, 0.2),
    ...manyImages,
    ...tensorCores,
    item('silent', [1, 1, 33, 4, 4], [5, 33, 3, 3], same, 0),
    item('all firing', [1, 1, 33, 4, 4], [5, 33, 3, 3], same, 1, true),
  ],
  run: ({ x, w, bias }, options) => [conv2d(x!, w!, { ...options, bias })],
  twin: convolved,
  gradients: ['x', 'w', 'bias'],
};
