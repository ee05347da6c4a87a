import { expect } from 'chai';
import {
  backward,
  type DType,
  device,
  empty,
  type HostArray,
  keep,
  MOST_THREADS,
  noGrad,
  parameter,
  record,
  recordStep,
  SpikeloomError,
  scope,
  type Tensor,
  tensor,
  usualThreads,
  zeros,
} from '../../lib/core/index.ts';
import { native } from '../../lib/core/native.ts';
import { readInto } from '../../lib/core/tensor.ts';
import { add } from '../../lib/ops/add.ts';
import { conv2d } from '../../lib/ops/conv2d.ts';
import { crossEntropy } from '../../lib/ops/cross-entropy.ts';
import { mul } from '../../lib/ops/mul.ts';
import { clipFactor } from '../../lib/ops/optimizer-updates.ts';
import { relu } from '../../lib/ops/relu.ts';
import { reshape } from '../../lib/ops/reshape.ts';
import { sgd } from '../../lib/optim/index.ts';
import { noise, spikes, toDevice } from '../support/op-table.ts';

const live = (): number => device().stats().handles;

describe('tensors', () => {
  it('come back as they went, whatever the order at rest', async () => {
    for (const shape of [[1], [7], [3, 5], [2, 33, 3], [2, 3, 4, 5], [2, 1, 33, 3, 2], [2, 2, 2, 3, 1, 4]]) {
      for (const made of [toDevice(noise(shape), 'f64', 'cpu'), toDevice(spikes(shape, 0.4), 'f32', 'cpu')]) {
        const expected = made.dtype === 'spike' ? spikes(shape, 0.4).data : noise(shape).data;
        expect([...(await made.array())], `${made.dtype}[${shape}]`).to.deep.equal([...expected]);
        made.dispose();
      }
    }
  });

  it('of many sizes, written one behind the other, come back as they went', async () => {
    const sizes = [70_000, 70_000, 90_000, 70_000, 5_000_000, 5_000_000, 90_000, 3];
    const arrays = sizes.map((size, k) => Float32Array.from({ length: size }, (_, i) => k + i));
    const tensors = arrays.map((array) => tensor(array));
    for (const [k, t] of tensors.entries()) {
      expect(await t.array()).to.deep.equal(arrays[k]);
      t.dispose();
    }
  });

  it('take rows of their first axis, whatever the order at rest', async () => {
    for (const shape of [
      [5, 3],
      [4, 33, 2],
      [4, 3, 2, 5],
      [3, 2, 33, 3, 2],
    ] as number[][]) {
      for (const [before, after] of [
        [noise(shape, 1), noise(shape, 2)],
        [spikes(shape, 0.4, 1), spikes(shape, 0.4, 2)],
      ] as const) {
        const made = toDevice(before, 'f64', 'cpu');
        const row = made.size / shape[0]!;
        const expected = [...before.data.subarray(0, row), ...after.data.subarray(row, 3 * row)];
        expected.push(...before.data.subarray(3 * row));
        const rows = after.data.subarray(row, 3 * row);
        made.setRows(1, made.dtype === 'spike' ? Uint8Array.from(rows) : rows);
        expect([...(await made.array())], `${made.dtype}[${shape}]`).to.deep.equal(expected);
        made.dispose();
      }
    }
  });

  it('are written from shared memory and read into it, from any offset', async () => {
    using t = zeros([3, 2]);
    const shared = new Float32Array(new SharedArrayBuffer(40), 8, 6);
    shared.set([1, 2, 3, 4, 5, 6]);
    t.set(shared);
    expect([...(await t.array())]).to.deep.equal([1, 2, 3, 4, 5, 6]);
    t.setRows(1, shared.subarray(0, 2));
    const into = new Float32Array(new SharedArrayBuffer(40), 4, 6);
    expect([...(await readInto(t, into))]).to.deep.equal([1, 2, 1, 2, 5, 6]);
    expect([...into]).to.deep.equal([1, 2, 1, 2, 5, 6]);
  });

  it('refuse rows that are none', () => {
    using t = zeros([3, 2]);
    const refuse = (first: number, data: HostArray, on = t) =>
      expect(() => on.setRows(first, data)).to.throw(SpikeloomError, /rows of f32\[/);
    for (const first of [-1, 0.5, 2, 3]) refuse(first, new Float32Array(4));
    for (const count of [0, 1, 3, 8]) refuse(0, new Float32Array(count));
    refuse(0, new Float64Array(2));
    using flat = zeros([6]);
    refuse(0, new Float32Array(2), flat);
    for (const [tensor, first, data] of [
      [t, 2, new Float32Array(4)],
      [t, -1, new Float32Array(2)],
      [t, 0, new Float32Array(3)],
      [flat, 0, new Float32Array(2)],
    ] as const) {
      expect(() => native().write(tensor.handle, data, first)).to.throw('whole rows of its first axis');
    }
  });

  it('refuse wrong shapes, counts and types', () => {
    expect(() => tensor([1, 2, 3], { shape: [2, 2] })).to.throw('3 numbers do not fill the shape [2,2]');
    expect(() => zeros([2, 0])).to.throw('whole numbers of at least 1');
    expect(() => zeros([2 ** 30, 2 ** 30])).to.throw(/cannot be held|out of memory/);
    const t = zeros([2]);
    expect(() => t.set(new Float64Array(2))).to.throw('takes a Float32Array of 2 elements');
    t.dispose();
    expect(() => zeros([2], 'f16' as DType)).to.throw(
      SpikeloomError,
      'a dtype is one of f32, f64, bf16, u8, i32, spike, not "f16"',
    );
    const nested = [
      [1, 2],
      [3, 4],
    ] as unknown as number[];
    expect(() => tensor(nested)).to.throw(SpikeloomError, 'numbers in one flat array');
    // biome-ignore lint/suspicious/noSparseArray: what a mistake of a comma makes
    for (const data of [[1, , 3], ['1'], new BigInt64Array(1)]) {
      expect(() => tensor(data as number[]), String(data)).to.throw(SpikeloomError, 'numbers in one flat array');
    }
    for (const data of [undefined, null, 3, 'x', {}]) {
      expect(() => tensor(data as unknown as number[]), String(data)).to.throw(SpikeloomError, 'an array of numbers');
    }
    for (const shape of [3, 'x', {}, null, [1.5], [-1], [Number.NaN], ['2'], [2n]] as unknown as number[][]) {
      expect(() => zeros(shape), String(shape)).to.throw(SpikeloomError, 'a shape is an array of whole numbers');
    }
    const one = zeros([2]);
    expect(() => one.alias([3])).to.throw(SpikeloomError, 'a view keeps the number of elements');
    one.dispose();
  });

  it('refuse numbers that their type does not hold, and round to bf16', async () => {
    const before = live();
    for (const [dtype, numbers] of [
      ['u8', [256, -1, 1.5, Number.NaN]],
      ['i32', [2 ** 31, -(2 ** 31) - 1, 0.5, Number.NaN]],
      ['spike', [2, -1, 0.5, Number.NaN]],
    ] as const) {
      for (const number of numbers) {
        for (const data of [[0, number], Float64Array.of(0, number)]) {
          expect(() => tensor(data, { dtype })).to.throw(SpikeloomError, `, but number 1 is ${number}`);
        }
      }
    }
    expect(live()).to.equal(before);
    const whole = tensor([255, 0], { dtype: 'u8' });
    expect([...(await whole.array())]).to.deep.equal([255, 0]);
    for (const [number, rounded] of [
      [1.5, 1.5],
      [1 + 2 ** -8, 1],
      [1 + 3 * 2 ** -8, 1 + 2 ** -6],
      [Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY],
    ] as const) {
      const t = tensor([number], { dtype: 'bf16' });
      expect(await t.item()).to.equal(rounded);
      t.dispose();
    }
    const bits = tensor(Uint16Array.of(0x3fc0), { dtype: 'bf16' });
    expect(await bits.item()).to.equal(1.5);
    expect([...(await bits.array())]).to.deep.equal([0x3fc0]);
    for (const t of [whole, bits]) t.dispose();
  });

  it('that were freed are recognised', async () => {
    const t = zeros([2]);
    t.dispose();
    t.dispose();
    const other = zeros([2]);
    expect(() => relu(t)).to.throw(SpikeloomError, 'this tensor was freed');
    await t.array().then(
      () => expect.fail('read a freed tensor'),
      (error: Error) => expect(error.message).to.include('freed'),
    );
    other.dispose();
  });

  it('are computed by 1 to 256 threads', () => {
    const cpu = device();
    for (const threads of [0, -1, 1.5, 257, 2 ** 32 + 1, Number.NaN, '2' as unknown as number]) {
      expect(() => cpu.setThreads(threads), String(threads)).to.throw(SpikeloomError, 'a whole number from 1 to 256');
    }
    for (const threads of [MOST_THREADS, 1, usualThreads()]) cpu.setThreads(threads);
  });

  it('on a device that does not exist are refused', () => {
    expect(() => device('gpu')).to.throw('"gpu" is not a device');
  });
});

describe('scope', () => {
  it('frees all but what it returns, also when it throws', async () => {
    const before = live();
    const kept = scope(() => {
      zeros([3]);
      return { list: [zeros([1])], b: zeros([2]) };
    });
    expect(live()).to.equal(before + 2);
    expect(() =>
      scope(() => {
        zeros([3]);
        throw new Error('on purpose');
      }),
    ).to.throw('on purpose');
    expect(live()).to.equal(before + 2);
    kept.list[0]!.dispose();
    kept.b.dispose();
    expect(live()).to.equal(before);
  });

  it('passes results to the scope around, and keep() takes them out of all', () => {
    const before = live();
    let inner: Tensor | undefined;
    let lasting: Tensor | undefined;
    scope(() => {
      inner = scope(() => zeros([1]));
      lasting = keep(zeros([1]));
      expect(live()).to.equal(before + 2);
    });
    expect(live()).to.equal(before + 1);
    lasting!.dispose();
    inner!.dispose();
    expect(live()).to.equal(before);
  });

  it('refuses an async function', () => {
    expect(() => scope(async () => 1)).to.throw('must not be async');
  });
});

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
});

describe('the stream', () => {
  it('reports a failure at the next read, runs nothing behind it, and then goes on', async () => {
    const logits = toDevice(noise([2, 3]), 'f32', 'cpu');
    const bad = tensor(Int32Array.from([0, 7]));
    const good = tensor(Int32Array.from([0, 2]));
    const failed = crossEntropy(logits, bad);
    const message = await failed.array().then(
      () => 'no failure',
      (error: Error) => error.message,
    );
    expect(message).to.match(/^crossEntropy: .*7/);
    const loss = crossEntropy(logits, good);
    expect(await loss.item()).to.be.greaterThan(0);
    for (const t of [logits, bad, good, failed, loss]) t.dispose();
  });

  it('fails at every read of what a failure left unmade, and of what is made of it, until it is written', async () => {
    const logits = toDevice(noise([2, 3]), 'f32', 'cpu');
    const labels = (...of: number[]) => tensor(Int32Array.from(of));
    const [bad, good] = [labels(0, 7), labels(0, 2)];
    const told = async (t: Tensor) => t.array().then(Array.from, (error: Error) => error.message);
    const x = tensor([1, 2]);
    const before = relu(x);
    const failed = crossEntropy(logits, bad);
    const behind = crossEntropy(logits, good);
    x.set(Float32Array.of(3, 4));
    const message = await told(behind);
    expect(message).to.match(/^crossEntropy: .*7/);
    const [ofIt, norms] = [add(failed, behind), empty([2])];
    const image = toDevice(noise([2, 3, 2, 2]), 'f32', 'cpu');
    const { norm } = clipFactor([image, failed], norms, 1);
    for (const t of [failed, behind, ofIt, x, norm]) expect(await told(t)).to.equal(message);
    const bigger = toDevice(noise([2, 3, 2, 2]), 'f32', 'cpu');
    const skipped = [crossEntropy(logits, bad), relu(bigger)] as const;
    const copied = reshape(skipped[1], [2, 12]);
    expect(await told(skipped[0])).to.equal(message);
    const later = reshape(skipped[1], [2, 12]);
    for (const t of [skipped[1], copied, later]) expect(await told(t)).to.equal(message);
    for (const t of [norms, image, norm, bigger, ...skipped, copied, later]) t.dispose();
    expect(await told(before)).to.deep.equal([1, 2]);
    const [again, sum] = [crossEntropy(logits, good), relu(logits)];
    expect(await again.item()).to.be.greaterThan(0);
    expect(await told(sum)).to.have.length(6);
    x.set(Float32Array.of(5, 6));
    const y = relu(x);
    expect(await told(y)).to.deep.equal([5, 6]);
    for (const t of [logits, bad, good, x, before, failed, behind, ofIt, again, sum, y]) t.dispose();
  });

  it('refuses to update what a failure left unmade, and leaves alone what a skipped update was for', async () => {
    const w = parameter(tensor([3, 4]));
    using optimizer = sgd({ lr: 1, momentum: 0.5 })([{ name: 'w', tensor: w }]);
    const [logits, bad] = [toDevice(noise([2, 3]), 'f32', 'cpu'), tensor(Int32Array.of(0, 7))];
    const failed = crossEntropy(logits, bad);
    optimizer.load({ 'm.w': Float32Array.of(8, 8) }, 3);
    const told = async (t: Tensor) => t.array().then(Array.from, (error: Error) => error.message);
    expect(await told(failed)).to.match(/label 7/);
    w.grad = keep(tensor([1, 1]));
    optimizer.step();
    expect(await told(optimizer.state()['m.w']!)).to.match(/label 7/);
    expect(await told(w)).to.deep.equal([3, 4]);
    optimizer.load({ 'm.w': Float32Array.of(8, 8) }, 3);
    w.grad = keep(tensor([1, 1]));
    optimizer.step();
    expect(await told(w)).to.deep.equal([-2, -1]);
    for (const t of [w, logits, bad, failed]) t.dispose();
  });

  it('fails at every read of what a recorded step left unmade, and makes it when it is replayed', async () => {
    const labels = tensor(Int32Array.from([0, 7]));
    const logits = toDevice(noise([2, 3]), 'f32', 'cpu');
    const step = recordStep(device(), () => {
      const loss = crossEntropy(logits, labels);
      return { loss, twice: add(loss, loss) };
    });
    const told = async (t: Tensor) => t.item().catch((error: Error) => error.message);
    step.replay();
    for (let i = 0; i < 2; i++) expect(await told(step.result.loss)).to.match(/^crossEntropy: .*7/);
    expect(await told(step.result.twice)).to.match(/^crossEntropy: .*7/);
    labels.set(Int32Array.of(0, 2));
    step.replay();
    const [loss, twice] = [await step.result.loss.item(), await step.result.twice.item()];
    expect(loss).to.be.greaterThan(0);
    expect(twice).to.equal(2 * loss);
    for (const disposable of [step, labels, logits]) disposable.dispose();
  });

  it('keeps the event loop free while it works', async () => {
    const x = toDevice(noise([2, 8, 64, 32, 32]), 'f32', 'cpu');
    const w = toDevice(noise([64, 64, 3, 3]), 'f32', 'cpu');
    let ticks = 0;
    const timer = setInterval(() => ticks++, 1);
    noGrad(() => {
      for (let i = 0; i < 12; i++) scope(() => void conv2d(x, w, { padding: 1 }));
    });
    expect(device().stats().queued, 'work is queued, not done, when the calls return').to.be.greaterThan(0);
    await device().finish();
    clearInterval(timer);
    expect(ticks).to.be.greaterThan(3);
    x.dispose();
    w.dispose();
  });

  it('asks the system for no memory once a step has run', async () => {
    const x = toDevice(noise([2, 4, 3, 8, 8]), 'f32', 'cpu');
    const w = parameter(toDevice(noise([16, 3, 3, 3]), 'f32', 'cpu'));
    const step = () =>
      scope(() => {
        const y = relu(conv2d(x, w, { padding: 1 }));
        backward(y, y);
        w.grad!.dispose();
        w.grad = undefined;
      });
    step();
    await device().finish();
    const { systemAllocations, handles } = device().stats();
    for (let i = 0; i < 20; i++) step();
    await device().finish();
    expect(device().stats().systemAllocations).to.equal(systemAllocations);
    expect(device().stats().handles).to.equal(handles);
    x.dispose();
    w.dispose();
  });
});
