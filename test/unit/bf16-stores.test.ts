// Numbers that an op writes as bf16: rounded to nearest, ties to even, whatever instruction the level has for it.
import { expect } from 'chai';
import { scope, tensor } from '../../lib/core/index.ts';
import { philox } from '../../lib/core/random.ts';
import { avgPool2d } from '../../lib/ops/index.ts';

/** Rounded as core/bf16.h does; a NaN stays one. */
function rounded(bits: number): number {
  if ((bits & 0x7fffffff) > 0x7f800000) return ((bits | 0x400000) >>> 16) & 0xffff;
  return ((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16) & 0xffff;
}

const special = [
  [0x3f808000, 'a tie, down to even'],
  [0x3f818000, 'a tie, up to even'],
  [0x3f808001, 'just above a tie'],
  [0x3f817fff, 'just below a tie'],
  [0x7f7fffff, 'the largest number, which rounds to infinity'],
  [0xff7f7fff, 'a large negative number, which does not'],
  [0x00800000, 'the least normal number'],
  [0x807fffff + 1, 'the least normal number, negative'],
  [0x7f800000, 'infinity'],
  [0xff800000, 'negative infinity'],
  [0x7fc00000, 'NaN'],
  [0x7f800001, 'a NaN with a digit that is cut off'],
  [0xffffffff, 'a negative NaN with all digits'],
] as const;

describe('numbers written as bf16', () => {
  // Windows of one pixel: the mean is the number itself. Channels of whole vectors, and of less than one.
  for (const channels of [1, 7, 16, 33, 64]) {
    it(`are rounded to nearest, ${channels} channels`, async () => {
      const drawn = philox(7, channels);
      const any = Array.from({ length: 40 * channels }, () => drawn.uint32());
      const normal = any.filter((bits) => (bits & 0x7f800000) !== 0);
      const bits = Uint32Array.from([...special.map(([word]) => word), ...normal].slice(0, 24 * channels));
      expect(bits.length).to.equal(24 * channels);
      using x = tensor(new Float32Array(bits.buffer), { shape: [1, 24, channels, 1, 1] });
      using y = scope(() => avgPool2d(x, { kernel: 1, precision: 'bf16' }));
      const words = [...(await y.array())];
      expect(words).to.deep.equal([...bits].map(rounded));
    });
  }
});
