// linear() with more weights than a cache keeps, which goes by blocks of features, and beside it what goes by rows: float32
// beside float64.
import { expect } from 'chai';
import {
  backward,
  cudaBackend,
  device,
  nativeOp,
  SpikeloomError,
  scope,
  type Tensor,
  zeros,
} from '../../lib/core/index.ts';
import { type LinearOptions, linear } from '../../lib/ops/linear.ts';
import { inReal } from '../../lib/ops/to-real.ts';
import { testDevices } from '../support/devices.ts';
import { difference, type HostTensor, noise, spikes, toDevice } from '../support/op-table.ts';

const forward = nativeOp<'y'>('linear');
const gradX = nativeOp<'gx'>('linearGradX');
const gradW = nativeOp<'gw'>('linearGradW');

type Real = 'f32' | 'f64';

async function products(x: HostTensor, w: HostTensor, gy: HostTensor, real: Real): Promise<ArrayLike<number>[]> {
  const made = scope(() => {
    const [xs, ws, gys] = [x, w, gy].map((host) => toDevice(host, real, 'cpu'));
    return [
      forward.run({ x: xs, w: ws }).y,
      gradX.run({ gy: gys, w: ws }).gx,
      gradW.run({ gy: gys, x: xs }).gw,
    ] as const;
  });
  const numbers = await Promise.all(made.map((tensor) => tensor.array() as Promise<Float32Array | Float64Array>));
  for (const tensor of made) tensor.dispose();
  return numbers;
}

describe('linear() of many features', () => {
  for (const [rows, features, outputs] of [
    [300, 410, 390],
    [290, 900, 1500],
    [33, 410, 390],
    [600, 410, 390],
  ] as const) {
    it(`of ${rows} rows, ${features} to ${outputs}`, async () => {
      const [x, w, gy] = [noise([rows, features]), noise([outputs, features], 2), noise([rows, outputs], 3)];
      const found = await products(x, w, gy, 'f32');
      const exact = await products(x, w, gy, 'f64');
      const terms = [features, outputs, rows];
      found.forEach((numbers, i) => {
        expect(difference(Float64Array.from(numbers), Float64Array.from(exact[i]!))).to.be.below(
          terms[i]! ** 0.5 * 2 ** -23,
        );
      });
    });
  }
});

/** Root of the mean square of a difference, beside that of what is exact. */
function relative(found: ArrayLike<number>, exact: ArrayLike<number>): number {
  let [off, all] = [0, 0];
  for (let i = 0; i < exact.length; i++) {
    off += (found[i]! - exact[i]!) ** 2;
    all += exact[i]! ** 2;
  }
  return off === 0 ? 0 : Math.sqrt(off / all);
}

for (const on of testDevices) {
  describe(`linear() in bf16 (${on})`, () => {
    for (const [shape, outputs] of [
      [[1, 1, 1], 1],
      [[5, 33], 7],
      [[3, 40, 65], 31],
      [[2, 33, 130], 64],
      [[4, 64, 96], 100],
    ] as const) {
      for (const kind of ['reals', 'spikes'] as const) {
        it(`of ${kind} [${shape}] to ${outputs}: sums near those of f64, gradients, too`, async function () {
          if (on === 'cuda' && cudaBackend().score === 0) return this.skip();
          const features = shape.at(-1)!;
          const x = kind === 'reals' ? noise(shape, 1) : spikes(shape, 0.4, 1);
          const rest = [noise([outputs, features], 2), noise([outputs], 3), noise([...shape.slice(0, -1), outputs], 4)];
          const made = async (real: Real, options?: LinearOptions) => {
            const at = real === 'f64' ? 'cpu' : on;
            const [w, b, gy] = rest.map((host) => toDevice(host, real, at)) as [Tensor, Tensor, Tensor];
            using input = toDevice(x, real, at);
            const learned = kind === 'reals' ? [input, w, b] : [w, b];
            for (const t of learned) t.requiresGrad = true;
            using y = linear(input, w, b, options);
            backward(y, gy);
            const found = [y, ...learned.map(({ grad }) => grad!)];
            const types = found.map(({ dtype }) => dtype);
            const numbers = await Promise.all(found.map((t) => inReal(t, real).array()));
            for (const t of [w, b, gy]) t.dispose();
            return { types, shapes: found.map((t) => t.shape), numbers: numbers as unknown as ArrayLike<number>[] };
          };
          const exact = await made('f64');
          const found = await made('f32', { precision: 'bf16' });
          expect(found.types).to.deep.equal(['bf16', ...exact.types.slice(1).map(() => 'f32')]);
          expect(found.shapes).to.deep.equal(exact.shapes);
          found.numbers.forEach((numbers, i) => {
            expect(relative(numbers, exact.numbers[i]!), `number ${i}`).to.be.below(0.012);
          });
        });
      }
    }

    it('refuses what it cannot round, and other sizes as ever', function () {
      if (on === 'cuda' && cudaBackend().score === 0) return this.skip();
      const at = device(on);
      const [x, w] = [zeros([2, 3], 'f32', at), zeros([4, 3], 'f32', at)];
      const refuse = (given: [Tensor, Tensor], precision: unknown, message: RegExp) =>
        expect(() => linear(...given, undefined, { precision } as LinearOptions)).to.throw(SpikeloomError, message);
      refuse([x, w], 'fp16', /^linear: precision is 'bf16' or left out, not "fp16"$/);
      refuse([x, zeros([4, 5], 'f32', at)], 'bf16', /^linear: dimension F is 3 elsewhere but 5 in 'w'/);
      refuse(
        [zeros([2, 3], 'f64', at), zeros([4, 3], 'f64', at)],
        'bf16',
        /^linear: precision 'bf16' rounds weights in f32, not in f64; make the weights f32$/,
      );
    });
  });
}
