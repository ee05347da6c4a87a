// What the tables of slice, concat and permute do not say: types, refusals, where gradients of many slices are added.
import { expect } from 'chai';
import { watchCalls } from '../../bench/calls.ts';
import {
  backward,
  describe as described,
  device,
  parameter,
  recordStep,
  SpikeloomError,
  scope,
  type Tensor,
  tensor,
  zeros,
} from '../../lib/core/index.ts';
import { add, concat, mul, permute, slice, sum, toReal } from '../../lib/ops/index.ts';

const counted = (shape: number[]): Tensor =>
  tensor(
    Float32Array.from({ length: shape.reduce((n, d) => n * d, 1) }, (_, i) => i),
    { shape },
  );

describe('slice and concat', () => {
  it('take every type, and keep it', () =>
    scope(() => {
      for (const type of ['f32', 'f64', 'bf16', 'u8', 'i32', 'spike'] as const) {
        const x = zeros([3, 2, 5, 2, 2], type);
        expect(described(slice(x, { axis: -3, from: 1, to: -1 }))).to.equal(`${type}[3,2,3,2,2]`);
        expect(described(concat([x, x], { axis: 2 }))).to.equal(`${type}[3,2,10,2,2]`);
      }
    }));

  it('add the gradients of many slices into one tensor, and leave what others share alone', async () => {
    const x = parameter(counted([4, 2, 3]));
    const ops: string[] = [];
    const run = () =>
      scope(() => {
        const y = mul(x, x); // its gradient is what the slices add into
        const steps = [0, 1, 2, 3].map((t) => sum(slice(y, { axis: 0, from: t, to: t + 1 })));
        const shared = add(y, x); // gives y and x the same gradient: neither may be written
        const loss = steps.reduce((a, b) => add(a, b), sum(shared));
        watchCalls(
          () => backward(loss),
          ({ op }) => ops.push(op),
        );
      });
    run();
    expect([...(await x.grad!.array())]).to.deep.equal([...(await x.array())].map((v) => 4 * v + 1));
    expect(ops.filter((op) => op === 'place')).to.have.length(1);
    expect(ops.filter((op) => op === 'addPart')).to.have.length(3);
    x.dispose();
  });

  it('do so in a recorded step, replay after replay', async () => {
    const x = parameter(counted([3, 5]));
    const step = recordStep(device('cpu'), () => {
      const parts = [0, 1, 2].map((t) =>
        mul(slice(x, { axis: 0, from: t, to: t + 1 }), slice(x, { axis: 0, from: t, to: t + 1 })),
      );
      const loss = sum(concat(parts.reverse(), { axis: 0 }));
      backward(loss);
      return { loss, gx: x.grad! };
    });
    for (let i = 0; i < 3; i++) {
      step.replay();
      expect(await step.result.loss.item()).to.equal((14 * 15 * 29) / 6);
      expect([...(await step.result.gx.array())]).to.deep.equal(Array.from({ length: 15 }, (_, k) => 2 * k));
      x.set(Float32Array.from({ length: 15 }, (_, k) => k));
    }
    step.dispose();
    x.dispose();
  });

  it('refuse places, axes and tensors that do not fit, by name', () =>
    scope(() => {
      const x = zeros([3, 4]);
      const refuse = (call: () => unknown, message: RegExp) => expect(call).to.throw(SpikeloomError, message);
      refuse(() => slice(x, { axis: 2 }), /^slice: the axis is a whole number from -2 to 1 for f32\[3,4\], not 2$/);
      refuse(
        () => slice(x, {} as never),
        /^slice: the axis is a whole number from -2 to 1 for f32\[3,4\], not undefined$/,
      );
      refuse(
        () => slice(x, { axis: 1, from: 5 }),
        /^slice: 'from' is a whole number from -4 to 4 for axis 1 of f32\[3,4\], not 5$/,
      );
      refuse(() => slice(x, { axis: 1, to: 0.5 }), /^slice: 'to' is a whole number from -4 to 4/);
      refuse(
        () => slice(x, { axis: 0, from: 2, to: -1 }),
        /^slice: from 2 to 2 of axis 0 of f32\[3,4\] is no place at all/,
      );
      refuse(() => slice(undefined as never, { axis: 0 }), /^slice: 'x' is a tensor, not undefined$/);
      refuse(() => concat([], { axis: 0 }), /^concat: takes an array of one or more tensors, not \[\]$/);
      refuse(() => concat(x as never, { axis: 0 }), /^concat: takes an array of one or more tensors, not Tensor$/);
      refuse(
        () => concat([x, 3 as never], { axis: 0 }),
        /^concat: takes an array of one or more tensors, not \[Tensor,3\]$/,
      );
      refuse(() => concat([x, zeros([3, 5])], { axis: 0 }), /tensor 1 is f32\[3,5\] beside f32\[3,4\]/);
      refuse(() => concat([x, zeros([3, 4], 'f64')], { axis: 0 }), /tensor 1 is f64\[3,4\] beside f32\[3,4\]/);
      refuse(() => concat([x, zeros([3])], { axis: 0 }), /tensor 1 is f32\[3\] beside/);
      refuse(() => concat([x], { axis: -3 }), /^concat: the axis is a whole number/);
    }));
});

describe('permute', () => {
  it('takes every type, keeps it, and comes back by the inverse order', async () => {
    for (const type of ['f32', 'f64', 'bf16', 'u8', 'i32', 'spike'] as const) {
      const data = Array.from({ length: 2 * 3 * 35 * 40 }, (_, i) =>
        type === 'spike' ? Number(i % 3 === 0) : i % 200,
      );
      const x = tensor(data, { shape: [2, 3, 35, 40], dtype: type });
      const there = permute(x, [-1, 2, 0, 1]);
      expect(described(there)).to.equal(`${type}[40,35,2,3]`);
      const back = permute(there, [2, 3, 1, 0]);
      expect(await back.array()).to.deep.equal(await x.array());
      for (const t of [x, there, back]) t.dispose();
    }
  });

  it('gives spikes a real gradient, and passes one of bf16 on', async () => {
    const s = tensor(Uint8Array.of(1, 0, 1, 0, 0, 1), { shape: [2, 3], dtype: 'spike' });
    s.requiresGrad = true;
    scope(() => backward(permute(s, [1, 0]), tensor([1, 2, 3, 4, 5, 6], { shape: [3, 2], dtype: 'bf16' })));
    expect(described(s.grad!)).to.equal('bf16[2,3]');
    const numbers = scope(() => toReal(s.grad!));
    expect([...(await numbers.array())]).to.deep.equal([1, 3, 5, 2, 4, 6]);
    numbers.dispose();
    s.dispose();
  });

  it('refuses axes that are not those of x, each once', () =>
    scope(() => {
      const x = zeros([3, 4, 5]);
      const refuse = (axes: unknown, message: RegExp) =>
        expect(() => permute(x, axes as number[])).to.throw(SpikeloomError, message);
      refuse([0, 1], /^permute: axes \[0,1\] are 2 of the 3 axes of \[3,4,5\]; name each of them once$/);
      refuse([0, 1, -2], /^permute: axes \[0,1,-2\] of f32\[3,4,5\] name one of them twice$/);
      refuse([0, 1, 3], /^permute: axes are one or more whole numbers from -3 to 2 for f32\[3,4,5\], not \[0,1,3\]/);
      refuse(undefined, /^permute: axes are one or more whole numbers .* not undefined; each of them once$/);
      expect(() => permute(3 as never, [0])).to.throw(/^permute: 'x' is a tensor, not 3$/);
    }));
});
