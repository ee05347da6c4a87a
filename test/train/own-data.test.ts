// Training on plain numbers: the bits of training on the set they come from, resumed or not, and on other numbers
// refused. On the CPU, and on a CUDA device where there is one.
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { expect } from 'chai';
import { cudaBackend } from '../../lib/core/index.ts';
import {
  type AnySplits,
  limit,
  loader,
  type NumberSet,
  nMnist,
  numberSet,
  type SampleMaker,
} from '../../lib/data/index.ts';
import { define, flatten, lif, linear, meanOverTime, type Net } from '../../lib/nn/index.ts';
import { sgd } from '../../lib/optim/index.ts';
import { describeContents } from '../../lib/train/data-description.ts';
import { evaluate } from '../../lib/train/evaluate.ts';
import { loadNet } from '../../lib/train/evaluate-run.ts';
import { runPaths } from '../../lib/train/run-folder.ts';
import { train } from '../../lib/train/train.ts';
import type { TrainOptions } from '../../lib/train/train-options.ts';
import { abortAfter } from '../support/abort-after.ts';
import { testDevices } from '../support/devices.ts';
import { fortyBit, someEvents, writeTree } from '../support/event-files.ts';
import { frameNet } from '../support/event-sets.ts';
import { refusal } from '../support/failure.ts';
import { testFolder } from '../support/image-sets.ts';
import { data as images, makeNet, newFolders } from '../support/small-training.ts';

type Split = AnySplits['train'];

/** A set's samples as plain numbers [N,C,H,W] or [N,T,C,H,W]: what the network sees of them. */
async function plain(set: Split, Kind: typeof Float32Array | typeof Uint8Array, binary = false): Promise<NumberSet> {
  const { name, steps, channels, height, width, classes } = set;
  const numbers: number[] = [];
  const labels: number[] = [];
  for await (const batch of loader(set, { batch: 1, workers: 0 }).epoch(0)) {
    numbers.push(...batch.images);
    labels.push(...batch.labels);
  }
  const shape = [...(steps === undefined ? [] : [steps]), channels, height, width];
  return numberSet({ name, numbers: Kind.from(numbers), shape, labels, classes, binary });
}

const plainSplits = async (data: AnySplits, Kind: typeof Float32Array | typeof Uint8Array, binary = false) => ({
  train: await plain(data.train, Kind, binary),
  test: await plain(data.test, Kind, binary),
});

interface Outcome {
  reports: object[];
  weights: number[][];
}

/** Trains for two epochs; the network is disposed then. */
async function trained(net: Net, options: Partial<TrainOptions> & Pick<TrainOptions, 'data'>): Promise<Outcome> {
  const usual = { epochs: 2, batch: 4, optimizer: sgd({ lr: 0.1, momentum: 0.9 }), workers: 0, seed: 3 };
  const reports: object[] = [];
  for await (const { imagesPerSecond: _a, seconds: _b, waitShare: _c, ...report } of train(net, {
    ...usual,
    ...options,
  }))
    reports.push(report);
  const weights = await Promise.all(net.parameters().map(async ({ tensor }) => [...(await tensor.array())]));
  net.dispose();
  return { reports, weights };
}

const sha256 = (...arrays: NodeJS.ArrayBufferView[]): string => {
  const hash = createHash('sha256');
  for (const array of arrays) hash.update(array);
  return hash.digest('hex');
};

describe('train() on plain numbers', () => {
  const folder = newFolders();
  const files = testFolder();
  before(() => {
    for (let i = 0; i < 9; i++) {
      const bytes = fortyBit(someEvents(700, 34, 34, i + 1));
      writeTree(files.path(), { [`Train/${i % 3}/${i}.bin`]: bytes, [`Test/${i % 3}/${i}.bin`]: bytes });
    }
  });
  const events = (clip: number) => nMnist(files.path(), { steps: 3, clip });

  for (const mix of [undefined, { mixup: 0.4, cutmix: 1 }]) {
    it(`has the bits of training on images${mix ? ', mixed' : ''}`, async () => {
      const expected = await trained(makeNet(), { data: images, mix });
      const data = await plainSplits(images, Float32Array);
      for (const workers of [0, 2]) expect(await trained(makeNet(), { data, mix, workers })).to.deep.equal(expected);
      expect(await trained(makeNet(), { data, mix, record: false })).to.deep.equal(expected);
    });
  }

  for (const on of testDevices) {
    const net = () => frameNet({ steps: 3, channels: 2, size: [34, 34], classes: 10, seed: 5, device: on });
    for (const [clip, binary] of [
      [0, false],
      [1, true],
    ] as const) {
      it(`has the bits of training on frames of events, ${binary ? 'spikes' : 'counts'}, on ${on}`, async function () {
        if (on === 'cuda' && cudaBackend().score === 0) this.skip();
        const data = await events(clip);
        const cut = { train: limit(data.train, 7), test: limit(data.test, 5) };
        const expected = await trained(net(), { data: cut });
        for (const Kind of [Uint8Array, Float32Array] as const) {
          const own = await plainSplits(cut, Kind, binary);
          expect(await trained(net(), { data: own }), Kind.name).to.deep.equal(expected);
        }
      });
    }
  }

  it('plans its memory for bytes and for spikes', async () => {
    using net = frameNet({ steps: 3, channels: 2, size: [34, 34], classes: 10, seed: 5 });
    const cut = await events(1);
    const [bytes, spikes] = await Promise.all([false, true].map((binary) => plainSplits(cut, Uint8Array, binary)));
    const stepBytes = (data: AnySplits) => train(net, { data, epochs: 1, batch: 4 }).memory().stepBytes;
    expect(stepBytes(spikes!)).to.equal(stepBytes(cut));
    expect(stepBytes(bytes!)).to.equal(stepBytes(await events(0)));
    expect(stepBytes(spikes!)).to.be.below(stepBytes(bytes!));
  });

  it('goes on to the same bits, on the same numbers alone', async () => {
    const data = await plainSplits(images, Float32Array);
    const [whole, out] = [folder(), folder()];
    const expected = await trained(makeNet(), { data, out: whole });
    await trained(makeNet(), { data, out, ...abortAfter(4) });
    const { numbers, labels } = data.train;
    const copy = (change: (all: Float32Array) => void, classes: ArrayLike<number> = labels) => {
      const all = Float32Array.from(numbers as Float32Array);
      change(all);
      const { name } = data.train;
      return { train: numberSet({ name, numbers: all, shape: [3, 7, 5], labels: classes, classes: ['a', 'b', 'c'] }) };
    };
    const resume = (train: object) => trained(makeNet(), { data: { ...data, ...train }, out, resume: true });
    const other = copy((all) => {
      all[3]! += 1e-6;
    });
    expect(await refusal(resume(other))).to.match(
      /these differ:\n {2}data: {"contents":{"train":{"sha256":"[0-9a-f]{64}"}}} then, {"contents":{"train":{"sha256":"/,
    );
    expect(await refusal(resume(copy(() => {}, labels.with(0, 1))))).to.match(/sha256/);
    const made = { train: { ...data.train, numbers: () => new Float32Array(105) } };
    expect(await refusal(resume(made))).to.match(/"sha256":"[0-9a-f]{64}"}}} then, .*"train":{"labelsSha256":"/);
    const { reports, weights } = await resume(copy(() => {}));
    expect({ reports: [...expected.reports.slice(0, -1), ...reports.slice(-1)], weights }).to.deep.equal(expected);
    const { contents, ...facts } = JSON.parse(readFileSync(runPaths(out).data, 'utf8'));
    expect(facts).to.deep.equal({ name: 'cifar10', train: 23, test: 11, classes: 3 });
    expect(contents.train.sha256).to.equal(sha256(numbers as Float32Array, labels));
    expect(contents.test.sha256).to.equal(sha256(data.test.numbers as Float32Array, data.test.labels));
    const lines = readFileSync(runPaths(out).metrics, 'utf8').trimEnd().split('\n');
    expect(lines).to.have.length(2);
    using net = loadNet(out, { weights: 'last' });
    const { accuracy, loss } = await evaluate(net, data.test, { batch: 4 });
    expect({ accuracy, testLoss: loss }).to.deep.equal({
      accuracy: JSON.parse(lines[1]!).accuracy,
      testLoss: JSON.parse(lines[1]!).testLoss,
    });
  });

  it('learns from features that a function makes, and goes on to the same bits', async () => {
    const net = () =>
      define('features', ({ classes }) => [flatten(), linear(12), lif(), linear(classes), meanOverTime()])({
        ...{ steps: 4, channels: 6, size: [1, 1], classes: 2, seed: 5 },
      });
    const labels = Array.from({ length: 40 }, (_, i) => i % 2);
    const numbers = async (i: number) => Float32Array.from({ length: 6 }, (_, j) => Math.sin(i * (j + 1)) + labels[i]!);
    const set = numberSet({ name: 'made', numbers, shape: [6, 1, 1], labels, classes: 2 });
    const data = { train: set, test: set };
    const expected = await trained(net(), { data, epochs: 12 });
    const last = expected.reports.at(-1) as { accuracy: number; loss: number };
    expect(last.loss).to.be.below(0.6 * (expected.reports[0] as { loss: number }).loss);
    expect(last.accuracy).to.be.above(0.8);
    const out = folder();
    await trained(net(), { data, out, epochs: 12, ...abortAfter(15) });
    expect((await trained(net(), { data, out, epochs: 12, resume: true })).weights).to.deep.equal(expected.weights);
    using one = net();
    expect(() => train(one, { data, epochs: 1 })).to.throw(/made by a function, .* give workers: 0$/);
    expect(await refusal(evaluate(one, set))).to.match(/give workers: 0$/);
    expect((await evaluate(one, set, { workers: 0 })).images).to.equal(40);
  });

  /** Features that a function makes, which waits for ever once it was called so many times. */
  const stuckAfter = (calls: number) => {
    const labels = Array.from({ length: 40 }, (_, i) => i % 2);
    const controller = new AbortController();
    const seen: (AbortSignal | undefined)[] = [];
    const numbers: SampleMaker = (i, { signal }) => {
      seen.push(signal);
      if (seen.length <= calls) return Float32Array.from({ length: 6 }, (_, j) => Math.sin(i * (j + 1)) + labels[i]!);
      setTimeout(() => controller.abort(), 5);
      return new Promise((_, reject) => signal?.addEventListener('abort', () => reject(signal.reason)));
    };
    const set = (make: SampleMaker) => numberSet({ name: 'made', numbers: make, shape: [6, 1, 1], labels, classes: 2 });
    return { set: set(numbers), seen, signal: controller.signal, never: set(() => new Promise(() => {})) };
  };
  const features = () =>
    define('features', ({ classes }) => [flatten(), linear(12), lif(), linear(classes), meanOverTime()])({
      ...{ steps: 4, channels: 6, size: [1, 1], classes: 2, seed: 5 },
    });

  for (const [where, calls] of [
    ['the first batch', 0],
    ['a batch', 21],
    ['a test batch', 47],
  ] as const) {
    it(`does not wait for ${where} once the signal is aborted, and goes on to the same bits`, async () => {
      const { set, seen, signal } = stuckAfter(calls);
      const whole = stuckAfter(Number.POSITIVE_INFINITY).set;
      const expected = await trained(features(), { data: { train: whole, test: whole } });
      const out = folder();
      const { reports } = await trained(features(), { data: { train: set, test: set }, out, signal });
      expect(reports).to.deep.equal([]);
      expect(seen).to.have.length(calls + 1);
      expect(new Set(seen)).to.deep.equal(new Set([signal]));
      expect(await trained(features(), { data: { train: whole, test: whole }, out, resume: true })).to.deep.equal(
        expected,
      );
    });
  }

  it('does not wait for a function that does not hear the signal, either, nor do evaluate() and loaders', async () => {
    const soon = () => AbortSignal.timeout(20);
    const { never: set } = stuckAfter(0);
    expect((await trained(features(), { data: { train: set, test: set }, signal: soon() })).reports).to.deep.equal([]);
    using net = features();
    expect(await refusal(evaluate(net, set, { workers: 0, signal: soon() }))).to.equal(
      'the evaluation was ended by its signal',
    );
    const source = loader(set, { batch: 4, workers: 0 });
    for await (const _ of source.epoch(0, { signal: soon() })) throw new Error('there is no batch');
    for await (const _ of source.epoch(0, { signal: AbortSignal.abort() })) throw new Error('there is no batch');
    expect(() => source.epoch(0, { signal: 'now' as never })).to.throw(
      /epoch\(\): signal is an AbortSignal, .*, not "now"/,
    );
    const threaded = loader(images.train, { batch: 4, workers: 1 });
    for await (const _ of threaded.epoch(0, { signal: AbortSignal.abort() })) throw new Error('there is no batch');
    await threaded.close();
  });

  it('knows the samples in use, wherever they lie, and those that a function makes by their labels and places', async () => {
    const numbers = Float32Array.from({ length: 60 }, (_, i) => i);
    const labels = Array.from({ length: 10 }, (_, i) => i % 3);
    const all = { name: 'own', numbers, shape: [6, 1, 1], labels, classes: 3 };
    const chosen = [7, 2, 3, 4, 0];
    const used = Float32Array.from(chosen.flatMap((i) => [...numbers.subarray(i * 6, i * 6 + 6)]));
    const usedLabels = Int32Array.from(chosen, (i) => labels[i]!);
    const contents = async (train: Split, test: Split) => (await describeContents({ train, test }))!.contents;
    const moved = numberSet({ ...all, numbers: used, labels: usedLabels });
    const expected = { sha256: sha256(used, usedLabels) };
    expect(await contents(numberSet({ ...all, chosen }), moved)).to.deep.equal({ train: expected, test: expected });
    const made = { ...all, numbers: (i: number) => numbers.subarray(6 * i, 6 * i + 6) };
    expect(await contents(numberSet({ ...made, chosen }), images.test)).to.deep.equal({
      train: { labelsSha256: sha256(usedLabels, Int32Array.from(chosen)) },
      test: {},
    });
    expect(await contents(images.train, images.test)).to.equal(undefined);
    expect(await describeContents({ train: moved, test: moved }, AbortSignal.abort())).to.equal(undefined);
  });

  it('goes on with the labels and the choice it began with, where a function makes the samples', async () => {
    const labels = Array.from({ length: 30 }, (_, i) => i % 2);
    const made = (of: ArrayLike<number>, chosen: number[]) =>
      numberSet({
        ...{ name: 'made', numbers: (i) => new Float32Array(6).fill(i % 5), shape: [6, 1, 1] },
        ...{ labels: of, classes: 2, chosen },
      });
    const split = (first: number, of: ArrayLike<number> = labels) => {
      const order = labels.map((_, i) => (i + first) % 30);
      return { train: made(of, order.slice(0, 20)), test: made(of, order.slice(20)) };
    };
    const out = folder();
    await trained(features(), { data: split(0), out, ...abortAfter(4) });
    const resume = (data: AnySplits) => trained(features(), { data, out, resume: true });
    const rule = /these differ:\n {2}data: {"contents":{"train":{"labelsSha256":"/;
    expect(await refusal(resume(split(10)))).to.match(rule);
    expect(await refusal(resume(split(0, labels.with(3, 0))))).to.match(rule);
    expect((await resume(split(0))).reports).to.have.length(2);
  });

  it('saves nothing where it is stopped while the numbers are hashed', async () => {
    const data = await plainSplits(images, Float32Array);
    const out = folder();
    const run = train(makeNet(), { data, epochs: 1, out, signal: AbortSignal.abort() });
    for await (const _ of run) throw new Error('there is no epoch');
    expect(run.interrupted).to.equal(true);
    expect(existsSync(out)).to.equal(false);
  });

  it('refuses augmentation, and a network that does not fit', async () => {
    const data = await plainSplits(images, Float32Array);
    using net = makeNet();
    expect(() => train(net, { data, epochs: 1, augment: 'basic' })).to.throw(
      /'cifar10' is to be by 'basic'; use augment 'none'/,
    );
    const set = numberSet({
      name: 'x',
      numbers: new Float32Array(105),
      shape: [3, 7, 5],
      labels: [0],
      classes: 3,
    });
    const timed = { ...set, steps: 3, numbers: () => new Float32Array(315) };
    expect(() => train(net, { data: { train: timed, test: set }, epochs: 1, workers: 0 })).to.throw(
      /the train samples of 'x' have T = 3 time steps, but tiny has T = 2/,
    );
  });
});
