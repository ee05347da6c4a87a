import { expect } from 'chai';
import { magnitudesOf, together } from '../../bench/gradients.ts';

describe('bench: magnitudes', () => {
  it('are those of the numbers that are not 0, beside the ranges of half precision and bf16', () => {
    const first = magnitudesOf([0, -(2 ** -130), 2 ** -26, -(2 ** -25), 3]);
    expect(first).to.deep.equal({
      ...{ count: 5, zeros: 1, smallest: 2 ** -130, largest: 3 },
      ...{ fp16_to_zero: 2, fp16_to_infinity: 0, denormal: 1 },
    });
    const second = magnitudesOf(Float32Array.of(-70_000, 1, 0, 0));
    expect(second).to.include({ zeros: 2, smallest: 1, largest: 70_000, fp16_to_zero: 0, fp16_to_infinity: 1 });
    expect(together([first, second])).to.deep.equal({
      ...{ count: 9, zeros: 3, smallest: 2 ** -130, largest: 70_000 },
      ...{ fp16_to_zero: 2, fp16_to_infinity: 1, denormal: 1 },
    });
  });
});
