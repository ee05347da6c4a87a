// What scripts/gpu-check.sh takes for the names of the op tables.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { opTables } from '../support/op-tables.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));

describe('scripts/gpu-check.sh', () => {
  it('runs every table, those made by functions, too', async function () {
    if (process.platform === 'win32') this.skip();
    const line = /^ops\(\) \{.*\}$/m.exec(readFileSync(join(root, 'scripts/gpu-check.sh'), 'utf8'))![0];
    const work = mkdtempSync(join(tmpdir(), 'gpu-check-'));
    try {
      symlinkSync(root, join(work, 'tree'));
      const listed = execFileSync('sh', ['-c', `set -eu; work=$1\n${line}\nops`, 'sh', work], { encoding: 'utf8' });
      const words = listed.trim().split('\n');
      expect(words).to.include.members(['add', 'exp', 'sub', 'div', 'shift']);
      const patterns = words.map((word) => new RegExp(` ${word}\\b.* on cuda `)); // as mocha's -g takes them
      for (const { name } of await opTables())
        expect(
          patterns.filter((pattern) => pattern.test(`op tables on a GPU ${name} on cuda [1]: f64`)),
          name,
        ).to.have.length.above(0);
      expect(new Set(words).size).to.equal(words.length);
    } finally {
      rmSync(work, { recursive: true });
    }
  });
});
