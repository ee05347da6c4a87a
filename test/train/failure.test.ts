// What a run says when its device has not enough memory or is lost, and what it leaves behind.
import { expect } from 'chai';
import { nativeError } from '../../lib/core/errors.ts';
import { device, OutOfMemoryError, SpikeloomError } from '../../lib/core/index.ts';
import { conv2d, define, globalAvgPool, lif, linear, meanOverTime, norm } from '../../lib/nn/index.ts';
import { sgd } from '../../lib/optim/index.ts';
import { LOSS_DEFAULTS } from '../../lib/train/loss.ts';
import { largestBatch, planTraining } from '../../lib/train/memory.ts';
import { train } from '../../lib/train/train.ts';
import type { TrainOptions } from '../../lib/train/train-options.ts';
import { randomSet, testFolder } from '../support/image-sets.ts';

const data = { train: randomSet('cifar10', [12, 3, 6, 5]), test: randomSet('cifar10', [4, 3, 6, 5]) };
const tiny = define('tiny', ({ classes }) => [
  conv2d(5, { kernel: 3, padding: 1 }),
  norm(),
  lif(),
  globalAvgPool(),
  linear(classes),
  meanOverTime(),
]);
const makeNet = () => tiny({ steps: 2, channels: 3, size: [6, 5], classes: 4 });

/**
 * Trains until the pass of this number, where `failure` comes.
 * @returns the error, and how many epochs were reported
 */
async function fail(failure: Error, pass: number, options: Partial<TrainOptions> = {}, isLost = false) {
  using net = makeNet();
  let passes = 0;
  let epochs = 0;
  const first = net.plan.layers[0]!.path;
  net.onLayer = (path, _, training) => {
    if (path !== first || !training || ++passes < pass) return;
    if (isLost) Object.defineProperty(net.device, 'lost', { value: failure.message, configurable: true });
    throw failure;
  };
  try {
    const all = { data, epochs: 5, batch: 4, workers: 0, optimizer: sgd({ lr: 0.1, momentum: 0.9 }) };
    for await (const _ of train(net, { ...all, ...options })) epochs++;
  } catch (error) {
    return { error: error as Error, epochs };
  } finally {
    if (isLost) Reflect.deleteProperty(net.device, 'lost');
  }
  throw new Error('nothing was thrown');
}

describe('a run that cannot go on', () => {
  const folder = testFolder();

  it('plans the largest batch that fits', () => {
    using net = makeNet();
    using optimizer = sgd({ lr: 0.1 })(net.parameters());
    const bytesOf = (batch: number) => planTraining(net, optimizer, LOSS_DEFAULTS, { size: batch }).peakBytes;
    const fitting = (bytes: number, most: number) => largestBatch(net, optimizer, LOSS_DEFAULTS, { bytes, most });
    expect(fitting(bytesOf(9), 100)).to.equal(9);
    expect(fitting(bytesOf(9) - 1, 100)).to.equal(8);
    expect(fitting(bytesOf(9), 5)).to.equal(5);
    expect(fitting(bytesOf(1) - 1, 100)).to.equal(0);
  });

  it('for want of memory says what a step takes, what is free and which batch fits', async () => {
    const before = device().stats();
    const { error } = await fail(nativeError('out of memory: 4096 bytes'), 2);
    expect(error).to.be.instanceOf(OutOfMemoryError);
    expect(error.message).to.match(
      /^out of memory: a training step of 4 images takes [\d.]+ KiB on 'cpu' as planned, .* and [\d.]+ [GT]iB are free; a batch of 3 fits by its plan.*\(out of memory: 4096 bytes\)$/,
    );
    expect(device().stats().handles).to.equal(before.handles);
  });

  it('for a device that is lost says what is kept and how to go on, and goes on there', async () => {
    const out = folder.path('lost');
    const { error, epochs } = await fail(new Error('the device fell over'), 5, { out }, true);
    expect(epochs).to.equal(1);
    expect(error).to.be.instanceOf(SpikeloomError);
    expect(error.message).to.equal(
      `the device fell over. The state after epoch 1 is kept in ${out}: go on from it with --resume (train(): resume: true)`,
    );
    using net = makeNet();
    const seen: number[] = [];
    const options = { data, epochs: 5, batch: 4, workers: 0, optimizer: sgd({ lr: 0.1, momentum: 0.9 }) };
    for await (const { epoch } of train(net, { ...options, out, resume: true })) seen.push(epoch);
    expect(seen).to.deep.equal([1, 2, 3, 4]);
  });

  it('and saves nothing says that, too', async () => {
    const { error } = await fail(new Error('the device fell over'), 1, {}, true);
    expect(error.message).to.match(/^the device fell over\. This run saved nothing: give it a folder/);
  });
});
