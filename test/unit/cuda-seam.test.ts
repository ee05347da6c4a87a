// How the CUDA library is found, refused and asked. What needs a GPU is pending where there is none.

import { copyFileSync, existsSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { cudaBackend, device, noGrad, scope, type Tensor } from '../../lib/core/index.ts';
import { buildFolders, native } from '../../lib/core/native.ts';
import { fstaStats } from '../../lib/ops/fsta.ts';
import { lif } from '../../lib/ops/lif.ts';
import { difference, noise, toDevice, toHost } from '../support/op-table.ts';
import { buildBackend, buildFolder, compiler, inNode, CUDA_LIBRARY as library } from '../support/own-build.ts';

const built = buildFolders()
  .map((folder) => join(folder, library))
  .find((path) => existsSync(path));

interface Asked {
  score: number;
  reason: string;
  error: string;
}
const ask = (folder: string) =>
  inNode(folder, "answer({ ...cudaBackend(), error: await caught(() => device('cuda')) })") as Promise<Asked>;

/** The reason is what device('cuda') says, and the CPU works on. */
async function expectRefused(folder: string, reason: RegExp): Promise<void> {
  const asked = await ask(folder);
  expect(asked.score).to.equal(0);
  expect(asked.reason).to.match(reason);
  expect(asked.error).to.equal(`SpikeloomError: device 'cuda' cannot be used: ${asked.reason}`);
  const onCpu = await inNode(folder, 'cudaBackend(); answer([...await relu(tensor([-1, 2])).array()])');
  expect(onCpu).to.deep.equal([0, 2]);
}

describe('the CUDA library', () => {
  let folder = '';
  beforeEach(() => {
    folder = buildFolder();
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  it('absent: says where it was looked for and how to build it', () =>
    expectRefused(folder, /^libspikeloom_cuda\.so is not in .*spikeloom-cuda-.*'npm run build:cuda'/));

  it('not a library: says so', async () => {
    writeFileSync(
      join(folder, library),
      'this is no library, and long enough to hold a header that is wrong'.repeat(4),
    );
    await expectRefused(folder, /could not be loaded: .*invalid ELF header.*'npm run build:cuda' makes it again/);
  });

  it('empty: says so', async () => {
    writeFileSync(join(folder, library), '');
    await expectRefused(folder, /could not be loaded: .*file too short/);
  });

  for (const share of [0.1, 0.5, 0.99]) {
    it(`cut after ${100 * share} %: is not loaded`, async () => {
      const bytes = readFileSync(join(folder, 'spikeloom.node'));
      writeFileSync(join(folder, library), bytes.subarray(0, Math.floor(share * bytes.length)));
      await expectRefused(folder, /could not be loaded: .* is cut short/);
    });
  }

  it('a library of something else: says what it lacks', async () => {
    copyFileSync(join(folder, 'spikeloom.node'), join(folder, library));
    await expectRefused(folder, /is no Spikeloom backend: it does not export 'spikeloomBackend'/);
  });

  it('built, but cut in half: is not loaded', async function () {
    if (!built) this.skip();
    const bytes = readFileSync(built);
    writeFileSync(join(folder, library), bytes.subarray(0, bytes.length >> 1));
    await expectRefused(folder, /could not be loaded: .* is cut short/);
  });

  it('built: it runs here, or says why not', async function () {
    if (!built) this.skip();
    symlinkSync(built, join(folder, library));
    const asked = await ask(folder);
    if (asked.score > 0) expect(asked.error).to.equal('nothing was thrown');
    else
      await expectRefused(
        folder,
        /^(there is no NVIDIA driver|the NVIDIA driver|the GPUs could not|no GPU has) ?.*[;:] .+/,
      );
  });
});

describe('a backend library made for the test', () => {
  let folder = '';
  before(function () {
    if (!compiler()) this.skip();
  });
  beforeEach(() => {
    folder = buildFolder();
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  const build = (abi: number, score: number) =>
    buildBackend(folder, 'backend.cpp', [`-DTEST_ABI=${abi}`, `-DTEST_SCORE=${score}`]);

  it('of another contract version is refused with both numbers', async () => {
    build(native().abi + 1, 1);
    const { abi } = native();
    await expectRefused(
      folder,
      new RegExp(`version ${abi + 1} of the contract, this addon version ${abi}: build both from the same sources`),
    );
  });

  it('with score 0 is refused with its own reason', async () => {
    build(native().abi, 0);
    await expectRefused(folder, /^it is told not to$/);
  });

  it('that can run holds tensors; what it lacks is said', async () => {
    build(native().abi, 1);
    const results = await inNode(
      folder,
      `const cuda = device('cuda');
       const x = tensor([1, -2, 3, 4, 5, 6], { shape: [1, 3, 2, 1], device: cuda });
       answer([
         [...await x.array()],
         await caught(() => relu(x)),
         await caught(() => device('cuda:1')),
         device('cuda:0') === cuda,
         await caught(() => cuda.setThreads(2)),
       ]);`,
    );
    expect(results).to.deep.equal([
      [1, -2, 3, 4, 5, 6],
      "SpikeloomError: relu: no kernel for f32 on device 'test'",
      "SpikeloomError: device 'cuda:1' cannot be opened: there is no number 1 here",
      true,
      "SpikeloomError: threads belong to the device 'cpu'",
    ]);
  });

  it('is waited for by finish(), which reports what went wrong once', async () => {
    build(native().abi, 1);
    const results = await inNode(
      folder,
      `const cuda = device('cuda');
       const all = [];
       for (let i = 0; i < 4; i++) all.push(await caught(() => cuda.finish()));
       answer(all);`,
    );
    const fine = 'nothing was thrown';
    expect(results).to.deep.equal([fine, fine, 'SpikeloomError: the device fell silent', fine]);
  });
});

describe('kernels on a GPU', () => {
  before(function () {
    if (cudaBackend().score === 0) this.skip();
  });

  async function onBoth(body: (on: string) => Tensor[]): Promise<void> {
    const [cpu, gpu] = await Promise.all(
      ['cpu', 'cuda'].map(async (on) => {
        device(on);
        const outputs = noGrad(() => scope(() => body(on)));
        const read = await Promise.all(outputs.map(toHost));
        for (const t of outputs) t.dispose();
        return read;
      }),
    );
    cpu!.forEach((expected, i) => {
      const actual = gpu![i]!;
      expect(actual.shape).to.deep.equal(expected.shape);
      expect(difference(actual.data, expected.data), `output ${i}`).to.be.below(
        expected.kind === 'real' ? 1e-12 : 1e-300,
      );
    });
  }

  for (const shape of [
    [1, 1, 1, 1, 1],
    [3, 2, 33, 5, 7],
    [2, 2, 300, 3, 3],
  ]) {
    it(`lif and fstaStats equal the CPU, [${shape.join(',')}]`, () =>
      onBoth((on) => {
        const x = toDevice(noise(shape, 2), 'f64', on);
        return [lif(x), ...(Object.values(fstaStats(x)) as Tensor[])];
      }));
  }
});
