// What fails and when is in test/unit/bad-data.test.ts; here: finite numbers pass and stay as they are.
import { needFinite } from '../../lib/ops/need-finite.ts';
import { host, noise, type OpTable } from '../support/op-table.ts';

export const needFiniteTable: OpTable = {
  name: 'needFinite',
  natives: ['needFinite'],
  cases: [
    { name: 'one', inputs: () => ({ x: host([1], [-0.25]) }) },
    { name: 'none to speak of, and large', inputs: () => ({ x: host([3], [0, 3e38, -3e38]) }) },
    { name: 'many', inputs: () => ({ x: noise([5, 67]) }) },
    { name: 'nothing found so far', inputs: () => ({ x: noise([300]), found: host([1], [0]) }) },
  ],
  run({ x, found }) {
    needFinite(x!, found);
    return found ? [x!, found] : [x!];
  },
  twin: ({ x, found }) => (found ? [x!, found] : [x!]),
};
