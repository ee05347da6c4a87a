// Where the system gives no more memory, the call that wanted it is refused and the process goes on.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';

const program = fileURLToPath(new URL('../support/memory-limit.ts', import.meta.url));

/** How something ended in a process with so many MiB left; it has a tensor of 256 MiB and its numbers on the host. */
function endOf(what: string, mebibytes: number): string {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    ['--import', 'tsx', program, what, String(mebibytes)],
    {
      encoding: 'utf8',
    },
  );
  expect(status, stderr).to.equal(0);
  const { ended, alive } = JSON.parse(stdout) as { ended: string; alive: number[] };
  expect(alive, 'a small tensor made behind it').to.deep.equal([0, 0, 0]);
  return ended;
}

describe('a process without memory left', () => {
  before(function () {
    const has = process.platform === 'linux' && spawnSync('prlimit', ['--version']).status === 0;
    if (!has) this.skip();
  });

  for (const [what, mebibytes, message] of [
    ['write', 100, /^OutOfMemoryError: out of memory: the system has no more$/],
    [
      'write',
      300,
      /^OutOfMemoryError: out of memory: 268435456 bytes for a copy between the host and the device; make /,
    ],
    ['read', 100, /^OutOfMemoryError: out of memory: no room for an array of 67108864 elements of f32$/],
    [
      'read',
      300,
      /^OutOfMemoryError: out of memory: 268435456 bytes for a copy between the host and the device; make /,
    ],
    ['make', 100, /^OutOfMemoryError: out of memory: 268435456 bytes for one tensor, /],
    ['make', 300, /^OutOfMemoryError: out of memory: the system has no more$/],
    ['threads', 100, /^SpikeloomError: the system started \d+ of 256 threads \(.+\); set fewer$/],
  ] as const) {
    it(`${what}, ${mebibytes} MiB left`, () => expect(endOf(what, mebibytes)).to.match(message));
  }

  it('with enough of it all of that is done', () => {
    for (const what of ['write', 'read', 'make', 'threads']) expect(endOf(what, 4096), what).to.equal('done');
  });
});
