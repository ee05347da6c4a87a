// Frames of events cross to the device as bytes where they can: the same batches, the same training, to the bit. On the
// CPU, and on a CUDA device where there is one.
import { expect } from 'chai';
import { cudaBackend, type RealType } from '../../lib/core/index.ts';
import type { EventSet, EventSplits } from '../../lib/data/event-sets/event-set.ts';
import { frameBytes, frameUnit } from '../../lib/data/event-sets/frame-bytes.ts';
import { cifar10Dvs, type EventSetOptions, type Events, loader, nMnist } from '../../lib/data/index.ts';
import { type Batch, type ByteBatch, byteLoader, type LoaderOptions } from '../../lib/data/loader.ts';
import { sgd } from '../../lib/optim/index.ts';
import { trainingMemory } from '../../lib/train/memory.ts';
import { train } from '../../lib/train/train.ts';
import type { TrainOptions } from '../../lib/train/train-options.ts';
import { testDevices } from '../support/devices.ts';
import { aedat2, fortyBit, someEvents, writeTree } from '../support/event-files.ts';
import { frameNet } from '../support/event-sets.ts';
import { testFolder } from '../support/image-sets.ts';

/** A recording whose first events, so many of them, are all at one pixel in the middle. */
function withHotPixel(recording: Events, hot: number): Events {
  for (const axis of [recording.x, recording.y]) axis.fill(17, 0, hot);
  recording.p.fill(1, 0, hot);
  return recording;
}

const T = 3;
const BATCH = 4;
const HOT = 9; // the recording that has a pixel with more events in a frame than a byte holds

function writeSets(root: string): void {
  for (let i = 0; i < 10; i++) {
    const bytes = fortyBit(withHotPixel(someEvents(900, 34, 34, i + 1), i === HOT ? 256 : 200));
    writeTree(root, { [`n-mnist/Train/${i % 3}/${i}.bin`]: bytes, [`n-mnist/Test/${i % 3}/${i}.bin`]: bytes });
    const label = i % 2 === 0 ? 'cat' : 'dog';
    for (const part of [1, 100 + i]) {
      writeTree(root, {
        [`dvs/${label}/cifar10_${label}_${part + i}.aedat`]: aedat2(someEvents(3000, 128, 128, i + 1)),
      });
    }
  }
}

/** Batches of bytes beside those of numbers: how many were bytes, of how many. */
async function compared(set: EventSet, options: Partial<LoaderOptions> = {}): Promise<[bytes: number, all: number]> {
  const own = { batch: BATCH, workers: 0, seed: 3, shuffle: true, ...options };
  await using numbers = loader(set, own);
  const bytes = byteLoader(set, own);
  let [asBytes, all] = [0, 0];
  for (const epoch of [0, 1]) {
    const expected: Batch[] = [];
    for await (const batch of numbers.epoch(epoch)) expected.push(batch);
    const found: (Batch | ByteBatch)[] = [];
    for await (const batch of bytes.epoch(epoch)) found.push(batch);
    expect(found).to.have.length(expected.length);
    for (const [i, { images, release: _, ...rest }] of found.entries()) {
      const { images: plain, ...others } = expected[i]!;
      all++;
      if ('unit' in rest) {
        asBytes++;
        expect(images).to.be.instanceOf(Uint8Array);
        const { unit, ...same } = rest;
        expect(same).to.deep.equal(others);
        expect(Float32Array.from(images, (n) => n * unit)).to.deep.equal(plain);
      } else {
        expect(rest).to.deep.equal(others);
        expect(images).to.deep.equal(plain);
      }
    }
  }
  await bytes.close();
  return [asBytes, all];
}

describe('frames as bytes', () => {
  const folder = testFolder();
  before(() => writeSets(folder.path()));
  const digits = (options: Partial<EventSetOptions> = {}) => nMnist(folder.path('n-mnist'), { steps: T, ...options });
  const objects = (options: Partial<EventSetOptions> = {}) =>
    cifar10Dvs(folder.path('dvs'), { steps: T, split: 'tet', ...options });

  it('the unit is 1 for counts, and 1/2 for an axis that is divided by an even number', () => {
    const frame = {
      window: [128, 36] as [number, number],
      corner: [0, 0] as [number, number],
      clip: 0,
      normalise: false,
    };
    const units = (
      [
        [128, 36],
        [64, 18],
        [64, 36],
        [128, 12],
        [32, 9],
        [128, 1],
        [100, 36],
        [256, 36],
      ] as const
    ).map((size) => frameUnit(frame, size));
    expect(units).to.deep.equal([1, 0.25, 0.5, 1, 0.25, 0.5, undefined, undefined]);
    expect(frameUnit({ ...frame, normalise: true }, [128, 36])).to.equal(undefined);
  });

  it('only what is a byte times the unit becomes one', () => {
    const of = (unit: number, ...numbers: number[]) => {
      const bytes = new Uint8Array(numbers.length);
      return frameBytes(Float32Array.from(numbers), unit, bytes) ? bytes : undefined;
    };
    expect(of(1, 0, 7, 255)).to.deep.equal(Uint8Array.of(0, 7, 255));
    expect(of(0.25, 0.25, 63.75, 2)).to.deep.equal(Uint8Array.of(1, 255, 8));
    for (const other of [256, -1, 0.5, 511, 2 ** 32, Number.NaN, Number.POSITIVE_INFINITY]) {
      expect(of(1, 0, other), `${other}`).to.equal(undefined);
    }
    expect(of(0.25, 64)).to.equal(undefined);
    expect(of(0.25, 1 / 3)).to.equal(undefined);
  });

  it('batches are the same numbers; one that holds too large a count, and sets without a unit, stay as they are', async () => {
    const { train: some } = await digits();
    const [bytes, all] = await compared(some);
    expect([bytes, all]).to.deep.equal([4, 6]); // the hot pixel is in one batch of an epoch
    expect(await compared((await digits({ clip: 255 })).train)).to.deep.equal([6, 6]);
    expect(await compared((await digits({ clip: 1 })).train, { workers: 2 })).to.deep.equal([6, 6]);
    expect(await compared((await digits({ crop: [40, 21] })).train, { batch: 1 })).to.deep.equal([18, 20]);
    expect(await compared((await digits({ normalise: true })).train)).to.deep.equal([0, 6]);
    expect(await compared((await digits({ size: [33, 17] })).train)).to.deep.equal([0, 6]);
  });

  it('resized, turned, erased and mirrored ones, too', async () => {
    for (const size of [undefined, [64, 64], [64, 128], [16, 8]] as const) {
      const { train: some } = await objects(size && { size });
      const [bytes, all] = await compared(some, { augment: 'published', workers: 1, batch: 3 });
      expect(bytes, `${size}`).to.equal(all);
    }
    expect((await compared((await objects({ size: [48, 48] })).train, { augment: 'published' }))[0]).to.equal(0);
  });

  for (const on of testDevices) {
    const learn = async (data: EventSplits, dtype: RealType, options: Partial<TrainOptions>) => {
      const { channels, height, width, classes, steps } = data.train;
      using net = frameNet({
        steps,
        channels,
        size: [height, width],
        classes: classes.length,
        seed: 2,
        dtype,
        device: on,
      });
      const usual = { epochs: 2, batch: BATCH, optimizer: sgd({ lr: 0.1, momentum: 0.9 }), workers: 0, seed: 5 };
      const reports: unknown[] = [];
      for await (const report of train(net, { data, ...usual, ...options })) {
        const { seconds: _s, imagesPerSecond: _i, waitShare: _w, ...numbers } = report;
        reports.push(numbers);
      }
      const tensors = [...net.parameters(), ...net.buffers()].map(async ({ tensor }) => [...(await tensor.array())]);
      return { reports, tensors: await Promise.all(tensors) };
    };
    /** The same recordings, said to hold any numbers. */
    const plain = ({ train: a, test: b }: EventSplits): EventSplits => {
      const [{ unit: _a, ...first }, { unit: _b, ...second }] = [a, b];
      return { train: first, test: second };
    };

    describe(`training on ${on}`, () => {
      before(function () {
        if (on === 'cuda' && cudaBackend().score === 0) this.skip();
      });
      const ways: Record<string, Partial<TrainOptions>> = {
        recorded: {},
        'call by call': { record: false },
        mixed: { mix: { mixup: 0.5, p: 1 } },
      };
      for (const [name, way] of Object.entries(ways)) {
        it(`bytes and too large counts in turns give the bits of numbers, ${name}`, async () => {
          for (const dtype of ['f32', 'f64'] as const) {
            const data = await digits({ crop: [9, 10] });
            expect(data.train.unit).to.equal(1);
            expect(await learn(data, dtype, way)).to.deep.equal(await learn(plain(data), dtype, way));
          }
        });
      }

      it('resized and augmented frames give the bits of numbers', async () => {
        const data = await objects({ size: [16, 16] });
        const way = { augment: 'published' as const, mix: { mixup: 0.5, p: 0.5 } };
        expect(data.train.unit).to.equal(0.25);
        expect(await learn(data, 'f32', way)).to.deep.equal(await learn(plain(data), 'f32', way));
      });
    });
  }

  it('are bytes in the plan of a step, beside the numbers they become', async () => {
    const { train: some } = await digits();
    using net = frameNet({ steps: T, channels: 2, size: [34, 34], classes: 3, seed: 2 });
    const frames = T * 64 * 2 * 34 * 34;
    const planned = (unit: number | undefined) => trainingMemory(net, { batch: 64, steps: T, unit }).leastStepBytes;
    expect(planned(some.unit) - planned(undefined)).to.be.within(0.5 * frames, 1.1 * frames);
  });
});
