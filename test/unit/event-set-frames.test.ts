// Frames of event sets: the same for any number of threads, of recordings of any size, cropped, clipped, and into a
// network.
import { expect } from 'chai';
import { scope, tensor } from '../../lib/core/index.ts';
import type { EventSet } from '../../lib/data/event-sets/event-set.ts';
import { cifar10Dvs, type EventSetOptions, limit, loader, nMnist } from '../../lib/data/index.ts';
import { fortyBit, someEvents, writeTree } from '../support/event-files.ts';
import { counted, countsOf, frameNet, framesOf, labelsOf, writeCifar10Dvs } from '../support/event-sets.ts';
import { testFolder } from '../support/image-sets.ts';
import { realData } from '../support/real-data.ts';

const STEPS: EventSetOptions = { steps: 3 };

describe('frames of event sets', () => {
  const folder = testFolder();
  let dvs = '';
  before(() => {
    dvs = folder.path('dvs');
    writeCifar10Dvs(dvs);
  });

  it('workers 0, 1 and 2 give the same batches, mixed and mirrored ones too', async () => {
    const { test } = await cifar10Dvs(dvs, { ...STEPS, size: [64, 64], split: 'tet' });
    const batches: string[] = [];
    for (const workers of [0, 1, 2]) {
      const feed = loader(test, { batch: 6, workers, shuffle: true, seed: 5, augment: 'published' });
      const seen: unknown[] = [];
      for (const epoch of [0, 1]) {
        for await (const { images, labels, shape } of feed.epoch(epoch)) {
          seen.push([shape, [...labels], Buffer.from(images.buffer).toString('base64')]);
        }
      }
      await feed.close();
      batches.push(JSON.stringify(seen));
    }
    expect(batches[1]).to.equal(batches[0]);
    expect(batches[2]).to.equal(batches[0]);
  });

  it('large recordings are counted apart from each other, with the same frames', async () => {
    const root = folder.path('large');
    const sizes = [200_000, 100_000, 50, 300_000, 0];
    const recordings = sizes.map((size, i) => someEvents(size, 34, 34, i, 5));
    recordings.forEach((recording, i) => {
      writeTree(root, { [`Test/${i}/a.bin`]: fortyBit(recording) });
    });
    writeTree(root, { 'Train/0/a.bin': fortyBit(recordings[2]!) });
    const { test } = await nMnist(root, { steps: 2 });
    const feed = loader(test, { batch: 5, workers: 0 });
    const { value } = await feed.epoch(0).next();
    const size = 2 * 34 * 34;
    for (const [b, recording] of recordings.entries()) {
      const expected = counted(recording, 2);
      for (const t of [0, 1]) {
        const start = (t * 5 + b) * size;
        expect([...value.images.subarray(start, start + size)]).to.deep.equal(expected.slice(t * size, (t + 1) * size));
      }
    }
  });

  it('a crop counts the middle of the sensor, a larger one pads; clip and normalise', async () => {
    const recording = someEvents(3000, 34, 34, 9);
    const root = folder.path('cropped');
    writeTree(root, { 'Train/1/a.bin': fortyBit(recording), 'Test/1/b.bin': fortyBit(recording) });
    const whole = counted(recording, 1);
    const pixel = (p: number, y: number, x: number) =>
      y < 0 || x < 0 || y >= 34 || x >= 34 ? 0 : whole[(p * 34 + y) * 34 + x]!;
    const expected = (H: number, W: number, change = (n: number) => n) =>
      Array.from({ length: 2 * H * W }, (_, i) => {
        const [p, y, x] = [Math.floor(i / H / W), Math.floor(i / W) % H, i % W];
        return change(pixel(p, y + Math.floor((34 - H) / 2), x + Math.floor((34 - W) / 2)));
      });
    const frames = async (options: Partial<EventSetOptions>) =>
      framesOf((await nMnist(root, { steps: 1, ...options })).train, 0);
    expect(await frames({ crop: [20, 31] })).to.deep.equal(expected(20, 31));
    expect(await frames({ crop: [40, 34] })).to.deep.equal(expected(40, 34));
    expect(await frames({ clip: 2 })).to.deep.equal(expected(34, 34, (n) => Math.min(n, 2)));
    const most = Math.max(...whole);
    expect(await frames({ normalise: true })).to.deep.equal(expected(34, 34, (n) => Math.fround(n / most)));
  });

  it('a limit takes recordings of every class', async () => {
    const { test } = await cifar10Dvs(dvs, { ...STEPS, split: 'tet' });
    expect(labelsOf(limit(test, 10))).to.deep.equal([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    const labels = new Int32Array(new SharedArrayBuffer(test.labels.byteLength));
    for (const [at, i] of test.chosen!.entries()) labels[i] = at % 5;
    const inTurn = { ...test, labels }; // class after class again and again, as gestures are recorded
    const fifth = limit(inTurn, test.count / 5);
    expect(new Set(labelsOf(fifth)).size)
      .to.equal(fifth.count)
      .and.to.be.above(1);
    expect([...fifth.chosen!]).to.deep.equal([...fifth.chosen!].sort((a, b) => a - b));
  });
});

describe('N-MNIST as it is distributed', () => {
  const root = realData('nmnist');
  if (root === undefined) {
    it('pending: no real recordings here');
    return;
  }
  const folder = testFolder();

  it('1,000 + 100 recordings have the events that their owners count, and feed a network', async () => {
    const { train, test } = await nMnist(root, { steps: 4, cacheFolder: folder.path('cache') });
    const sum = (set: EventSet) => countsOf(set).reduce((a, b) => a + b, 0);
    expect([train.count, test.count, sum(train), sum(test)]).to.deep.equal([1000, 100, 4_133_231, 385_596]);
    const { steps, channels, height, width, classes } = train;
    const net = frameNet({ steps, input: { channels, height, width }, classes: classes.length, seed: 1 });
    const feed = loader(test, { batch: 32, workers: 1 });
    let events = 0;
    for await (const batch of feed.epoch(0)) {
      for (const n of batch.images) events += n;
      const logits = scope(() => net(tensor(batch.images, { shape: batch.shape })));
      expect(logits.shape).to.deep.equal([batch.size, 10]);
      expect([...(await logits.array())].every(Number.isFinite)).to.equal(true);
      logits.dispose();
    }
    await feed.close();
    net.dispose();
    expect(events).to.equal(385_596);
  });
});
