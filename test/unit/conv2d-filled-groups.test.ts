// Convolutions of spikes in bf16 at the least numbers of images that fill groups of 32 on a CPU (docs/architecture.md),
// whose kernels the op tables do not reach: small enough for every instruction-set level and for the sanitizers. How
// close they come is asked in conv2d-bf16.test.ts.
import { expect } from 'chai';
import { backward, scope } from '../../lib/core/index.ts';
import { conv2d } from '../../lib/ops/conv2d.ts';
import { bf16Tensor, fromBf16, rounded } from '../support/bf16.ts';
import { difference, noise, spikes, toDevice } from '../support/op-table.ts';

/** Factors are rounded, and so are currents and the gradients of spikes; of the largest number. */
const ROUNDED = 2 ** -6;

const cases = [
  { x: [26, 33, 5, 4], w: [35, 33, 3, 3], padding: 1 },
  { x: [64, 40, 2, 2], w: [34, 40, 3, 3], padding: 1 },
  { x: [24, 70, 7, 6], w: [20, 70, 5, 3], stride: 2, padding: 2 },
  { x: [32, 288, 4, 4], w: [9, 288, 3, 3], padding: 1 },
  { x: [31, 96, 3, 11], w: [33, 96, 3, 3], padding: 1 },
  { x: [58, 20, 3, 3], w: [8, 20, 3, 3], padding: 4 },
];

describe('conv2d of spikes that fill groups of images, in bf16', () => {
  for (const { x: shape, w: kernel, stride = 1, padding } of cases) {
    it(`${shape.join('x')} by ${kernel.join('x')}, stride ${stride}, padding ${padding}`, async () => {
      const x = spikes(shape, 0.3, 3);
      const w = noise(kernel, 5);
      const exact = [toDevice({ ...x, kind: 'real' }, 'f64', 'cpu'), toDevice(w, 'f64', 'cpu')] as const;
      const given = [toDevice(x, 'f32', 'cpu'), toDevice(w, 'f32', 'cpu')] as const;
      for (const t of [...exact, ...given]) t.requiresGrad = true;
      const expected = scope(() => conv2d(...exact, { stride, padding }));
      const gy = rounded(noise(expected.shape, 9));
      const found = scope(() => {
        backward(conv2d(...exact, { stride, padding }), toDevice(gy, 'f64', 'cpu'));
        const y = conv2d(...given, { stride, padding, precision: 'bf16' });
        backward(y, bf16Tensor(gy, 'cpu'));
        return y;
      });
      const numbers = async (t: typeof found) => Float64Array.from(await t.array());
      expect(difference(fromBf16(await found.array()), await numbers(expected))).to.be.below(ROUNDED);
      expect(difference(fromBf16(await given[0].grad!.array()), await numbers(exact[0].grad!))).to.be.below(ROUNDED);
      expect(difference(await numbers(given[1].grad!), await numbers(exact[1].grad!))).to.be.below(ROUNDED);
      for (const t of [found, expected, ...exact, ...given]) t.dispose();
    });
  }
});
