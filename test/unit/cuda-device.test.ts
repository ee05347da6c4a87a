// A CUDA device as a whole: what is written arrives, memory that does not suffice is told with what would, numbers that
// do not exist are refused. Pending where there is no such device; SPIKELOOM_CUDA=emulated takes the one that the host
// plays.
import { expect } from 'chai';
import {
  cudaBackend,
  device,
  empty,
  keep,
  OutOfMemoryError,
  recordStep,
  scope,
  tensor,
  zeros,
} from '../../lib/core/index.ts';
import { model } from '../../lib/nn/index.ts';
import { add } from '../../lib/ops/add.ts';
import { logMetrics } from '../../lib/ops/log-metrics.ts';
import { clipFactor } from '../../lib/ops/optimizer-updates.ts';
import { sgd } from '../../lib/optim/index.ts';
import { LOSS_DEFAULTS } from '../../lib/train/loss.ts';
import { planTraining } from '../../lib/train/memory.ts';
import { train } from '../../lib/train/train.ts';
import { randomSet } from '../support/image-sets.ts';

const MIB = 2 ** 20;

describe('a CUDA device', () => {
  before(function () {
    if (cudaBackend().score === 0) this.skip();
  });

  it('gets writes of every size in their order, more of them than its pinned memory holds', async () => {
    const cuda = device('cuda');
    const sizes = [1, 7, 5 * MIB + 3, 64, 3 * MIB, 9 * MIB + 1, 2, 4 * MIB]; // elements of 4 bytes
    const made = sizes.map((size, i) => {
      const data = new Float32Array(size);
      for (let at = 0; at < size; at += 997) data[at] = at + i;
      data[size - 1] = size;
      return { data, on: tensor(data, { device: cuda }) };
    });
    for (const { data, on } of made) {
      const read = (await on.array()) as Float32Array;
      expect(Buffer.compare(Buffer.from(read.buffer), Buffer.from(data.buffer)), `${data.length} elements`).to.equal(0);
      on.dispose();
    }
  });

  it('computes with what was written before each call, however far the host is ahead', async () => {
    const x = tensor([0], { device: device('cuda') });
    const sums = Array.from({ length: 700 }, (_, i) => {
      x.set(Float32Array.of(i));
      return scope(() => add(x, x));
    });
    const values = await Promise.all(sums.map((sum) => sum.item()));
    expect(values).to.deep.equal(values.map((_, i) => 2 * i));
    for (const made of [x, ...sums]) made.dispose();
  });

  it('replays with the batch that was written before each replay, whatever else is on its way', async () => {
    const size = 2 * MIB; // 8 MiB: a fourth of what may be on its way
    const x = keep(tensor(new Float32Array(size), { device: device('cuda') }));
    const log = keep(zeros([12, 2], 'f32', device('cuda')));
    const next = keep(zeros([1], 'i32', device('cuda')));
    const one = tensor(Int32Array.of(1), { device: device('cuda') });
    const step = recordStep(device('cuda'), () => {
      const ends = clipFactor([x], empty([1], 'f32', device('cuda')), 1).norm;
      logMetrics({ log, next }, { loss: ends, correct: one });
    });
    for (let i = 0; i < 12; i++) {
      const batch = new Float32Array(size);
      batch[0] = 3 * (i + 1);
      batch[size - 1] = 4 * (i + 1);
      x.set(batch);
      step.replay();
    }
    const norms = (await log.array()).filter((_, i) => i % 2 === 0);
    expect([...norms]).to.deep.equal(Array.from({ length: 12 }, (_, i) => 5 * (i + 1)));
    step.dispose();
    for (const made of [x, log, next, one]) made.dispose();
  });

  it('that has not the memory for a step says what it takes, what is free, and which batch fits', async function () {
    const cuda = device('cuda');
    const { totalBytes } = cuda.memory()!;
    const set = randomSet('cifar10', [64, 3, 64, 64]);
    const before = cuda.stats();
    using net = model('fsta-resnet8')({
      steps: 16,
      channels: 3,
      size: [64, 64],
      classes: 4,
      width: 64,
      device: 'cuda',
    });
    using optimizer = sgd({ lr: 0.1 })(net.parameters());
    const bytesOf = (batch: number) => planTraining(net, optimizer, LOSS_DEFAULTS, { size: batch }).peakBytes;
    if (bytesOf(64) < totalBytes) this.skip(); // a GPU has more
    const run = train(net, { data: { train: set, test: set }, epochs: 1, batch: 64, workers: 0 });
    const error = await run[Symbol.asyncIterator]()
      .next()
      .then(
        () => undefined,
        (thrown: unknown) => thrown as Error,
      );
    expect(error).to.be.instanceOf(OutOfMemoryError);
    const found =
      /^out of memory: a training step of 64 images takes [\d.]+ GiB on 'cuda' as planned, .* and ([\d.]+) (MiB|GiB) are free; a batch of (\d+) fits/.exec(
        error!.message,
      );
    expect(found, error!.message).to.not.equal(null);
    const free = Number(found![1]) * (found![2] === 'GiB' ? 1024 * MIB : MIB);
    const fits = Number(found![3]);
    expect(bytesOf(fits)).to.be.at.most(1.1 * free);
    expect(bytesOf(fits + 1)).to.be.at.least(0.9 * free);
    expect(cuda.stats().bytesInUse).to.be.above(before.bytesInUse); // the net is there and works on
    const one = scope(() => add(tensor([1], { device: cuda }), tensor([2], { device: cuda })));
    expect(await one.item()).to.equal(3);
    one.dispose();
  });

  it('does not compute with a tensor of the CPU', () => {
    expect(() => add(zeros([2]), zeros([2], 'f32', device('cuda')))).to.throw(
      /^add: the tensors live on different devices; make them on one, as in tensor\(data, \{ device \}\)$/,
    );
  });

  it('of a number that does not exist is refused with how many there are', () => {
    expect(() => device('cuda:99')).to.throw(
      /'cuda:99' cannot be opened: there is no GPU 'cuda:99': this machine has \d+/,
    );
  });
});
