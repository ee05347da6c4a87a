import { spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { SpikeloomError } from '../../lib/core/errors.ts';
import { DataError } from '../../lib/data/files.ts';
import { limit } from '../../lib/data/limit.ts';
import { type Batch, type LoaderOptions, loader } from '../../lib/data/loader.ts';
import { type ImageFiles, imageFolder } from '../../lib/data/pictures/image-files.ts';
import { imageShards } from '../../lib/data/pictures/image-shards.ts';
import { fileName } from '../../lib/data/pictures/packed-files.ts';
import { evaluate } from '../../lib/train/evaluate.ts';
import { type Files, tarBytes } from '../support/archives.ts';
import { testFolder } from '../support/image-sets.ts';
import { tinyNet } from '../support/tiny-net.ts';

const golden = (name: string): Buffer => readFileSync(new URL(`../golden/pictures/${name}`, import.meta.url));
const [A, B, C, D] = ['halved.jpg', 'colour.png', 'grey.jpg', 'large.jpg'].map(golden) as [
  Buffer,
  Buffer,
  Buffer,
  Buffer,
];
const SHARED = process.env.SPIKELOOM_TEST_DATA ?? fileURLToPath(new URL('../../../shared/data', import.meta.url));
const SMALL = { size: 16, resize: 20 } as const;

/** Two classes, five and two pictures; names that sort otherwise than they are written. */
const TREE: Files = {
  'train/n02/b.JPEG': B,
  'train/n02/a.JPEG': A,
  'train/n01/z.jpg': C,
  'train/n01/inner/größe.png': B,
  'train/n01/notes.txt': 'not a picture',
  'train/n01/y.jpeg': D,
  'val/n01/v.jpg': A,
  'val/n02/w.JPG': C,
};

async function batches(set: ImageFiles, options: Partial<LoaderOptions> = {}, startBatch = 0): Promise<Batch[]> {
  const feed = loader(set, { batch: 2, seed: 5, shuffle: true, augment: 'basic', ...options });
  const all: Batch[] = [];
  try {
    for await (const batch of feed.epoch(3, { startBatch })) all.push(batch);
  } finally {
    await feed.close();
  }
  return all;
}

const DESCRIPTORS = '/proc/self/fd';

/** Descriptors of this process that point below a folder. */
function openBelow(root: string): number {
  const target = (descriptor: string): string => {
    try {
      return readlinkSync(join(DESCRIPTORS, descriptor));
    } catch {
      return ''; // the one that the folder was listed by
    }
  };
  return readdirSync(DESCRIPTORS).filter((descriptor) => target(descriptor).startsWith(root)).length;
}

const plain = (all: Batch[]) =>
  all.map(({ images, labels, indices }) => [Buffer.from(images.buffer).toString('base64'), [...labels], [...indices]]);

describe('data: pictures in files', () => {
  const folder = testFolder();
  let made = 0;
  const write = (files: Files): string => {
    const root = folder.path(`root${made++}`);
    for (const [path, bytes] of Object.entries(files)) {
      mkdirSync(dirname(join(root, path)), { recursive: true });
      writeFileSync(join(root, path), bytes);
    }
    return root;
  };

  it('takes classes and pictures in the order of their names', () => {
    const root = write(TREE);
    const { train, test } = imageFolder(root);
    expect(train.classes).to.deep.equal(['n01', 'n02']);
    const names = ['n01/inner/größe.png', 'n01/y.jpeg', 'n01/z.jpg', 'n02/a.JPEG', 'n02/b.JPEG'];
    expect(names.map((_, i) => fileName(train.files, i))).to.deep.equal(names.map((name) => join(root, 'train', name)));
    expect([...train.labels]).to.deep.equal([0, 0, 0, 1, 1]);
    expect([...test.labels]).to.deep.equal([0, 1]);
    expect([train.count, train.channels, train.height, train.width]).to.deep.equal([5, 3, 224, 224]);
    expect([train.name, train.resize, train.broken]).to.deep.equal(['imagenet', 256, 'error']);
  });

  it('says what is missing', () => {
    const without = (...paths: string[]) => {
      const root = write(TREE);
      for (const path of paths) rmSync(join(root, path), { recursive: true });
      return root;
    };
    expect(() => imageFolder(without('train'))).to.throw(DataError, 'has no train/');
    expect(() => imageFolder(without('val'))).to.throw(DataError, 'has no val/, valid/, test/');
    expect(() => imageFolder(without('train/n01', 'train/n02'))).to.throw(DataError, 'train: has no class folders');
    expect(() => imageFolder(without('val/n02'))).to.throw(DataError, /val\/n02: cannot be listed/);
    expect(() => imageFolder(without('val/n01/v.jpg'))).to.throw(DataError, /val\/n01: .* but this one has none/);
    expect(() => imageFolder(write({ ...TREE, 'val/n03/x.jpg': A }))).to.throw(
      DataError,
      /val\/n03: is not a class of train/,
    );
    expect(() => imageFolder('/nowhere')).to.throw(DataError, 'has no train/');
  });

  it('refuses options that cannot be', () => {
    const root = write(TREE);
    const options = [
      { size: 0 },
      { resize: 100 },
      { scale: [0, 1] },
      { ratio: [2, 1] },
      { broken: 'ignore' },
      { interpolation: 'nearest' },
      { mean: [1] },
      { std: [1, 0, 1] },
    ];
    for (const option of options)
      expect(() => imageFolder(root, option as never), JSON.stringify(option)).to.throw(
        SpikeloomError,
        Object.keys(option)[0],
      );
  });

  it('makes the same batches whatever the workers, and from the middle of an epoch', async () => {
    const { train } = imageFolder(write(TREE), SMALL);
    const here = plain(await batches(train, { workers: 0 }));
    expect(here.length).to.equal(3);
    expect(new Set(here.map(([images]) => images)).size).to.equal(3);
    for (const workers of [1, 2]) expect(plain(await batches(train, { workers }))).to.deep.equal(here);
    expect(plain(await batches(train, { workers: 1 }, 2))).to.deep.equal(here.slice(2));
    expect(plain(await batches(train, { workers: 0, seed: 6 }))).to.not.deep.equal(here);
  });

  it("'published' changes what 'basic' has cropped, the same way whatever the workers", async () => {
    const { train } = imageFolder(write(TREE), SMALL);
    const [basic, here] = [
      plain(await batches(train, { workers: 0 })),
      plain(await batches(train, { workers: 0, augment: 'published' })),
    ];
    expect(plain(await batches(train, { workers: 2, augment: 'published' }))).to.deep.equal(here);
    expect(here).to.not.deep.equal(basic);
    expect(here.map(([, labels]) => labels)).to.deep.equal(basic.map(([, labels]) => labels));
  });

  it('without augmentation every epoch has the same pictures, normalised', async () => {
    const { test } = imageFolder(write(TREE), { ...SMALL, mean: [0, 0, 0], std: [1, 1, 1] });
    const [batch] = await batches(test, { workers: 0, shuffle: false, augment: 'none' });
    expect(batch!.shape).to.deep.equal([2, 3, 16, 16]);
    expect(Math.min(...batch!.images)).to.be.at.least(0);
    expect(Math.max(...batch!.images)).to.be.within(0.5, 1);
    const grey = batch!.images.subarray(3 * 256);
    expect(grey.subarray(0, 256)).to.deep.equal(grey.subarray(512));
    expect(batch!.images.subarray(0, 256)).to.not.deep.equal(batch!.images.subarray(512, 768));
  });

  it('a part of a set has the pictures of the whole', async () => {
    const { train } = imageFolder(write(TREE), SMALL);
    const whole = (await batches(train, { workers: 0, shuffle: false, batch: 5 }))[0]!;
    const part = (await batches(limit(train, 2), { workers: 0, shuffle: false, batch: 5 }))[0]!;
    expect([...part.indices]).to.deep.equal([1, 3]);
    expect([...part.labels]).to.deep.equal([0, 1]);
    const sample = 3 * 16 * 16;
    expect(part.images.subarray(sample)).to.deep.equal(whole.images.subarray(3 * sample, 4 * sample));
  });

  const shard = (samples: [string, Buffer, string][]): Buffer =>
    tarBytes(
      Object.fromEntries(
        samples.flatMap(([key, bytes, label]) => [
          [`${key}.jpg`, bytes],
          [`${key}.${label.startsWith('{') ? 'json' : 'cls'}`, label],
        ]),
      ),
    );
  const SHARDS: Files = {
    'train/shard-000000.tar': shard([
      ['n/y', D, '0'],
      ['n/z', C, '0\n'],
    ]),
    'train/shard-000001.tar': shard([
      ['a', A, '{"label": 1, "more": [2]}'],
      ['b', B, '1'],
    ]),
    'val/shard-000000.tar': shard([
      ['v', A, '0'],
      ['w', C, '1'],
    ]),
  };

  it('tar shards give the batches of the same pictures in folders', async () => {
    const root = write(SHARDS);
    const shards = imageShards(root, { ...SMALL, classes: ['n01', 'n02'] });
    expect([...shards.train.labels]).to.deep.equal([0, 0, 1, 1]);
    expect(fileName(shards.train.files, 2)).to.equal(join(root, 'train/shard-000001.tar/a.jpg'));
    const { 'train/n01/inner/größe.png': _, ...tree } = TREE;
    const folders = imageFolder(write(tree), SMALL);
    for (const half of ['train', 'test'] as const) {
      const expected = plain(await batches(folders[half], { workers: 0 }));
      expect(plain(await batches(shards[half], { workers: 0 }))).to.deep.equal(expected);
      expect(plain(await batches(shards[half], { workers: 2 }))).to.deep.equal(expected);
    }
  });

  for (const workers of [0, 1]) {
    it(`no archive stays open behind a loader that is closed (${workers} workers)`, async function () {
      if (!existsSync(DESCRIPTORS)) return this.skip();
      const root = realpathSync(write(SHARDS));
      const { train, test } = imageShards(root, SMALL);
      const expected = plain(await batches(train, { workers: 0 }));
      for (let i = 0; i < 2; i++) {
        const feed = loader(train, { batch: 2, seed: 5, shuffle: true, augment: 'basic', workers });
        for (let epoch = 2; epoch < 4; epoch++) {
          const all: Batch[] = [];
          for await (const batch of feed.epoch(epoch)) all.push(batch);
          if (epoch === 3) expect(plain(all)).to.deep.equal(expected);
        }
        expect(openBelow(root)).to.equal(2);
        await feed.close();
        expect(openBelow(root)).to.equal(0);
      }
      using net = tinyNet('cpu', 'f32', { size: [16, 16], classes: 2 });
      expect((await evaluate(net, test, { workers })).images).to.equal(2);
      expect(openBelow(root)).to.equal(0);
    });
  }

  it('a batch that is being made when its loader is closed is an error, and opens nothing', async function () {
    if (!existsSync(DESCRIPTORS)) return this.skip();
    const root = realpathSync(write(SHARDS));
    const { train } = imageShards(root, { ...SMALL, broken: 'skip' });
    const feed = loader(train, { batch: 4, workers: 0 });
    const first = feed
      .epoch(0)
      .next()
      .then(
        () => undefined,
        (cause) => cause,
      );
    while (openBelow(root) === 0) await nextTurn();
    await feed.close();
    expect((await first)?.message).to.equal('these files are closed: make a new loader to read on');
    expect(openBelow(root)).to.equal(0);
  });

  it('finds shards beside each other by their names', () => {
    const rename = (name: string) => name.replace('/shard', '-set');
    const root = write(Object.fromEntries(Object.entries(SHARDS).map(([name, bytes]) => [rename(name), bytes])));
    const { train, test } = imageShards(root);
    expect([train.count, test.count, train.classes]).to.deep.equal([4, 2, ['0', '1']]);
    const dotted = imageShards(`${relative('.', root) || '.'}/.`);
    expect([dotted.train.count, dotted.test.count]).to.deep.equal([4, 2]);
  });

  it('refuses shards whose samples are not whole', () => {
    const train = (samples: Files) => write({ ...SHARDS, 'train/shard-000001.tar': tarBytes(samples) });
    expect(() => imageShards(train({ 'a.jpg': A, 'b.cls': '1' }))).to.throw(DataError, "'a' has no class");
    expect(() => imageShards(train({ 'a.cls': '1' }))).to.throw(DataError, "'a' has no picture");
    expect(() => imageShards(train({ 'a.jpg': A, 'a.cls': 'cat' })))
      .to.throw(DataError, "is 'cat'")
      .with.property('offset', 512 * (3 + Math.ceil(A.length / 512) - 1));
    expect(() => imageShards(train({ 'a.jpg': A, 'a.json': '{"label": 1e9}' }))).to.throw(DataError, "is '1000000000'");
    expect(() => imageShards(train({ 'a.jpg': A, 'a.cls': '7' }), { classes: ['x', 'y'] })).to.throw(
      DataError,
      'has class 7, but only 2 classes are named',
    );
    expect(() => imageShards(write({ 'val/a.tar': tarBytes({}) }))).to.throw(
      DataError,
      'has neither train/*.tar nor *train*.tar',
    );
  });

  const broken = (): Files => ({
    ...TREE,
    'train/n02/a.JPEG': A.subarray(0, 700),
    'train/n01/y.jpeg': Buffer.from('nothing'),
  });

  for (const workers of [0, 1]) {
    it(`a broken picture is an error that names file and sample (${workers} workers)`, async () => {
      const root = write(broken());
      const { train } = imageFolder(root, SMALL);
      const error = await batches(train, { workers, shuffle: false }).then(
        () => undefined,
        (cause) => cause,
      );
      expect(error).to.be.instanceOf(DataError);
      expect(error.file).to.equal(join(root, 'train/n01/y.jpeg'));
      expect(error.message).to.match(/cannot be decoded .*sample 1 of imagenet/);
    });

    it(`or is skipped: the next one takes its place, and it is counted (${workers} workers)`, async () => {
      const root = write(broken());
      const { train } = imageFolder(root, { ...SMALL, broken: 'skip' });
      const feed = loader(train, { batch: 5, augment: 'none', workers });
      for await (const batch of feed.epoch(0)) {
        const sample = (i: number) => batch.images.subarray(i * 768, (i + 1) * 768);
        expect(sample(1)).to.deep.equal(sample(2));
        expect(sample(3)).to.deep.equal(sample(4));
        expect([...batch.labels]).to.deep.equal([0, 0, 0, 1, 1]);
        expect(batch.skipped!.map(({ index }) => index)).to.deep.equal([1, 3]);
        expect(batch.skipped![1]!.reason).to.include(join(root, 'train/n02/a.JPEG'));
      }
      expect(feed.skipped).to.equal(2);
      await feed.close();
    });

    it(`what takes its place is of the part in use (${workers} workers)`, async () => {
      const { train } = imageFolder(write(broken()), { ...SMALL, broken: 'skip' });
      const images = async (chosen: number[]) => {
        const indices = new Int32Array(new SharedArrayBuffer(4 * chosen.length));
        indices.set(chosen);
        const part = { ...train, chosen: indices, count: chosen.length };
        const [batch] = await batches(part, { batch: 5, shuffle: false, augment: 'none', workers });
        const all = [...batch!.labels.keys()].map((i) => batch!.images.subarray(i * 768, (i + 1) * 768));
        return { all, labels: [...batch!.labels], skipped: batch!.skipped!.map(({ index }) => index) };
      };
      const [own] = (await images([0, 1])).all;
      for (const [chosen, labels, places] of [
        [[0, 1], [0, 0], [1]],
        [
          [3, 1, 0],
          [0, 0, 0],
          [0, 1],
        ],
        [[0, 3], [0, 0], [1]],
      ] as const) {
        const { all, skipped, ...made } = await images([...chosen]);
        expect(made.labels).to.deep.equal(labels);
        for (const place of places) expect(all[place]).to.deep.equal(own);
        expect(skipped).to.deep.equal(chosen[0] === 3 ? [3, 1, 1] : [chosen[1]]);
      }
    });
  }

  it('does not skip for ever', async () => {
    const root = write({
      ...TREE,
      ...Object.fromEntries(
        ['n01/z.jpg', 'n01/y.jpeg', 'n01/inner/größe.png', 'n02/a.JPEG', 'n02/b.JPEG'].map((name) => [
          `train/${name}`,
          'x',
        ]),
      ),
    });
    const { train } = imageFolder(root, { ...SMALL, broken: 'skip' });
    const error = await batches(train, { workers: 0 }).then(
      () => undefined,
      (cause) => cause,
    );
    expect(error).to.be.instanceOf(DataError);
    expect(error.message).to.include('100 broken samples one behind the other');
  });

  it('a picture that has vanished is an error', async () => {
    const root = write(TREE);
    const { test } = imageFolder(root, SMALL);
    rmSync(join(root, 'val/n02/w.JPG'));
    const error = await batches(test, { workers: 0 }).then(
      () => undefined,
      (cause) => cause,
    );
    expect(error).to.be.instanceOf(DataError);
    expect(error.file).to.equal(join(root, 'val/n02/w.JPG'));
  });

  it('reads genuine pictures of ImageNet, every one', async function () {
    if (!existsSync(join(SHARED, 'imagenette-mini.tar'))) return this.skip();
    const root = folder.path('imagenette');
    const unpacked = spawnSync(process.execPath, [join(SHARED, 'unpack.mjs'), root, 'imagenette-mini']);
    expect(unpacked.status).to.equal(0);
    const { train, test } = imageFolder(join(root, 'imagenette-mini'), { size: 64 });
    expect([train.count, test.count, train.classes.length]).to.deep.equal([600, 200, 10]);
    let mean = 0;
    for (const batch of await batches(train, { batch: 100, workers: 2 }))
      mean += batch.images.reduce((a, b) => a + b, 0);
    expect(mean / (600 * 3 * 64 * 64)).to.be.closeTo(0, 0.25); // as ImageNet's statistics promise
  });
});
