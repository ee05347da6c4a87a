// A recording that is larger than the memory it may take.

import { spawnSync } from 'node:child_process';
import { truncateSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { DataError, readEvents } from '../../lib/data/index.ts';
import { testFolder } from '../support/image-sets.ts';

const HEAD = Buffer.concat([Buffer.from('% Data file containing CD events\n% Version 2\n'), Buffer.from([12, 8])]);

describe('recordings larger than memory', () => {
  const folder = testFolder();

  /** A DAT file of so many events, all at (0, 0) and time 0: a hole that takes no room on the disk. */
  function sparse(events: number): string {
    const file = folder.path(`${events}.dat`);
    writeFileSync(file, HEAD);
    truncateSync(file, HEAD.length + 8 * events);
    return file;
  }

  it('stream in blocks where memory is limited to less than the file has', function () {
    if (process.platform !== 'linux') return this.skip(); // ulimit -d counts memory there
    const events = 2 ** 26; // 512 MiB in the file, 832 MiB as arrays
    const child = fileURLToPath(new URL('../support/read-sparse.ts', import.meta.url));
    const limited = `ulimit -d ${640 * 1024}; exec "$0" "$@"`;
    const args = ['--max-old-space-size=64', '--import', 'tsx', child, sparse(events)];
    const { stdout, stderr, status } = spawnSync('sh', ['-c', limited, process.execPath, ...args], {
      encoding: 'utf8',
    });
    expect(status, stderr).to.equal(0);
    const { count, blocks, megabytes, whole } = JSON.parse(stdout);
    expect([count, blocks]).to.deep.equal([events, events / 2 ** 18]);
    expect(megabytes).to.be.below(500);
    expect(whole).to.match(/^DataError: .*more events than fit in memory; read it in parts with streamEvents\(\)/);
  });

  it('are refused where they are to be read whole', () => {
    expect(() => readEvents(sparse(2 ** 40))).to.throw(DataError, 'read it in parts with streamEvents()');
  });
});
