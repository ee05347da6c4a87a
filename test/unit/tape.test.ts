// The tape: gradients of graphs, and what backward() refuses.
import { expect } from 'chai';
import {
  backward,
  backwardInTurns,
  device,
  keep,
  noGrad,
  parameter,
  record,
  SpikeloomError,
  scope,
  type Tensor,
  tensor,
  zeros,
} from '../../lib/core/index.ts';
import type { Backward } from '../../lib/core/tape.ts';
import { add } from '../../lib/ops/add.ts';
import { mul } from '../../lib/ops/mul.ts';
import { relu } from '../../lib/ops/relu.ts';
import { sgd } from '../../lib/optim/index.ts';
import { freeGarbage } from '../support/garbage.ts';

const live = (): number => device().stats().handles;

describe('backward', () => {
  it('sums the ways a tensor is used, and over calls', async () => {
    const x = parameter(tensor([3]));
    const twice = () => scope(() => backward(add(mul(x, x), x))); // d/dx (x^2 + x) = 7
    twice();
    expect([...(await x.grad!.array())]).to.deep.equal([7]);
    twice();
    expect([...(await x.grad!.array())]).to.deep.equal([14]);
    x.dispose();
  });

  it('leaves nothing but the gradients', () => {
    const before = live();
    const x = parameter(tensor([1, -2]));
    scope(() => backward(relu(add(x, x)), tensor([1, 1])));
    expect(live()).to.equal(before + 2);
    x.dispose();
    expect(live()).to.equal(before);
  });

  /** y = x^2, whose gradient adds what has arrived for x on its way. */
  const square = (x: Tensor, seen: (Tensor | undefined)[]): Tensor => {
    const y = noGrad(() => mul(x, x));
    record([y], [x], ([gy], _needs, take) => {
      const own = mul(gy!, add(x, x));
      const before = take(0);
      seen.push(before);
      return [before ? add(own, before) : own];
    });
    return y;
  };

  it('lets a node add its gradient to what has arrived, once', async () => {
    await freeGarbage();
    const before = live();
    const x = parameter(tensor([3]));
    const seen: (Tensor | undefined)[] = [];
    scope(() => backward(add(square(x, seen), square(x, seen)))); // d/dx 2 x^2 = 12
    expect(await x.grad!.item()).to.equal(12);
    expect(seen.map((t) => t !== undefined)).to.deep.equal([false, true]);
    x.freeGrad();
    scope(() => backward(add(add(square(x, seen), relu(x)), mul(x, square(x, seen))))); // x^2 + x + x^3
    expect(await x.grad!.item()).to.equal(6 + 1 + 27);
    x.dispose();
    expect(live()).to.equal(before);
  });

  it('lets a node hand back what has arrived, and refuses one that keeps it', async () => {
    const x = parameter(tensor([3]));
    const passing = (give: boolean) => {
      const y = noGrad(() => relu(x));
      record([y], [x], (_grads, _needs, take) => {
        const before = take(0);
        return [give ? before : undefined];
      });
      return y;
    };
    scope(() => backward(add(passing(true), relu(x))));
    expect(await x.grad!.item()).to.equal(1);
    expect(() => scope(() => backward(add(passing(false), relu(x))))).to.throw('must give back the sum');
    x.dispose();
  });

  it('refuses what a gradient of your own gives if it does not fit the inputs, and keeps nothing', () => {
    const before = live();
    const [x, w] = [parameter(tensor([1, 2, 3])), parameter(tensor([1, 2, 3], { dtype: 'f64' }))];
    const refuse = (give: () => unknown, message: string) =>
      scope(() => {
        const y = noGrad(() => relu(x));
        record([y], [undefined, x, w], give as () => Tensor[]);
        expect(() => backward(y, tensor([1, 1, 1])), message).to.throw(SpikeloomError, message);
      });
    const own = 'what record() was given gives ';
    refuse(async () => [], `${own}an array, a tensor or undefined for every input, but it gave Promise`);
    refuse(() => zeros([3]), 'for every input, but it gave Tensor');
    refuse(() => undefined, 'for every input, but it gave undefined');
    refuse(
      () => [undefined, zeros([1])],
      `${own}gradients of the shapes and types of the inputs, or undefined for none, but for input 1, f32[3], it gave f32[1]`,
    );
    refuse(() => [undefined, zeros([3, 1])], 'input 1, f32[3], it gave f32[3,1]');
    refuse(() => [undefined, zeros([3], 'f64')], 'input 1, f32[3], it gave f64[3]');
    refuse(() => [undefined, zeros([3], 'i32')], 'input 1, f32[3], it gave i32[3]');
    refuse(() => [undefined, undefined, zeros([3])], 'input 2, f64[3], it gave f32[3]');
    refuse(() => [undefined, [1, 2, 3]], 'input 1, f32[3], it gave Array');
    refuse(() => [undefined, Promise.resolve(zeros([3]))], 'input 1, f32[3], it gave Promise');
    for (const t of [x, w]) {
      expect(t.grad).to.equal(undefined);
      t.dispose();
    }
    expect(live()).to.equal(before);
  });

  it('takes gradients of f32 as bf16, and real ones of spikes', async () => {
    const [x, s] = [parameter(tensor([1, 2])), parameter(tensor([0, 1], { dtype: 'spike' }))];
    scope(() => {
      const y = noGrad(() => relu(x));
      record([y], [x, s, undefined], () => [tensor([1, 2], { dtype: 'bf16' }), zeros([2], 'f64')]);
      backward(y, tensor([1, 1]));
    });
    expect([x.grad!.dtype, s.grad!.dtype]).to.deep.equal(['bf16', 'f64']);
    for (const t of [x, s]) t.dispose();
  });

  it('refuses a graph whose inputs set() has written since, by another view as well', async () => {
    const [w, x, b] = [parameter(tensor([2, 3])), tensor([5, 7]), tensor([1, 1])];
    x.set(Float32Array.of(5, 7));
    for (const write of [
      () => x.set(Float32Array.of(1, 1)),
      () => w.set(Float32Array.of(1, 1)),
      () => scope(() => x.alias([2, 1]).setRows(1, Float32Array.of(1))),
    ]) {
      scope(() => {
        const y = add(mul(w, x.alias([2])), b);
        write();
        expect(() => backward(y, tensor([1, 1]))).to.throw(
          SpikeloomError,
          /^backward\(\) reads what an op was computed from, but its input [01], f32\[2\], was written since, by set\(\) or an optimizer's step; call/,
        );
      });
      expect(w.grad).to.equal(undefined);
    }
    scope(() => {
      using optimizer = sgd({ lr: 1 })([{ name: 'w', tensor: w }]);
      const y = mul(w, x);
      w.grad = keep(tensor([1, 1]));
      optimizer.step();
      expect(() => backward(y, tensor([1, 1]))).to.throw(SpikeloomError, 'was written since');
    });
    scope(() => {
      const y = add(mul(w, x), b);
      b.set(Float32Array.of(2, 2)); // no gradient reads it
      backward(y, tensor([1, 1]));
    });
    expect([...(await w.grad!.array())]).to.deep.equal([1, 1]);
    for (const t of [w, x, b]) t.dispose();
  });

  it('explains what it cannot do', () => {
    const x = parameter(tensor([1, 2]));
    scope(() => {
      expect(() => backward(tensor([1]))).to.throw('computed from parameters');
      expect(() => backward(noGrad(() => relu(x)))).to.throw('computed from parameters');
      expect(() => backward(relu(x))).to.throw('starts at one number');
      const y = relu(x);
      for (const gradient of [zeros([1]), zeros([2, 1]), zeros([2], 'f64')]) {
        expect(() => backward(y, gradient)).to.throw(SpikeloomError, 'starts with a gradient of the shape and type');
      }
      backward(y, tensor([1, 1]));
      expect(() => backward(y, tensor([1, 1]))).to.throw('called before');
    });
    x.dispose();
  });

  it('refuses to enter an output whose own gradient would be lost', () => {
    const w = parameter(tensor([2, 3]));
    scope(() => {
      const [y, made] = [mul(w, w), noGrad(() => mul(w, w))];
      const pass: Backward = ([g]) => [g];
      expect(() => record([y], [y], pass)).to.throw(
        SpikeloomError,
        /^record\(\) .* output 0, f32\[2\], was entered before;/,
      );
      expect(() => record([made, w], [y], pass)).to.throw(
        SpikeloomError,
        /output 1, f32\[2\], is a parameter; make it/,
      );
      expect(made.requiresGrad).to.equal(false);
      record([made], [y], pass);
      expect(made.requiresGrad).to.equal(true);
    });
    w.dispose();
  });

  it('passes nothing through what is detached', async () => {
    const w = parameter(tensor([2, 3]));
    const given = tensor([1, 1]);
    scope(() => backward(mul(w, mul(w, w).detach()), given));
    expect([...(await w.grad!.array())]).to.deep.equal([4, 9]);
    for (const each of [w, given]) each.dispose();
  });

  it('refuses what is written between two of its turns', () => {
    const w = parameter(tensor([2, 3]));
    scope(() => {
      const turns = backwardInTurns(add(mul(w, w), w), tensor([1, 1]));
      turns.next();
      w.set(Float32Array.of(5, 5));
      expect(() => turns.next()).to.throw(SpikeloomError, 'was written since');
    });
    w.dispose();
  });
});
