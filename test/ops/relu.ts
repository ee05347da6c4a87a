import { relu } from '../../lib/ops/relu.ts';
import { host, noise, type OpTable } from '../support/op-table.ts';

export const table: OpTable = {
  name: 'relu',
  natives: ['relu', 'reluGrad'],
  cases: [
    { name: '[1]', inputs: () => ({ x: noise([1]) }) },
    { name: '[3,2,33,5,7]', inputs: () => ({ x: noise([3, 2, 33, 5, 7]) }) },
    { name: 'more than one task', inputs: () => ({ x: noise([40000]) }) },
  ],
  run: ({ x }) => [relu(x!)],
  twin: ({ x }) => [
    host(
      x!.shape,
      x!.data.map((v) => Math.max(v, 0)),
    ),
  ],
  gradients: ['x'],
};
