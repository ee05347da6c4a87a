// Regressions: samples with targets in place of classes, in memory and made by a function, through train(), evaluate(),
// trainingMemory(), reports and comparisons. On the CPU, and on a CUDA device where there is one.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { expect } from 'chai';
import { cudaBackend, scope, type Tensor, tensor } from '../../lib/core/index.ts';
import { openSafetensors } from '../../lib/core/safetensors.ts';
import { drawMix, MIX_DEFAULTS } from '../../lib/data/augment/mix.ts';
import {
  type AnySet,
  type AnySplits,
  type ClassSet,
  limit,
  loader,
  type NumberSet,
  type NumberSetInit,
  numberSet,
  type SampleMaker,
  type TargetSplits,
} from '../../lib/data/index.ts';
import { define, flatten, lif, linear, meanOverTime, type Net } from '../../lib/nn/index.ts';
import { mean, mul, sub } from '../../lib/ops/index.ts';
import { sgd } from '../../lib/optim/index.ts';
import { compareRuns } from '../../lib/train/compare.ts';
import { evaluate } from '../../lib/train/evaluate.ts';
import { loadNet } from '../../lib/train/evaluate-run.ts';
import { type EpochReport, type LossFunction, type TrainOptions, trainingMemory } from '../../lib/train/index.ts';
import { Progress } from '../../lib/train/progress.ts';
import { runPaths } from '../../lib/train/run-folder.ts';
import { readRun } from '../../lib/train/run-record.ts';
import { targetLossOf } from '../../lib/train/target-loss.ts';
import { train } from '../../lib/train/train.ts';
import { abortAfter } from '../support/abort-after.ts';
import { testDevices } from '../support/devices.ts';
import { messageOf, refusal } from '../support/failure.ts';
import { noise } from '../support/op-table.ts';
import { data as images, newFolders } from '../support/small-training.ts';

const [N, T, F, K] = [37, 3, 6, 2];
/** Reals [T,F,1,1], and targets [K] and [T,K] that a network can learn from them. */
const numbers = Float32Array.from(noise([N * T * F], 1).data);
const targetOf = (i: number) => [0, 1].map((k) => Math.sin(numbers[i * T * F + k]!) / 2);
const timedTargetOf = (i: number) =>
  Array.from({ length: T }, (_, t) => [0, 1].map((k) => Math.sin(numbers[(i * T + t) * F + k]!))).flat();
const flat = (of: (i: number) => number[]) => Float32Array.from(Array.from({ length: N }, (_, i) => of(i)).flat());
const usualSet = { name: 'waves', shape: [T, F, 1, 1] };
const order = Array.from({ length: N }, (_, i) => (5 * i) % N);
const halves = [order.slice(0, 26), order.slice(26)];

const splits = (init: Omit<NumberSetInit, 'name' | 'shape' | 'chosen'> & { targetShape: number[] }): TargetSplits => {
  const [train, test] = halves.map((chosen) => numberSet({ ...usualSet, ...init, chosen }));
  return { train: train!, test: test! };
};
const inMemory = splits({ numbers, targets: flat(targetOf), targetShape: [K] });
const timed = splits({ numbers, targets: flat(timedTargetOf), targetShape: [T, K] });
const sampleOf = (i: number) => numbers.slice(i * T * F, (i + 1) * T * F);
const made: SampleMaker = async (i) => ({ numbers: sampleOf(i), targets: targetOf(i) });
const byFunction = splits({ numbers: made, targetShape: [K], count: N });
const madeWithTargets = splits({ numbers: sampleOf, targets: flat(targetOf), targetShape: [K] });

const plain = define('plain', () => [flatten(), linear(12), lif(), linear(K), meanOverTime()]);
const steps = define('steps', () => [flatten(), linear(12), lif(), linear(K)]);
const how = { steps: T, channels: F, size: [1, 1] as const, seed: 5 };
const plainNet = (more = {}) => plain({ ...how, ...more });
const timedNet = (more = {}) => steps({ ...how, ...more });

const usual = { epochs: 3, batch: 8, optimizer: sgd({ lr: 0.1, momentum: 0.9 }), workers: 0, seed: 3 };
type Options = Partial<TrainOptions> & { data: TargetSplits };

/** Trains; the network is disposed then. Reports are without what depends on the clock. */
async function trained(net: Net, options: Options) {
  const run = train(net, { ...usual, ...options });
  const reports: Partial<EpochReport<null>>[] = [];
  for await (const { imagesPerSecond: _a, seconds: _b, waitShare: _c, ...report } of run) reports.push(report);
  const weights = await Promise.all(net.parameters().map(async ({ tensor: t }) => [...(await t.array())]));
  net.dispose();
  return { reports, weights, best: run.best };
}

const own: LossFunction = Object.assign(
  (y: Tensor, t: Tensor) => {
    const d = sub(y, t);
    return mean(mul(d, d));
  },
  { settings: { kind: 'mine' } },
);

describe('training on targets', () => {
  const folder = newFolders();

  for (const on of testDevices) {
    it(`learns, with the same bits from memory, threads and functions, recorded or not, on ${on}`, async function () {
      if (on === 'cuda' && cudaBackend().score === 0) this.skip();
      const expected = await trained(plainNet({ device: on }), { data: inMemory, epochs: 20 });
      const [first, last] = [expected.reports[0]!, expected.reports.at(-1)!];
      expect(last.loss).to.be.below(0.6 * first.loss!);
      expect(last.testLoss).to.be.below(first.testLoss!);
      for (const more of [
        { workers: 2 },
        { record: false },
        { data: byFunction },
        { data: madeWithTargets },
        { loss: { kind: 'mse' as const } },
        { logEvery: 3 },
      ])
        expect(await trained(plainNet({ device: on }), { data: inMemory, epochs: 20, ...more })).to.deep.equal(
          expected,
        );
    });

    it(`takes targets at every time step, by name and by a function, on ${on}`, async function () {
      if (on === 'cuda' && cudaBackend().score === 0) this.skip();
      const expected = await trained(timedNet({ device: on }), { data: timed, epochs: 8 });
      expect(expected.reports.at(-1)!.loss).to.be.below(0.8 * expected.reports[0]!.loss!);
      expect(await trained(timedNet({ device: on }), { data: timed, epochs: 8, loss: own })).to.deep.equal(expected);
    });
  }

  it('computes the losses of the batches as they are made, the mean over the samples', async () => {
    using net = timedNet({ dtype: 'f64' });
    for (const [data, loss] of [
      [timed, undefined],
      [inMemory, { kind: 'huber', delta: 0.2 }],
      [inMemory, { kind: 'l1' }],
    ] as const) {
      let sum = 0;
      for await (const { images, shape, targets, targetShape, labels, size } of loader(data.test, { batch: 8 }).epoch(
        0,
      )) {
        expect(labels).to.have.length(0);
        const one = scope(() => {
          const x = tensor(Float64Array.from(images), { shape, dtype: 'f64' });
          const t = tensor(Float64Array.from(targets!), { shape: targetShape!, dtype: 'f64' });
          return targetLossOf(loss ?? { kind: 'mse' }, net.eval()(x), t, 'f64');
        });
        sum += (await one.item()) * size;
        one.dispose();
      }
      const found = await evaluate(net, data.test, { batch: 8, ...(loss && { loss }) });
      expect(found.loss).to.be.closeTo(sum / 11, 1e-12);
      expect([found.accuracy, found.images]).to.deep.equal([null, 11]);
    }
    expect((await evaluate(net, inMemory.test, { loss: 'l1' })).loss).to.equal(
      (await evaluate(net, inMemory.test, { loss: { kind: 'l1' } })).loss,
    );
  });

  it('mixes targets as mixup mixes samples', async () => {
    using net = plainNet({ dtype: 'f64' });
    const mix = { mixup: 0.4, p: 0.9 };
    let sum = 0;
    const feed = loader(inMemory.train, { batch: 8, seed: 3, shuffle: true, workers: 0 });
    for await (const { images, shape, targets, size, index } of feed.epoch(0)) {
      const [keep] = drawMix({ ...MIX_DEFAULTS, ...mix }, { seed: 3, epoch: 0, batch: index, height: 1, width: 1 });
      const mixed = (all: ArrayLike<number>, row: number) =>
        Float64Array.from(all, (value, i) => {
          const b = Math.floor(i / row) % size;
          return keep! * value + (1 - keep!) * all[i + (size - 1 - 2 * b) * row]!;
        });
      const loss = scope(() => {
        const x = tensor(mixed(images, F), { shape, dtype: 'f64' });
        const t = tensor(mixed(targets!, K), { shape: [size, K], dtype: 'f64' });
        return targetLossOf({ kind: 'mse' }, net(x), t, 'f64');
      });
      sum += (await loss.item()) * size;
      loss.dispose();
    }
    const options = { data: inMemory, epochs: 1, optimizer: sgd({ lr: 0 }), mix };
    const { reports } = await trained(plainNet({ dtype: 'f64' }), options);
    expect(reports[0]!.loss).to.be.closeTo(sum / 26, 1e-6); // mix is drawn in f32
    expect(await trained(plainNet({ dtype: 'f64' }), { ...options, record: false })).to.deep.include({ reports });
    const timedMix = await trained(timedNet(), { data: timed, mix });
    expect(await trained(timedNet(), { data: timed, mix, loss: own })).to.deep.equal(timedMix);
  });

  it('leaves out the last batch where it is smaller, and takes parts of a set', async () => {
    const cut = { train: limit(inMemory.train, 13), test: limit(inMemory.test, 5) };
    const seen = new Set<string>();
    const loss: LossFunction = (y, t) => {
      seen.add(`${t.dtype}[${t.shape}]`);
      return own(y, t);
    };
    const run = trained(plainNet(), { data: cut, loss, dropLast: true });
    expect((await run).reports).to.have.length(3);
    expect([...seen].sort()).to.deep.equal(['f32[5,2]', 'f32[8,2]']);
    const chosen = Array.from({ length: 13 }, (_, i) => halves[0]![2 * i]!);
    expect([...cut.train.chosen!]).to.deep.equal(chosen.map((_, i) => halves[0]![Math.floor(((i + 0.5) * 26) / 13)]));
  });

  it('goes on to the same bits, on the same targets and under the same loss alone', async () => {
    for (const [data, sha] of [
      [inMemory, 'sha256'],
      [madeWithTargets, 'targetsSha256'],
      [byFunction, 'targetsSha256'],
    ] as const) {
      const [whole, out] = [folder(), folder()];
      const expected = await trained(plainNet(), { data, out: whole });
      await trained(plainNet(), { data, out, ...abortAfter(6) });
      const resume = (more: Partial<Options>) => trained(plainNet(), { data, out, resume: true, ...more });
      expect(await refusal(resume({ loss: { kind: 'l1' } }))).to.match(/loss: {"kind":"mse"} then, {"kind":"l1"} now/);
      const { reports, weights, best } = await resume({});
      expect({ reports: [...expected.reports.slice(0, -reports.length), ...reports], weights, best }).to.deep.equal(
        expected,
      );
      const { contents, ...facts } = JSON.parse(readFileSync(runPaths(out).data, 'utf8'));
      expect(facts).to.deep.equal({ name: 'waves', train: 26, test: 11, classes: 0, targets: [K], steps: T });
      expect(Object.keys(contents.train)).to.deep.equal([sha]);
    }
  });

  it('knows targets by their SHA-256', async () => {
    const out = folder();
    await trained(plainNet(), { data: inMemory, out, ...abortAfter(2) });
    const targets = flat(targetOf);
    const sha = createHash('sha256');
    for (const i of halves[1]!) sha.update(sampleOf(i));
    for (const i of halves[1]!) sha.update(targets.slice(i * K, (i + 1) * K));
    const { contents } = JSON.parse(readFileSync(runPaths(out).data, 'utf8'));
    expect(contents.test.sha256).to.equal(sha.digest('hex'));
    targets[3]! += 1e-6;
    const other = splits({ numbers, targets, targetShape: [K] });
    expect(await refusal(trained(plainNet(), { data: other, out, resume: true }))).to.match(/"sha256":"[0-9a-f]{64}"/);
    const [a, b] = [folder(), folder()];
    await trained(plainNet(), { data: madeWithTargets, out: a, ...abortAfter(2) });
    const made = splits({ numbers: sampleOf, targets, targetShape: [K] });
    expect(await refusal(trained(plainNet(), { data: made, out: a, resume: true }))).to.match(/"targetsSha256":"/);
    await trained(timedNet(), { data: timed, out: b, ...abortAfter(2) });
    const shaped = splits({ numbers, targets: flat(timedTargetOf), targetShape: [T * K] });
    const wide = define('steps', () => [flatten(), linear(T * K), meanOverTime()])(how);
    expect(await refusal(trained(wide, { data: shaped, out: b, resume: true }))).to.match(/"targets":\[3,2\]} then/);
  });

  it('keeps the weights of the lowest test loss, and no accuracy anywhere', async () => {
    const out = folder();
    // the rate is so high at last that the test loss rises again
    const lrAt = (epoch: number) => [0.1, 0.1, 0.1, 3][epoch]!;
    const schedule = { epochs: 4, lrAt, settings: { kind: 'constant' as const, epochs: 4 } };
    const texts: string[] = [];
    const stream = { write: (text: string) => texts.push(text) };
    const progress = new Progress({ epochs: 4, steps: 4, stream, quietMs: 0 });
    const options = { data: inMemory, out, epochs: 4, schedule, progress } as unknown as Options;
    const { reports, best } = await trained(plainNet(), options);
    const losses = reports.map(({ testLoss }) => testLoss!);
    const lowest = losses.indexOf(Math.min(...losses));
    expect(lowest).to.be.within(0, 2);
    expect(best).to.deep.equal({ epoch: lowest, accuracy: null, testLoss: losses[lowest] });
    expect(reports.map((report) => report.best)).to.deep.equal(
      losses.map((loss, i) => losses.slice(0, i).every((former) => loss < former)),
    );
    for (const { accuracy, trainAccuracy } of reports) expect([accuracy, trainAccuracy]).to.deep.equal([null, null]);
    const { metadata } = openSafetensors(runPaths(out).best);
    expect(metadata)
      .to.include({ epoch: String(lowest), test_loss: String(losses[lowest]) })
      .and.not.have.key('accuracy');
    using net = loadNet(out);
    expect((await evaluate(net, inMemory.test, { batch: 8 })).loss).to.equal(losses[lowest]);

    expect(texts.join('')).to.match(/epoch 1\/4 {2}loss 0\.\d{4} {2}test loss \d\.\d+ {2}firing rate/);
    const [jsonl, csv, page] = ['metrics.jsonl', 'metrics.csv', 'report.html'].map((name) =>
      readFileSync(`${out}/${name}`, 'utf8'),
    );
    const shown = page!.replace(/<tr><td>command<.*/, ''); // which names the files of the tests
    for (const text of [texts.join(''), jsonl, csv, shown]) expect(text).not.to.match(/[Aa]ccuracy|\bNaN\b/);
    expect(page).to.match(new RegExp(`best test loss, epoch ${lowest + 1}</dt>`));
    expect(page).to.match(/last test loss, epoch 4<\/dt>/);
    expect(page).to.contain('<td>target of a sample</td><td>[2]</td>').and.not.contain('<td>classes</td>');
    expect(page!.split('<circle')).to.have.length(2); // the best epoch is marked, in one chart
  });

  it('is compared by test losses', async () => {
    const [a, b, c] = [folder(), folder(), folder()];
    const [first] = await Promise.all([
      trained(plainNet(), { data: inMemory, out: a }),
      trained(plainNet({ seed: 6 }), { data: inMemory, out: b, loss: { kind: 'l1' } }),
      trained(timedNet(), { data: timed, out: c }),
    ]);
    const found = compareRuns([a, b].map(readRun));
    expect(found.hasTargets).to.equal(true);
    expect(found.runs[0]).to.deep.include({
      best: null,
      last: null,
      bestLoss: { epoch: first!.best!.epoch + 1, loss: first!.best!.testLoss },
      testLoss: first!.reports.at(-1)!.testLoss,
    });
    expect(found.differing.map(([key]) => key)).to.include.members(['loss.kind', 'netSeed']);
    expect(() => compareRuns([a, c].map(readRun))).to.throw(/the targets are \[2\] and \[3,2\]/);
  });

  it('says where it diverged', async () => {
    const message = await refusal(trained(plainNet(), { data: inMemory, optimizer: sgd({ lr: 1e30 }), epochs: 9 }));
    expect(message).to.match(/^epoch \d, step \d of 4: the loss must be a finite number, but is (NaN|Infinity)\. /);
    const huge = splits({ numbers, targets: new Float32Array(K * N).fill(3e38), targetShape: [K] });
    expect(await refusal(trained(plainNet(), { data: huge }))).to.match(/epoch 1, step 1 of 4: .* but is Infinity/);
  });

  it('says in its types where the accuracy may be null, and where it is a number', async () => {
    using net = plainNet();
    const ofSet = await ((set: AnySet) => evaluate(net, set))(inMemory.test);
    // @ts-expect-error it is null where the set has targets
    expect(() => ofSet.accuracy.toFixed(3)).to.throw(TypeError);
    const ofNumbers = await ((set: NumberSet) => evaluate(net, set))(inMemory.test);
    // @ts-expect-error likewise
    expect(() => ofNumbers.accuracy.toFixed(3)).to.throw(TypeError);
    const init: NumberSetInit = { ...usualSet, numbers, targets: flat(targetOf), targetShape: [K] };
    const ofInit = await evaluate(net, numberSet(init));
    // @ts-expect-error likewise
    expect(() => ofInit.accuracy.toFixed(3)).to.throw(TypeError);
    const trainedOn = (data: AnySplits) => train(net, { ...usual, epochs: 1, data });
    // @ts-expect-error likewise
    for await (const { accuracy } of trainedOn(inMemory)) expect(() => accuracy.toFixed(3)).to.throw(TypeError);
    const { accuracy: ofTargets } = await evaluate(net, inMemory.test);
    expect(ofTargets satisfies null).to.equal(null);

    const classified = numberSet({ ...usualSet, numbers, labels: Array(N).fill(0), classes: K });
    for (const set of [classified, limit(classified, 5), classified as ClassSet])
      expect((await evaluate(net, set)).accuracy.toFixed(3)).to.match(/^[01]\.\d{3}$/);
    for await (const { accuracy } of train(net, { ...usual, epochs: 1, data: { train: classified, test: classified } }))
      expect(accuracy.toFixed(3)).to.match(/^[01]\.\d{3}$/);
  });

  it('has a plan of its memory', () => {
    using net = plainNet();
    using other = timedNet();
    const memory = train(net, { ...usual, data: inMemory }).memory();
    expect(trainingMemory(net, { batch: 8, steps: T, targets: [K], optimizer: usual.optimizer })).to.deep.equal(memory);
    for (const [data, targets] of [
      [timed, [T, K]],
      [inMemory, [K]],
    ] as const) {
      const more = { loss: { kind: 'huber' } as const, optimizer: usual.optimizer };
      const planned = trainingMemory(other, { batch: 8, steps: T, targets, mix: true, ...more });
      expect(planned).to.deep.equal(train(other, { ...usual, data, mix: { mixup: 1 }, ...more }).memory());
    }
    for (const [options, message] of [
      [{ targets: [] }, /targets is the shape of a sample's, \[K\] or .*, not \[\]/],
      [{ targets: 2 }, /targets is the shape .* not 2$/],
      [{ targets: [K], loss: { kind: 'ce' } }, /'ce' is one for classes, but the samples have targets/],
      [
        { loss: { kind: 'mse' } },
        /'mse' compares the output with targets; give the shape of a sample's, as in targets/,
      ],
      [{ targets: [3] }, /plain gives \[2\]; end it with linear\(3\)/],
    ] as [object, RegExp][])
      expect(messageOf(() => trainingMemory(net, { batch: 8, ...options }))).to.match(message);
  });

  it('refuses what does not fit together before the first step', async () => {
    using net = plainNet();
    const classes = { numbers, shape: [T, F, 1, 1], labels: Array(N).fill(0), classes: K };
    const classified = numberSet({ name: 'waves', ...classes });
    const wide = splits({ numbers, targets: new Float32Array(3 * N), targetShape: [3] });
    for (const [options, message] of [
      [
        { data: { train: inMemory.train, test: classified } },
        /'waves' have targets \[2\] in training and classes in tests/,
      ],
      [
        { data: { train: classified, test: inMemory.test } },
        /'waves' have classes in training and targets \[2\] in tests/,
      ],
      [
        { data: { train: inMemory.train, test: wide.test } },
        /have targets \[2\] in training and targets \[3\] in tests/,
      ],
      [
        { data: wide },
        /\[3\] of a sample, number by number, but plain gives \[2\]; end it with linear\(3\), or give a/,
      ],
      [{ data: timed }, /\[3,2\] of a sample, .* but plain gives no time steps; leave meanOverTime\(\) out/],
      [{ loss: { kind: 'bce' } }, /'bce' is one for classes, but the samples have targets; take one of mse, l1, huber/],
      [{ mix: { cutmix: 1 } }, /CutMix shares classes by area, but the samples have targets; leave mix.cutmix out/],
      ...['huber', 'ce'].map((kind) => [
        { loss: Object.assign((y: Tensor) => y, { settings: { kind } }) },
        new RegExp(`"${kind}" is that of a built-in loss`),
      ]),
    ] as [Partial<TrainOptions>, RegExp][])
      expect(messageOf(() => train(net, { ...usual, data: inMemory, ...options }))).to.match(message);
    expect(await refusal(evaluate(net, wide.test))).to.match(/\[3\] of a sample/);
    expect(await refusal(evaluate(net, inMemory.test, { loss: 'ce' }))).to.match(/'ce' is one for classes/);
    expect(await refusal(evaluate(net, classified, { loss: 'mse' }))).to.match(/'mse' is one for targets/);
    const pictures = { ...images, train: { ...images.train, targets: inMemory.train.targets } };
    expect(messageOf(() => train(net, { ...usual, data: pictures as unknown as AnySplits }))).to.match(
      /samples of numbers may have targets, but 'cifar10' is a set of images; make them by numberSet\(\)/,
    );
    // a function of other shapes is called once before the first step
    expect(await refusal(trained(plainNet(), { data: wide, loss: own }))).to.match(
      /^sub: counted from the end axes agree/,
    );
    const finite: LossFunction = (y) => mean(mul(y, y));
    expect((await trained(plainNet(), { data: wide, loss: finite })).reports).to.have.length(3);
  });
});
