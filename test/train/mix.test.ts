// Training with batches mixed with themselves: images, frames, recorded or not, interrupted and resumed.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { scope, tensor } from '../../lib/core/index.ts';
import { drawMix, MIX_DEFAULTS } from '../../lib/data/augment/mix.ts';
import { loader } from '../../lib/data/loader.ts';
import { conv2d, define, globalAvgPool, lif, linear, meanOverTime, type Net, norm } from '../../lib/nn/index.ts';
import { crossEntropy } from '../../lib/ops/cross-entropy.ts';
import { cosine, sgd } from '../../lib/optim/index.ts';
import { trainingMemory } from '../../lib/train/memory.ts';
import { Progress } from '../../lib/train/progress.ts';
import { train } from '../../lib/train/train.ts';
import type { EpochReport, TrainOptions } from '../../lib/train/train-options.ts';
import { randomSet } from '../support/image-sets.ts';

const data = { train: randomSet('cifar10', [13, 3, 6, 5]), test: randomSet('cifar10', [7, 3, 6, 5]) };
const [CLASSES, SEED] = [4, 11];
const MIX = { mixup: 0.4, cutmix: 1, p: 0.9 };

const tiny = define('tiny', ({ classes }) => [
  conv2d(4, { kernel: 3, padding: 1 }),
  norm(),
  lif(),
  globalAvgPool(),
  linear(classes),
  meanOverTime(),
]);
const makeNet = () => tiny({ steps: 2, channels: 3, size: [6, 5], classes: CLASSES, seed: 5, dtype: 'f64' });

const usual: TrainOptions & { data: typeof data } = {
  data,
  batch: 5, // the last batch has 3
  schedule: cosine({ epochs: 2, minLr: 1e-3 }),
  optimizer: sgd({ lr: 0.1 }),
  loss: { smoothing: 0.1 },
  augment: 'basic',
  workers: 0,
  seed: SEED,
  mix: MIX,
};

async function go(options: Partial<typeof usual> = {}, net: Net = makeNet()) {
  const reports: EpochReport[] = [];
  for await (const report of train(net, { ...usual, ...options })) reports.push(report);
  const weights = await Promise.all(net.parameters().map(({ tensor: t }) => t.array()));
  net.dispose();
  return { losses: reports.map(({ loss }) => loss), weights: weights.map((w) => [...w]) };
}

/** The mean loss of the first epoch with a learning rate of 0, every batch mixed by plain loops. */
async function expectedLoss(net: Net): Promise<number> {
  let sum = 0;
  for await (const { images, labels, shape, size, index } of loader(data.train, {
    ...{ batch: 5, seed: SEED, augment: 'basic', workers: 0, shuffle: true },
  }).epoch(0)) {
    const place = { seed: SEED, epoch: 0, batch: index, height: 6, width: 5 };
    const [keep, share, top, left, bottom, right] = drawMix({ ...MIX_DEFAULTS, ...MIX }, place) as unknown as number[];
    const sample = images.length / size;
    const mixed = Float64Array.from(images, (own, i) => {
      const other = images[(size - 1 - Math.floor(i / sample)) * sample + (i % sample)]!;
      const [y, x] = [Math.floor(i / 5) % 6, i % 5];
      return y >= top! && y < bottom! && x >= left! && x < right! ? other : keep! * own + (1 - keep!) * other;
    });
    const target = new Float64Array(size * CLASSES);
    labels.forEach((label, b) => {
      target[b * CLASSES + label]! += share!;
      target[(size - 1 - b) * CLASSES + label]! += 1 - share!;
    });
    const loss = scope(() => {
      const output = net(tensor(mixed, { shape, dtype: 'f64' }));
      return crossEntropy(output, tensor(target, { shape: [size, CLASSES], dtype: 'f64' }), { smoothing: 0.1 });
    });
    sum += (await loss.item()) * size;
    loss.dispose();
  }
  return sum / data.train.count;
}

describe('training with mixed batches', () => {
  it('the loss is that of images and targets mixed by hand', async () => {
    using net = makeNet();
    const expected = await expectedLoss(net);
    const { losses } = await go({ schedule: undefined, epochs: 1, optimizer: sgd({ lr: 0 }) });
    expect(losses[0]).to.be.closeTo(expected, 1e-6); // mix is drawn in f32
    const plain = await go({ schedule: undefined, epochs: 1, optimizer: sgd({ lr: 0 }), mix: undefined });
    expect(Math.abs(losses[0]! - plain.losses[0]!)).to.be.above(1e-4);
  });

  it('recorded steps have the bits of single calls', async () => {
    expect(await go()).to.deep.equal(await go({ record: false }));
  });

  it('an interrupted run goes on to the same bits', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'spikeloom-mix-'));
    try {
      const whole = await go();
      const controller = new AbortController();
      class Stopping extends Progress {
        override step(): void {
          controller.abort();
        }
      }
      const progress = new Stopping({ epochs: 2, steps: 3 });
      await go({ out: join(folder, 'run'), signal: controller.signal, progress });
      const rest = await go({ out: join(folder, 'run'), resume: true });
      expect(rest.weights).to.deep.equal(whole.weights);
      const other = go({ out: join(folder, 'run'), resume: true, mix: { ...MIX, p: 0.5 } });
      const failure = await other.then(
        () => undefined,
        (error: Error) => error.message,
      );
      expect(failure).to.match(/mix/);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  it('is in the plan of the step', () => {
    using net = makeNet();
    const [plain, mixed] = [trainingMemory(net, { batch: 5 }), trainingMemory(net, { batch: 5, mix: true })];
    expect(mixed.stepBytes).to.be.above(plain.stepBytes);
  });
});
