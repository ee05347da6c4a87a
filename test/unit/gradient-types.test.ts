// Spikes read in another real type than that of their neurons: gradients are those of readers in the neurons' own type.
import { expect } from 'chai';
import {
  backward,
  cudaBackend,
  noGrad,
  parameter,
  type RealType,
  record,
  scope,
  type Tensor,
} from '../../lib/core/index.ts';
import * as ops from '../../lib/ops/index.ts';
import { testDevices } from '../support/devices.ts';
import { noise, toDevice } from '../support/op-table.ts';

const [T, B, F] = [3, 4, 5] as const;

/** Whole numbers, which every type holds: gradients agree to the bit. */
const weights = (on: string, real: RealType) => {
  const whole = noise([T, B, F], 7, 8);
  return toDevice({ ...whole, data: whole.data.map(Math.round) }, real, on);
};

/** Losses of the spikes, in a type. */
const readers: Record<string, (s: Tensor, real: RealType, on: string) => Tensor> = {
  toReal: (s, real, on) => ops.sum(ops.mul(ops.toReal(s, { real }), weights(on, real))),
  sum: (s, real) => ops.sum(s, { real }),
  matmul: (s, real) => ops.sum(ops.matmul(s, s, { transposeB: true, real })),
  add: (s, real) => ops.sum(ops.add(s, s, { real })),
  'toReal of a part': (s, real) => ops.sum(ops.toReal(ops.slice(s, { axis: 0, from: 1, to: 3 }), { real })),
};

const neurons: Record<string, (x: Tensor, on: string) => Tensor> = {
  lif: (x) => ops.lif(x),
  ifNode: (x) => ops.ifNode(x),
  cubaLif: (x) => ops.cubaLif(x),
  alif: (x) => ops.alif(x),
  recurrentLif: (x, on) => ops.recurrentLif(x, toDevice(noise([F, F], 8, 0.1), x.dtype as RealType, on)),
};

/** Has the gradients of a + b, one number each, whatever their types. */
function joined(a: Tensor, b: Tensor): Tensor {
  const z = noGrad(() => ops.scale(b, 1));
  record([z], [a, b], ([gz]) => [noGrad(() => ops.shift(ops.scale(a, 0), 1)), gz]);
  return z;
}

for (const on of testDevices) {
  describe(`gradients of spikes in another type (${on})`, () => {
    const gradient = async (
      type: RealType,
      fire: (x: Tensor, on: string) => Tensor,
      loss: (s: Tensor) => Tensor,
    ): Promise<number[]> => {
      using x = parameter(toDevice(noise([T, B, F], 4), type, on));
      scope(() => backward(loss(fire(x, on))));
      expect(x.grad!.dtype).to.equal(type);
      return [...(await x.grad!.array())] as number[];
    };

    for (const [type, other] of [
      ['f32', 'f64'],
      ['f64', 'f32'],
    ] as const) {
      for (const [name, fire] of Object.entries(neurons)) {
        it(`reach ${name} in ${type} from readers in ${other}`, async function () {
          if (on === 'cuda' && cudaBackend().score === 0) return this.skip();
          for (const [reader, loss] of Object.entries(readers)) {
            const found = await gradient(type, fire, (s) => loss(s, other, on));
            expect(
              found.some((value) => value !== 0),
              reader,
            ).to.equal(true);
            expect(found, reader).to.deep.equal(await gradient(type, fire, (s) => loss(s, type, on)));
          }
        });
      }

      it(`are added where spikes of ${type} neurons have readers in both types`, async function () {
        if (on === 'cuda' && cudaBackend().score === 0) return this.skip();
        const both = (first: RealType, second: RealType) =>
          gradient(type, neurons.lif!, (s) => joined(readers.toReal!(s, first, on), readers.matmul!(s, second, on)));
        const expected = await both(type, type);
        expect(expected.some((value) => value !== 0)).to.equal(true);
        expect(await both(other, type)).to.deep.equal(expected);
        expect(await both(type, other)).to.deep.equal(expected);
        expect(await both(other, other)).to.deep.equal(expected);
      });
    }

    it('are added by slices that take what has arrived', async function () {
      if (on === 'cuda' && cudaBackend().score === 0) return this.skip();
      const both = (first: RealType, second: RealType) =>
        gradient('f32', neurons.lif!, (s) =>
          joined(readers['toReal of a part']!(s, first, on), readers['toReal of a part']!(s, second, on)),
        );
      expect(await both('f64', 'f32')).to.deep.equal(await both('f32', 'f32'));
      expect(await both('f32', 'f64')).to.deep.equal(await both('f32', 'f32'));
    });

    it('are added by a convolution that takes what has arrived', async function () {
      if (on === 'cuda' && cudaBackend().score === 0) return this.skip();
      const both = (real: RealType) =>
        gradient('f32', neurons.lif!, (s) => {
          const pictures = ops.reshape(s, [T, B, F, 1, 1]);
          const w = toDevice(noise([2, F, 1, 1], 5), 'f32', on);
          return joined(ops.sum(ops.conv2d(pictures, w)), ops.sum(ops.toReal(pictures, { real })));
        });
      expect(await both('f64')).to.deep.equal(await both('f32'));
    });
  });
}
