// Losses of the user's own in train(), evaluate() and trainingMemory(): the bits of the built-in ones where they compute
// the same, kept by their settings, and what is refused.
import { existsSync, readFileSync } from 'node:fs';
import { expect } from 'chai';
import {
  isStepRecording,
  noGrad,
  SpikeloomError,
  stepInput,
  type Tensor,
  tensor,
  zeros,
} from '../../lib/core/index.ts';
import { conv2d, define, globalAvgPool, lif, linear, type Net, norm } from '../../lib/nn/index.ts';
import { add } from '../../lib/ops/add.ts';
import { bceWithLogits } from '../../lib/ops/bce-with-logits.ts';
import { crossEntropy, tetLoss } from '../../lib/ops/cross-entropy.ts';
import { scale } from '../../lib/ops/mul.ts';
import { toReal } from '../../lib/ops/to-real.ts';
import { constant, type NamedParameter, sgd } from '../../lib/optim/index.ts';
import { evaluate } from '../../lib/train/evaluate.ts';
import { type LossFunction, type LossSettings, trainingMemory } from '../../lib/train/index.ts';
import { runPaths } from '../../lib/train/run-folder.ts';
import { train } from '../../lib/train/train.ts';
import type { TrainOptions } from '../../lib/train/train-options.ts';
import { abortAfter } from '../support/abort-after.ts';
import { failure, refusal } from '../support/failure.ts';
import { CLASSES, data, go, makeNet, newFolders, usual } from '../support/small-training.ts';

const timed = define('timed', ({ classes }) => [
  ...[conv2d(5, { kernel: 3 }), norm(), lif()],
  ...[globalAvgPool(), linear(classes)],
]);
const spiking = define('spiking', ({ classes }) => [globalAvgPool(), linear(classes), lif()]);
const spikingNet = () => spiking({ steps: 2, channels: 3, size: [7, 5], classes: CLASSES, seed: 5 });
const timedNet = () => timed({ steps: 2, channels: 3, size: [7, 5], classes: CLASSES, seed: 5 });

/** The weights of the best and the last epoch, with what the files say of them. */
const weightsIn = (out: string): string[] => {
  const { best, last } = runPaths(out);
  return [best, last].map((path) => readFileSync(path).toString('hex'));
};

/** Reports without what depends on the clock, and {@link weightsIn}. */
async function outcome(net: Net, out: string, options: Parameters<typeof go>[1]) {
  const { reports } = await go(net, { ...options, out });
  const numbers = reports.map(({ imagesPerSecond: _a, seconds: _b, waitShare: _c, ...rest }) => rest);
  return { numbers, weights: weightsIn(out) };
}

const named = (loss: (output: Tensor, labels: Tensor) => Tensor, kind = 'own'): LossFunction =>
  Object.assign(loss, { settings: { kind } });

describe('losses of your own', () => {
  const folder = newFolders();
  const smooth = { smoothing: 0.1 };

  for (const [kind, own, net] of [
    ['ce', (x, labels) => crossEntropy(x, labels), makeNet],
    ['bce', (x, labels) => bceWithLogits(x, labels), makeNet],
    ['tet', (x, labels) => tetLoss(x, labels), timedNet],
  ] as [LossSettings['kind'], LossFunction, () => Net][]) {
    for (const mix of [undefined, { mixup: 0.4, cutmix: 1 }]) {
      it(`have the bits of '${kind}' where they compute the same${mix ? ', on mixed batches' : ''}`, async () => {
        const expected = await outcome(net(), folder(), { loss: { kind }, mix });
        for (const record of [true, false])
          expect(await outcome(net(), folder(), { loss: named(own), mix, record })).to.deep.equal(expected);
      });
    }
  }

  it('are those of the test loss, too, and get classes there', async () => {
    const seen = new Set<string>();
    const doubled: LossFunction = (x, labels) => {
      seen.add(`${labels.dtype}[${labels.shape}] ${x.requiresGrad}`);
      return scale(crossEntropy(x, labels), 2);
    };
    const mix = { mixup: 0.4 };
    const [double] = (await go(makeNet(), { loss: doubled, mix, epochs: 1, optimizer: undefined })).reports;
    expect([...seen]).to.include.members(['f32[4,3] true', 'f32[3,3] true', 'i32[4] false', 'i32[3] false']);
    using net = makeNet();
    const [once, twice] = [await evaluate(net, data.test), await evaluate(net, data.test, { loss: doubled })];
    expect(twice.loss).to.be.closeTo(2 * once.loss, 1e-6);
    expect(twice.accuracy).to.equal(once.accuracy);
    expect(double!.testLoss).to.be.above(0);
    const bytes = (loss: LossFunction | undefined) => trainingMemory(net, { batch: 4, loss }).stepBytes;
    expect(bytes((x, labels) => crossEntropy(x, labels))).to.equal(bytes(undefined));
  });

  it('may hold constants that were made outside, and several terms', async () => {
    using bias = tensor(new Float32Array([1]));
    const shifted: LossFunction = (x, labels) => add(crossEntropy(x, labels, smooth), bias);
    const run = (loss: TrainOptions['loss']) => go(makeNet(), { loss, epochs: 2 });
    const [expected, found] = [await run(smooth), await run(shifted)];
    for (const [i, { loss, trainAccuracy }] of found.reports.entries()) {
      expect(loss).to.be.closeTo(expected.reports[i]!.loss + 1, 1e-5);
      expect(trainAccuracy).to.equal(expected.reports[i]!.trainAccuracy);
    }
  });

  it('go on by their settings, to the same bits', async () => {
    const own = (gamma: number): LossFunction =>
      Object.assign((x: Tensor, labels: Tensor) => scale(crossEntropy(x, labels), gamma), {
        settings: { kind: 'scaled', gamma },
      });
    const [whole, out] = [folder(), folder()];
    const expected = await outcome(makeNet(), whole, { loss: own(2) });
    await go(makeNet(), { out, loss: own(2), ...abortAfter(8) });
    expect(await refusal(go(makeNet(), { out, loss: own(3), resume: true }))).to.match(
      /loss: {"gamma":2} then, {"gamma":3} now/,
    );
    expect(await refusal(go(makeNet(), { out, resume: true }))).to.match(/loss: {"kind":"scaled","gamma":2} then/);
    await go(makeNet(), { out, loss: own(2), resume: true });
    expect(weightsIn(out)).to.deep.equal(expected.weights);
    expect(JSON.parse(readFileSync(runPaths(out).course, 'utf8')).loss).to.deep.equal({ kind: 'scaled', gamma: 2 });
  });

  it('are refused where the run is saved and they have no settings', () => {
    using net = makeNet();
    const bare: LossFunction = (x, labels) => crossEntropy(x, labels);
    for (const loss of [bare, Object.assign((x: Tensor) => x, { settings: {} as { kind: string } })])
      expect(() => train(net, { data, ...usual, loss, out: folder() })).to.throw(
        SpikeloomError,
        /loss has settings where the run is saved \(out, run\), .* Object.assign\(loss, { settings: { kind: 'focal'/,
      );
    train(net, { data, ...usual, loss: bare });
  });

  it('have settings that are plain data, with a kind of their own, kept as they were when the run was made', async () => {
    const circle: Record<string, unknown> = {};
    circle.inner = [{ circle }];
    using net = makeNet();
    const run = (settings: object, out = folder()) =>
      train(net, { data, ...usual, out, loss: Object.assign((x: Tensor) => x, { settings }) as LossFunction });
    for (const [wrong, at] of [
      [{ a: Number.NaN }, 'a is NaN'],
      [{ a: [1, { b: Number.POSITIVE_INFINITY }] }, 'a\\[1\\].b is Infinity'],
      [{ a: 1n }, 'a is 1n'],
      [{ a: () => 1 }, 'a is a function'],
      [{ a: Symbol('x') }, 'a is Symbol\\(x\\)'],
      [{ a: new Map() }, 'a is Map'],
      [{ a: new Float32Array(2) }, 'a is Float32Array'],
      [{ a: [undefined] }, 'a\\[0\\] is undefined'],
      [circle, 'inner\\[0\\].circle.inner holds itself'],
    ] as const) {
      const out = folder();
      const rule = new RegExp(`^train\\(\\): the settings of loss are plain data.*, but loss\\.settings\\.${at}; `);
      expect(() => run({ kind: 'own', ...wrong }, out), at).to.throw(SpikeloomError, rule);
      expect(existsSync(out), at).to.equal(false);
    }
    expect(() => run({ kind: Symbol('own') })).to.throw(SpikeloomError, /loss has settings where the run is saved/);
    for (const kind of ['ce', 'bce', 'tet', 'mse', 'l1', 'huber'])
      expect(() => run({ kind })).to.throw(
        SpikeloomError,
        `but "${kind}" is that of a built-in loss; give it another one`,
      );
    const [out, settings] = [folder(), { kind: 'own', a: { b: [1, null, 'c', true] }, none: undefined }];
    const loss = Object.assign((x: Tensor, labels: Tensor) => crossEntropy(x, labels), { settings });
    const own = train(net, { data, ...usual, out, loss });
    settings.a.b = [];
    for await (const _ of own) break;
    const { course } = runPaths(out);
    expect(JSON.parse(readFileSync(course, 'utf8')).loss).to.deep.equal({
      kind: 'own',
      a: { b: [1, null, 'c', true] },
    });
  });

  it('share that rule with schedules and optimizers of your own', () => {
    using net = makeNet();
    const settings = { kind: 'own', epochs: 3, a: Number.NaN } as never;
    const schedule = { ...constant({ epochs: 3 }), settings };
    expect(() => train(net, { data, ...usual, schedule })).to.throw(
      /settings of schedule .* schedule\.settings\.a is NaN/,
    );
    const optimizer = Object.assign((all: readonly NamedParameter[]) => sgd()(all), { settings });
    expect(() => train(net, { data, ...usual, optimizer })).to.throw(/of optimizer .* optimizer\.settings\.a is NaN/);
  });

  const outside = { i32: zeros([1], 'i32'), f64: zeros([1], 'f64'), f32: zeros([1]) };
  for (const [title, loss, message] of [
    ['a number', () => 1, /gives the mean over the batch, f32\[1\], but this one gave 1; make it of ops/],
    ['nothing', () => undefined, /but this one gave undefined/],
    ['the output itself', (x: Tensor) => x, /but this one gave f32\[4,3\]; take its mean/],
    ['classes', () => outside.i32, /but this one gave i32\[1\]; .* keep the type of the network/],
    ['float64', () => outside.f64, /but this one gave f64\[1\]; .* keep the type of the network/],
    ['a promise', async (x: Tensor) => x, /but this one gave a promise; it must not be async/],
    ['a promise that fails', () => Promise.reject(new Error('late')), /but this one gave a promise/],
    ['what has no gradient', () => outside.f32, /by ops with a gradient, but none flows from what this one gave/],
    ['what was cut off', (x: Tensor, y: Tensor) => noGrad(() => crossEntropy(x, y)), /leave out noGrad\(\) and detach/],
  ] as [string, LossFunction, RegExp][]) {
    it(`are refused where they give ${title}`, async () => {
      for (const record of [true, false]) {
        expect(await refusal(go(makeNet(), { loss, record })), `record: ${record}`).to.match(message);
      }
    });
  }

  it('may not make constants within a recorded step, except in stepInput(), nor read', async () => {
    const within =
      (make: () => Tensor): LossFunction =>
      (x, labels) =>
        add(crossEntropy(x, labels), make());
    expect(await refusal(go(makeNet(), { loss: within(() => tensor([1])) }))).to.match(
      /made while a step is recorded .*; make constants and inputs/,
    );
    const looking: LossFunction = (x, labels) => {
      const loss = crossEntropy(x, labels);
      if (isStepRecording()) loss.item().then(String);
      return loss;
    };
    expect(await refusal(go(makeNet(), { loss: looking }))).to.match(
      /cannot be written or read there; .* behind a replay$/,
    );
    const once = within(() => (isStepRecording() ? stepInput(() => tensor([1])) : tensor([1])));
    const lossOf = async (record: boolean) => (await go(makeNet(), { loss: once, record, epochs: 1 })).reports[0]!.loss;
    expect(await lossOf(true)).to.equal(await lossOf(false));
  });

  for (const [title, net] of [
    ['', makeNet],
    [' of time steps', timedNet],
    [' of spikes', spikingNet],
  ] as const) {
    it(`are tried with the classes of the test samples before the first step, on outputs${title}`, async () => {
      for (const record of [true, false]) {
        const [calls, out] = [[] as string[], folder()];
        const mixedOnly = named((x, labels) => {
          calls.push(`${x.dtype}[${x.shape}] ${labels.dtype}[${labels.shape}]`);
          if (labels.dtype === 'i32' && labels.shape[0] === 3) throw new TypeError('weights are needed');
          return crossEntropy(x.dtype === 'spike' ? toReal(x) : x, labels);
        });
        const mix = { mixup: 0.4 };
        const run = train(net(), { data, ...usual, out, mix, record, loss: mixedOnly });
        expect(await failure(run[Symbol.asyncIterator]().next())).to.be.instanceOf(TypeError);
        const shape = (size: number) => (net === makeNet ? `f32[${size},3]` : `[2,${size},3]`);
        expect(calls).to.have.length(2);
        for (const [i, size] of [4, 3].entries())
          expect(calls[i])
            .to.contain(shape(size))
            .and.match(new RegExp(` i32\\[${size}\\]$`));
        expect(existsSync(out)).to.equal(false);
      }
      const fine = named((x, labels) => crossEntropy(x.dtype === 'spike' ? toReal(x) : x, labels));
      const both = [true, false].map((record) => outcome(net(), folder(), { loss: fine, record, epochs: 1 }));
      const [recorded, plain] = await Promise.all(both);
      expect(recorded).to.deep.equal(plain);
    });
  }

  it('fail as they do, and the network can be trained afterwards', async () => {
    const net = makeNet();
    const failing: LossFunction = () => {
      throw new TypeError('mine');
    };
    for (const record of [true, false])
      expect(
        await failure(
          train(net, { data, ...usual, loss: failing, record })
            [Symbol.asyncIterator]()
            .next(),
        ),
      )
        .to.be.instanceOf(TypeError)
        .and.have.property('message', 'mine');
    expect((await go(net)).reports).to.have.length(3);
  });

  it('do not change how many numbers a network gives, nor what settings are', () => {
    using net = makeNet();
    const four = { ...data.train, classes: ['a', 'b', 'c', 'd'] };
    const loss: LossFunction = (x, labels) => crossEntropy(x, labels);
    expect(() => train(net, { ...usual, loss, data: { train: four, test: four } })).to.throw(
      /one number for each class, but tiny gives \[3\] and the data has 4 classes/,
    );
    expect(() => train(net, { ...usual, data, loss: { kind: 'nll' } as object })).to.throw(
      /a loss is one of ce, bce, tet for classes, mse, l1, huber for targets, or a function of your own, not "nll"/,
    );
    const memory = (kind: string) => () => trainingMemory(net, { batch: 8, loss: { kind } as object });
    expect(memory('nll')).to.throw(SpikeloomError, /a loss is one of ce, bce, tet for classes, .*, not "nll"/);
    expect(memory('tet')).to.throw(SpikeloomError, /'tet' is a mean over time steps, but tiny ends with meanOverTime/);
  });
});
