// Runs every table of this folder, and refuses an op that no table covers. cuda.test.ts runs them on a GPU.

import { expect } from 'chai';
import { opTable } from '../../lib/core/index.ts';
import { describeOp } from '../support/op-table.ts';
import { opTables } from '../support/op-tables.ts';

const tables = await opTables();

describe('op tables', () => {
  for (const table of tables) describeOp(table);

  it('cover every op of the addon', () => {
    const covered = new Set(tables.flatMap((table) => table.natives));
    expect([...opTable().keys()].filter((name) => !covered.has(name))).to.deep.equal([]);
  });
});
