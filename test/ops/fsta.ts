// FSTA as a whole against its published, expanded form in naive loops, and each of its native ops by itself.
import type { Tensor } from '../../lib/core/index.ts';
import { dctBasis } from '../../lib/ops/dct.ts';
import { type FstaParams, fsta, fstaGate, fstaStats, fstaSteps } from '../../lib/ops/fsta.ts';
import { correlate } from '../support/correlate.ts';
import { type HostInputs, type HostTensor, host, noise, type OpTable } from '../support/op-table.ts';

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));
const sizesOf = (x: HostTensor) => x.shape as [number, number, number, number, number];

interface Seen {
  mean: HostTensor;
  peak: HostTensor;
  plane: HostTensor;
  argmax: HostTensor;
}

function statsTwin(x: HostTensor): Seen {
  const [T, B, C, H, W] = sizesOf(x);
  const seen = {
    mean: host([T, B], new Float64Array(T * B)),
    peak: host([T, B], new Float64Array(T * B)),
    plane: host([T, B, 1, H, W], new Float64Array(T * B * H * W)),
    argmax: host([T, B, C], new Float64Array(T * B * C), 'i32'),
  };
  for (let tb = 0; tb < T * B; tb++)
    for (let c = 0; c < C; c++) {
      const pixels = x.data.subarray((tb * C + c) * H * W, (tb * C + c + 1) * H * W);
      const top = Math.max(...pixels);
      seen.peak.data[tb]! += top / C;
      seen.argmax.data[tb * C + c] = pixels.indexOf(top);
      pixels.forEach((v, p) => {
        seen.mean.data[tb]! += v / (C * H * W);
        seen.plane.data[tb * H * W + p]! += v;
      });
    }
  return seen;
}

/** a[t,b] as published: the linear layer over time for every channel, then the mean over the channels. */
function timeGateTwin(x: HostTensor, i: HostInputs): Float64Array {
  const [T, B, C, H, W] = sizesOf(x);
  const z = (t: number, b: number, c: number) => {
    const pixels = x.data.subarray(((t * B + b) * C + c) * H * W, ((t * B + b) * C + c + 1) * H * W);
    return i.alpha!.data[0]! * (pixels.reduce((s, v) => s + v, 0) / (H * W)) + i.beta!.data[0]! * Math.max(...pixels);
  };
  const a = new Float64Array(T * B);
  for (let t = 0; t < T; t++)
    for (let b = 0; b < B; b++) {
      let sum = 0;
      for (let c = 0; c < C; c++) for (let s = 0; s < T; s++) sum += (i.time!.data[t * T + s]! * z(s, b, c)) / C;
      a[t * B + b] = sigmoid(sum);
    }
  return a;
}

/** The expanded definition: filters repeated over all channels, gates over the whole tensor. */
export function fstaTwin(i: HostInputs): HostTensor {
  const x = i.x!;
  const [T, B, C, H, W] = sizesOf(x);
  const a = timeGateTwin(x, i);
  const P = H * W;
  const inTime = x.data.map((v, k) => v * (1 + a[Math.floor(k / (C * P))]!));
  const meanOverTime = host([B, C, H, W], new Float64Array(B * C * P));
  inTime.forEach((v, k) => {
    meanOverTime.data[k % (B * C * P)]! += v / T;
  });
  const [F, , size] = i.basis!.shape as [number, number, number];
  const repeated = host([F, C, size, size], new Float64Array(F * C * size * size));
  repeated.data.forEach((_, k) => {
    repeated.data[k] = i.basis!.data[Math.floor(k / (C * size * size)) * size * size + (k % (size * size))]!;
  });
  let maps = correlate(correlate(meanOverTime, repeated), i.freq1!);
  if (i.freq2)
    maps = correlate(
      host(
        maps.shape,
        maps.data.map((v) => Math.max(v, 0)),
      ),
      i.freq2,
    );
  const y = inTime.map((v, k) => {
    const b = Math.floor(k / (C * P)) % B;
    const inSpace = v + v * sigmoid(maps.data[b * P + (k % P)]!);
    return (v * i.m!.data[0]! + inSpace * i.n!.data[0]!) / 2;
  });
  return host(x.shape, y);
}

const number = (value: number): HostTensor => host([1], [value]);

function basisTensor(size: number, filters: readonly number[] | 'all'): HostTensor {
  const data = dctBasis(size, filters);
  return host([data.length / size ** 2, 1, size, size], data);
}

/** Inputs of FSTA on x [T,B,C,H,W]; hidden 0: one learned convolution. */
function inputs(
  shape: number[],
  { size = 3, filters = 'all' as readonly number[] | 'all', hidden = 0 } = {},
): HostInputs {
  const [T] = shape as [number];
  const basis = basisTensor(size, filters);
  const F = basis.shape[0]!;
  const made: HostInputs = {
    x: noise(shape, 3),
    alpha: number(0.55),
    beta: number(0.4),
    m: number(0.65),
    n: number(0.45),
    time: noise([T, T], 5, 0.5),
    freq1: noise([hidden || 1, F, 7, 7], 7, 0.08),
    basis,
  };
  if (hidden) made.freq2 = noise([1, hidden, 7, 7], 9, 0.08);
  return made;
}

export const whole: OpTable = {
  name: 'fsta',
  natives: [],
  cases: [
    { name: 'T 1, one channel, 3x3', inputs: () => inputs([1, 1, 1, 3, 3]) },
    { name: '[3,2,5,5,7]', inputs: () => inputs([3, 2, 5, 5, 7]) },
    { name: '31 channels, one row', inputs: () => inputs([2, 1, 31, 1, 5]) },
    { name: '32 channels, two hidden maps', inputs: () => inputs([2, 2, 32, 3, 2], { hidden: 2 }) },
    { name: '33 channels, one filter of 7x7', inputs: () => inputs([2, 1, 33, 5, 3], { size: 7, filters: [8] }) },
    {
      name: 'three filters of 7x7 out of order',
      inputs: () => inputs([1, 3, 2, 4, 9], { size: 7, filters: [30, 1, 7] }),
    },
  ],
  run: ({ x, basis, ...params }) => [fsta(x!, params as unknown as FstaParams, { basis: basis! })],
  twin: (made) => [fstaTwin(made)],
  gradients: ['x', 'alpha', 'beta', 'm', 'n', 'time', 'freq1', 'freq2'],
};

const shapes: readonly number[][] = [
  [1, 1, 1, 1, 1],
  [3, 2, 5, 5, 7],
  [1, 2, 31, 3, 1],
  [2, 1, 32, 1, 4],
  [2, 3, 33, 3, 5],
];
const named = (shape: readonly number[]) => `[${shape.join(',')}]`;

/** Of the outputs of one op, each gets its own case: a table walks back from one output at a time. */
export const stats: OpTable = {
  name: 'fstaStats',
  natives: ['fstaStats', 'fstaStatsGrad'],
  cases: shapes.flatMap((shape) =>
    ['mean', 'peak', 'plane'].map((output) => ({
      name: `${named(shape)} ${output}`,
      inputs: () => ({ x: noise(shape, 4) }),
      options: { output },
    })),
  ),
  run: ({ x }, { output }) => {
    const seen = fstaStats(x!);
    return [seen[output as 'mean'], seen.argmax];
  },
  twin: ({ x }, { output }) => {
    const seen = statsTwin(x!);
    return [seen[output as 'mean'], seen.argmax];
  },
  gradients: ['x'],
};

const stepped = (shape: readonly number[]): HostTensor => {
  const x = noise(shape, 6, 2);
  return host(shape, x.data.map(Math.round));
};

/**
 * Few different numbers, so that most maxima are shared: the first one, row by row, is the one. No finite differences
 * here.
 */
export const ties: OpTable = {
  name: 'fstaStats with ties',
  natives: [],
  cases: [
    ...shapes.map((shape) => ({ name: named(shape), inputs: () => ({ x: stepped(shape) }) })),
    { name: 'all equal', inputs: () => ({ x: host([1, 2, 33, 3, 3], new Float64Array(2 * 33 * 9).fill(-0.5)) }) },
    {
      name: 'zeros of both signs',
      inputs: () => ({
        x: host(
          [1, 1, 17, 1, 3],
          Float64Array.from({ length: 51 }, (_, k) => (k % 2 ? 0 : -0)),
        ),
      }),
    },
  ],
  run: ({ x }) => Object.values(fstaStats(x!)) as Tensor[],
  twin: ({ x }) => Object.values(statsTwin(x!)),
};

/** One output at a time, so that the gradient of the other is absent, and both in one product. */
export const steps: OpTable = {
  name: 'fstaSteps',
  natives: ['fstaSteps', 'fstaStepsGrad'],
  cases: [
    [1, 1, 1, 1],
    [2, 3, 2, 2],
    [3, 2, 5, 7],
    [5, 1, 16, 17],
    [2, 33, 1, 33],
  ].flatMap(([T, B, H, W]) =>
    ['a', 'S', 'both'].map((output) => ({
      name: `${named([T!, B!, 1, H!, W!])} ${output}`,
      inputs: () => ({
        plane: noise([T!, B!, 1, H!, W!], 4),
        mean: noise([T!, B!], 1),
        peak: noise([T!, B!], 2),
        alpha: number(0.3),
        beta: number(0.8),
        weight: noise([T!, T!], 3),
      }),
      options: { output },
    })),
  ),
  run: ({ plane, mean, peak, alpha, beta, weight }, { output }) => {
    const made = fstaSteps(plane!, mean!, peak!, alpha!, beta!, weight!);
    return [output === 'both' ? fstaGate(plane!, made.a, made.S, alpha!, beta!) : made[output as 'a']];
  },
  twin: ({ plane, mean, peak, alpha, beta, weight }, { output }) => {
    const [T, B, , H, W] = sizesOf(plane!);
    const z = mean!.data.map((v, k) => alpha!.data[0]! * v + beta!.data[0]! * peak!.data[k]!);
    const sums = new Float64Array(T * B);
    for (let t = 0; t < T; t++)
      for (let b = 0; b < B; b++)
        for (let s = 0; s < T; s++) sums[t * B + b]! += weight!.data[t * T + s]! * z[s * B + b]!;
    const a = sums.map(sigmoid);
    const S = new Float64Array(B * H * W);
    plane!.data.forEach((v, k) => {
      S[k % S.length]! += (v * (1 + a[Math.floor(k / (H * W))]!)) / T;
    });
    if (output === 'a') return [host([T, B], a)];
    if (output === 'S') return [host([B, 1, H, W], S)];
    const [m, n] = [alpha!.data[0]!, beta!.data[0]!];
    const y = plane!.data.map(
      (v, k) => (v * (1 + a[Math.floor(k / (H * W))]!) * (m + n + n * sigmoid(S[k % S.length]!))) / 2,
    );
    return [host(plane!.shape, y)];
  },
  gradients: ['plane', 'mean', 'peak', 'alpha', 'beta', 'weight'],
};

export const gate: OpTable = {
  name: 'fstaGate',
  natives: ['fstaGate', 'fstaGateGrad'],
  cases: [...shapes, [2, 1, 3, 17, 16]].map((shape) => {
    const [T, B, , H, W] = shape as [number, number, number, number, number];
    return {
      name: named(shape),
      inputs: () => ({
        x: noise(shape, 1),
        a: noise([T, B], 2),
        F: noise([B, 1, H, W], 3, 3),
        m: number(0.6),
        n: number(0.5),
      }),
    };
  }),
  run: ({ x, a, F, m, n }) => [fstaGate(x!, a!, F!, m!, n!)],
  twin: ({ x, a, F, m, n }) => {
    const [, B, C, H, W] = sizesOf(x!);
    const P = H * W;
    const y = x!.data.map((v, k) => {
      const tb = Math.floor(k / (C * P));
      const G = sigmoid(F!.data[(tb % B) * P + (k % P)]!);
      return (v * (1 + a!.data[tb]!) * (m!.data[0]! + n!.data[0]! + n!.data[0]! * G)) / 2;
    });
    return [host(x!.shape, y)];
  },
  gradients: ['x', 'a', 'F', 'm', 'n'],
};
