// Loss scaling would change nothing: a loss times a power of two gives gradients times that power, to the bit, in bf16
// as in f32. It would change something only where numbers leave the range of a type; bf16 has that of f32. On the CPU,
// and on a CUDA device where there is one.
import { expect } from 'chai';
import { backward, cudaBackend, device, scope, tensor } from '../../lib/core/index.ts';
import { model, type Precision } from '../../lib/nn/index.ts';
import { crossEntropy } from '../../lib/ops/cross-entropy.ts';
import { testDevices } from '../support/devices.ts';
import { noise } from '../support/op-table.ts';

const BATCH = 3;
const SHAPE = [BATCH, 3, 8, 8];
const POWERS = [-40, -16, 16, 40];

/** The gradients of a network's parameters, of a loss times 2^power. */
async function gradients(on: string, precision: Precision, fused: boolean, power: number): Promise<Float32Array[]> {
  const sizes = { steps: 2, channels: 3, size: [8, 8] as [number, number], classes: 4, width: 5, basis: 3, seed: 3 };
  using net = model('fsta-resnet8')({ ...sizes, precision, device: on });
  net.fused = fused;
  net.train();
  scope(() => {
    const images = tensor(Float32Array.from(noise(SHAPE).data), { shape: SHAPE, device: device(on) });
    const labels = tensor(Int32Array.of(0, 3, 1), { device: device(on) });
    backward(crossEntropy(net(images), labels), tensor([2 ** power], { device: device(on) }));
  });
  const found = net.parameters().map(async ({ tensor: { grad } }) => (await grad!.array()) as Float32Array);
  const arrays = await Promise.all(found);
  for (const { tensor: parameter } of net.parameters()) parameter.freeGrad();
  return arrays;
}

for (const on of testDevices) {
  describe(`a scaled loss, on ${on}`, () => {
    before(function () {
      if (on === 'cuda' && cudaBackend().score === 0) this.skip();
    });

    for (const precision of ['fp32', 'bf16'] as const) {
      for (const fused of [true, false]) {
        it(`gives the scaled gradients, to the bit: ${precision}, ${fused ? 'fused' : 'layer by layer'}`, async () => {
          const plain = await gradients(on, precision, fused, 0);
          expect(plain.every((g) => g.some((value) => value !== 0))).to.equal(true);
          for (const power of POWERS) {
            const scaled = await gradients(on, precision, fused, power);
            expect(scaled, `2^${power}`).to.deep.equal(plain.map((g) => g.map((value) => value * 2 ** power)));
          }
        });
      }
    }
  });
}
