// Batches whose memory goes back to the loader: right whatever the consumer's delays, and nobody else's arrays change.
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { philox } from '../../lib/core/random.ts';
import type { AnySet } from '../../lib/data/batch.ts';
import { imageFolder, loader, nMnist } from '../../lib/data/index.ts';
import { type Batch, type ByteBatch, byteLoader, type LoaderOptions } from '../../lib/data/loader.ts';
import { encodePng } from '../../lib/data/png.ts';
import { sgd } from '../../lib/optim/index.ts';
import { DivergenceError } from '../../lib/train/divergence.ts';
import { train } from '../../lib/train/train.ts';
import { fortyBit, someEvents, writeTree } from '../support/event-files.ts';
import { frameNet } from '../support/event-sets.ts';
import { failure } from '../support/failure.ts';
import { testFolder } from '../support/image-sets.ts';

type AnyBatch = Batch | ByteBatch;

const OPTIONS = { batch: 3, seed: 4, shuffle: true } satisfies LoaderOptions;
const EPOCHS = [0, 1, 2];

/** Numbers of a batch, whether they came as bytes or not. */
const numbersOf = (batch: AnyBatch): number[] =>
  Array.from(batch.images, (n) => n * ('unit' in batch ? batch.unit : 1));

/** What every batch of the epochs has to be. */
async function expectedOf(set: AnySet, options: LoaderOptions): Promise<number[][][]> {
  await using feed = loader(set, { ...options, workers: 0 });
  const epochs: number[][][] = [];
  for (const epoch of EPOCHS) {
    const batches: number[][] = [];
    for await (const batch of feed.epoch(epoch)) batches.push(numbersOf(batch));
    epochs.push(batches);
  }
  return epochs;
}

describe('batches that are lent', () => {
  const folder = testFolder();
  const sets: Record<string, () => Promise<AnySet>> = {
    'frames as bytes and, where a count is large, as numbers': async () =>
      (await nMnist(folder.path('events'), { steps: 2, cacheFolder: folder.path('cache') })).train,
    'frames as numbers': async () =>
      (await nMnist(folder.path('events'), { steps: 2, normalise: true, cacheFolder: folder.path('cache') })).train,
    pictures: async () => imageFolder(folder.path('pictures'), { size: 9, resize: 12 }).train,
  };

  before(() => {
    for (let i = 0; i < 14; i++) {
      // the third is counted apart from the others, and the fifth has a pixel with more events than a byte holds
      const recording = someEvents(i === 2 ? 2 ** 18 - 100 : 900, 34, 34, i + 1, 5);
      if (i === 4) for (const axis of [recording.x, recording.y, recording.p]) axis.fill(1, 0, 700);
      writeTree(folder.path('events'), {
        [`Train/${i % 3}/${i}.bin`]: fortyBit(recording),
        [`Test/${i % 3}/${i}.bin`]: fortyBit(recording),
      });
      const pixels = Uint8Array.from({ length: 12 * 13 * 3 }, (_, k) => (k * (i + 3)) % 251);
      const picture = encodePng(pixels, 12, 13);
      writeTree(folder.path('pictures'), {
        [`train/c${i % 2}/${i}.png`]: picture,
        [`val/c${i % 2}/${i}.png`]: picture,
      });
    }
  });

  for (const [name, open] of Object.entries(sets)) {
    for (const { workers, prefetch } of [
      { workers: 0, prefetch: 2 },
      { workers: 1, prefetch: 1 },
      { workers: 2, prefetch: 5 },
    ]) {
      it(`${name}, ${workers} workers: held for any time and given back in any order`, async () => {
        const set = await open();
        const options: LoaderOptions = { ...OPTIONS, augment: set.kind === 'events' ? 'none' : 'published' };
        const expected = await expectedOf(set, options);
        const draws = philox(workers, 7);
        const feed = byteLoader(set, { ...options, workers, prefetch });
        const held: [AnyBatch, number[]][] = [];
        const giveBack = (): void => {
          const [[batch, numbers]] = held.splice(draws.below(held.length), 1) as [[AnyBatch, number[]]];
          expect(numbersOf(batch)).to.deep.equal(numbers);
          for (let times = 0; times <= draws.below(2); times++) batch.release!();
        };
        for (const epoch of EPOCHS) {
          for await (const batch of feed.epoch(epoch)) {
            const numbers = expected[epoch]![batch.index]!;
            expect(numbersOf(batch)).to.deep.equal(numbers);
            held.push([batch, numbers]);
            await sleep(draws.below(4));
            while (held.length > draws.below(4)) giveBack();
          }
        }
        while (held.length > 0) giveBack();
        await feed.close();
      });
    }
  }

  it('the memory of a batch that was given back holds a later one', async () => {
    const set = await sets['frames as numbers']!();
    const here = byteLoader(set, { ...OPTIONS, batch: 1, workers: 0 });
    const memory = new Set<ArrayBufferLike>();
    for await (const { images, release } of here.epoch(0)) {
      memory.add(images.buffer);
      release!();
    }
    expect(memory.size).to.equal(1);
    const there = byteLoader(set, { ...OPTIONS, batch: 1, workers: 1 });
    const seen: AnyBatch[] = [];
    for await (const batch of there.epoch(0)) {
      seen.push(batch);
      batch.release!();
    }
    expect(seen.filter(({ images }) => images.length > 0)).to.have.length.below(4); // the others have gone to the thread
    await Promise.all([here.close(), there.close()]);
  });

  it('an epoch that was left, or two at a time, get the right ones', async () => {
    const set = await sets.pictures!();
    const expected = await expectedOf(set, OPTIONS);
    const feed = byteLoader(set, { ...OPTIONS, workers: 1, prefetch: 4 });
    for await (const batch of feed.epoch(1)) {
      batch.release!();
      if (batch.index === 1) break;
    }
    const both = [feed.epoch(0), feed.epoch(2)];
    for (let index = 0; index < expected[0]!.length; index++) {
      for (const [i, epoch] of [0, 2].entries()) {
        const { value: batch } = await both[i]!.next();
        expect(numbersOf(batch)).to.deep.equal(expected[epoch]![index]);
        batch.release!();
      }
    }
    await feed.close();
    expect(() => feed.epoch(0)).to.throw('closed');
  });

  for (const workers of [0, 2]) {
    it(`those of loader(), ${workers} workers, are the consumer's own`, async () => {
      const set = await sets['frames as numbers']!();
      const expected = await expectedOf(set, OPTIONS);
      await using feed = loader(set, { ...OPTIONS, workers });
      const kept: Batch[][] = [[], [], []];
      for (const epoch of EPOCHS) {
        for await (const batch of feed.epoch(epoch)) {
          expect(batch).not.to.have.property('release');
          kept[epoch]!.push(batch);
        }
      }
      expect(kept.map((batches) => batches.map(numbersOf))).to.deep.equal(expected);
    });
  }

  it('a step that diverges is run again with its batch', async () => {
    const data = await nMnist(folder.path('events'), { steps: 2, cacheFolder: folder.path('cache') });
    using net = frameNet({ steps: 2, input: { channels: 2, height: 34, width: 34 }, classes: 10, seed: 2 });
    const { tensor: last } = net.parameters().at(-1)!;
    last.set(new Float32Array(last.size).fill(Number.NaN));
    const run = train(net, { data, epochs: 1, batch: 1, optimizer: sgd({ lr: 0.1 }), workers: 1 });
    const error = await failure(
      (async () => {
        for await (const _ of run);
      })(),
    );
    expect(error).to.be.instanceOf(DivergenceError);
    expect(error.message).to.match(/step 1 of 14: the loss .* not finite: the output of layer/);
  });
});
