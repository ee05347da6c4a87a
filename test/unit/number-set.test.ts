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

/** A set with targets: its samples are those of timed(), 2 numbers each or what is given. */
const targetSet = (init: Partial<NumberSetInit>) =>
  numberSet({ name: 'own', shape: [T, C, H, W], numbers: reals, ...init });

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
      /labels are 67108864 at most, but there are 8589934592; make several sets of them$/,
    ],
    ['a list without elements', { labels: { length: 2 ** 26 } }, /need 8053063680 numbers, but there are 840/],
    ['no elements', { numbers: () => reals, labels: { length: 9 } }, /but that of sample 0 is undefined$/],
    ['a choice without elements', { chosen: { length: 2 ** 26 } }, /0 to 6, but number 0 is undefined$/],
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

  for (const [where, init] of [
    ['in memory', {}],
    ['by a function', { numbers: (i: number) => reals.subarray(i * T * FRAME, (i + 1) * T * FRAME) }],
    [
      'by the function that makes samples',
      {
        numbers: async (i: number) => {
          const numbers = reals.subarray(i * T * FRAME, (i + 1) * T * FRAME);
          return { numbers, targets: [10 * i, 10 * i + 1, 10 * i + 2, 10 * i + 3] };
        },
        targets: undefined,
        count: N,
      },
    ],
  ] as [string, Partial<NumberSetInit>][]) {
    it(`have targets in place of classes, ${where}, with their time steps in front`, async () => {
      const targets = Array.from({ length: 4 * N }, (_, i) => 10 * Math.floor(i / 4) + (i % 4));
      for (const [targetShape, shapeOf] of [
        [[4], (size: number) => [size, 4]],
        [[2, 2], (size: number) => [2, size, 2]],
        [[1, 2, 2], (size: number) => [size, 1, 2, 2]],
        [[2, 1, 1, 2], (size: number) => [2, size, 1, 1, 2]],
      ] as const) {
        const steps = targetShape.length % 2 === 0 ? 2 : 1;
        const set = targetSet({ targets, targetShape, ...init });
        expect(set).to.deep.include({ count: N, classes: [] });
        expect(set.targets!.shape).to.deep.equal([...targetShape]);
        const batches = await batchesOf(set);
        for (const { targets: made, targetShape: shape, labels: classes, indices, size } of batches) {
          expect(shape).to.deep.equal(shapeOf(size));
          expect(made).to.be.instanceOf(Float32Array);
          expect([...classes]).to.deep.equal([]);
          const expected = Array.from({ length: steps }, (_, t) =>
            Array.from(indices, (i) => targets.slice(4 * i + (4 / steps) * t, 4 * i + (4 / steps) * (t + 1))),
          );
          expect([...made!]).to.deep.equal(expected.flat(2));
        }
        if (where === 'in memory') expect(await batchesOf(set, { workers: 2 })).to.deep.equal(batches);
        expect(limit(set, 3).chosen).to.deep.equal(Int32Array.of(1, 3, 5));
      }
    });
  }

  it('share one copy of targets, too, and keep those that lie in shared memory', () => {
    const targets = new Float32Array(N);
    const [a, b] = [[6, 1], [0]].map((chosen) => targetSet({ targets, targetShape: [1], chosen }));
    expect(a!.targets!.numbers).to.equal(b!.targets!.numbers).and.not.to.equal(targets);
    const shared = new Float32Array(new SharedArrayBuffer(4 * N));
    expect(targetSet({ targets: shared, targetShape: [1] }).targets!.numbers).to.equal(shared);
    expect(describeData({ train: a!, test: b! })).to.deep.include({ train: 2, test: 1, classes: 0, targets: [1] });
  });

  for (const [title, init, message] of [
    [
      'neither classes nor targets',
      { targets: undefined, targetShape: undefined },
      /\(targets, targetShape\), but there/,
    ],
    [
      'labels beside targets',
      { labels },
      /or targets \(targets, targetShape, count\), but there are parts of both; leave/,
    ],
    ['classes beside targets', { classes: 3 }, /but there are parts of both/],
    [
      'targets without a shape',
      { targetShape: undefined },
      /targetShape is that of a sample's target, \[K\] .*, not und/,
    ],
    ['an empty shape', { targetShape: [] }, /targetShape is .* with time steps \[T,K\] or \[T,C,H,W\], not \[\]/],
    ['a shape of zero', { targetShape: [0] }, /targetShape is .* not \[0\]/],
    ['a shape of five axes', { targetShape: [1, 1, 1, 1, 2] }, /targetShape is .* not \[1,1,1,1,2\]/],
    ['a number for a shape', { targetShape: 2 }, /targetShape is .* not 2$/],
    ['one number for targets', { targets: 3 }, /targets is an array of numbers, not 3/],
    ['empty targets', { targets: [] }, /at least one sample, but targets are empty/],
    [
      'part of a target',
      { targets: new Float32Array(2 * N - 1) },
      /targets \[2\] are 2 numbers a sample, but .* 13 in all/,
    ],
    [
      'other targets',
      { targets: new Float32Array(2 * N + 2) },
      /8 targets \[2\] and samples \[3,2,4,5\] need 960 numbers, but/,
    ],
    [
      'NaN',
      { targets: new Float32Array(2 * N).with(5, Number.NaN) },
      /finite numbers in f32, but number 1 of sample 2 is NaN/,
    ],
    [
      'numbers beyond f32',
      { targets: Array(2 * N).fill(1e39) },
      /number 0 of sample 0 is 1e\+39; replace it, or leave/,
    ],
    ['texts', { targets: Array(2 * N).fill('1') }, /number 0 of sample 0 is "1"/],
    ['a list with holes', { targets: { length: 2 * N } }, /number 0 of sample 0 is undefined/],
    ['a count beside targets', { count: N }, /targets say how many samples there are; leave count out/],
    ['no targets', { targets: undefined, count: N }, /only a function in numbers can make them/],
    [
      'a function without a count',
      { targets: undefined, numbers: () => reals },
      /how many samples .* 1 or more, not undefined/,
    ],
    ['half a sample', { targets: undefined, numbers: () => reals, count: 0.5 }, /1 or more, not 0.5/],
    [
      'too many samples',
      { targets: undefined, numbers: () => reals, count: 2 ** 31 },
      /samples are 67108864 at most, but there are 2147483648; make several sets of them/,
    ],
    ['a choice beyond them', { chosen: [N] }, /chosen are indices of samples, 0 to 6, but number 0 is 7/],
  ] as [string, object, RegExp][]) {
    it(`refuse ${title} where they have targets`, () => {
      expect(messageOf(() => targetSet({ targets: new Float32Array(2 * N), targetShape: [2], ...init }))).to.match(
        message,
      );
    });
  }

  it('refuse targets that were changed, and say which a function could not make', async () => {
    const set = targetSet({ targets: new Float32Array(2 * N), targetShape: [2] });
    const own = { batch: 3, workers: 0 };
    const changed = (targets: object) =>
      messageOf(() => loader({ ...set, targets: { ...set.targets!, ...targets } } as typeof set, own));
    expect(changed({ numbers: new Float32Array(2 * N) })).to.match(/targets and chosen must lie in shared memory/);
    expect(changed({ shape: [3] })).to.match(/targets \[3\] of 7 samples are 21 numbers in f32, but there are 14/);
    expect(changed({ numbers: new Int32Array(new SharedArrayBuffer(8 * N)) })).to.match(/are 14 numbers in f32, but/);
    expect(changed({ numbers: undefined })).to.match(/targets and chosen must lie in shared memory/);
    for (const key of ['labels', 'numbers'])
      expect(messageOf(() => loader({ ...set, [key]: undefined }, own))).to.match(/must lie in shared memory/);
    expect(changed({ shape: [] })).to.match(/the shape of targets is \[K\] or .* not \[\]/);
    const sample = new Float32Array(T * FRAME);
    const of = (made: unknown) => {
      const numbers = () => made as Float32Array;
      return refusal(batchesOf(targetSet({ numbers, targetShape: [2], count: 4 }), { shuffle: false }));
    };
    for (const bad of [sample, { numbers: sample }, { targets: [1, 2] }, null, 3])
      expect(await of(bad)).to.match(/^sample 0 of 'own' must be { numbers, targets }, since the set has no targets/);
    expect(await of({ numbers: [1], targets: [1, 2] })).to.match(/a Uint8Array of 120 numbers, but .* gave Array$/);
    expect(await of({ numbers: sample, targets: [1] })).to.match(
      /targets of sample 0 .* array of 2 numbers, but .* Array$/,
    );
    expect(await of({ numbers: sample, targets: new Float32Array(3) })).to.match(/gave a Float32Array of 3$/);
    expect(await of({ numbers: sample, targets: [0, 1 / 0] })).to.match(
      /finite numbers in f32, but number 1 of those of sample 0 of 'own' is Infinity, as its function made it/,
    );
    const both = () => ({ numbers: sample, targets: [1] });
    expect(await refusal(batchesOf(timed({ numbers: both })))).to.match(/must be a Float32Array or .* gave Object$/);
  });

  it('refuse a batch that no array can hold', async () => {
    const numbers = () => new Float32Array(1);
    const large = numberSet({ ...usual, numbers, shape: [2 ** 17, 2 ** 17, 1] });
    expect(await refusal(batchesOf(large, { batch: 1 }))).to.match(
      /^a batch lies in one array, but there can be none of 17179869184 numbers here \(.*\); use a smaller batch, or/,
    );
    const wide = targetSet({ targets: undefined, numbers, targetShape: [2 ** 40], count: 2 });
    expect(await refusal(batchesOf(wide, { batch: 1 }))).to.match(/none of 1099511627776 numbers here/);
  });

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

  it('leave the event loop its turns while an epoch of millions gets its order, until it is aborted', async () => {
    const count = 2 ** 22;
    const made: number[] = [];
    const numbers = (i: number) => {
      made.push(i);
      return { numbers: reals.subarray(0, FRAME), targets: [1] };
    };
    const set = numberSet({ name: 'many', shape: [C, H, W], numbers, targetShape: [1], count });
    for (const shuffle of [true, false]) {
      await using source = loader(set, { batch: 2, seed: 5, shuffle, workers: 0 });
      const counted = async (signal?: AbortSignal, onTurn = () => {}) => {
        let [turns, over] = [0, false];
        const turn = () => {
          turns++;
          onTurn();
          if (!over) setImmediate(turn);
        };
        setImmediate(turn);
        const { done } = await source.epoch(3, { signal }).next();
        over = true;
        return { turns, done };
      };
      made.length = 0;
      const whole = await counted();
      expect(whole.done).to.equal(false);
      expect(whole.turns, `shuffle ${shuffle}`).to.be.at.least(shuffle ? 50 : 3);
      expect(made).to.deep.equal([...source.order(3).subarray(0, 2)]);
      const abort = new AbortController();
      const cut = await counted(abort.signal, () => abort.abort());
      expect(cut.done).to.equal(true);
      expect(cut.turns).to.be.at.most(4);
    }
    expect(made).to.have.length(2);
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
