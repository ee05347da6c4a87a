// Outputs that lie where an input lies: the same numbers as apart, and only where nobody else holds the input.
import { expect } from 'chai';
import { nativeOp, scope, type Tensor, tensor } from '../../lib/core/index.ts';
import { bf16Tensor } from '../support/bf16.ts';
import { noise, spikes, toDevice } from '../support/op-table.ts';

const gradX = nativeOp<'gx'>('conv2dGradX');
const fireGrad = nativeOp<'g' | 'sums' | 'ga' | 'gF' | 'gm' | 'gn'>('currentFireGrad');
const currentGrad = nativeOp<'gy' | 'ggamma' | 'gbeta' | 'gx'>('currentGrad');

type Storage = 'f32' | 'f64' | 'bf16';
const realOf = (storage: Storage) => (storage === 'f64' ? 'f64' : 'f32');
const made = (shape: number[], seed: number, storage: Storage): Tensor => {
  const host = noise(shape, seed);
  if (storage !== 'bf16') return toDevice(host, storage, 'cpu');
  return bf16Tensor(host, 'cpu');
};

/** All outputs, once apart and once with one in the memory of an input. */
async function both(run: (reuse: boolean) => Tensor[]): Promise<void> {
  const results: number[][][] = [];
  for (const reuse of [false, true]) {
    const outputs = scope(() => run(reuse));
    results.push(await Promise.all(outputs.map(async (t) => [...(await t.array())])));
    for (const t of outputs) t.dispose();
  }
  expect(results[1]).to.deep.equal(results[0]);
  expect(results[0]!.flat().some((v) => v !== 0)).to.equal(true);
}

describe('outputs in the memory of an input', () => {
  const [T, B, H, W] = [3, 5, 4, 3];
  for (const storage of ['f32', 'f64', 'bf16'] as const) {
    for (const C of [5, 33, 64]) {
      const shape = [T, B, C, H, W];
      const real = realOf(storage);
      const perChannel = (seed: number) => made([C], seed, real);
      const stats = () => ({
        gmean: made([T, B], 31, real),
        gpeak: made([T, B], 32, real),
        gplane: made([T, B, 1, H, W], 33, real),
        argmax: tensor(
          Int32Array.from({ length: T * B * C }, (_, i) => (i * 7) % (H * W)),
          { shape: [T, B, C] },
        ),
      });

      it(`${storage}, ${C} channels: the way back through neurons, gates and norm`, async () => {
        await both((reuse) => {
          const gs = made(shape, 1, storage);
          const inputs = {
            ...{ y: made(shape, 2, storage), scale: perChannel(3), shift: perChannel(4), mean: perChannel(5) },
            ...{
              a: made([T, B], 6, real),
              F: made([B, 1, H, W], 7, real),
              m: made([1], 8, real),
              n: made([1], 9, real),
            },
            ...{ gs, s: toDevice(spikes(shape, 0.3, 10), real, 'cpu') },
          };
          const attributes = {
            decay: 0.25,
            vth: 1,
            threshold: 0.5,
            soft: false,
            detachReset: false,
            surrogate: 0,
            temperature: 1,
          };
          const options = { types: { g: storage }, want: ['g', 'sums', 'ga', 'gF', 'gm', 'gn'] };
          const found = fireGrad.run(inputs, attributes, { ...options, reuse: { g: reuse ? gs : undefined } });
          return Object.values(found);
        });
        for (const wantsX of [false, true]) {
          await both((reuse) => {
            const g = made(shape, 1, storage);
            const inputs = {
              g,
              y: made(shape, 2, storage),
              gamma: perChannel(3),
              mean: perChannel(4),
              invStd: perChannel(5),
            };
            const options = { types: { gy: storage, gx: storage }, want: ['gy', ...(wantsX ? ['gx'] : [])] };
            const more = { ...options, reuse: { gy: reuse ? g : undefined } };
            const found = currentGrad.run({ ...inputs, ...stats() }, { training: true }, more);
            return Object.values(found);
          });
        }
      });

      it(`${storage}, ${C} channels: a convolution's gradient on what has arrived`, async () => {
        for (const stride of [1, 2]) {
          await both((reuse) => {
            const add = made(shape, 1, storage);
            const gy = made([T, B, 40, H / stride, Math.ceil(W / stride)], 2, storage);
            const w = made([40, C, 3, 3], 3, real);
            const options = { dims: { H, W }, types: { gx: storage }, reuse: { gx: reuse ? add : undefined } };
            const { gx } = gradX.run({ gy, w, add }, { sh: stride, sw: stride, ph: 1, pw: 1 }, options);
            return [gx];
          });
        }
      });
    }
  }

  it('leaves an input alone that somebody else holds', async () => {
    const add = made([1, 1, 20, 3, 3], 1, 'f32');
    const other = add.alias(add.shape);
    const before = [...(await other.array())];
    const { gx } = scope(() => {
      const [gy, w] = [made([1, 1, 20, 3, 3], 2, 'f32'), made([20, 20, 1, 1], 3, 'f32')];
      const attributes = { sh: 1, sw: 1, ph: 0, pw: 0 };
      return gradX.run({ gy, w, add }, attributes, { dims: { H: 3, W: 3 }, types: { gx: 'f32' }, reuse: { gx: add } });
    });
    expect([...(await other.array())]).to.deep.equal(before);
    expect([...(await gx.array())]).to.not.deep.equal(before);
    for (const t of [add, other, gx]) t.dispose();
  });
});
