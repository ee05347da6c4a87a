import { sigmoid } from '../../lib/ops/sigmoid.ts';
import { host, noise, type OpTable } from '../support/op-table.ts';

export const table: OpTable = {
  name: 'sigmoid',
  natives: ['sigmoid', 'sigmoidGrad'],
  cases: [
    { name: '[1]', inputs: () => ({ x: noise([1]) }) },
    { name: '[3,2,33,5,7]', inputs: () => ({ x: noise([3, 2, 33, 5, 7]) }) },
    { name: 'more than one task', inputs: () => ({ x: noise([10000]) }) },
    { name: 'far from 0', inputs: () => ({ x: host([6], [-800, -90, -20, 20, 90, 800]) }) },
  ],
  run: ({ x }) => [sigmoid(x!)],
  twin: ({ x }) => [
    host(
      x!.shape,
      x!.data.map((v) => 1 / (1 + Math.exp(-v))),
    ),
  ],
  gradients: ['x'],
};
