// Sets of plain numbers: what batches of them hold, in threads, cut to a part, made by a function; and what is refused.
import { expect } from 'chai';
import {
  type Batch,
  DataError,
  type LoaderOptions,
  limit,
  loader,
  type NumberSetInit,
  numberSet,
} from '../../lib/data/index.ts';
import { byteLoader } from '../../lib/data/loader.ts';
import { describeData, describeSamples } from '../../lib/train/data-description.ts';
import { messageOf, refusal } from '../support/failure.ts';

const [N, T, C, H, W] = [7, 3, 2, 4, 5];
const FRAME = C * H * W;
const labels = Array.from({ length: N }, (_, i) => (2 * i) % 3);
/** Number j of sample i is 1000 i + j: what lies where can be read from it. */
const reals = Float32Array.from(
  { length: N * T * FRAME },
  (_, k) => 1000 * Math.floor(k / (T * FRAME)) + (k % (T * FRAME)),
);
const counts = Uint8Array.from(reals, (value) => value % 251);
const spikes = Uint8Array.from(reals, (value) => value % 2);
const usual = { name: 'own', shape: [T, C, H, W], labels, classes: 3 };
const timed = (init: Partial<NumberSetInit> = {}) => numberSet({ ...usual, numbers: reals, ...init });

async function batchesOf(set: ReturnType<typeof numberSet>, options: Partial<LoaderOptions> = {}) {
  await using source = loader(set, { batch: 3, seed: 5, shuffle: true, workers: 0, ...options });
  const batches: Batch[] = [];
  for await (const batch of source.epoch(1)) batches.push(batch);
  return batches;
}

describe('sets of plain numbers', () => {
  it('are given in batches with the time steps in front, each sample with its label', async () => {
    const seen: number[] = [];
    for (const { images, labels: classes, shape, indices, binary, size } of await batchesOf(timed())) {
      expect(shape).to.deep.equal([T, size, C, H, W]);
      expect(images)
        .to.be.instanceOf(Float32Array)
        .and.have.length(T * size * FRAME);
      expect(binary).to.equal(false);
      for (const [b, index] of indices.entries()) {
        seen.push(index);
        expect(classes[b]).to.equal(labels[index]);
        for (let t = 0; t < T; t++)
          for (const j of [0, 17, FRAME - 1])
            expect(images[(t * size + b) * FRAME + j]).to.equal(1000 * index + t * FRAME + j);
      }
    }
    expect(seen.sort()).to.deep.equal(Array.from({ length: N }, (_, i) => i));
    const image = numberSet({ ...usual, numbers: reals, shape: [T * C, H, W] });
    const [first] = await batchesOf(image, { shuffle: false });
    expect(first!.shape).to.deep.equal([3, T * C, H, W]);
    expect(first!.images).to.deep.equal(reals.slice(0, 3 * T * FRAME));
    expect(image).not.to.have.any.keys('steps', 'unit', 'binary', 'chosen');
  });

  for (const [kind, numbers] of Object.entries({ reals, counts, spikes })) {
    it(`are the same from threads, from shared memory and by a function: ${kind}`, async () => {
      const expected = await batchesOf(timed({ numbers }));
      for (const workers of [1, 2]) expect(await batchesOf(timed({ numbers }), { workers })).to.deep.equal(expected);
      const shared = new Uint8Array(new SharedArrayBuffer(numbers.byteLength));
      shared.set(new Uint8Array(numbers.buffer));
      const view = numbers === reals ? new Float32Array(shared.buffer) : shared;
      const set = timed({ numbers: view });
      expect(set.numbers).to.equal(view);
      expect(await batchesOf(set)).to.deep.equal(expected);
      const one = (index: number) => numbers.slice(index * T * FRAME, (index + 1) * T * FRAME);
      expect(await batchesOf(timed({ numbers: one }))).to.deep.equal(expected);
      expect(await batchesOf(timed({ numbers: async (index) => one(index) }))).to.deep.equal(expected);
    });
  }

  it('come as bytes where they are bytes', async () => {
    const set = timed({ numbers: spikes, binary: true });
    expect(set).to.include({ steps: T, channels: C, height: H, width: W, unit: 1, binary: true, count: N });
    const feed = byteLoader(set, { batch: N, workers: 0 });
    const { value } = await feed.epoch(0).next();
    expect(value).to.include({ unit: 1, binary: true });
    expect(value.images).to.be.instanceOf(Uint8Array);
    const plain = await batchesOf(set, { batch: N, shuffle: false });
    expect(Float32Array.from(value.images)).to.deep.equal(plain[0]!.images);
    await feed.close();
  });

  it('can be shared by two sets, and cut evenly over their classes', async () => {
    const numbers = new Float32Array(new SharedArrayBuffer(reals.byteLength));
    numbers.set(reals);
    const [train, test] = [timed({ numbers, chosen: [6, 1, 2, 5] }), timed({ numbers, chosen: [0, 3, 4] })];
    expect(train.numbers).to.equal(test.numbers);
    expect([...loader(train, { batch: 4 }).order(0)]).to.deep.equal([6, 1, 2, 5]);
    expect(describeData({ train, test })).to.deep.equal({ name: 'own', train: 4, test: 3, classes: 3, steps: T });
    expect(describeSamples(train, 'none')).to.deep.equal({ binary: false });
    const part = limit(timed(), 3);
    expect(part.count).to.equal(3);
    expect(Array.from(part.chosen!, (i) => labels[i]).sort()).to.deep.equal([0, 1, 2]);
  });

  it('share one copy of an array that does not lie in shared memory, as long as it is not changed', () => {
    const numbers = Float32Array.from(reals);
    const [train, test] = [timed({ numbers, chosen: [6, 1] }), timed({ numbers, chosen: [0, 3, 4] })];
    expect(train.numbers).to.equal(test.numbers).and.not.to.equal(numbers);
    numbers[5] = 77;
    const changed = timed({ numbers });
    expect(changed.numbers).to.deep.equal(numbers).and.not.to.equal(test.numbers);
    expect(Float32Array.from(test.numbers as Float32Array)).to.deep.equal(reals);
    expect(timed({ numbers }).numbers).to.equal(changed.numbers);
    expect(timed({ numbers: numbers.subarray(0) }).numbers).not.to.equal(changed.numbers);
  });

  it('have class names, or numbers for names', () => {
    expect(timed().classes).to.deep.equal(['0', '1', '2']);
    expect(timed({ classes: ['a', 'b', 'c'] }).classes).to.deep.equal(['a', 'b', 'c']);
  });

  for (const [title, init, message] of [
    ['a misspelled option', { label: [] }, /numberSet\(\) has no option label; .* did you mean 'labels'\?/],
    ['no name', { name: '' }, /numberSet\(\): name is a text, not ""/],
    ['a list', { numbers: [1, 2] }, /numbers are a Float32Array or a Uint8Array, .*, not Array$/],
    ['doubles', { numbers: new Float64Array(3) }, /numbers are a Float32Array .* not Float64Array$/],
    ['no shape', { shape: undefined }, /shape is that of a sample, \[C,H,W\] or \[T,C,H,W\], not undefined/],
    ['features without H and W', { shape: [64] }, /not \[64\]; F features are \[F,1,1\]/],
    ['a shape of zero', { shape: [0, 1, 1] }, /not \[0,1,1\]/],
    ['no labels', { labels: undefined }, /labels is an array of whole numbers, not undefined/],
    ['empty labels', { labels: [] }, /at least one sample, but labels are empty/],
    ['a label too large', { labels: [0, 1, 2, 3, 0, 0, 0] }, /here 0 to 2, but that of sample 3 is 3/],
    ['a label that is a text', { labels: [0, '1', 2, 0, 0, 0, 0] }, /but that of sample 1 is "1"/],
    [
      'more labels than there are numbers for',
      { numbers: () => reals, labels: { length: 2 ** 33 } },
      /labels are 2147483647 at most, but there are 8589934592; make several sets of them$/,
    ],
    ['a list without elements', { labels: { length: 2 ** 31 - 1 } }, /need 257698037640 numbers, but there are 840/],
    ['no elements', { numbers: () => reals, labels: { length: 9 } }, /but that of sample 0 is undefined$/],
    ['a choice without elements', { chosen: { length: 2 ** 31 - 1 } }, /0 to 6, but number 0 is undefined$/],
    ['no classes', { classes: 0 }, /classes are their names, or a count from 1 to 1048576, not 0/],
    ['classes of other kinds', { classes: ['a', 2] }, /not \["a",2\]/],
    [
      'too few numbers',
      { numbers: reals.subarray(1) },
      /7 labels and samples \[3,2,4,5\] need 840 numbers, but there are 839/,
    ],
    [
      'NaN',
      { numbers: reals.with(130, Number.NaN) },
      /samples are finite, but number 10 of sample 1 is NaN; replace it, or leave that sample out$/,
    ],
    ['infinity', { numbers: reals.with(0, -1 / 0) }, /number 0 of sample 0 is -Infinity/],
    [
      'counts as spikes',
      { numbers: counts, binary: true },
      /spikes \(binary: true\) are 0 and 1, but number 2 of sample 0 is 2/,
    ],
    ['a binary image', { shape: [T * C, H, W], binary: true }, /binary samples have time steps, \[T,C,H,W\]/],
    ['binary: 1', { binary: 1 }, /binary is true or false, not 1/],
    ['a wrong choice', { chosen: [0, 7] }, /chosen are indices of samples, 0 to 6, but number 1 is 7/],
    ['an empty choice', { chosen: [] }, /at least one sample is in use, but chosen is empty/],
  ] as [string, object, RegExp][]) {
    it(`refuse ${title}`, () => {
      expect(messageOf(() => timed(init))).to.match(message);
    });
  }

  it('refuse parts that were changed, and augmentation', async () => {
    const set = timed();
    const own = { batch: 3, workers: 0 };
    const plain = { ...set, numbers: reals as unknown as typeof set.numbers };
    expect(messageOf(() => loader(plain, own))).to.match(/number set 'own': .* lie in shared memory; numberSet/);
    expect(messageOf(() => loader({ ...set, count: 3 }, own))).to.match(/3 samples are in use, not 7/);
    expect(messageOf(() => loader({ ...set, height: 3 }, own))).to.match(/need 630 numbers, but there are 840/);
    expect(messageOf(() => limit({ ...set, classes: ['a'] }, 2))).to.match(/label 2 of sample 1 is outside 0..0/);
    expect(messageOf(() => loader(set, { ...own, augment: 'basic' }))).to.match(
      /samples of numbers are not augmented, but 'own' is to be by 'basic'; use augment 'none'/,
    );
  });

  it('say which sample a function could not make, and that it runs in the calling thread', async () => {
    const of = (numbers: unknown, more = {}) =>
      refusal(batchesOf(timed({ numbers: numbers as () => Float32Array, ...more }), { shuffle: false }));
    const good = new Float32Array(T * FRAME);
    const at = (index: number, bad: unknown) => (i: number) => (i === index ? bad : good);
    const lost = async (i: number) => {
      if (i === 4) throw new DataError('samples.bin', 'is cut off', { offset: 80 });
      return good;
    };
    expect(await of(lost)).to.match(/^sample 4 of 'own' could not be made: .*samples.bin.*is cut off/);
    expect(await of(() => Promise.reject('no'))).to.equal(`sample 0 of 'own' could not be made: "no"`);
    expect(await of(at(2, [1]))).to.match(
      /sample 2 of 'own' must be a Float32Array or .* of 120 numbers, .* gave Array$/,
    );
    expect(await of(at(1, good.subarray(1)))).to.match(/sample 1 .* gave a Float32Array of 119$/);
    expect(await of(at(3, good.with(7, Number.NaN)))).to.match(
      /finite, but number 7 of sample 3 of 'own' is NaN, as its/,
    );
    expect(await of(at(0, counts.subarray(0, 120)), { binary: true })).to.match(
      /are 0 and 1, but number 2 of sample 0/,
    );
    expect(messageOf(() => loader(timed({ numbers: lost }), { batch: 2 }))).to.match(
      /the samples of 'own' are made by a function, which runs in the calling thread alone; give workers: 0$/,
    );
  });
});
