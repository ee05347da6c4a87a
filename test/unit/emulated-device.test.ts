// The emulated device as device('cuda'): how it is chosen, what it says of itself, what a tensor gets. Pending where it
// is not built.

import { existsSync } from 'node:fs';
import { expect } from 'chai';
import { buildFolders } from '../../lib/core/native.ts';
import { inNode } from '../support/own-build.ts';

const folder = buildFolders().find((path) => existsSync(`${path}libspikeloom_cuda_emulated.so`));

describe("device('cuda') with SPIKELOOM_CUDA=emulated", () => {
  before(function () {
    if (!folder) this.skip();
  });
  const run = (code: string, settings: Record<string, string> = {}) =>
    inNode(folder!, code, { SPIKELOOM_CUDA: 'emulated', ...settings });

  it('says plainly that it is emulated', async () => {
    const asked = (await run('answer(cudaBackend())')) as { score: number; description: string };
    expect(asked.score).to.be.above(0);
    expect(asked.description).to.match(/^cuda:0 emulated on the host, for tests, .* 1024 MiB$/);
  });

  it('any other value is an error that lists the values', async () => {
    const error = await run("answer(await caught(() => device('cuda')))", { SPIKELOOM_CUDA: 'emulate' });
    expect(error).to.equal(
      "SpikeloomError: device 'cuda' cannot be used: SPIKELOOM_CUDA is 'emulate': " +
        "it is 'emulated' (the host in place of a GPU, for tests) or not set",
    );
  });

  it('has as many devices as it is told, and each its own memory', async () => {
    const code = `
      const values = [];
      for (const name of ['cuda:0', 'cuda:1']) values.push([...await relu(tensor([-1, 2], { device: device(name) })).array()]);
      answer([values, await caught(() => device('cuda:2'))]);`;
    const [values, error] = (await run(code, { SPIKELOOM_EMULATED_DEVICES: '2' })) as [number[][], string];
    expect(values).to.deep.equal([
      [0, 2],
      [0, 2],
    ]);
    expect(error).to.include("there is no GPU 'cuda:2': this machine has 2, numbered from 0");
  });

  it('memory ends where it is told', async () => {
    const code = `
      const on = device('cuda');
      const fits = tensor(new Float32Array(2 ** 18), { shape: [2 ** 18], device: on });
      const error = await caught(() => tensor(new Float32Array(2 ** 18), { shape: [2 ** 18], device: on }));
      fits.dispose();
      const again = await caught(() => tensor(new Float32Array(2 ** 18), { shape: [2 ** 18], device: on }));
      answer([error, again]);`;
    const [error, again] = (await run(code, { SPIKELOOM_EMULATED_BYTES: String(2 ** 21 - 1) })) as [string, string];
    expect(error).to.match(/the GPU has \d of 1 MiB left: out of memory/);
    expect(again).to.equal('nothing was thrown');
  });

  it('a tensor has a block of its own size', async () => {
    const code = `
      const on = device('cuda');
      const before = on.stats().bytesInUse;
      const x = tensor(new Float32Array(35), { shape: [35], device: on });
      answer(on.stats().bytesInUse - before);`;
    expect(await run(code)).to.equal(35 * 4);
  });
});
