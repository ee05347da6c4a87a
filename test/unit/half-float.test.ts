import { expect } from 'chai';
import { bf16Bits, bf16ToF32, f16Bits, f16ToF32, roundHalfEven } from '../../lib/core/half-float.ts';

const ALL = Uint16Array.from({ length: 2 ** 16 }, (_, bits) => bits);

/** Every value of 16-bit floats with that many exponent bits, from the definition in IEEE 754. */
function defined(exponentBits: number): Float64Array {
  const fractionBits = 15 - exponentBits;
  const bias = 2 ** (exponentBits - 1) - 1;
  return Float64Array.from(ALL, (bits) => {
    const sign = bits & 0x8000 ? -1 : 1;
    const exponent = (bits & 0x7fff) >> fractionBits;
    const fraction = (bits & (2 ** fractionBits - 1)) / 2 ** fractionBits;
    if (exponent === 2 ** exponentBits - 1) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
    return exponent === 0 ? sign * fraction * 2 ** (1 - bias) : sign * (1 + fraction) * 2 ** (exponent - bias);
  });
}

function widened(convert: (bits: Uint16Array, out: Float32Array) => void): Float32Array {
  const out = new Float32Array(ALL.length);
  convert(ALL, out);
  return out;
}

describe('16-bit floats', () => {
  const kinds = [
    { name: 'binary16', exponentBits: 5, toF32: f16ToF32, toBits: f16Bits },
    { name: 'bfloat16', exponentBits: 8, toF32: bf16ToF32, toBits: bf16Bits },
  ];
  for (const { name, exponentBits, toF32, toBits } of kinds) {
    it(`${name}: every pattern widens to the value of its definition and narrows back to itself`, () => {
      const found = widened(toF32);
      const expected = defined(exponentBits);
      expect(ALL.filter((i) => !Object.is(found[i], expected[i]))).to.deep.equal(new Uint16Array(0));
      const changed = ALL.filter((i) => !Number.isNaN(found[i]!) && toBits(found[i]!) !== i);
      expect(changed).to.deep.equal(new Uint16Array(0));
      const lost = ALL.filter((i) => Number.isNaN(found[i]!) && !Number.isNaN(found[toBits(found[i]!)]!));
      expect(lost, 'a NaN that became a number').to.deep.equal(new Uint16Array(0));
    });

    it(`${name}: a value between two neighbours becomes the nearer, in the middle the even one`, () => {
      const values = widened(toF32);
      for (const low of [0x0000, 0x0001, 0x03ff, 0x3c00, 0x3c01, 0x4a4b]) {
        const [a, b] = [values[low]!, values[low + 1]!];
        expect(toBits(a + 0.25 * (b - a)), `${low} + 1/4`).to.equal(low);
        expect(toBits(a + 0.75 * (b - a)), `${low} + 3/4`).to.equal(low + 1);
        expect(toBits((a + b) / 2), `${low} + 1/2`).to.equal(low % 2 === 0 ? low : low + 1);
      }
    });
  }

  it('round half to even', () => {
    expect([0, 0.5, 0.51, 1.49, 1.5, 2.5, 3.5].map(roundHalfEven)).to.deep.equal([0, 0, 1, 1, 2, 2, 4]);
  });
});
