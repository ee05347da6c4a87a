// The gradient of conv2d with respect to x where a picture has so many channels that a window of tiles leaves the second
// cache: float32 and bfloat16 beside float64.
import { expect } from 'chai';
import { nativeOp, type RealType, scope } from '../../lib/core/index.ts';
import { bf16Tensor, fromBf16 } from '../support/bf16.ts';
import { difference, type HostTensor, noise, toDevice } from '../support/op-table.ts';

const gradX = nativeOp<'gx'>('conv2dGradX');

async function gradient(gy: HostTensor, w: HostTensor, real: RealType | 'bf16'): Promise<Float64Array> {
  const [H, W] = gy.shape.slice(-2) as [number, number];
  const rounded = real === 'bf16';
  const made = scope(() => {
    const inputs = rounded
      ? { gy: bf16Tensor(gy, 'cpu'), w: toDevice(w, 'f32', 'cpu') }
      : { gy: toDevice(gy, real, 'cpu'), w: toDevice(w, real, 'cpu') };
    const options = { dims: { H, W }, types: { gx: real } };
    return gradX.run(inputs, { sh: 1, sw: 1, ph: 1, pw: 1 }, options).gx;
  });
  const numbers = rounded ? fromBf16(await made.array()) : await made.array();
  made.dispose();
  return Float64Array.from(numbers as ArrayLike<number>);
}

describe('the data gradient of many channels', () => {
  for (const [N, O, C, H, W] of [
    [9, 512, 40, 8, 8],
    [2, 520, 33, 12, 20],
    [1, 512, 64, 7, 9],
    [20, 512, 40, 2, 2],
  ] as const) {
    it(`of ${N} pictures of ${H}x${W}, ${O} outputs and ${C} inputs`, async () => {
      const [gy, w] = [noise([N, O, H, W], 4), noise([O, C, 3, 3], 5)];
      const exact = await gradient(gy, w, 'f64');
      expect(difference(await gradient(gy, w, 'f32'), exact)).to.be.below((9 * O) ** 0.5 * 2 ** -23);
      expect(difference(await gradient(gy, w, 'bf16'), exact)).to.be.below(2 ** -7);
    });
  }
});
