import { nativeOp, type RealType } from '../../lib/core/index.ts';
import { spikeCount } from '../../lib/ops/spike-count.ts';
import { bytesToReal, inReal, toReal } from '../../lib/ops/to-real.ts';
import { rounded } from '../support/bf16.ts';
import { type HostTensor, host, noise, type OpCase, type OpTable, spikes } from '../support/op-table.ts';

const channelCounts = [1, 31, 32, 33, 64];
const cases: OpCase[] = [
  { name: '[1]', inputs: () => ({ x: spikes([1], 1) }) },
  { name: '[3,70]', inputs: () => ({ x: spikes([3, 70], 0.5) }) },
  ...channelCounts.map((c) => ({ name: `${c} channels`, inputs: () => ({ x: spikes([2, 1, c, 3, 5], 0.4) }) })),
  { name: 'silent', inputs: () => ({ x: spikes([1, 2, 33, 3, 5], 0) }) },
  { name: 'all firing', inputs: () => ({ x: spikes([1, 2, 33, 3, 5], 1) }) },
  { name: 'several tasks', inputs: () => ({ x: spikes([1, 1, 33, 23, 23], 0.3) }) },
];

export const table: OpTable = {
  name: 'toReal',
  natives: ['toReal'],
  cases,
  run: ({ x }) => [toReal(x!)],
  twin: ({ x }) => [host(x!.shape, x!.data)],
};

const toBf16 = nativeOp<'y'>('toBf16');

export const toAndFro: OpTable = {
  name: 'toBf16',
  natives: ['toBf16'],
  cases: [[1], [7], [8], [3, 70], [2, 1, 33, 3, 5], [1, 1, 33, 23, 23]].map((shape) => ({
    name: `[${shape}]`,
    inputs: () => ({ x: { ...noise(shape), kind: 'f32' } }),
  })),
  run: ({ x }) => [toReal(toBf16.run({ x }).y)],
  twin: ({ x }) => [{ ...rounded(x!), kind: 'real' }],
};

export const counted: OpTable = {
  name: 'spikeCount',
  natives: ['spikeCount'],
  cases: [...cases, { name: 'counted in parts', inputs: () => ({ x: spikes([2, 70000, 1], 0.3) }) }],
  run: ({ x }) => [spikeCount(x!)],
  twin: ({ x }) => [host([1], [x!.data.reduce((n, s) => n + s, 0)])],
};

/** Numbers that f32 holds as they are. */
const short = (shape: number[]): HostTensor => {
  const { data, ...rest } = noise(shape);
  return { ...rest, data: Float64Array.from(Float32Array.from(data)) };
};

export const converted: OpTable = {
  name: 'convert',
  natives: ['convert'],
  cases: [[1], [7], [3, 70], [2, 1, 33, 3, 5], [1, 1, 33, 23, 23]].map((shape) => ({
    name: `[${shape}]`,
    inputs: () => ({ x: short(shape) }),
  })),
  run: ({ x }) => [inReal(inReal(x!, x!.dtype === 'f64' ? 'f32' : 'f64'), x!.dtype as RealType)],
  twin: ({ x }) => [x!],
};

const bytes = (shape: number[]): HostTensor => {
  const data = noise(shape).data.map((value) => Math.floor(Math.abs(value) * 997) % 256);
  return { shape, data: Float64Array.of(255, 0, ...data).subarray(0, data.length), kind: 'u8' };
};

export const fromBytes: OpTable = {
  name: 'bytesToReal',
  natives: ['bytesToReal'],
  cases: [
    ...[[1], [8], [3, 5], [4, 2, 2, 7, 9], [1, 1, 33, 3, 5], [2, 3, 2, 60, 61]].map((shape, i) => ({
      name: `[${shape}]`,
      inputs: () => ({ x: bytes(shape) }),
      options: { unit: [1, 0.25, 0.5, -2][i % 4] },
    })),
  ],
  run: ({ x }, options) => [bytesToReal(x!, options), bytesToReal(x!, { ...options, real: 'f64' })],
  twin({ x }, { unit }) {
    const y = host(
      x!.shape,
      x!.data.map((value) => value * (unit as number)),
    );
    return [y, y];
  },
};
