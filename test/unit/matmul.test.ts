// What the table of matmul does not say: types, refusals, one factor twice.
import { expect } from 'chai';
import { backward, describe as described, SpikeloomError, scope, tensor, zeros } from '../../lib/core/index.ts';
import { type MatmulOptions, matmul, sum } from '../../lib/ops/index.ts';

describe('matmul', () => {
  it('has the type of the real factor, and of spikes the one that is asked for', () =>
    scope(() => {
      const s = zeros([3, 2, 2], 'spike');
      expect(described(matmul(s, s))).to.equal('f32[3,2,2]');
      expect(described(matmul(s, s, { real: 'f64' }))).to.equal('f64[3,2,2]');
      expect(described(matmul(s, zeros([2, 5], 'f64')))).to.equal('f64[3,2,5]');
      expect(described(matmul(zeros([3, 4, 2]), s))).to.equal('f32[3,4,2]');
    }));

  it('adds both gradients of a factor that is given twice', async () => {
    const x = tensor([1, 2, 3, 4], { shape: [2, 2] });
    x.requiresGrad = true;
    scope(() => backward(sum(matmul(x, x, { transposeB: true })))); // of (x0 + x1)·(x0 + x1) with rows x0, x1
    expect([...(await x.grad!.array())]).to.deep.equal([8, 12, 8, 12]);
    x.dispose();
  });

  it('refuses what does not fit, with both shapes', () =>
    scope(() => {
      const refuse = (a: unknown, b: unknown, message: RegExp, options?: object) =>
        expect(() => matmul(a as never, b as never, options as MatmulOptions)).to.throw(SpikeloomError, message);
      const x = zeros([3, 4, 5]);
      refuse(
        x,
        zeros([3, 4, 5]),
        /^matmul: columns of a are as many as rows of b, 5 beside 4, not f32\[3,4,5\] by f32\[3,4,5\]/,
      );
      refuse(x, x, /^matmul: columns of a \(transposed\) are as many as rows of b \(transposed\), 4 beside 5/, {
        transposeA: true,
        transposeB: true,
      });
      refuse(
        x,
        zeros([2, 5, 4]),
        /^matmul: the axes before the last two agree, or b has two axes, not f32\[3,4,5\] by f32\[2,5,4\]/,
      );
      refuse(zeros([4, 5]), zeros([3, 5, 4]), /^matmul: the axes before the last two agree/);
      refuse(zeros([5]), zeros([5, 4]), /^matmul: factors have two axes or more, not f32\[5\] by f32\[5,4\]/);
      refuse(x, zeros([5, 2], 'f64'), /^matmul: 'b' is f64 where another input is f32; make them the same type$/);
      refuse(
        zeros([2, 3], 'bf16'),
        zeros([3, 2]),
        /^matmul: 'a' is real or spike, not bf16; ops\.toReal\(\) makes f32 of bf16$/,
      );
      refuse(x, 3, /^matmul: 'b' is a tensor, not 3$/);
      refuse(x, zeros([5, 2]), /^matmul: transposeB is true or false, not 1$/, { transposeB: 1 });
      refuse(x, zeros([5, 2]), /^matmul: a real type is f32 or f64, not "bf16"$/, { real: 'bf16' });
    }));
});
