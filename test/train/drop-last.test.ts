// dropLast: epochs of full batches alone, in train() and in recipes, and states of runs from before there was one.
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { SpikeloomError } from '../../lib/core/index.ts';
import { openSafetensors } from '../../lib/core/safetensors.ts';
import { loader } from '../../lib/data/index.ts';
import { trainRecipe } from '../../lib/train/assemble.ts';
import { resolveSettings } from '../../lib/train/recipe.ts';
import { runPaths } from '../../lib/train/run-folder.ts';
import { train } from '../../lib/train/train.ts';
import { abortAfter } from '../support/abort-after.ts';
import { refusal } from '../support/failure.ts';
import { data, go, makeNet, newFolders, usual } from '../support/small-training.ts';

const weights = (out: string): string => readFileSync(runPaths(out).last).toString('hex');

/** How many passes an epoch of training has, and how many images each. */
async function sizesOf(options: Parameters<typeof go>[1]): Promise<number[]> {
  const net = makeNet();
  const sizes: number[] = [];
  net.onLayer = (path, output, training) => {
    if (training && path === 'linear1') sizes.push(output.shape.at(-2)!);
  };
  await go(net, { epochs: 1, ...options });
  return sizes;
}

describe('dropLast', () => {
  const folder = newFolders();

  it('leaves out the smaller last batch of every epoch, and no test sample', async () => {
    expect(await sizesOf({})).to.deep.equal([4, 4, 4, 4, 4, 3]);
    expect(await sizesOf({ dropLast: false })).to.deep.equal([4, 4, 4, 4, 4, 3]);
    expect(await sizesOf({ dropLast: true })).to.deep.equal([4, 4, 4, 4, 4]);
    expect(await sizesOf({ dropLast: true, batch: 23 })).to.deep.equal([23]);
    expect(loader(data.train, { batch: 4, dropLast: true }).batches).to.equal(5);
    const { reports } = await go(makeNet(), { dropLast: true });
    for (const { trainAccuracy, accuracy } of reports) {
      expect(trainAccuracy * 20).to.be.closeTo(Math.round(trainAccuracy * 20), 1e-9);
      expect(accuracy * 11).to.be.closeTo(Math.round(accuracy * 11), 1e-9);
    }
  });

  for (const steps of [3, 5, 8]) {
    it(`interrupted in step ${steps} and resumed: the same bits as without`, async () => {
      const [whole, out] = [folder(), folder()];
      await go(makeNet(), { out: whole, dropLast: true });
      await go(makeNet(), { out, dropLast: true, ...abortAfter(steps) });
      const other = await refusal(go(makeNet(), { out, resume: true }));
      expect(other).to.match(/these differ:\n {2}dropLast: true then, nothing now\nRestore them/);
      await go(makeNet(), { out, dropLast: true, resume: true });
      expect(weights(out)).to.equal(weights(whole));
    });
  }

  it('is not in a state where it is false, as in those of older versions', async () => {
    const out = folder();
    await go(makeNet(), { out, dropLast: false, ...abortAfter(3) });
    const file = openSafetensors(runPaths(out).state);
    file.close();
    expect(JSON.parse(file.metadata.course!)).not.to.have.property('dropLast');
    const other = await refusal(go(makeNet(), { out, dropLast: true, resume: true }));
    expect(other).to.match(/dropLast: nothing then, true now/);
    expect((await go(makeNet(), { out, resume: true })).reports).to.have.length(3);
  });

  it('is refused where no batch is full, and where it is neither true nor false', () => {
    using net = makeNet();
    expect(() => train(net, { data, ...usual, dropLast: true, batch: 24 })).to.throw(
      SpikeloomError,
      /with dropLast \(in a recipe drop_last\) a batch of 24 is never full: 'cifar10' has 23 samples; use a smaller batch/,
    );
    expect(() => train(net, { data, ...usual, dropLast: 1 as unknown as boolean })).to.throw(
      /train\(\): dropLast is true or false, not 1/,
    );
  });

  it('is a key of recipes, which refuse batches that are never full before a folder is made', async () => {
    const root = fileURLToPath(new URL('../../datasets/fashion-mnist-small', import.meta.url));
    const out = folder();
    const limits = { train_limit: 6, test_limit: 4 };
    const made = { out, model: { name: 'fsta-resnet8', width: 2 }, data: { name: 'fashion-mnist', root, ...limits } };
    expect(resolveSettings(made).drop_last).to.equal(false);
    expect(resolveSettings(made, ['drop_last=true']).drop_last).to.equal(true);
    expect(() => resolveSettings({ ...made, drop_last: 1 })).to.throw(/'drop_last' .* must be true or false/);
    const run = (batch: number) => trainRecipe(resolveSettings({ ...made, epochs: 1, batch, drop_last: true }));
    expect(await refusal(run(7))).to.match(/a batch of 7 is never full: 'fashion-mnist' has 6 samples/);
    expect(existsSync(out)).to.equal(false);
    const { trainAccuracy } = (await run(5)).epochs[0]!;
    expect(trainAccuracy * 5).to.be.closeTo(Math.round(trainAccuracy * 5), 1e-9);
  });
});
