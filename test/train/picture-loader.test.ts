// Pictures in files whose pixels cross to the device as bytes: the batches have the bits of those that the host makes.
// On the CPU, and on a CUDA device where there is one.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect } from 'chai';
import { cudaBackend, device, type RealType, scope, tensor } from '../../lib/core/index.ts';
import { type LoaderOptions, loader } from '../../lib/data/loader.ts';
import { type ImageFilesOptions, imageFolder } from '../../lib/data/pictures/image-files.ts';
import { PictureLoader } from '../../lib/data/pictures/picture-loader.ts';
import { sgd } from '../../lib/optim/index.ts';
import { evaluate } from '../../lib/train/evaluate.ts';
import { readMetrics } from '../../lib/train/metrics-log.ts';
import { feedsOf } from '../../lib/train/residence.ts';
import { runPaths } from '../../lib/train/run-folder.ts';
import { train } from '../../lib/train/train.ts';
import { abortAfter } from '../support/abort-after.ts';
import { testDevices } from '../support/devices.ts';
import { testFolder } from '../support/image-sets.ts';
import { tinyNet } from '../support/tiny-net.ts';

const NAMES = ['halved.jpg', 'colour.png', 'grey.jpg', 'large.jpg'];
const golden = (name: string): Buffer => readFileSync(new URL(`../golden/pictures/${name}`, import.meta.url));

describe('pictures that cross as bytes', () => {
  const folder = testFolder();
  let root = '';
  const pictures = (options: ImageFilesOptions = {}) => imageFolder(root, { size: 9, resize: 12, ...options });

  before(() => {
    root = folder.path('pictures');
    for (const half of ['train', 'val']) {
      for (const [i, name] of [...NAMES, ...NAMES.slice(0, 3)].entries()) {
        const path = join(root, half, `class${i % 2}`, `${i}-${name}`);
        mkdirSync(dirname(path), { recursive: true });
        writeFileSync(path, golden(name));
      }
    }
    for (const half of ['train', 'val']) writeFileSync(join(root, half, 'class1/9.jpg'), 'no picture');
  });

  for (const on of testDevices) {
    describe(`on ${on}`, () => {
      before(function () {
        if (on === 'cuda' && cudaBackend().score === 0) this.skip();
      });

      for (const options of [
        { batch: 3, seed: 4, shuffle: true, augment: 'basic' },
        { batch: 3, seed: 5, augment: 'published', workers: 2 },
        { batch: 8, workers: 1 },
        { batch: 9 },
      ] satisfies LoaderOptions[]) {
        for (const dtype of ['f32', 'f64'] as const satisfies RealType[]) {
          it(`${dtype}, ${JSON.stringify(options)}: the same batches`, async () => {
            const set = pictures({ broken: 'skip' }).train;
            await using expected = loader(set, options);
            const source = new PictureLoader(set, options, { dtype, device: device(on) });
            expect(source.batches).to.equal(expected.batches);
            for (const startBatch of [0, expected.batches - 1]) {
              const theirs = expected.epoch(2, { startBatch });
              for await (const batch of source.epoch(2, { startBatch })) {
                const { images, labels, skipped, ...rest } = (await theirs.next()).value!;
                const { set: room, programs, programWords, bring, release, ...own } = batch;
                expect(own).to.deep.equal({ ...rest, ...(skipped && { skipped }) });
                bring!();
                const shape = [batch.size, programWords];
                const made = scope(() => room.take(tensor(programs, { shape, device: device(on) })));
                expect(made.images.shape.slice(1)).to.deep.equal([3, 9, 9]);
                expect([...(await made.images.array())]).to.deep.equal([...images]);
                expect([...(await made.labels.array())]).to.deep.equal([...labels]);
                made.images.dispose();
                made.labels.dispose();
                if (batch.index % 2 === 0) release!(); // some consumers forget it
              }
              expect((await theirs.next()).done).to.equal(true);
            }
            await source.close();
          });
        }
      }

      it('a set that cannot be read ends the epoch with its error', async () => {
        const source = new PictureLoader(pictures().train, { batch: 8 }, { dtype: 'f32', device: device(on) });
        try {
          for await (const _ of source.epoch(0));
          expect.fail('no error');
        } catch (error) {
          expect((error as Error).message).to.match(/9\.jpg/);
        } finally {
          await source.close();
        }
      });

      it('is how a network on a device with memory of its own is trained', async () => {
        const { train: set, test } = pictures({ broken: 'skip' });
        using net = tinyNet(on, 'f32', { size: [9, 9], classes: 2 });
        const { feeds, dataBytes } = feedsOf('auto', net, { train: [set, { batch: 4 }] });
        expect(feeds.train instanceof PictureLoader).to.equal(on !== 'cpu');
        expect(dataBytes).to.equal(on === 'cpu' ? 0 : 4 * (3 * 81 + 4) + 3 * 256 * 4);
        await feeds.train.close();
        const options = {
          epochs: 2,
          batch: 4,
          optimizer: sgd({ lr: 0.05 }),
          augment: 'published' as const,
          workers: 1,
        };
        const losses: number[] = [];
        for await (const { loss } of train(net, { data: { train: set, test }, ...options })) losses.push(loss);
        expect(losses).to.have.length(2);
        for (const loss of losses) expect(loss).to.be.within(0.01, 100);
      });

      it('the broken ones that were replaced are counted in every epoch, an interrupted one, too', async () => {
        const data = pictures({ broken: 'skip' });
        const out = folder.path(`counted on ${on}`);
        const counts: number[] = [];
        for (const more of [abortAfter(1), { resume: true, ...abortAfter(3) }, { resume: true }]) {
          using net = tinyNet(on, 'f32', { size: [9, 9], classes: 2 });
          const options = { data, out, epochs: 3, batch: 2, seed: 8, optimizer: sgd({ lr: 0.05 }), ...more };
          for await (const { skipped } of train(net, options)) counts.push(skipped);
          expect((await evaluate(net, data.test)).skipped).to.equal(1);
        }
        expect(counts).to.deep.equal([2, 2, 2]); // one for training and one for tests
        const records = readMetrics(runPaths(out).metrics);
        expect(records.map(({ skipped }) => skipped)).to.deep.equal(counts);
      });
    });
  }
});
