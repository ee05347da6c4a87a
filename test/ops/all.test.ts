// Runs every table of this folder, and refuses an op that no table covers.

import { readdirSync } from 'node:fs';
import { expect } from 'chai';
import { opTable } from '../../lib/core/index.ts';
import { describeOp, type OpTable } from '../support/op-table.ts';

const files = readdirSync(new URL('.', import.meta.url)).filter(
  (file) => file.endsWith('.ts') && !file.endsWith('.test.ts'),
);
const tables: OpTable[] = [];
for (const file of files.sort()) {
  const module = (await import(new URL(file, import.meta.url).href)) as Record<string, unknown>;
  for (const value of Object.values(module)) {
    if (value !== null && typeof value === 'object' && 'natives' in value) tables.push(value as OpTable);
  }
}

describe('op tables', () => {
  for (const table of tables) describeOp(table);

  it('cover every op of the addon', () => {
    const covered = new Set(tables.flatMap((table) => table.natives));
    expect([...opTable().keys()].filter((name) => !covered.has(name))).to.deep.equal([]);
  });
});
