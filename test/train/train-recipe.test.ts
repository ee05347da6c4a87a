// Training by settings on the images that ship with the project.
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { DataError } from '../../lib/data/files.ts';
import type { ImageSplits } from '../../lib/data/images/image-set.ts';
import { fashionMnist, limit } from '../../lib/data/index.ts';
import { netOf, optimizerOf, scheduleOf, trainRecipe } from '../../lib/train/assemble.ts';
import { evaluate } from '../../lib/train/evaluate.ts';
import { evaluateRun, loadNet } from '../../lib/train/evaluate-run.ts';
import { resolveSettings } from '../../lib/train/recipe.ts';
import { createRun, readSettings, runPaths } from '../../lib/train/run-folder.ts';
import type { Settings } from '../../lib/train/settings.ts';
import type { EpochReport } from '../../lib/train/train-options.ts';
import { failure, refusal } from '../support/failure.ts';
import { randomSet } from '../support/image-sets.ts';

const root = fileURLToPath(new URL('../../datasets/fashion-mnist-small', import.meta.url));

const settingsOf = (...overrides: string[]) =>
  resolveSettings(
    {
      name: 'small',
      epochs: 2,
      batch: 16,
      threads: 2,
      model: { name: 'fsta-resnet20', width: 2 },
      data: { name: 'fashion-mnist', root, train_limit: 32, test_limit: 20, augment: 'basic' },
      optimizer: { lr: 0.05 },
    },
    overrides,
  );

/** The data of settingsOf(). */
function limitedSet(): ImageSplits {
  const { train, test } = fashionMnist(root);
  return { train: limit(train, 32), test: limit(test, 20) };
}

describe('trainRecipe()', () => {
  let out = '';
  before(() => {
    out = mkdtempSync(join(tmpdir(), 'recipe-'));
  });
  after(() => rmSync(out, { recursive: true }));

  it('trains, is interrupted, goes on, and its weights evaluate to what was reported', async () => {
    const controller = new AbortController();
    const first = await trainRecipe(settingsOf(`out=${out}`), {
      signal: controller.signal,
      onEpoch: () => controller.abort(),
    });
    expect(first).to.include({ interrupted: true, folder: join(out, 'small-0001') });
    expect(first.epochs).to.have.length(1);
    const second = await trainRecipe(undefined, { resume: first.folder });
    expect(second.interrupted).to.equal(false);
    expect(second.epochs.map(({ epoch }) => epoch)).to.deep.equal([1]);
    const last = second.epochs[0]!;
    const evaluation = await evaluateRun(first.folder, { weights: 'last' });
    expect(evaluation).to.include({ accuracy: last.accuracy, loss: last.testLoss, firingRate: last.firingRate });
    expect(evaluation.firingRates).to.deep.equal(last.firingRates);
    expect((await evaluateRun(first.folder)).accuracy).to.equal(second.best!.accuracy);
    const changed = settingsOf(`out=${out}`, 'optimizer.lr=0.01');
    expect(await refusal(trainRecipe(changed, { resume: first.folder }))).to.match(
      /optimizer: .*0\.05.*then.*0\.01.*now/,
    );
    // of another recipe that comes first, not that its data is not there
    const other = settingsOf('data.name=n-mnist', 'data.root=nowhere', 'data.augment=none');
    expect(await refusal(trainRecipe(other, { resume: first.folder }))).to.match(
      /small-0001 is a run of \S+ on fashion-mnist, but the settings are of \S+ on n-mnist/,
    );
  });

  it('refuses to go on without a state before it reads the data', async () => {
    const { paths, metrics } = createRun(settingsOf(`out=${out}`, 'name=begun', 'data.root=gone'));
    metrics.close();
    expect(await refusal(trainRecipe(undefined, { resume: paths.folder }))).to.match(
      /^a run goes on from its state, but \S+state.safetensors is not there; start a new run$/,
    );
  });

  it('says both values where model and data differ, and makes no folder for it', async () => {
    const message = await refusal(trainRecipe(settingsOf(`out=${out}/none`, 'model.classes=7')));
    expect(message).to.match(/model\.classes.* 7 .*10/);
    expect(await refusal(trainRecipe(settingsOf('model.size=32')))).to.match(/32,32.*28,28/);
    expect(await refusal(evaluateRun(join(out, 'none')))).to.contain('no run folder');
    expect(await refusal(trainRecipe(undefined))).to.contain('settings');
  });

  it('refuses settings that a recipe could not have, names the key, and makes no folder', async () => {
    const settings = settingsOf(`out=${out}/checked`);
    const { optimizer, schedule, data, model } = settings;
    const wrong: [changes: object, says: RegExp][] = [
      [{ lr: 0.5 }, /^settings: 'lr' is a short form .* write optimizer: \{ lr: ... \}$/],
      [{ batch: Number.NaN }, /^settings: 'batch' .* must be integer .*, but it is NaN$/],
      [{ threads: 1.5 }, /'threads' .* but it is 1.5$/],
      [{ name: '../x' }, /'name' .* but it is '..\/x'$/],
      [{ out: '' }, /'out' .* must be a path/],
      [{ optimizer: { ...optimizer, kind: 'adam' } }, /'optimizer.kind' .* must be one of sgd, adamw, lamb, but it is/],
      [
        { optimizer: { ...optimizer, weightDecay: 1 } },
        /'optimizer.weightDecay'; did you mean 'optimizer.weight_decay'/,
      ],
      [{ schedule: { ...schedule, kind: 'linear' } }, /'schedule.kind' .* must be one of constant, step, cosine/],
      [{ data: { ...data, train_limit: -5 } }, /'data.train_limit' .* must be integer >= 0, but it is -5$/],
      [{ data: undefined }, /'data.name' .* is missing[\s\S]*'data.root' .* is missing/],
      [{ model: { ...model, attention: 'nope' } }, /'model.attention' .* must be fsta or none/],
      [{ mix: null }, /'mix' is a group of keys .* but it is nothing$/],
    ];
    for (const [changes, says] of wrong) {
      const given = { ...settings, ...changes } as Settings;
      expect(await refusal(trainRecipe(given)), JSON.stringify(changes)).to.match(says);
    }
    expect(existsSync(settings.out)).to.equal(false);
  });

  it('takes frozen settings, and those in which a value or a group is undefined', async () => {
    const { mix: _, ...settings } = settingsOf(`out=${out}`, 'name=part', 'epochs=1', 'data.train_limit=16');
    const given = Object.freeze({ ...settings, mix: undefined, threads: undefined }) as unknown as Settings;
    const { folder, epochs } = await trainRecipe(given);
    expect(epochs).to.have.length(1);
    expect(readSettings(folder)).to.deep.include({ threads: 0, mix: settingsOf().mix });
  });

  describe('of a run whose data and device are elsewhere', () => {
    let run = '';
    let last: EpochReport;
    before(async () => {
      const { folder, epochs } = await trainRecipe(settingsOf(`out=${out}`, 'name=moved', 'loss.kind=tet', 'epochs=1'));
      last = epochs[0]!;
      run = folder;
      const { settings } = runPaths(run);
      const text = readFileSync(settings, 'utf8');
      writeFileSync(settings, text.replace(`root: ${root}`, 'root: gone').replace('device: cpu', 'device: cuda:99'));
    });

    it('loads the network with its weights, without data', async () => {
      using net = loadNet(run, { weights: 'last' });
      expect([net.training, net.device.name, net.plan.output.timed]).to.deep.equal([false, 'cpu', true]);
      const { test } = limitedSet();
      const { accuracy, loss, firingRate } = await evaluate(net, test, { batch: 16, loss: 'tet' });
      expect({ accuracy, loss, firingRate }).to.deep.equal({
        ...{ accuracy: last.accuracy, loss: last.testLoss, firingRate: last.firingRate },
      });
      using best = loadNet(run);
      expect(best.parameters().map(({ name }) => name)).to.deep.equal(net.parameters().map(({ name }) => name));
    });

    it('evaluates it with other places, and says how where they are not given', async () => {
      expect(await refusal(evaluateRun(run))).to.match(
        /^device 'cuda:99' [\s\S]*\nThe run's device is 'cuda:99'. On another one: npx spikeloom eval \S+ device=cpu$/,
      );
      const overrides = ['device=cpu', 'threads=1', 'data.workers=2'];
      const lost = await failure(evaluateRun(run, { overrides }));
      expect(lost).to.be.instanceOf(DataError);
      expect(lost.message).to.match(
        /\nThe run's data is in gone. If it was moved: npx spikeloom eval \S+ data.root=FOLDER$/,
      );
      expect(await refusal(trainRecipe(settingsOf('data.root=gone', 'device=cpu'), { resume: run }))).to.match(
        /If it was moved: npx spikeloom train --resume \S+ data.root=FOLDER$/,
      );
      const found = await evaluateRun(run, { weights: 'last', overrides: [...overrides, `data.root=${root}`] });
      expect(found).to.include({ accuracy: last.accuracy, loss: last.testLoss });
    });

    it('takes nothing else in place of what was trained', async () => {
      expect(await refusal(evaluateRun(run, { overrides: ['data.test_limit=3'] }))).to.match(
        /^an evaluation takes the run's own 'data.test_limit'; in place .* may be given device, threads, data.root/,
      );
      expect(await refusal(evaluateRun(run, { overrides: ['devcie=cpu'] }))).to.match(/did you mean 'device'/);
      expect(await refusal(evaluateRun(run, { weights: 'worst' as never }))).to.match(/'best' or 'last', not "worst"/);
    });
  });

  it('names the weights that are not there yet', async () => {
    const { folder } = await trainRecipe(settingsOf(`out=${out}`, 'name=early'), { signal: AbortSignal.abort() });
    expect(await refusal(evaluateRun(folder))).to.equal(
      `${runPaths(folder).best} is not there: weights are written after every epoch; go on with the run`,
    );
  });

  it('follows every setting of optimizer, schedule and model', () => {
    const optimizer = (...overrides: string[]) => optimizerOf(settingsOf(...overrides)).settings;
    expect(optimizer('optimizer.clip_norm=2', 'optimizer.weight_decay=0.1')).to.deep.equal({
      ...{ kind: 'sgd', lr: 0.05, momentum: 0.9, nesterov: true, weightDecay: 0.1, clipNorm: 2 },
    });
    expect(optimizer('optimizer.momentum=0')).to.include({ nesterov: false, momentum: 0 });
    expect(optimizer('optimizer.kind=lamb', 'optimizer.eps=0.5')).to.include({ kind: 'lamb', eps: 0.5 });
    expect(scheduleOf(settingsOf('schedule.cooldown=3', 'warmup=1')).epochs).to.equal(5);
    expect(scheduleOf(settingsOf('schedule.kind=step', 'schedule.step_size=1')).lrAt(2, 1)).to.be.closeTo(0.01, 1e-12);
    const set = randomSet('mnist', [4, 1, 28, 28]);
    const settings = settingsOf('loss.kind=tet', 'precision=fp64', 'model.neuron.kind=plif', 'seed=9');
    const net = netOf(settings, { train: set, test: set });
    expect(net.plan.output).to.include({ timed: true });
    expect([net.dtype, net.seed]).to.deep.equal(['f64', 9]);
    expect(net.parameters().some(({ name }) => name.endsWith('.logit'))).to.equal(true);
    net.dispose();
  });

  it('makes the recurrent network of its name alone, and refuses it the attention that is for pictures', () => {
    const set = randomSet('mnist', [4, 1, 28, 28]);
    const make = (...overrides: string[]) =>
      netOf(settingsOf('model.name=recurrent', ...overrides), { train: set, test: set });
    using net = make();
    expect(net.plan.layers.map(({ layer }) => layer.kind)).to.include('recurrentLif');
    expect(() => make('model.attention=fsta')).to.throw(/^recurrent: FSTA weighs pictures.*; use attention 'none'$/);
  });

  it('makes neurons with a synaptic current and with an adaptive threshold, and refuses their keys to others', () => {
    const set = randomSet('mnist', [4, 1, 28, 28]);
    const neuronsOf = (...overrides: string[]) => {
      const net = netOf(settingsOf(...overrides), { train: set, test: set });
      net.dispose();
      return net.plan.layers.filter(({ neurons }) => neurons > 0).map(({ layer }) => layer);
    };
    expect(neuronsOf('model.neuron.kind=cubaLif')[0]).to.include({ kind: 'cubaLif', decay: 0.25, synapticDecay: 0.5 });
    const adaptive = ['model.neuron.kind=alif', 'model.neuron.adaptationStrength=0.3', 'model.neuron.decay=0.5'];
    expect(neuronsOf(...adaptive)[0]).to.include({
      ...{ kind: 'alif', decay: 0.5, synapticDecay: 0, adaptationDecay: 0.9, adaptationStrength: 0.3 },
    });
    expect(() => neuronsOf('model.neuron.synapticDecay=0.5')).to.throw(/goes with model\.neuron\.kind cubaLif or alif/);
  });
});
