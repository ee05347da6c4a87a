// What the tables of the ops that losses are made of do not say: edges, types, shared memory, refusals.
import { expect } from 'chai';
import { backward, cudaBackend, device, scope, type Tensor, tensor } from '../../lib/core/index.ts';
import { abs, div, exp, log, shift, sqrt, sub, tanh } from '../../lib/ops/pointwise.ts';
import { testDevices } from '../support/devices.ts';

/** What a function gives of numbers, and its gradient where what arrives is 1. */
async function valueAndSlope(run: (x: Tensor) => Tensor, numbers: number[], on: string) {
  const x = tensor(Float32Array.from(numbers), { device: device(on) });
  x.requiresGrad = true;
  const y = scope(() => {
    const made = run(x);
    backward(made, tensor(new Float32Array(numbers.length).fill(1), { device: device(on) }));
    return made;
  });
  const both = { y: [...(await y.array())] as number[], gx: [...(await x.grad!.array())] as number[] };
  for (const t of [x.grad!, x, y]) t.dispose();
  return both;
}

const { NaN: nan, POSITIVE_INFINITY: inf } = Number;

for (const on of testDevices) {
  describe(`functions of single numbers on ${on}, at their edges`, () => {
    before(function () {
      if (on === 'cuda' && cudaBackend().score === 0) this.skip();
    });

    for (const [name, run, x, y, gx] of [
      ['exp', exp, [-inf, -200, 0, 200, inf, nan], [0, 0, 1, inf, inf, nan], [0, 0, 1, inf, inf, nan]],
      ['log', log, [0, -0, 1, inf, -1, nan], [-inf, -inf, 0, inf, nan, nan], [inf, -inf, 1, 0, -1, nan]],
      ['sqrt', sqrt, [0, 4, inf, -1, nan], [0, 2, inf, nan, nan], [inf, 0.25, 0, nan, nan]],
      ['abs', abs, [-2, -0, 0, 3, -inf, nan], [2, 0, 0, 3, inf, nan], [-1, 0, 0, 1, -1, 0]],
      ['tanh', tanh, [-inf, 0, 50, nan], [-1, 0, 1, nan], [0, 1, 0, nan]],
      ['shift', (t: Tensor) => shift(t, -1), [1, inf, nan], [0, inf, nan], [1, 1, 1]],
    ] as [string, (x: Tensor) => Tensor, number[], number[], number[]][]) {
      it(`${name} gives what PyTorch gives`, async () => {
        expect(await valueAndSlope(run, x, on)).to.deep.equal({ y, gx });
      });
    }

    if (on === 'cpu') {
      it('a denormal number has the logarithm of 0', async () => {
        expect(await valueAndSlope(log, [1e-42, -1e-42], on)).to.deep.equal({ y: [-inf, -inf], gx: [inf, -inf] });
      });
    }

    it('div by 0 is infinite, and NaN of 0', async () => {
      const by = (zero: number) => (t: Tensor) => div(t, tensor([zero, zero, zero], { device: t.device }));
      expect(await valueAndSlope(by(0), [1, -1, 0], on)).to.deep.equal({ y: [inf, -inf, nan], gx: [inf, inf, inf] });
      const into = (t: Tensor) => div(tensor([1, 0], { device: t.device }), t);
      expect(await valueAndSlope(into, [0, 0], on)).to.deep.equal({ y: [inf, nan], gx: [-inf, nan] });
    });
  });
}

describe('functions of two tensors', () => {
  it('refuse other shapes, other types and spikes', () =>
    scope(() => {
      const x = tensor([1, 2]);
      expect(() => sub(x, tensor([1, 2, 3]))).to.throw(
        /^sub: the axes \.\.\.N|^sub: dimension N is 2 elsewhere but 3 in 'y'/,
      );
      expect(() => div(x, tensor([1, 2], { dtype: 'f64' }))).to.throw(/^div: 'y' is f64 where another input is f32/);
      expect(() => sub(x, tensor(Uint8Array.of(1, 0), { dtype: 'spike' }))).to.throw(/^sub: 'y' is real, not spike/);
      expect(() => shift(x, nan)).to.throw(/^shift: attribute 'offset' is float, not NaN/);
    }));
});
