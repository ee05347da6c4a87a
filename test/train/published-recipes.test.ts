// The published recipes and SHD's from files to weights: small data sets in the published formats, narrow networks, two epochs.
import { copyFileSync, existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { SpikeloomError } from '../../lib/core/errors.ts';
import type { ClassSplits } from '../../lib/data/batch.ts';
import { netOf, optimizerOf, scheduleOf, trainRecipe } from '../../lib/train/assemble.ts';
import { factsOf, openData } from '../../lib/train/data-sets.ts';
import { trainingMemory } from '../../lib/train/memory.ts';
import { readMetrics } from '../../lib/train/metrics-log.ts';
import { loadRecipe } from '../../lib/train/recipe.ts';
import { openRun, runPaths } from '../../lib/train/run-folder.ts';
import type { Settings } from '../../lib/train/settings.ts';
import { train } from '../../lib/train/train.ts';
import type { EpochReport } from '../../lib/train/train-options.ts';
import { aedat2, aedat3, fortyBit, someEvents, writeTree } from '../support/event-files.ts';
import { noise, testFolder, writeMnistLike } from '../support/image-sets.ts';

const DVS = ['airplane', 'automobile', 'bird', 'cat', 'deer', 'dog', 'frog', 'horse', 'ship', 'truck'];

/** Eleven recordings a class: the first 90 %, rounded up, are ten. */
function writeDvs(root: string): void {
  for (const [c, name] of DVS.entries()) {
    for (let i = 0; i < 11; i++) {
      writeTree(root, { [`${name}/cifar10_${name}_${i}.aedat`]: aedat2(someEvents(300, 128, 128, 11 * c + i + 1)) });
    }
  }
}

function writeGesture(root: string): void {
  const events = someEvents(400, 128, 128, 5);
  const [first, last] = [events.t[0]!, events.t[399]! + 1];
  const middle = Math.floor((first + last) / 2);
  const labels = `class,startTime_usec,endTime_usec\n1,${first},${middle}\n11,${middle},${last}\n`;
  writeTree(root, {
    'DvsGesture/user01_led.aedat': aedat3(events),
    'DvsGesture/user01_led_labels.csv': labels,
    'DvsGesture/user24_led.aedat': aedat3(events),
    'DvsGesture/user24_led_labels.csv': labels,
    'DvsGesture/trials_to_train.txt': 'user01_led.aedat\n',
    'DvsGesture/trials_to_test.txt': 'user24_led.aedat\n',
  });
}

function writeCifar(root: string, labels: number[]): void {
  const record = (i: number) => Buffer.concat([Buffer.from(labels.map((n) => (i * 3) % n)), noise(3072, i + 1)]);
  const records = Buffer.concat(Array.from({ length: 4 }, (_, i) => record(i)));
  const names = labels.length === 1 ? [1, 2, 3, 4, 5].map((i) => `data_batch_${i}.bin`).concat('test_batch.bin') : [];
  writeTree(
    root,
    Object.fromEntries(
      [...names, ...(labels.length > 1 ? ['train.bin', 'test.bin'] : [])].map((name) => [name, records]),
    ),
  );
}

function writePictures(root: string): void {
  for (const half of ['train', 'val']) {
    for (const [i, file] of ['full.jpg', 'grey.jpg', 'progressive.jpg', 'halved.jpg'].entries()) {
      const place = join(root, half, `n0000000${i % 2}`);
      mkdirSync(place, { recursive: true });
      copyFileSync(join('test/golden/pictures', file), join(place, `${i}.JPEG`));
    }
  }
}

function writeShd(root: string): void {
  mkdirSync(root);
  copyFileSync('test/golden/events/shd.h5', join(root, 'shd_train.h5'));
  copyFileSync('test/golden/events/shd32.h5', join(root, 'shd_test.h5'));
}

interface Small {
  write(root: string): void;
  /** Overrides that make it small. */
  small: string[];
  classes: number;
  counts: [train: number, test: number];
  split?: string;
}

const NARROW = ['model.width=2', 'batch=3', 'epochs=2', 'schedule.warmup=1', 'schedule.cooldown=0'];
const RECIPES: Readonly<Record<string, Small>> = {
  cifar10: { write: (root) => writeCifar(root, [10]), small: [], classes: 10, counts: [20, 4] },
  cifar100: { write: (root) => writeCifar(root, [20, 100]), small: [], classes: 100, counts: [4, 4] },
  'cifar10-dvs': {
    write: writeDvs,
    small: ['data.size=16', 'model.steps=3'],
    classes: 10,
    counts: [100, 10],
    split: 'fsta',
  },
  'dvs128-gesture': {
    write: writeGesture,
    small: ['data.size=16', 'model.steps=4'],
    classes: 11,
    counts: [2, 2],
    split: 'official',
  },
  imagenet: {
    write: writePictures,
    small: ['data.size=32', 'data.workers=1', 'model.steps=2'],
    classes: 2,
    counts: [4, 4],
  },
  shd: { write: writeShd, small: ['model.steps=6'], classes: 20, counts: [5, 5], split: 'official' },
};
describe('the published recipes, from small files of their formats', () => {
  const folder = testFolder();
  const written = new Set<string>();
  /** The folder of a recipe's files, which are written when first asked for. */
  const rootOf = (name: string): string => {
    const root = folder.path(name);
    if (!written.has(name)) RECIPES[name]!.write(root);
    written.add(name);
    return root;
  };

  for (const [name, { small, classes, counts, split }] of Object.entries(RECIPES)) {
    it(`${name}: trains, evaluates, records its data, and goes on where it was stopped`, async () => {
      const overrides = [`data.root=${rootOf(name)}`, `out=${folder.path('runs')}`, ...NARROW, ...small];
      const settings = loadRecipe(`recipes/${name}.yaml`, overrides);
      const losses: number[] = [];
      const whole = await trainRecipe(settings, { onEpoch: ({ loss }) => void losses.push(loss) });
      expect(whole.interrupted).to.equal(false);
      expect(losses).to.have.length(2);
      for (const loss of losses) expect(loss).to.be.within(0.01, 50);
      const described = JSON.parse(readFileSync(runPaths(whole.folder).data, 'utf8'));
      expect(described).to.include({ name, train: counts[0], test: counts[1], classes });
      if (split) expect(described.split).to.include({ name: split }).and.to.have.property('hash').with.length(64);
      expect(readMetrics(runPaths(whole.folder).metrics).map(({ epoch }) => epoch)).to.deep.equal([0, 1]);
      expect(existsSync(join(whole.folder, 'report.html'))).to.equal(true);
      expect(whole.best!.accuracy).to.equal(Math.max(...whole.epochs.map(({ accuracy }) => accuracy)));

      const controller = new AbortController();
      const part = await trainRecipe(settings, { signal: controller.signal, onEpoch: () => controller.abort() });
      expect(part.interrupted).to.equal(true);
      const rest = await trainRecipe(undefined, { resume: part.folder });
      expect(rest.epochs.map(({ loss, accuracy }) => [loss, accuracy])).to.deep.equal(
        whole.epochs.slice(1).map(({ loss, accuracy }) => [loss, accuracy]),
      );
      openRun(part.folder).metrics.close();
    });
  }

  it('small machines: N-MNIST and MNIST train', async () => {
    const [events, digits] = [folder.path('n-mnist'), folder.path('mnist')];
    for (let i = 0; i < 8; i++) {
      const bytes = fortyBit(someEvents(200, 34, 34, i + 1));
      writeTree(events, { [`Train/${i % 3}/${i}.bin`]: bytes, [`Test/${i % 3}/${i}.bin`]: bytes });
    }
    mkdirSync(digits);
    writeMnistLike(digits);
    for (const [name, root] of Object.entries({ nmnist: events, mnist: digits })) {
      const settings = loadRecipe(`recipes/${name}.yaml`, [
        ...[`data.root=${root}`, `out=${folder.path('runs')}`, 'model.width=2', 'model.steps=3', 'batch=4', 'epochs=1'],
      ]);
      const { epochs } = await trainRecipe(settings);
      expect(epochs[0]!.loss).to.be.within(0.1, 20);
    }
  });

  it('limits take recordings evenly spread over the classes', async () => {
    const settings = loadRecipe('recipes/cifar10-dvs.yaml', [
      `data.root=${rootOf('cifar10-dvs')}`,
      'data.train_limit=20',
      'data.size=8',
    ]);
    const { train } = await openData(settings);
    const taken = Array.from(train.chosen!, (i) => train.labels[i]!);
    expect(taken.length).to.equal(20);
    for (let label = 0; label < 10; label++) expect(taken.filter((l) => l === label)).to.have.length(2);
  });

  it('a summary needs no files', () => {
    for (const name of Object.keys(RECIPES)) {
      const settings = loadRecipe(`recipes/${name}.yaml`);
      const { steps, channels, height } = factsOf(settings);
      const timed = ['cifar10-dvs', 'dvs128-gesture', 'shd'].includes(name);
      expect([steps, channels]).to.deep.equal(timed ? [settings.model.steps, 2] : [undefined, 3]);
      expect(height).to.equal({ imagenet: 224, 'cifar10-dvs': 64, 'dvs128-gesture': 128, shd: 1 }[name] ?? 32);
    }
  });

  it('the facts that the settings give are those of the files', async () => {
    const [dvs, gesture] = ['cifar10-dvs', 'dvs128-gesture'] as const;
    const cases: [recipe: string, overrides: string[], binary: boolean, unit: number | undefined][] = [
      [dvs, [], false, 0.25],
      [dvs, ['data.size=128', 'data.clip=1'], true, 1],
      [dvs, ['data.size=48'], false, undefined],
      [dvs, ['data.size=48', 'data.crop=[48,96]'], false, 0.5],
      [gesture, [], false, 1],
      [gesture, ['data.crop=48', 'data.clip=1'], true, 1],
      [gesture, ['data.size=64', 'data.clip=1'], false, 0.25],
      [gesture, ['data.normalise=true'], false, undefined],
    ];
    for (const [recipe, overrides, binary, unit] of cases) {
      const settings = loadRecipe(`recipes/${recipe}.yaml`, [`data.root=${rootOf(recipe)}`, ...overrides]);
      const { classes, ...facts } = factsOf(settings);
      const { train } = await openData(settings);
      expect(train, overrides.join()).to.deep.include(facts);
      expect([facts.binary, facts.unit], overrides.join()).to.deep.equal([binary, unit]);
      expect(classes.length).to.equal(train.classes.length);
    }
  });

  it("ImageNet's pictures are read as the recipe says", async () => {
    const given = { interpolation: 'bicubic', broken: 'skip' };
    const keys = Object.entries(given).map(([key, value]) => `data.${key}=${value}`);
    const { train } = await openData(loadRecipe('recipes/imagenet.yaml', [`data.root=${rootOf('imagenet')}`, ...keys]));
    expect(train).to.include(given);
  });

  it('keys that a data set does not have are refused', async () => {
    const open = (recipe: string, ...overrides: string[]) =>
      openData(loadRecipe(`recipes/${recipe}.yaml`, [`data.root=${rootOf(recipe)}`, ...overrides])).then(
        () => expect.fail('nothing was refused'),
        (error: Error) => {
          expect(error).to.be.instanceOf(SpikeloomError);
          return error.message;
        },
      );
    expect(await open('cifar10', 'data.split=fsta')).to.match(/data\.split does not go with 'cifar10'.*leave it out/);
    expect(await open('cifar10', 'data.size=16')).to.match(/data\.size does not go with 'cifar10'/);
    expect(await open('imagenet', 'data.size=[32,48]')).to.match(/data\.size is one number, not 32x48/);
    expect(await open('cifar10', 'data.broken=skip')).to.match(/data\.broken does not go with 'cifar10'/);
    expect(await open('cifar10-dvs', 'data.interpolation=bicubic')).to.match(/with 'cifar10-dvs': it has events/);
    expect(await open('imagenet', 'data.crop=32')).to.match(/data\.crop does not go with 'imagenet'/);
    expect(await open('cifar10-dvs', 'data.split=official')).to.match(/is split as 'fsta' or 'tet'/);
    expect(await open('dvs128-gesture', 'data.split=tet')).to.match(/is split as 'official'/);
  });
});

describe('binary frames', () => {
  const folder = testFolder();
  const settingsFor = (root: string, ...overrides: string[]) =>
    loadRecipe('recipes/nmnist.yaml', [
      ...[`data.root=${root}`, `out=${folder.path('runs')}`, 'model.width=3', 'model.steps=3', 'batch=4', 'epochs=2'],
      ...['precision=fp64', ...overrides],
    ]);

  it('rest as spikes on the device, and train as the same numbers do', async () => {
    const root = folder.path('n-mnist');
    for (let i = 0; i < 10; i++) {
      const bytes = fortyBit(someEvents(900, 34, 34, i + 1));
      writeTree(root, { [`Train/${i % 3}/${i}.bin`]: bytes, [`Test/${i % 3}/${i}.bin`]: bytes });
    }
    const bits = settingsFor(root, 'data.clip=1');
    const { train } = await openData(bits);
    expect(train.binary).to.equal(true);
    for (const overrides of [['data.clip=2'], ['data.clip=1', 'data.size=17'], []]) {
      expect((await openData(settingsFor(root, ...overrides))).train.binary, overrides.join()).to.equal(false);
    }
    const asBits = await trainRecipe(bits);
    const seen = await trainOnNumbers(bits);
    expect(asBits.epochs.map(({ loss }) => loss)).to.have.length(2);
    asBits.epochs.forEach(({ loss, accuracy }, i) => {
      expect(loss).to.be.closeTo(seen[i]!.loss, 1e-9);
      expect(accuracy).to.equal(seen[i]!.accuracy);
    });
  });

  /** The same run with the set said to hold any numbers. */
  async function trainOnNumbers(settings: Settings): Promise<EpochReport[]> {
    const { train: samples, test } = await openData(settings);
    const data = { train: { ...samples, binary: false }, test: { ...test, binary: false } } as ClassSplits;
    using net = netOf(settings, data);
    const parts = { optimizer: optimizerOf(settings), schedule: scheduleOf(settings), loss: settings.loss };
    const reports: EpochReport[] = [];
    for await (const report of train(net, { data, batch: settings.batch, seed: settings.seed, ...parts })) {
      reports.push(report);
    }
    return reports;
  }

  it('are bits in the plan, too, unless they are mixed', async () => {
    const settings = settingsFor(folder.path('n-mnist'), 'data.clip=1', 'model.steps=20', 'batch=10');
    const data = await openData(settings);
    using net = netOf(settings, data);
    const [bits, numbers] = [true, false].map((binary) => trainingMemory(net, { batch: 10, steps: 20, binary }));
    const frames = 20 * 10 * 2 * 34 * 34;
    expect(numbers!.stepBytes - bits!.stepBytes).to.be.above(0.5 * 8 * frames);
    expect(trainingMemory(net, { batch: 10, steps: 20, binary: true, mix: true }).stepBytes).to.be.above(
      bits!.stepBytes,
    );
  });
});
