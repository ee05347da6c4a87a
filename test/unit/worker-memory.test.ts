// What a worker thread leaves behind when it ends.
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { expect } from 'chai';

const MIB = 2 ** 20;
const library = new URL('../../lib/index.ts', import.meta.url).href;
/** Keeps a tensor of 64 MiB until its thread ends. */
const code = `import('tsx/esm/api').then(async ({ register }) => {
  register();
  const { keep, zeros } = await import('${library}');
  globalThis.held = keep(zeros([16 * ${MIB}]));
  await globalThis.held.device.finish();
  process.exit();
})`;

describe('a worker thread with tensors', () => {
  it('gives their memory back when it ends', async () => {
    const run = async () => {
      const worker = new Worker(code, { eval: true });
      const [status] = await once(worker, 'exit');
      expect(status).to.equal(0);
    };
    await run();
    const before = process.memoryUsage().rss;
    for (let i = 0; i < 6; i++) await run();
    expect((process.memoryUsage().rss - before) / MIB).to.be.below(192);
  });
});
