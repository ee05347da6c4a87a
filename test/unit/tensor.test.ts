import { expect } from 'chai';
import {
  type DType,
  device,
  type HostArray,
  keep,
  MOST_THREADS,
  SpikeloomError,
  scope,
  type Tensor,
  tensor,
  usualThreads,
  zeros,
} from '../../lib/core/index.ts';
import { native } from '../../lib/core/native.ts';
import { readInto } from '../../lib/core/tensor.ts';
import { relu } from '../../lib/ops/relu.ts';
import { freeGarbage } from '../support/garbage.ts';
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

  it('refuse spikes that are neither 0 nor 1, and keep those they have', async () => {
    using t = tensor([1, 0, 1, 0, 1, 0], { shape: [3, 2], dtype: 'spike' });
    const rule = (at: number, is: number) => `spike holds 0 and 1, but number ${at} is ${is}`;
    expect(() => t.set(Uint8Array.of(1, 1, 1, 1, 255, 2))).to.throw(SpikeloomError, rule(4, 255));
    expect(() => t.setRows(1, Uint8Array.of(0, 2))).to.throw(SpikeloomError, rule(1, 2));
    expect(() => tensor(Uint8Array.of(3), { dtype: 'spike' })).to.throw(SpikeloomError, rule(0, 3));
    expect([...(await t.array())]).to.deep.equal([1, 0, 1, 0, 1, 0]);
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
    await freeGarbage();
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
    await freeGarbage();
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
