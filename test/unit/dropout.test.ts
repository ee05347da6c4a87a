import { expect } from 'chai';
import { backward, scope, tensor } from '../../lib/core/index.ts';
import { dropout } from '../../lib/ops/dropout.ts';

const ones = (shape: number[]) => tensor(new Float64Array(shape.reduce((n, d) => n * d, 1)).fill(1), { shape });

async function masks(p: number, seed: number, counter: number[], shape = [2, 1, 33, 20, 15]): Promise<number[]> {
  const y = scope(() => dropout(ones(shape), tensor(Int32Array.from(counter)), { p, seed }));
  const values = [...(await y.array())];
  y.dispose();
  return values;
}

describe('dropout', () => {
  it('drops the stated part, and scales the rest', async () => {
    const mask = await masks(0.3, 5, [0, 0]);
    expect(new Set(mask)).to.deep.equal(new Set([0, 1 / 0.7]));
    const rate = mask.filter((m) => m === 0).length / mask.length;
    // 9900 independent draws (the time steps share them): five standard deviations
    expect(Math.abs(rate - 0.3)).to.be.below(5 * Math.sqrt((0.3 * 0.7) / 9900));
  });

  it('uses one mask at all time steps', async () => {
    const mask = await masks(0.5, 5, [0, 0]);
    expect(mask.slice(0, mask.length / 2)).to.deep.equal(mask.slice(mask.length / 2));
  });

  it('draws again with another counter word or seed, and alike with the same', async () => {
    const first = await masks(0.5, 5, [1, 0]);
    expect(await masks(0.5, 5, [1, 0])).to.deep.equal(first);
    expect(await masks(0.5, 5, [1])).to.deep.equal(first);
    for (const [seed, counter] of [
      [5, [2, 0]],
      [5, [1, 1]],
      [6, [1, 0]],
      [5 + 2 ** 32, [1, 0]],
    ] as const) {
      expect(await masks(0.5, seed, [...counter])).to.not.deep.equal(first);
    }
  });

  it('sends the gradient through the same mask', async () => {
    const x = ones([3, 2, 33]);
    x.requiresGrad = true;
    const y = scope(() => {
      const made = dropout(x, tensor(Int32Array.of(4, 0)), { p: 0.5, seed: 8 });
      backward(made, ones([3, 2, 33]));
      return made;
    });
    expect(await x.grad!.array()).to.deep.equal(await y.array());
    x.dispose();
    y.dispose();
  });

  it('refuses what is out of range', () =>
    scope(() => {
      const counter = tensor(Int32Array.of(0, 0));
      const x = ones([2, 3]);
      for (const p of [-0.1, 1, 2, Number.NaN])
        expect(() => dropout(x, counter, { p, seed: 1 })).to.throw(/p is a probability/);
      for (const seed of [-1, 0.5, 2 ** 53])
        expect(() => dropout(x, counter, { p: 0.5, seed })).to.throw(/a seed is an integer/);
      expect(() => dropout(ones([3]), counter, { p: 0.5, seed: 1 })).to.throw(/two axes or more, not f64\[3\]/);
      expect(() => dropout(x, tensor(Int32Array.of(0, 0, 0)), { p: 0.5, seed: 1 })).to.throw(/one or two words/);
      expect(() => dropout(x, ones([2]), { p: 0.5, seed: 1 })).to.throw(/'counter' is i32, not f64/);
    }));
});
