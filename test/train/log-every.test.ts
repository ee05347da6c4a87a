// The numbers of training steps gather on the device: how often they are read changes none of them. On the CPU, and on
// a CUDA device where there is one.
import { expect } from 'chai';
import { cudaBackend, device, NotFiniteError, SpikeloomError, tensor } from '../../lib/core/index.ts';
import { openSafetensors } from '../../lib/core/safetensors.ts';
import { needFinite } from '../../lib/ops/need-finite.ts';
import { type NamedParameter, type OptimizerFactory, sgd } from '../../lib/optim/index.ts';
import { Progress, type StepProgress } from '../../lib/train/progress.ts';
import { parseRecipe } from '../../lib/train/recipe.ts';
import { runPaths } from '../../lib/train/run-folder.ts';
import { MOST_LOGGED, StepLog, usualLogEvery } from '../../lib/train/step-log.ts';
import { train } from '../../lib/train/train.ts';
import type { TrainOptions } from '../../lib/train/train-options.ts';
import { testDevices } from '../support/devices.ts';
import { failure } from '../support/failure.ts';
import { randomSet, testFolder } from '../support/image-sets.ts';
import { tinyNet } from '../support/tiny-net.ts';

const data = { train: randomSet('cifar10', [23, 3, 9, 7]), test: randomSet('cifar10', [5, 3, 9, 7]) };
const RECIPE = 'model: { name: fsta-resnet20 }\ndata: { name: cifar10, root: somewhere }\n';
const STEPS = 6; // of an epoch, the last with 3 images

/** Keeps what it is told, and aborts at the end of the n-th step. */
class Watching extends Progress {
  readonly steps: StepProgress[] = [];
  readonly #controller = new AbortController();
  readonly #last: number;

  constructor(last = Number.POSITIVE_INFINITY) {
    super({ epochs: 1, steps: 1 });
    this.#last = last;
  }
  get signal(): AbortSignal {
    return this.#controller.signal;
  }
  override step(progress: StepProgress): void {
    this.steps.push(progress);
    if (this.steps.length === this.#last) this.#controller.abort();
  }
  override epoch(): void {}
}

async function trained(on: string, out: string, options: Partial<TrainOptions> = {}, last?: number) {
  using net = tinyNet(on);
  const progress = new Watching(last);
  const usual = { data, batch: 4, epochs: 2, optimizer: sgd({ lr: 0.05, momentum: 0.9 }), seed: 11, workers: 0 };
  const run = train(net, { ...usual, augment: 'basic', out, progress, signal: progress.signal, ...options });
  const reports: unknown[] = [];
  for await (const { imagesPerSecond: _a, seconds: _b, waitShare: _c, ...numbers } of run) reports.push(numbers);
  const file = openSafetensors(runPaths(out).state);
  const state = file.names.map((name) => Buffer.from(file.read(name).buffer).toString('base64'));
  file.close();
  return { reports, state, interrupted: run.interrupted, steps: progress.steps };
}

/**
 * Makes the loss of the step behind the n-th NaN, and fails the read of the n-th for it: on a GPU a read may end that
 * late.
 */
function noticedEarly(on: string, nth: number): OptimizerFactory {
  const usual = sgd({ lr: 0.05 });
  const make = (parameters: readonly NamedParameter[]) => {
    const optimizer = usual(parameters);
    const step = optimizer.step.bind(optimizer);
    const bias = parameters.at(-1)!.tensor;
    let steps = 0;
    optimizer.step = () => {
      step();
      if (++steps !== nth) return;
      bias.set(new Float32Array(bias.shape[0]!).fill(Number.NaN));
      needFinite(tensor(Float32Array.of(Number.NaN), { device: device(on) }));
    };
    return optimizer;
  };
  return Object.assign(make, { settings: usual.settings });
}

for (const on of testDevices) {
  describe(`numbers of training steps, on ${on}`, () => {
    const folders = testFolder();
    let made = 0;
    const folder = () => folders.path(String(made++));
    before(function () {
      if (on === 'cuda' && cudaBackend().score === 0) this.skip();
    });

    for (const record of [true, false]) {
      it(`read every few steps they give the bits of every step, ${record ? 'recorded' : 'call by call'}`, async () => {
        const { steps: _, ...expected } = await trained(on, folder(), { record, logEvery: 1 });
        expect(expected.reports).to.have.length(2);
        for (const logEvery of [2, 4, STEPS, MOST_LOGGED]) {
          const { steps: __, ...found } = await trained(on, folder(), { record, logEvery });
          expect(found, `every ${logEvery} steps`).to.deep.equal(expected);
        }
      });
    }

    for (const last of [1, 3, 8]) {
      it(`interrupted in step ${last}, between two reads, and resumed: the same bits`, async () => {
        const whole = await trained(on, folder(), { logEvery: 1 });
        const out = folder();
        const begun = await trained(on, out, { logEvery: MOST_LOGGED }, last);
        expect(begun.interrupted).to.equal(true);
        const rest = await trained(on, out, { logEvery: 5, resume: true });
        expect([...begun.reports, ...rest.reports]).to.deep.equal(whole.reports);
        expect(rest.state).to.deep.equal(whole.state);
      });
    }

    it('progress moves with every step; loss and accuracy are those of the steps that were read', async () => {
      const every = await trained(on, folder(), { logEvery: 1, epochs: 1 });
      const { steps } = await trained(on, folder(), { logEvery: 4, epochs: 1 });
      expect(steps.map(({ step }) => step)).to.deep.equal([1, 2, 3, 4, 5, 6]);
      expect(steps.map(({ images }) => images)).to.deep.equal([4, 8, 12, 16, 20, 23]);
      expect(steps.slice(0, 3).map(({ loss }) => loss)).to.deep.equal([undefined, undefined, undefined]);
      expect(steps[3]).to.deep.equal(every.steps[3]);
      expect(steps[5]!.loss).to.equal(every.steps[3]!.loss);
    });

    it('a loss that is not finite is noticed in its step, long before it is time to read', async () => {
      const diverge = { optimizer: sgd({ lr: 3e38 }), epochs: 1 };
      const messages = [];
      for (const logEvery of [1, 3, MOST_LOGGED]) {
        const { message } = await failure(trained(on, folder(), { ...diverge, logEvery }));
        messages.push(/^.*? but is \S+\./.exec(message)?.[0] ?? message);
      }
      expect(messages[0]).to.match(
        /^epoch 1, step [23] of 6: the loss must be a finite number, but is (NaN|-?Infinity)\.$/,
      );
      expect(messages).to.deep.equal([messages[0], messages[0], messages[0]]);
    });

    it('names the step of such a loss, though the read of the step before fails for it', async () => {
      const seen: (string | undefined)[] = [];
      for (const logEvery of [1, 3, MOST_LOGGED]) {
        const options = { optimizer: noticedEarly(on, 2), epochs: 1, record: false, logEvery };
        const { message } = await failure(trained(on, folder(), options));
        seen.push(
          /^epoch 1, step 3 of 6: the loss must be a finite number, but is \S+?\. /.exec(message)?.[0] ?? message,
        );
      }
      expect(seen).to.deep.equal(Array(3).fill('epoch 1, step 3 of 6: the loss must be a finite number, but is NaN. '));
    });

    it('are read at every step on the CPU and at every tenth on a GPU, where nothing is said', () =>
      expect(usualLogEvery(device(on))).to.equal(on === 'cpu' ? 1 : 10));

    it('a log goes round, and a read that failed is made again', async () => {
      using log = new StepLog(2, 'f32', device(on));
      const numbers = (loss: number, correct: number) => ({
        loss: tensor(Float32Array.of(loss), { device: device(on) }),
        correct: tensor(Int32Array.of(correct), { device: device(on) }),
      });
      const queue = (index: number) => {
        log.note(numbers(index / 2, 10 * index));
        log.queued({ index, size: 3 });
      };
      const logged = (index: number) => ({ index, size: 3, loss: index / 2, correct: 10 * index });
      expect(await log.read()).to.deep.equal([]);
      queue(0);
      expect(log.isFull).to.equal(false);
      queue(1);
      expect(log.isFull).to.equal(true);
      needFinite(numbers(Number.NaN, 0).loss);
      const [failed, first] = [failure(log.read()), log.read()];
      expect(await failed).to.be.instanceOf(NotFiniteError);
      expect(await first).to.deep.equal([]);
      const again = log.read();
      for (const index of [2, 3, 4]) queue(index);
      expect(await again).to.deep.equal([0, 1].map(logged));
      expect(await log.read()).to.deep.equal([2, 3, 4].map(logged));
      for (let index = 5; index < 9; index++) {
        queue(index);
        expect(await log.read()).to.deep.equal([logged(index)]);
      }
    });
  });
}

describe('the setting log_every', () => {
  it('is a number of steps, from 1 to what one read holds', () => {
    using net = tinyNet('cpu');
    for (const logEvery of [0, -1, 1.5, MOST_LOGGED + 1, Number.NaN]) {
      expect(() => train(net, { data, epochs: 1, logEvery })).to.throw(
        SpikeloomError,
        `logEvery is a whole number of steps from 1 to 200, not ${logEvery}`,
      );
    }
  });

  it('is a key of recipes and of the command line', () => {
    const parsed = (value: string) => parseRecipe(RECIPE, 'r.yaml', [`log_every=${value}`]).log_every;
    expect(parseRecipe(RECIPE, 'r.yaml').log_every).to.equal(undefined);
    expect(parsed('25')).to.equal(25);
    for (const wrong of ['0', '201', '2.5', 'often']) {
      expect(() => parsed(wrong)).to.throw(SpikeloomError, /log_every.*integer from 1 to 200/);
    }
  });
});
