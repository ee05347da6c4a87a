// The gradient of conv2d with respect to x in bf16, of pictures that go by tiles and of those of 2x2: what a zero, a size
// or a number that is not finite does to it, on the CPU and on a CUDA device (pending where there is none). Beside exact
// sums: conv2d-bf16.test.ts.
import { expect } from 'chai';
import { cudaBackend, nativeOp, scope } from '../../lib/core/index.ts';
import { bf16Tensor, fromBf16 } from '../support/bf16.ts';
import { testDevices } from '../support/devices.ts';
import { difference, type HostTensor, noise, toDevice } from '../support/op-table.ts';

/** Results are bf16. */
const AT_REST = 2 ** -8;

for (const on of testDevices) {
  describe(`on ${on}`, () => {
    before(function () {
      if (on === 'cuda' && cudaBackend().score === 0) this.skip();
    });

    for (const [N, O, H, W] of [
      [8, 72, 9, 7],
      [8, 64, 9, 7],
      [8, 128, 9, 7],
      [20, 72, 2, 2],
    ] as const) {
      describe(`the gradient of a 3x3 kernel of ${O} outputs with respect to x of ${H}x${W} in bf16`, () => {
        const gradX = nativeOp<'gx'>('conv2dGradX');
        const shape = [N, O, H, W];
        const pixels = H * W;
        const image = 40 * pixels;
        const run = async (gy: HostTensor, w: HostTensor) => {
          const attributes = { sh: 1, sw: 1, ph: 1, pw: 1 };
          const options = { dims: { H, W }, types: { gx: 'bf16' as const } };
          const made = scope(
            () => gradX.run({ gy: bf16Tensor(gy, on), w: toDevice(w, 'f32', on) }, attributes, options).gx,
          );
          const found = fromBf16(await made.array());
          made.dispose();
          return found;
        };
        const w = noise([O, 40, 3, 3], 5);

        it('is 0 where gradients or weights are', async () => {
          const zero = (host: HostTensor) => ({ ...host, data: host.data.map(() => 0) });
          for (const v of await run(zero(noise(shape, 6)), w)) expect(v).to.equal(0);
          for (const v of await run(noise(shape, 6), zero(w))) expect(v).to.equal(0);
        });

        it('keeps its digits at any size of gradients and weights', async () => {
          const gy = noise(shape, 6);
          const once = await run(gy, w);
          for (const [g, k] of [
            [2 ** -60, 2 ** -40],
            [2 ** 60, 2 ** 40],
            [2 ** -100, 2 ** 90],
          ] as const) {
            const times = (host: HostTensor, by: number) => ({ ...host, data: host.data.map((v) => v * by) });
            const found = await run(times(gy, g), times(w, k));
            expect(
              difference(
                found.map((v) => v / g / k),
                once,
              ),
            ).to.be.below(AT_REST);
          }
        });

        it('an image with small gradients keeps its digits beside one with large gradients', async () => {
          const gy = noise(shape, 6);
          const each = gy.data.length / shape[0]!;
          const mixed = { ...gy, data: gy.data.map((v, i) => (Math.floor(i / each) === 1 ? v : v * 2 ** 20)) };
          const [once, found] = [await run(gy, w), await run(mixed, w)];
          expect(difference(found.subarray(image, 2 * image), once.subarray(image, 2 * image))).to.be.below(AT_REST);
        });

        for (const bad of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
          it(`a gradient of ${bad} shows in its image, and only there`, async () => {
            const gy = noise(shape, 6);
            gy.data[(2 * O + 5) * pixels + (pixels >> 1)] = bad;
            const wrong = new Set<number>();
            (await run(gy, w)).forEach((v, i) => {
              if (!Number.isFinite(v)) wrong.add(Math.floor(i / image));
            });
            expect([...wrong]).to.deep.equal([2]);
          });

          it(`a weight of ${bad} shows in its channel, and only there`, async () => {
            const wrong = new Set<number>();
            const data = w.data.slice();
            data[(5 * 40 + 17) * 9 + 4] = bad;
            (await run(noise(shape, 6), { ...w, data })).forEach((v, i) => {
              if (!Number.isFinite(v)) wrong.add(Math.floor(i / pixels) % 40);
            });
            expect([...wrong]).to.deep.equal([17]);
          });
        }
      });
    }
  });
}
