// Gradients of spikes that arrive as bf16, from a convolution in bf16 right behind an op: the bits of those that are made
// f32 first.
import { expect } from 'chai';
import { backward, cudaBackend, parameter, scope, type Tensor } from '../../lib/core/index.ts';
import * as ops from '../../lib/ops/index.ts';
import { realGradient } from '../../lib/ops/to-real.ts';
import { testDevices } from '../support/devices.ts';
import { noise, toDevice } from '../support/op-table.ts';

const [T, B, C, H, W] = [3, 2, 6, 4, 5] as const;
const features = C * H * W;
const pictures = (s: Tensor) => ops.reshape(s, [T, B, C, H, W]);

const makers: Record<string, (x: Tensor, on: string) => Tensor> = {
  lif: (x) => pictures(ops.lif(x)),
  cubaLif: (x) => ops.cubaLif(pictures(x)),
  alif: (x) => ops.alif(pictures(x)),
  recurrentLif: (x, on) => pictures(ops.recurrentLif(x, toDevice(noise([features, features], 8, 0.1), 'f32', on))),
  'slices, joined again': (x) => {
    const s = ops.lif(pictures(x));
    return ops.concat(
      [2, 0, 1].map((t) => ops.slice(s, { axis: 0, from: t, to: t + 1 })),
      { axis: 0 },
    );
  },
  'axes in another order': (x) => ops.permute(ops.lif(ops.reshape(x, [T, B, C, W, H])), [0, 1, 2, 4, 3]),
};

for (const on of testDevices) {
  describe(`gradients of spikes in bf16 (${on})`, () => {
    for (const [name, make] of Object.entries(makers)) {
      it(`reach ${name}`, async function () {
        if (on === 'cuda' && cudaBackend().score === 0) return this.skip();
        const gradient = async (before: (s: Tensor) => Tensor): Promise<number[]> => {
          using x = parameter(toDevice(noise([T, B, features], 4), 'f32', on));
          scope(() => {
            const s = make(x, on);
            const w = toDevice(noise([7, C, 3, 3], 5), 'f32', on);
            const y = ops.conv2d(before(s), w, { padding: 1, precision: 'bf16' });
            backward(ops.mean(ops.mul(ops.toReal(y), ops.toReal(y))));
          });
          const found = [...(await x.grad!.array())] as number[];
          x.freeGrad();
          return found;
        };
        const found = await gradient((s) => s);
        expect(found.some((value) => value !== 0)).to.equal(true);
        expect(found).to.deep.equal(await gradient(realGradient));
      });
    }
  });
}
