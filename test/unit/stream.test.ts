// The queue of a device: failures and what they leave unmade, memory, the event loop.
import { expect } from 'chai';
import {
  backward,
  device,
  empty,
  keep,
  noGrad,
  parameter,
  recordStep,
  scope,
  type Tensor,
  tensor,
} from '../../lib/core/index.ts';
import { add } from '../../lib/ops/add.ts';
import { conv2d } from '../../lib/ops/conv2d.ts';
import { crossEntropy } from '../../lib/ops/cross-entropy.ts';
import { linear } from '../../lib/ops/linear.ts';
import { clipFactor } from '../../lib/ops/optimizer-updates.ts';
import { relu } from '../../lib/ops/relu.ts';
import { reshape } from '../../lib/ops/reshape.ts';
import { sgd } from '../../lib/optim/index.ts';
import { freeGarbage } from '../support/garbage.ts';
import { noise, toDevice } from '../support/op-table.ts';

describe('the stream', () => {
  it('says nothing of a tensor that failed of the next one in its memory', async () => {
    const x = toDevice(noise([1024, 1024]), 'f32', 'cpu');
    const g = tensor([3, 4]);
    const logits = toDevice(noise([2, 3]), 'f32', 'cpu');
    const labels = tensor(Int32Array.of(0, 7));
    await device().finish();
    scope(() => {
      for (let i = 0; i < 10; i++) linear(x, x); // so that the call that fails still waits
    });
    crossEntropy(logits, labels).dispose();
    const told = device()
      .finish()
      .then(String, (error: Error) => error.message);
    const norms = empty([1]); // where the loss was
    const { norm } = clipFactor([g], norms, 1);
    expect(await norm.item()).to.equal(5);
    expect(await told).to.match(/^crossEntropy: .*7/);
    for (const t of [x, g, logits, labels, norms, norm]) t.dispose();
  });

  it('reports a failure at the next read, runs nothing behind it, and then goes on', async () => {
    const logits = toDevice(noise([2, 3]), 'f32', 'cpu');
    const bad = tensor(Int32Array.from([0, 7]));
    const good = tensor(Int32Array.from([0, 2]));
    const failed = crossEntropy(logits, bad);
    const message = await failed.array().then(
      () => 'no failure',
      (error: Error) => error.message,
    );
    expect(message).to.match(/^crossEntropy: .*7/);
    const loss = crossEntropy(logits, good);
    expect(await loss.item()).to.be.greaterThan(0);
    for (const t of [logits, bad, good, failed, loss]) t.dispose();
  });

  it('fails at every read of what a failure left unmade, and of what is made of it, until it is written', async () => {
    const logits = toDevice(noise([2, 3]), 'f32', 'cpu');
    const labels = (...of: number[]) => tensor(Int32Array.from(of));
    const [bad, good] = [labels(0, 7), labels(0, 2)];
    const told = async (t: Tensor) => t.array().then(Array.from, (error: Error) => error.message);
    const x = tensor([1, 2]);
    const before = relu(x);
    const failed = crossEntropy(logits, bad);
    const behind = crossEntropy(logits, good);
    x.set(Float32Array.of(3, 4));
    const message = await told(behind);
    expect(message).to.match(/^crossEntropy: .*7/);
    const [ofIt, norms] = [add(failed, behind), empty([2])];
    const image = toDevice(noise([2, 3, 2, 2]), 'f32', 'cpu');
    const { norm } = clipFactor([image, failed], norms, 1);
    for (const t of [failed, behind, ofIt, x, norm]) expect(await told(t)).to.equal(message);
    const bigger = toDevice(noise([2, 3, 2, 2]), 'f32', 'cpu');
    const skipped = [crossEntropy(logits, bad), relu(bigger)] as const;
    const copied = reshape(skipped[1], [2, 12]);
    expect(await told(skipped[0])).to.equal(message);
    const later = reshape(skipped[1], [2, 12]);
    for (const t of [skipped[1], copied, later]) expect(await told(t)).to.equal(message);
    for (const t of [norms, image, norm, bigger, ...skipped, copied, later]) t.dispose();
    expect(await told(before)).to.deep.equal([1, 2]);
    const [again, sum] = [crossEntropy(logits, good), relu(logits)];
    expect(await again.item()).to.be.greaterThan(0);
    expect(await told(sum)).to.have.length(6);
    x.set(Float32Array.of(5, 6));
    const y = relu(x);
    expect(await told(y)).to.deep.equal([5, 6]);
    for (const t of [logits, bad, good, x, before, failed, behind, ofIt, again, sum, y]) t.dispose();
  });

  it('refuses to update what a failure left unmade, and leaves alone what a skipped update was for', async () => {
    const w = parameter(tensor([3, 4]));
    using optimizer = sgd({ lr: 1, momentum: 0.5 })([{ name: 'w', tensor: w }]);
    const [logits, bad] = [toDevice(noise([2, 3]), 'f32', 'cpu'), tensor(Int32Array.of(0, 7))];
    const failed = crossEntropy(logits, bad);
    optimizer.load({ 'm.w': Float32Array.of(8, 8) }, 3);
    const told = async (t: Tensor) => t.array().then(Array.from, (error: Error) => error.message);
    expect(await told(failed)).to.match(/label 7/);
    w.grad = keep(tensor([1, 1]));
    optimizer.step();
    expect(await told(optimizer.state()['m.w']!)).to.match(/label 7/);
    expect(await told(w)).to.deep.equal([3, 4]);
    optimizer.load({ 'm.w': Float32Array.of(8, 8) }, 3);
    w.grad = keep(tensor([1, 1]));
    optimizer.step();
    expect(await told(w)).to.deep.equal([-2, -1]);
    for (const t of [w, logits, bad, failed]) t.dispose();
  });

  it('fails at every read of what a recorded step left unmade, and makes it when it is replayed', async () => {
    const labels = tensor(Int32Array.from([0, 7]));
    const logits = toDevice(noise([2, 3]), 'f32', 'cpu');
    const step = recordStep(device(), () => {
      const loss = crossEntropy(logits, labels);
      return { loss, twice: add(loss, loss) };
    });
    const told = async (t: Tensor) => t.item().catch((error: Error) => error.message);
    step.replay();
    for (let i = 0; i < 2; i++) expect(await told(step.result.loss)).to.match(/^crossEntropy: .*7/);
    expect(await told(step.result.twice)).to.match(/^crossEntropy: .*7/);
    labels.set(Int32Array.of(0, 2));
    step.replay();
    const [loss, twice] = [await step.result.loss.item(), await step.result.twice.item()];
    expect(loss).to.be.greaterThan(0);
    expect(twice).to.equal(2 * loss);
    for (const disposable of [step, labels, logits]) disposable.dispose();
  });

  it('keeps the event loop free while it works', async () => {
    const x = toDevice(noise([2, 8, 64, 32, 32]), 'f32', 'cpu');
    const w = toDevice(noise([64, 64, 3, 3]), 'f32', 'cpu');
    let ticks = 0;
    const timer = setInterval(() => ticks++, 1);
    noGrad(() => {
      for (let i = 0; i < 12; i++) scope(() => void conv2d(x, w, { padding: 1 }));
    });
    expect(device().stats().queued, 'work is queued, not done, when the calls return').to.be.greaterThan(0);
    await device().finish();
    clearInterval(timer);
    expect(ticks).to.be.greaterThan(3);
    x.dispose();
    w.dispose();
  });

  it('asks the system for no memory once a step has run', async () => {
    await freeGarbage();
    const x = toDevice(noise([2, 4, 3, 8, 8]), 'f32', 'cpu');
    const w = parameter(toDevice(noise([16, 3, 3, 3]), 'f32', 'cpu'));
    const step = () =>
      scope(() => {
        const y = relu(conv2d(x, w, { padding: 1 }));
        backward(y, y);
        w.grad!.dispose();
        w.grad = undefined;
      });
    step();
    await device().finish();
    const { systemAllocations, handles } = device().stats();
    for (let i = 0; i < 20; i++) step();
    await device().finish();
    expect(device().stats().systemAllocations).to.equal(systemAllocations);
    expect(device().stats().handles).to.equal(handles);
    x.dispose();
    w.dispose();
  });
});
