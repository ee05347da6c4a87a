import { expect } from 'chai';
import { type DType, type HostArray, tensor } from '../../lib/core/index.ts';
import { add } from '../../lib/ops/add.ts';

// 1, -2.5, 0.15625, 3, 1/3 rounded to bf16.
const bits = [0x3f80, 0xc020, 0x3e20, 0x4040, 0x3eab];
const numbers = bits.map((b) => new Float32Array(new Uint32Array([b << 16]).buffer)[0]!);

const made = (data: HostArray, dtype: DType) => tensor(data, { shape: [5], dtype });

describe('add in bf16', () => {
  it('adds in f32 and rounds once, to nearest even', async () => {
    using x = made(Uint16Array.from(bits), 'bf16');
    using y = made(Uint16Array.from([0x3b80, 0x3b80, 0x3c00, 0x3c80, 0x0000]), 'bf16');
    using z = add(x, y);
    expect(z.dtype).to.equal('bf16');
    // 1 + 2^-8 lies half way and goes to the even 1; 3 + 2^-6 is exact; -2.5 + 2^-8 rounds back.
    expect([...(await z.array())]).to.deep.equal([0x3f80, 0xc020, 0x3e28, 0x4041, 0x3eab]);
  });

  it('with f32 the sum is f32, with spikes bf16', async () => {
    using x = made(Uint16Array.from(bits), 'bf16');
    using real = made(Float32Array.of(1, 2, 3, 4, 5), 'f32');
    using z = add(x, real);
    expect(z.dtype).to.equal('f32');
    expect([...(await z.array())]).to.deep.equal(numbers.map((v, i) => Math.fround(v + i + 1)));
    using fired = made(Uint8Array.of(1, 0, 0, 1, 0), 'spike');
    using sum = add(fired, x);
    expect([...(await sum.array())]).to.deep.equal([0x4000, 0xc020, 0x3e20, 0x4080, 0x3eab]);
  });

  it('f64 and bf16 are refused', () => {
    using x = made(Uint16Array.from(bits), 'bf16');
    using y = made(Float64Array.of(1, 2, 3, 4, 5), 'f64');
    expect(() => add(x, y)).to.throw(/bf16 goes with f32/);
  });
});
