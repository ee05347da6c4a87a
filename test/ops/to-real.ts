import { spikeCount } from '../../lib/ops/spike-count.ts';
import { toReal } from '../../lib/ops/to-real.ts';
import { host, type OpCase, type OpTable, spikes } from '../support/op-table.ts';

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

export const counted: OpTable = {
  name: 'spikeCount',
  natives: ['spikeCount'],
  cases: [...cases, { name: 'counted in parts', inputs: () => ({ x: spikes([2, 70000, 1], 0.3) }) }],
  run: ({ x }) => [spikeCount(x!)],
  twin: ({ x }) => [host([1], [x!.data.reduce((n, s) => n + s, 0)])],
};
