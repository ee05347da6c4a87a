// What fails and when is in test/unit/labels.test.ts; here: finite numbers pass and stay as they are.
import { needFinite } from '../../lib/ops/need-finite.ts';
import { host, noise, type OpTable } from '../support/op-table.ts';

export const needFiniteTable: OpTable = {
  name: 'needFinite',
  natives: ['needFinite'],
  cases: [
    { name: 'one', inputs: () => ({ x: host([1], [-0.25]) }) },
    { name: 'none to speak of, and large', inputs: () => ({ x: host([3], [0, 3e38, -3e38]) }) },
    { name: 'many', inputs: () => ({ x: noise([5, 67]) }) },
  ],
  run({ x }) {
    needFinite(x!);
    return [x!];
  },
  twin: ({ x }) => [x!],
};
