// linear() with more weights than a cache keeps, which goes by blocks of features, and beside it what goes by rows: float32
// beside float64.
import { expect } from 'chai';
import { nativeOp, scope } from '../../lib/core/index.ts';
import { difference, type HostTensor, noise, toDevice } from '../support/op-table.ts';

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
