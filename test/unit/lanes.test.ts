// Calls whose results are needed much later run on a second lane of the device, beside those behind them: to the bits
// of the calls one by one, whatever memory is used again meanwhile.
import { rmSync } from 'node:fs';
import { expect } from 'chai';
import { buildBackend, buildFolder, compiler, inNode } from '../support/own-build.ts';

describe('a device with two lanes', () => {
  let folder = '';
  beforeEach(function () {
    if (!compiler()) this.skip();
    folder = buildFolder();
  });
  afterEach(() => folder && rmSync(folder, { recursive: true, force: true }));

  // What a step gives in 5 replays: the first runs call by call, the second is noted.
  const SETUP = `
    const cuda = device('cuda');
    const x = tensor([1, -2], { device: cuda });
    const y = tensor([3, 5], { device: cuda });
    const waits = () => cuda.memory().freeBytes;
    const ahead = () => cuda.memory().totalBytes;
    const aside = () => cuda.stats().callsAside;
    const chain = (from, length) => { let z = from; for (let i = 0; i < length; i++) z = add(z, x); return z; };
    const replayed = async (step) => {
      const found = [];
      for (let i = 1; i <= 5; i++) {
        x.set(Float32Array.of(i, -i));
        step.replay();
        found.push([...(await step.result.array())]);
      }
      return found;
    };`;
  const run = (code: string) => inNode(folder, `${SETUP}\n${code}`);

  it('runs aside what is needed late, with one wait for what it reads and one for its result', async () => {
    buildBackend(folder, 'backend-lanes.cpp');
    const found = await run(`
      const step = recordStep(cuda, () => { const z = chain(y, 2); const late = relu(z); return add(chain(z, 12), late); });
      answer([await replayed(step), waits(), aside(), cuda.stats().captureProblem]);`);
    // y + 2 x + 12 x + relu(y + 2 x), with x = (i, -i)
    const expected = [1, 2, 3, 4, 5].map((i) => [3 + 14 * i + 3 + 2 * i, 5 - 14 * i + Math.max(0, 5 - 2 * i)]);
    expect(found).to.deep.equal([expected, 2, 4, '']);
  });

  it('keeps what is read aside where that takes no more memory, and else waits before it is overwritten', async () => {
    buildBackend(folder, 'backend-lanes.cpp');
    const found = await run(`
      const found = [];
      for (const early of [1, 3]) {
        const step = recordStep(cuda, () => {
          const sums = Array.from({ length: early }, () => add(y, y));
          const z = sums.reduce((a, b) => add(a, b));
          const late = relu(z);
          return add(chain(z, 20), late);
        });
        await replayed(step);
        found.push([step.workspaceBytes, ahead()]);
      }
      answer(found);`);
    // Blocks for z, for its relu and for the chain, whose second sum overwrites z. The three sums in front need a fourth
    // block: z has that to itself during 8 calls.
    expect(found).to.deep.equal([
      [768, 1 + 1],
      [1024, 5 + 9],
    ]);
  });

  it('leaves alone what is needed soon, what lives on, and what the next part needs', async () => {
    buildBackend(folder, 'backend-lanes.cpp');
    const found = await run(`
      const soon = recordStep(cuda, () => { const late = relu(y); return add(chain(y, 7), late); });
      const kept = recordStep(cuda, () => { const late = relu(y); chain(y, 12); return late; });
      const cutOff = recordStep(cuda, (cut) => { const late = relu(y); const z = chain(y, 12); cut(); return add(z, late); });
      for (const step of [soon, kept, cutOff]) await replayed(step);
      answer([waits(), aside()]);`);
    expect(found).to.deep.equal([0, 0]);
  });

  it('begins a part with a call aside, and hands its result to the next', async () => {
    buildBackend(folder, 'backend-lanes.cpp');
    const found = await run(`
      const step = recordStep(cuda, (cut) => {
        const z = chain(y, 3);
        cut();
        const late = relu(z);
        const w = chain(z, 12);
        const unread = add(late, w);
        cut();
        return add(chain(z, 9), late);
      });
      answer([await replayed(step), aside(), cuda.stats().captureProblem]);`);
    const expected = [1, 2, 3, 4, 5].map((i) => [3 + 12 * i + 3 + 3 * i, 5 - 12 * i + Math.max(0, 5 - 3 * i)]);
    expect(found).to.deep.equal([expected, 4, '']);
  });

  it('that cannot note the second lane has the step noted in one, and says why', async () => {
    buildBackend(folder, 'backend-lanes.cpp', ['-DTEST_NARROW=true']);
    const found = await run(`
      const step = recordStep(cuda, () => { const late = relu(y); return add(chain(y, 12), late); });
      const results = await replayed(step);
      answer([results[4], cuda.stats().capturesRun, aside(), cuda.stats().captureProblem]);`);
    // of 5 replays the first one sizes memory, the second one meets the refusal
    expect(found).to.deep.equal([[3 + 60 + 3, 5 - 60 + 5], 3, 0, 'relu: there is one lane']);
  });

  it('makes at the begin what needs nothing of the part, unless that is large', async () => {
    buildBackend(folder, 'backend-lanes.cpp');
    const found = await run(`
      const small = recordStep(cuda, () => { const z = chain(y, 12); return add(z, relu(y)); });
      const results = [await replayed(small), aside()];
      const many = tensor(new Float32Array(2 ** 17), { device: cuda });
      const large = recordStep(cuda, () => { const z = chain(y, 12); relu(many); return relu(z); });
      await replayed(large);
      const after = recordStep(cuda, () => { const z = chain(y, 12); return add(z, relu(z)); });
      answer([...results, await replayed(after), aside()]);`);
    const of = (late: (i: number) => [number, number]) =>
      [1, 2, 3, 4, 5].map((i) => [3 + 12 * i + late(i)[0], 5 - 12 * i + late(i)[1]]);
    expect(found).to.deep.equal([of(() => [3, 5]), 4, of((i) => [3 + 12 * i, Math.max(0, 5 - 12 * i)]), 4]);
  });

  // Sums and rectifications of what came before: mostly of what was made last, at times of what was made long ago.
  const RANDOM = `
    const body = (seed) => (cut) => {
      let state = seed;
      const draw = (below) => ((state = (state * 1103515245 + 12345) % 2147483648), Math.floor((state / 2147483648) * below));
      const made = [x, y];
      const pick = () => made[draw(3) === 0 ? draw(made.length) : made.length - 1 - draw(2)];
      for (let i = 0; i < 120; i++) {
        made.push(draw(3) === 0 ? relu(pick()) : add(pick(), pick()));
        if (i % 60 === 59) cut?.();
      }
      return add(made.at(-1), made.at(-2));
    };
    const same = [];
    for (let seed = 1; seed <= 60; seed++) {
      const step = recordStep(cuda, body(seed));
      const found = await replayed(step);
      step.dispose();
      const expected = [];
      for (let i = 1; i <= 5; i++) {
        x.set(Float32Array.of(i, -i));
        expected.push([...(await scope(() => body(seed)()).array())]);
      }
      same.push(JSON.stringify(found) === JSON.stringify(expected));
    }`;

  it('gives the bits of the calls one by one, for any program', async () => {
    buildBackend(folder, 'backend-lanes.cpp');
    const found = await run(
      `${RANDOM}\nanswer([same.filter((s) => !s).length, aside() > 800, cuda.stats().captureProblem]);`,
    );
    expect(found).to.deep.equal([0, true, '']);
  });

  it('that heard no waits would be found out', async () => {
    buildBackend(folder, 'backend-lanes.cpp', ['-DTEST_DEAF=true']);
    expect(await run(`${RANDOM}\nanswer(same.filter((s) => !s).length > 20);`)).to.equal(true);
  });
});
