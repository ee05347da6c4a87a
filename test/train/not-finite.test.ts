// A loss that is not finite ends a run, and the weights stay those of the last step whose loss was, whatever was queued
// and whenever. On the CPU, and on a CUDA device where there is one.
import { readFileSync } from 'node:fs';
import { expect } from 'chai';
import { cudaBackend, NotFiniteError, SpikeloomError } from '../../lib/core/index.ts';
import { type Batch, loader } from '../../lib/data/loader.ts';
import { conv2d, define, globalAvgPool, linear, type Net } from '../../lib/nn/index.ts';
import { adamw, constant, lamb, type Optimizer, type OptimizerFactory, sgd } from '../../lib/optim/index.ts';
import { LOSS_DEFAULTS } from '../../lib/train/loss.ts';
import { runPaths } from '../../lib/train/run-folder.ts';
import { train } from '../../lib/train/train.ts';
import type { TrainOptions } from '../../lib/train/train-options.ts';
import { TrainingSteps } from '../../lib/train/training-step.ts';
import { testDevices } from '../support/devices.ts';
import { failure } from '../support/failure.ts';
import { randomSet, testFolder } from '../support/image-sets.ts';
import { tinyNet } from '../support/tiny-net.ts';

const data = { train: randomSet('cifar10', [23, 3, 9, 7]), test: randomSet('cifar10', [5, 3, 9, 7]) };

/** Without neurons, whose spikes are 0 and 1 whatever they are given: a pixel that is not finite gives such a loss. */
const plain = define('plain', ({ classes }) => [conv2d(4, { kernel: 3 }), globalAvgPool(), linear(classes)]);

/** What training changes but for running statistics, which a forward pass has changed before its loss is known. */
async function learned(net: Net, optimizer?: Optimizer): Promise<Record<string, number[]>> {
  const tensors = [
    ...net.parameters().map(({ name, tensor }) => [name, tensor] as const),
    ...Object.entries(optimizer?.state() ?? {}),
  ];
  const arrays = tensors.map(async ([name, tensor]) => [name, [...(await tensor.array())]]);
  return Object.fromEntries(await Promise.all(arrays));
}

async function batches(): Promise<Batch[]> {
  const made: Batch[] = [];
  await using source = loader(data.train, { batch: 4, workers: 0 });
  for await (const batch of source.epoch(0)) made.push(batch);
  return made;
}

interface Way {
  logEvery: number;
  record: boolean;
  optimizer?: OptimizerFactory;
}

/** Two good steps, or those and a bad one with two good ones behind: one queued at once, one when the host knows. */
async function stepped(
  on: string,
  { logEvery, record, optimizer: factory = sgd({ lr: 0.1, momentum: 0.9 }) }: Way,
  isBad: boolean,
) {
  using net = plain({ steps: 1, channels: 3, size: [9, 7], classes: 4, seed: 3, device: on });
  net.train();
  using optimizer = factory(net.parameters());
  using steps = new TrainingSteps(net, optimizer, { loss: LOSS_DEFAULTS, record, logEvery });
  const [first, second, third, fourth, fifth] = (await batches()) as [Batch, Batch, Batch, Batch, Batch];
  for (const batch of [first, second]) await (await steps.queue(batch)).done;
  const errors: Error[] = [];
  if (isBad) {
    third.images[5] = Number.NaN;
    const bad = await steps.queue(third);
    const behind = await steps.queue(fourth);
    errors.push(await failure(bad.done));
    await behind.done.catch(() => {});
    errors.push(await failure((await steps.queue(fifth)).done));
  }
  return { errors, learned: await learned(net, optimizer) };
}

for (const on of testDevices) {
  describe(`a loss that is not finite, on ${on}`, () => {
    const folders = testFolder();
    before(function () {
      if (on === 'cuda' && cudaBackend().score === 0) this.skip();
    });

    const ways: Record<string, Way> = {
      'read at every step': { logEvery: 1, record: true },
      'read every third step': { logEvery: 3, record: true },
      'read much later': { logEvery: 100, record: true },
      'call by call': { logEvery: 100, record: false },
      'with AdamW and clipping': { logEvery: 10, record: true, optimizer: adamw({ lr: 0.01, clipNorm: 0.5 }) },
      'with LAMB': { logEvery: 10, record: true, optimizer: lamb({ lr: 0.01 }) },
    };
    for (const [name, way] of Object.entries(ways)) {
      it(`no step behind it changes weights or the optimizer's state, ${name}`, async () => {
        const { learned: expected } = await stepped(on, way, false);
        const found = await stepped(on, way, true);
        for (const error of found.errors) {
          expect(error).to.be.instanceOf(NotFiniteError);
          expect((error as NotFiniteError).number).to.deep.equal(Number.NaN);
        }
        expect(found.learned).to.deep.equal(expected);
      });
    }

    const exploding = { data, batch: 4, epochs: 2, optimizer: sgd({ lr: 3e38 }), workers: 0, seed: 11 };
    const runOf = async (options: Partial<TrainOptions>) => {
      using net = tinyNet(on);
      const before = await learned(net);
      const error = await failure(
        train(net, { ...exploding, ...options })
          [Symbol.asyncIterator]()
          .next(),
      );
      return { error, before, after: await learned(net) };
    };

    it('of a learning rate that explodes ends the run in the same step with the same weights, read early or late', async () => {
      const first = await runOf({ logEvery: 1 });
      expect(first.error).to.be.instanceOf(SpikeloomError);
      expect(first.error.message).to.match(
        /^epoch 1, step [23] of 6: the loss must be a finite number, but is (NaN|-?Infinity)\. .*Lower/,
      );
      expect(first.after).to.not.deep.equal(first.before); // a step with a finite loss came first
      for (const logEvery of [2, 10, 200]) {
        const late = await runOf({ logEvery });
        expect(late.error.message).to.equal(first.error.message);
        expect(late.after).to.deep.equal(first.after);
      }
    });

    it('behind a good epoch says where its weights are', async () => {
      const out = folders.path('late');
      const schedule = { ...constant({ epochs: 2 }), lrAt: (epoch: number) => (epoch === 0 ? 0.1 : 3e38) };
      using net = tinyNet(on);
      const run = train(net, { ...exploding, schedule, out })[Symbol.asyncIterator]();
      expect((await run.next()).value).to.include({ epoch: 0 });
      const { last } = runPaths(out);
      const kept = readFileSync(last);
      const { message } = await failure(run.next());
      expect(message).to.match(/^epoch 2, step [23] of 6: the loss must be a finite number/);
      expect(message.endsWith(`. The weights after epoch 1 are kept in ${last}`), message).to.equal(true);
      expect(readFileSync(last)).to.deep.equal(kept);
    });

    it('leaves the last whole state in the files, from which a run goes on to the same end', async () => {
      const out = folders.path('exploded');
      const { state } = runPaths(out);
      const first = await runOf({ out, logEvery: 10 });
      const kept = readFileSync(state);
      const again = await runOf({ out, logEvery: 10, resume: true });
      expect(again.error.message).to.equal(first.error.message);
      expect(again.after).to.deep.equal(first.after);
      expect(readFileSync(state)).to.deep.equal(kept);
    });
  });
}
