// A label that is none of the classes, a number that is not finite: said at the next read, and no weights are changed
// before, on every device. CUDA is pending where there is no such device.
import { expect } from 'chai';
import { cudaBackend, device, NotFiniteError, SpikeloomError, type Tensor, tensor } from '../../lib/core/index.ts';
import { accuracyCount } from '../../lib/ops/accuracy-count.ts';
import { bceWithLogits } from '../../lib/ops/bce-with-logits.ts';
import { crossEntropy } from '../../lib/ops/cross-entropy.ts';
import { needFinite } from '../../lib/ops/need-finite.ts';
import { oneHot } from '../../lib/ops/one-hot.ts';
import { adamwUpdate, lambUpdate, momentumUpdate, sgdUpdate } from '../../lib/ops/optimizer-updates.ts';
import { testDevices } from '../support/devices.ts';
import { failure } from '../support/failure.ts';

const users = {
  crossEntropy,
  bceWithLogits,
  correctCount: accuracyCount,
  oneHot: (_: Tensor, labels: Tensor) => oneHot(labels, { classes: 2 }),
};

for (const on of testDevices) {
  describe(`bad data, on ${on}`, () => {
    before(function () {
      if (on === 'cuda' && cudaBackend().score === 0) this.skip();
    });
    const made = (values: number[], shape = [values.length]): Tensor => tensor(values, { shape, device: device(on) });
    const classes = (labels: number[]): Tensor => tensor(Int32Array.from(labels), { device: device(on) });

    for (const [name, use] of Object.entries(users)) {
      it(`${name} names the first one with its index and the range, once`, async () => {
        const rows = 700;
        const logits = made(
          Array.from({ length: rows * 2 }, (_, i) => i % 5),
          [rows, 2],
        );
        for (const bad of [{ 299: 2 }, { 650: -7, 411: 9 }, { 0: -1, 699: 2 }]) {
          const labels = Object.assign(new Array<number>(rows).fill(1), bad);
          const [index, label] = Object.entries(bad).sort(([a], [b]) => Number(a) - Number(b))[0]!;
          const error = await failure(use(logits, classes(labels)).array());
          expect(error).to.be.instanceOf(SpikeloomError);
          expect(error.message.split(`${name}: `)).to.have.length(2);
          expect(error.message).to.contain(
            `${name}: label ${label} at index ${index} is outside of 0..1; give the net as many classes as the data has`,
          );
          await device(on).finish();
        }
      });
    }

    it('needFinite names the first number that is not, and weights are left alone until it is said', async () => {
      for (const [values, message, number] of [
        [[1, Number.NaN, 3], 'number 1 is nan', Number.NaN],
        [[Number.NEGATIVE_INFINITY], 'number 0 is -inf', Number.NEGATIVE_INFINITY],
        [[...new Array<number>(700).fill(1), Number.POSITIVE_INFINITY], 'number 700 is inf', Number.POSITIVE_INFINITY],
      ] as const) {
        const w = made([1, -2, 3]);
        const x = made([...values]);
        needFinite(x);
        sgdUpdate(made([0.1]), { w, g: made([1, 1, 1]), weightDecay: 0 });
        const error = await failure(x.array());
        expect(error).to.be.instanceOf(NotFiniteError);
        expect(error.message)
          .to.match(/^needFinite: a finite number/)
          .and.to.contain(message);
        expect((error as NotFiniteError).number).to.deep.equal(number);
        expect([...(await w.array())]).to.deep.equal([1, -2, 3]);
        needFinite(w);
        expect([...(await w.array())]).to.deep.equal([1, -2, 3]);
      }
    });

    it('needFinite with a tensor for what it finds fails from then on, whatever it is given, until that is 0 again', async () => {
      const found = made([0]);
      const check = async (values: number[]) => {
        needFinite(made(values), found);
        return device(on)
          .finish()
          .then(
            () => '',
            ({ message }) => message as string,
          );
      };
      expect(await check([1, 2])).to.equal('');
      expect(await check([1, 2, Number.NEGATIVE_INFINITY, Number.NaN])).to.contain('number 2 is -inf');
      for (const values of [[1], [Number.NaN], new Array<number>(600).fill(5)]) {
        expect(await check(values)).to.contain('needFinite: finite numbers are needed, but an earlier one was -inf');
      }
      expect(await found.item()).to.equal(Number.NEGATIVE_INFINITY);
      found.set(new Float32Array(1));
      expect(await check([3])).to.equal('');
    });

    const update = (w: Tensor) => ({ w, g: made([1, 1, 1]), weightDecay: 0.1 });
    const betas = { beta1: 0.9, beta2: 0.99, eps: 1e-8 };
    const rules: Record<string, (w: Tensor, buffers: Tensor[]) => void> = {
      sgdUpdate: (w) => sgdUpdate(made([0.1]), update(w)),
      momentumUpdate: (w, [m]) => momentumUpdate(made([0.1]), m!, update(w), { momentum: 0.9, nesterov: true }),
      adamwUpdate: (w, [m, v]) => adamwUpdate(made([0.1, 0.1, 0.01]), { m: m!, v: v! }, update(w), betas),
      lambUpdate: (w, [m, v]) => lambUpdate(made([0.1, 0.1, 0.01]), { m: m!, v: v! }, update(w), betas),
    };
    for (const [name, rule] of Object.entries(rules)) {
      it(`${name} leaves weights and buffers alone until it is said`, async () => {
        const state = [made([1, -2, 3]), made([0, 0, 0]), made([0, 0, 0])];
        const values = async () => Promise.all(state.map(async (t) => [...(await t.array())]));
        const loss = crossEntropy(made([1, 2, 3, 4], [2, 2]), classes([0, 2]));
        rule(state[0]!, state.slice(1));
        expect((await failure(loss.array())).message).to.contain('label 2 at index 1');
        expect(await values()).to.deep.equal([
          [1, -2, 3],
          [0, 0, 0],
          [0, 0, 0],
        ]);
        rule(state[0]!, state.slice(1));
        const [w] = await values();
        expect(w!.every((x, i) => x < [1, -2, 3][i]!)).to.equal(true);
      });
    }
  });
}
