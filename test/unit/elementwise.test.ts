// What the tables of add, toReal, linear, reshape and the ops over time do not say: types, shared memory, refusals.
import { expect } from 'chai';
import { backward, describe as described, device, scope, type Tensor, tensor } from '../../lib/core/index.ts';
import { add } from '../../lib/ops/add.ts';
import { linear } from '../../lib/ops/linear.ts';
import { matmul } from '../../lib/ops/matmul.ts';
import { argmax, max } from '../../lib/ops/max.ts';
import { meanOverTime } from '../../lib/ops/mean-over-time.ts';
import { permute } from '../../lib/ops/permute.ts';
import { div } from '../../lib/ops/pointwise.ts';
import { relu } from '../../lib/ops/relu.ts';
import { repeatOverTime } from '../../lib/ops/repeat-over-time.ts';
import { reshape } from '../../lib/ops/reshape.ts';
import { sigmoid } from '../../lib/ops/sigmoid.ts';
import { concat, slice } from '../../lib/ops/slice.ts';
import { spikeCount } from '../../lib/ops/spike-count.ts';
import { toReal } from '../../lib/ops/to-real.ts';

const reals = (shape: number[]) =>
  tensor(
    Float32Array.from({ length: shape.reduce((n, d) => n * d, 1) }, (_, i) => i),
    { shape },
  );
const bits = (shape: number[]) => {
  const size = shape.reduce((n, d) => n * d, 1);
  return tensor(
    Uint8Array.from({ length: size }, (_, i) => i % 2),
    { shape, dtype: 'spike' },
  );
};

describe('relu', () => {
  it('keeps a NaN and passes its gradient on, as PyTorch does', async () => {
    const x = tensor(Float32Array.of(Number.NaN, -1, 0, 2));
    x.requiresGrad = true;
    const y = scope(() => {
      const made = relu(x);
      backward(made, tensor(Float32Array.of(3, 4, 5, 6)));
      return made;
    });
    expect([...(await y.array())]).to.deep.equal([Number.NaN, 0, 0, 2]);
    expect([...(await x.grad!.array())]).to.deep.equal([3, 0, 0, 6]);
    for (const t of [x, y]) t.dispose();
  });
});

describe('spikes as numbers', () => {
  it('take the real type that is asked for, f32 by default', () =>
    scope(() => {
      const s = bits([2, 1, 5]);
      expect(described(add(s, s))).to.equal('f32[2,1,5]');
      expect(described(add(s, s, { real: 'f64' }))).to.equal('f64[2,1,5]');
      expect(described(toReal(s))).to.equal('f32[2,1,5]');
      expect(described(toReal(s, { real: 'f64' }))).to.equal('f64[2,1,5]');
      expect(described(meanOverTime(s, { real: 'f64' }))).to.equal('f64[1,5]');
    }));

  for (const [name, run] of [
    ['toReal', toReal],
    ['add', (s: Tensor) => add(s, s)],
  ] as const) {
    it(`${name} gives them a real gradient`, async () => {
      const s = bits([2, 1, 33]);
      s.requiresGrad = true;
      scope(() => backward(run(s), reals([2, 1, 33])));
      expect(described(s.grad!)).to.equal('f32[2,1,33]');
      const factor = name === 'add' ? 2 : 1;
      expect([...(await s.grad!.array())]).to.deep.equal(Array.from({ length: 66 }, (_, i) => factor * i));
      s.dispose();
    });
  }

  it('are counted without a gradient', () =>
    scope(() => {
      const s = bits([2, 3]);
      s.requiresGrad = true;
      expect(spikeCount(s).requiresGrad).to.equal(false);
      expect(() => spikeCount(reals([2, 3]))).to.throw(/'x' is spike, not f32/);
    }));
});

describe('reshape', () => {
  it('shares memory where the order at rest stays', async () => {
    const cases: [Tensor, number[]][] = [
      [reals([2, 3, 4]), [6, 4]],
      [reals([4, 3, 5, 7]), [2, 2, 3, 5, 7]],
      [bits([2, 2, 33, 1, 1]), [2, 2, 33]],
      [bits([2, 2, 32]), [2, 64]],
    ];
    for (const [x, shape] of cases) {
      const y = reshape(x, shape);
      x.set(x.dtype === 'spike' ? new Uint8Array(x.size).fill(1) : new Float32Array(x.size).fill(7));
      expect(new Set(await y.array())).to.deep.equal(new Set([x.dtype === 'spike' ? 1 : 7]));
      x.dispose();
      y.dispose();
    }
  });

  it('refuses sizes that do not fit', () =>
    scope(() => {
      const x = reals([2, 3, 4]);
      for (const shape of [[5, 5], [-1, 5], [-1, -1, 24], [0, 24], [2.5, 9.6], [-24], []]) {
        expect(() => reshape(x, shape), `[${shape}]`).to.throw(/24 elements, which do not fill/);
      }
    }));
});

describe('shapes and types are checked', () => {
  it('add', () =>
    scope(() => {
      expect(() => add(reals([2, 3]), reals([3, 2]))).to.throw(
        /^add: counted from the end axes agree, .* those of f32\[2,3\] and f32\[3,2\] do not/,
      );
      expect(() => add(reals([2]), tensor(Float64Array.of(1, 2)))).to.throw(/make them the same type/);
    }));

  it('linear', () =>
    scope(() => {
      expect(() => linear(reals([2, 3]), reals([4, 5]))).to.throw(/dimension F is 3 elsewhere but 5/);
      expect(() => linear(reals([2, 3]), reals([4, 3]), reals([3]))).to.throw(/dimension O is 4 elsewhere but 3/);
      expect(() => linear(reals([1, 2, 3, 3]), reals([4, 3]))).to.throw(/up to three axes, not f32\[1,2,3,3\]/);
    }));

  it('meanOverTime and repeatOverTime', () =>
    scope(() => {
      expect(() => meanOverTime(reals([3]))).to.throw(/two axes or more, not f32\[3\]/);
      expect(() => repeatOverTime(reals([2, 3]), 4)).to.throw(/one time step, not f32\[2,3\]/);
      for (const steps of [0, -1, 1.5, Number.NaN]) {
        expect(() => repeatOverTime(reals([1, 3]), steps)).to.throw(/whole number from 1 on/);
      }
    }));
});

describe('handles', () => {
  it('are not left over outside of a scope', () => {
    const [x, y, z] = [reals([1, 3, 4]), reals([4]), reals([4, 2])];
    const before = device('cpu').stats().handles;
    const made = [
      ...[meanOverTime(x), repeatOverTime(x, 3), add(x, y), div(y, x), slice(x, { axis: 1, from: 1 })],
      ...[concat([x, x], { axis: 0 }), permute(x, [2, 0, 1]), max(x, { axes: [1] }), argmax(x), matmul(x, z)],
    ];
    expect(device('cpu').stats().handles).to.equal(before + made.length);
    for (const t of [...made, x, y, z]) t.dispose();
  });
});

describe('sigmoid', () => {
  it('reaches 0 and 1 and no further', async () => {
    const y = scope(() =>
      sigmoid(tensor(Float32Array.of(Number.NEGATIVE_INFINITY, -1e4, 1e4, Number.POSITIVE_INFINITY, Number.NaN))),
    );
    expect([...(await y.array())]).to.deep.equal([0, 0, 1, 1, Number.NaN]);
    y.dispose();
  });
});
