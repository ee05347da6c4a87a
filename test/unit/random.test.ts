import { expect } from 'chai';
import fc from 'fast-check';
import { SpikeloomError } from '../../lib/core/errors.ts';
import { philox, philoxBlock } from '../../lib/core/random.ts';

const words = (...values: number[]) => Uint32Array.from(values);
const take = <T>(n: number, draw: () => T): T[] => Array.from({ length: n }, draw);

describe('random: Philox4x32-10', () => {
  // Known-answer vectors of the Random123 distribution (kat_vectors, philox 4x32 10).
  const ones = 0xffffffff;
  const known = [
    { counter: words(0, 0, 0, 0), key: words(0, 0), out: [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8] },
    {
      counter: words(ones, ones, ones, ones),
      key: words(ones, ones),
      out: [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd],
    },
    {
      counter: words(0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344),
      key: words(0xa4093822, 0x299f31d0),
      out: [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
    },
  ];
  for (const { counter, key, out } of known) {
    it(`gives the published words for counter ${counter[0]!.toString(16)}`, () => {
      expect([...philoxBlock(counter, key)]).to.deep.equal(out);
    });
  }

  it('agrees with the same rounds written in BigInt', () => {
    const reference = (counter: bigint[], [k0, k1]: bigint[]): number[] => {
      const mask = 0xffffffffn;
      let [a, b, c, d] = counter as [bigint, bigint, bigint, bigint];
      for (let round = 0n; round < 10n; round++) {
        const p0 = 0xd2511f53n * a;
        const p1 = 0xcd9e8d57n * c;
        const w0 = (k0! + round * 0x9e3779b9n) & mask;
        const w1 = (k1! + round * 0xbb67ae85n) & mask;
        [a, b, c, d] = [(p1 >> 32n) ^ b ^ w0, p1 & mask, (p0 >> 32n) ^ d ^ w1, p0 & mask];
      }
      return [a, b, c, d].map(Number);
    };
    const word = fc.integer({ min: 0, max: ones });
    fc.assert(
      fc.property(fc.tuple(word, word, word, word), fc.tuple(word, word), (counter, key) => {
        expect([...philoxBlock(words(...counter), words(...key))]).to.deep.equal(
          reference(counter.map(BigInt), key.map(BigInt)),
        );
      }),
    );
  });

  it('places seed in the key and block and stream in the counter', () => {
    const seed = 5 * 2 ** 32 + 7;
    const draws = philox(seed, 11, 12, 13);
    const blocks = [0, 1].flatMap((block) => [...philoxBlock(words(block, 11, 12, 13), words(7, 5))]);
    expect(take(8, () => draws.uint32())).to.deep.equal(blocks);
    expect(take(4, () => draws.uint32())).not.to.deep.equal(blocks.slice(0, 4));
  });

  it('takes missing stream words for 0 and keeps streams and seeds apart', () => {
    const first = (seed: number, ...stream: number[]) => philox(seed, ...stream).uint32();
    expect(first(1, 2)).to.equal(first(1, 2, 0, 0));
    const names = [[1], [2], [1, 1], [1, 0, 1], [1, 0, 0, 1], [1 + 2 ** 32]] as [number, ...number[]][];
    expect(new Set(names.map((name) => first(...name))).size).to.equal(names.length);
  });

  it('reopened under another word gives that stream from its start', () => {
    const draws = philox(5, 1, 2, 3);
    draws.normal();
    draws.reopen(7);
    const expected = philox(5, 1, 2, 7);
    expect(take(9, () => draws.uint32())).to.deep.equal(take(9, () => expected.uint32()));
    draws.reopen(2 ** 32 - 1);
    expect(draws.normal()).to.equal(philox(5, 1, 2, 2 ** 32 - 1).normal());
    expect(() => draws.reopen(2 ** 32)).to.throw(SpikeloomError, 'stream word');
  });

  it('refuses seeds and stream words that do not fit', () => {
    for (const seed of [-1, 0.5, Number.NaN, 2 ** 53]) expect(() => philox(seed)).to.throw(SpikeloomError, 'seed');
    for (const word of [-1, 0.5, 2 ** 32]) expect(() => philox(1, word)).to.throw(SpikeloomError, 'stream word');
    expect(() => philox(1, 2, 3, 4, 5)).to.throw(SpikeloomError, 'at most 3 words');
  });
});

describe('random: distributions', () => {
  it('uniform is made of 53 bits of two words and lies in [0, 1)', () => {
    const raw = philox(3, 1);
    const draws = philox(3, 1);
    for (let i = 0; i < 100; i++) {
      const value = draws.uniform();
      const bits = (BigInt(raw.uint32() >>> 5) << 26n) | BigInt(raw.uint32() >>> 6);
      expect(value).to.equal(Number(bits) / 2 ** 53);
      expect(value).to.be.within(0, 1 - 2 ** -53);
    }
  });

  it('uniform fills ten bins evenly (chi-square, 9 degrees, p = 0.001)', () => {
    const draws = philox(17);
    const bins = new Array<number>(10).fill(0);
    for (let i = 0; i < 100_000; i++) bins[Math.floor(10 * draws.uniform())]! += 1;
    expect(bins.reduce((sum, n) => sum + (n - 10_000) ** 2 / 10_000, 0)).to.be.below(27.88);
  });

  it('normal has the first four moments of N(0, 1) and is the Box-Muller pair', () => {
    const draws = philox(23);
    const sample = take(100_000, () => draws.normal());
    const moment = (k: number) => sample.reduce((sum, x) => sum + x ** k, 0) / sample.length;
    expect(moment(1)).to.be.closeTo(0, 0.015);
    expect(moment(2)).to.be.closeTo(1, 0.02);
    expect(moment(3)).to.be.closeTo(0, 0.05);
    expect(moment(4)).to.be.closeTo(3, 0.15);
    const raw = philox(23);
    const radius = Math.sqrt(-2 * Math.log(1 - raw.uniform()));
    const angle = 2 * Math.PI * raw.uniform();
    expect(sample.slice(0, 2)).to.deep.equal([radius * Math.cos(angle), radius * Math.sin(angle)]);
  });

  it('fillNormal gives the values of as many calls of normal, times the scale, wherever it begins', () => {
    for (const [before, count] of [
      [0, 0],
      [0, 1],
      [0, 8],
      [1, 0],
      [1, 1],
      [1, 7],
      [3, 6],
    ] as const) {
      const [filled, drawn] = [philox(9, 4), philox(9, 4)];
      for (const draws of [filled, drawn]) take(before, () => draws.normal());
      const values = new Float64Array(count);
      filled.fillNormal(values, 0.5);
      expect([...values], `${count} after ${before}`).to.deep.equal(take(count, () => 0.5 * drawn.normal()));
      expect(filled.normal()).to.equal(drawn.normal());
    }
  });

  it('below(n) redraws instead of folding the incomplete last run', () => {
    // With n = 3 * 2^30 a quarter of all words must be redrawn; folding would double the share of values below 2^30.
    const n = 3 * 2 ** 30;
    const draws = philox(5);
    const sample = take(20_000, () => draws.below(n));
    expect(sample.every((x) => x >= 0 && x < n)).to.equal(true);
    expect(sample.filter((x) => x < 2 ** 30).length / sample.length).to.be.closeTo(1 / 3, 0.015);
    expect(philox(5).below(1)).to.equal(0);
    expect(philox(5).below(2 ** 32)).to.equal(philox(5).uint32());
    for (const bad of [0, -1, 1.5, 2 ** 32 + 1]) expect(() => philox(5).below(bad)).to.throw(SpikeloomError, '2^32');
  });

  it('permutation exchanges every place with one at or before it, from the end, in slices or not', () => {
    for (const n of [0, 1, 2, 4096, 4097, 4098, 9000]) {
      const [draws, order] = [philox(11), Array.from({ length: n }, (_, i) => i)];
      for (let i = n - 1; i > 0; i--) {
        const j = draws.below(i + 1);
        [order[i], order[j]] = [order[j]!, order[i]!];
      }
      expect([...philox(11).permutation(n)]).to.deep.equal(order);
      let turns = 0;
      const pieces = philox(11).permutationInTurns(n);
      let turn = pieces.next();
      for (; !turn.done; turn = pieces.next()) turns++;
      expect([...turn.value]).to.deep.equal(order);
      expect(turns).to.be.at.least(Math.floor(n / 4097));
    }
  });

  it('permutation holds every index once, moves them, and treats all orders of three alike', () => {
    fc.assert(
      fc.property(fc.nat(200), fc.nat(), (n, seed) => {
        const order = philox(seed).permutation(n);
        expect([...order].sort((a, b) => a - b)).to.deep.equal(take(n, () => 0).map((_, i) => i));
      }),
    );
    for (const bad of [-1, 1.5, 2 ** 26 + 1, 1e9]) {
      expect(() => philox(1).permutation(bad)).to.throw(SpikeloomError, 'from 0 to 2^26');
    }
    expect([...philox(1).permutation(100)]).not.to.deep.equal([...philox(2).permutation(100)]);
    const counts = new Map<string, number>();
    const draws = philox(9);
    for (let i = 0; i < 12_000; i++) {
      const key = draws.permutation(3).join('');
      counts.set(key, (counts.get(key) ?? 0) + 1);
    }
    expect(counts.size).to.equal(6);
    for (const count of counts.values()) expect(count).to.be.within(1850, 2150);
  });
});
