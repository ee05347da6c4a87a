// What a device may offer beyond the least: recorded parts run as one, reads that are waited for later, a clock, and
// its own end. A library made for the test offers all of it.
import { rmSync } from 'node:fs';
import { expect } from 'chai';
import { buildBackend, buildFolder, compiler, inNode } from '../support/own-build.ts';

describe('a device that runs recorded parts as one', () => {
  let folder = '';
  before(function () {
    if (!compiler()) this.skip();
    folder = buildFolder();
    buildBackend(folder, 'backend-graphs.cpp');
  });
  after(() => folder && rmSync(folder, { recursive: true, force: true }));

  const run = (code: string) => inNode(folder, `const cuda = device('cuda');\n${code}`);
  const SETUP = `
    const x = tensor([1, -2], { device: cuda });
    const kept = () => 1000 - cuda.memory().freeBytes;
    const all = [];
    const note = async (step) => all.push([...(await step.result.array()), cuda.stats().capturesRun]);`;

  it('does so from the second replay on, with new numbers each time', async () => {
    const found = await run(`${SETUP}
      const step = recordStep(cuda, () => relu(add(x, x)));
      for (let i = 1; i <= 4; i++) { x.set(Float32Array.of(i, -i)); step.replay(); await note(step); }
      all.push(kept());
      step.dispose();
      await cuda.finish();
      all.push(kept());
      answer(all);`);
    expect(found).to.deep.equal([[2, 0, 0], [4, 0, 1], [6, 0, 2], [8, 0, 3], 1, 0]);
  });

  it('captures them again when the workspace or the memory of kernels has moved', async () => {
    const found = await run(`${SETUP}
      const step = recordStep(cuda, () => relu(add(x, add(x, x))));
      for (let i = 0; i < 2; i++) { step.replay(); await note(step); }
      const large = tensor(new Float32Array(5000).fill(1), { device: cuda });
      const other = recordStep(cuda, () => relu(add(large, add(large, large))));
      other.replay();
      step.replay(); await note(step);
      all.push(kept());
      add(tensor([100], { device: cuda }), tensor([1], { device: cuda }));
      step.replay(); await note(step);
      all.push(kept());
      answer(all);`);
    expect(found).to.deep.equal([[3, 0, 0], [3, 0, 1], [3, 0, 2], 1, [3, 0, 3], 1]);
  });

  it('runs call by call what cannot be noted, and says why', async () => {
    const found = await run(`${SETUP}
      const step = recordStep(cuda, () => add(x, mul(x, x)));
      for (let i = 0; i < 3; i++) { step.replay(); await note(step); }
      answer([...all, kept(), cuda.stats().captureProblem]);`);
    expect(found).to.deep.equal([[2, 2, 0], [2, 2, 0], [2, 2, 0], 0, 'mul: products are not noted']);
  });

  it('makes all of a step of which a part cannot be noted, as often as it is replayed', async () => {
    const found = await run(`${SETUP}
      const step = recordStep(cuda, (cut) => scope(() => {
        const y = add(x, x);
        cut();
        const z = add(y, x);
        const r = relu(mul(z, z));
        return add(add(r, r), add(r, r));
      }));
      const seen = [];
      for (let i = 0; i < 5; i++) { step.replay(); seen.push(Array.from(await step.result.array())); }
      answer([new Set(seen.map(String)).size, cuda.stats().captureProblem]);`);
    expect(found).to.deep.equal([1, 'mul: products are not noted']);
  });

  it('times calls by its own clock', async () => {
    const found = await run(`${SETUP}
      const step = recordStep(cuda, (cut) => { const y = add(x, x); cut(); return relu(add(y, x)); });
      answer([...await step.replayTimed()]);`);
    expect(found).to.deep.equal([1, 1, 1]);
  });

  it('answers reads in their order, small and large, however many are under way', async () => {
    const found = await run(`${SETUP}
      const reads = [];
      const order = [];
      for (let i = 0; i < 9; i++) {
        x.set(Float32Array.of(i, 0));
        const y = i % 4 === 3 ? tensor(new Float32Array(100).fill(i), { device: cuda }) : add(x, x);
        reads.push(y.array().then((data) => { order.push(i); return data[0]; }));
      }
      answer([await Promise.all(reads), order]);`);
    expect(found).to.deep.equal([
      [0, 2, 4, 3, 8, 10, 12, 7, 16],
      [0, 1, 2, 3, 4, 5, 6, 7, 8],
    ]);
  });

  it('that falls over names the step, and every later call says why at once', async () => {
    const found = await run(`${SETUP}
      const step = recordStep(cuda, (cut) => { const y = add(x, x); cut(); return relu(y); });
      step.replay(); step.replay();
      const before = await step.result.array();
      all.push(cuda.lost ?? 'fine');
      x.set(Float32Array.of(666, 1));
      step.replay();
      all.push(await caught(() => step.result.array()), cuda.lost);
      all.push(await caught(() => add(x, x).array()), await caught(() => cuda.finish()));
      answer(all);`);
    expect(found).to.deep.equal([
      'fine',
      'SpikeloomError: the device fell over (the last work before it: recorded step 1, part 0)',
      'the device fell over',
      'SpikeloomError: add: the device fell over',
      'SpikeloomError: the device fell over (the last work before it: add)',
    ]);
  });
});
