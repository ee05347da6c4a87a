// Rows of optimizer updates as one kernel, on a CUDA device: the bits of the calls one by one. Pending where there is
// no such device; SPIKELOOM_CUDA=emulated takes the one that the host plays.
import { expect } from 'chai';
import { cudaBackend, device, nativeOp, recordStep, type Tensor, tensor } from '../../lib/core/index.ts';
import { adamw, lamb, type OptimizerFactory, sgd } from '../../lib/optim/index.ts';
import { noise } from '../support/op-table.ts';

/** More tensors than a kernel's parameter has room for, of sizes around those of a block's share. */
const SIZES = Array.from({ length: 130 }, (_, i) => [1, 2, 1023, 1024, 1025, 5, 4097, 33][i % 8]!);
const STEPS = 4;

const numbers = (size: number, seed: number) => noise([size], seed).data;
const on = () => device('cuda');
const held = (size: number, seed: number, dtype: 'f32' | 'f64'): Tensor =>
  tensor(dtype === 'f64' ? numbers(size, seed) : Float32Array.from(numbers(size, seed)), { dtype, device: on() });

/** Parameters and moments after some steps of the same gradients. */
async function updated(factory: OptimizerFactory, dtype: 'f32' | 'f64', record: boolean): Promise<number[][]> {
  const parameters = SIZES.map((size, i) => ({ name: `p${i}`, tensor: held(size, i, dtype) }));
  const gradients = SIZES.map((size, i) => held(size, 1000 + i, dtype));
  const optimizer = factory(parameters);
  const body = () => {
    for (const [i, { tensor: p }] of parameters.entries()) p.grad = gradients[i]!.alias(gradients[i]!.shape);
    optimizer.step();
  };
  const step = record ? recordStep(on(), body) : undefined;
  for (let i = 0; i < STEPS; i++) {
    optimizer.lr = 0.1 / (i + 1);
    step ? step.replay() : body();
  }
  const all = [...parameters.map(({ tensor: t }) => t), ...Object.values(optimizer.state())];
  const found = await Promise.all(all.map(async (t) => [...(await t.array())]));
  step?.dispose();
  optimizer.dispose();
  for (const t of [...parameters.map((p) => p.tensor), ...gradients]) t.dispose();
  return found;
}

describe('rows of calls as one kernel', () => {
  before(function () {
    if (cudaBackend().score === 0) this.skip();
  });

  const rules: [string, OptimizerFactory][] = [
    ['sgd', sgd({ lr: 0.1, weightDecay: 0.01 })],
    ['momentum', sgd({ lr: 0.1, momentum: 0.9, weightDecay: 0.01 })],
    ['nesterov, clipped', sgd({ lr: 0.1, momentum: 0.9, nesterov: true, clipNorm: 1 })],
    ['adamw', adamw({ lr: 0.1 })],
    ['lamb', lamb({ lr: 0.1, weightDecay: 0.01 })],
    ['lamb without decay, clipped', lamb({ lr: 0.1, weightDecay: 0, clipNorm: 1 })],
  ];
  for (const [name, factory] of rules) {
    for (const dtype of ['f32', 'f64'] as const) {
      it(`${name}, ${dtype}: the bits of single calls`, async () => {
        const single = await updated(factory, dtype, false);
        const before = on().stats().callsMerged;
        expect(await updated(factory, dtype, true)).to.deep.equal(single);
        const merged = on().stats().callsMerged - before;
        // Noted once at the second replay and launched from then on: the first one and the noting one count.
        expect(merged).to.equal(2 * SIZES.length);
      });
    }
  }

  it('a tensor that is updated again belongs to the next row', async () => {
    const update = nativeOp('sgdUpdate');
    const w = tensor(Float32Array.of(1, 2), { device: on() });
    const other = tensor(Float32Array.of(5, 6), { device: on() });
    const g = tensor(Float32Array.of(1, 1), { device: on() });
    const hyper = tensor(Float32Array.of(0.5), { device: on() });
    const step = recordStep(on(), () => {
      for (const t of [w, other, w, w]) update.run({ w: t, g, hyper }, { weightDecay: 1 });
    });
    step.replay();
    // w <- w - (1 + w) / 2 = (w - 1) / 2, three times and once
    expect([...(await w.array())]).to.deep.equal([-0.75, -0.625]);
    expect([...(await other.array())]).to.deep.equal([2, 2.5]);
    step.dispose();
    for (const t of [w, other, g, hyper]) t.dispose();
  });
});
