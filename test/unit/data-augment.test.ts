import { expect } from 'chai';
import { SpikeloomError } from '../../lib/core/errors.ts';
import { philox } from '../../lib/core/random.ts';
import {
  type AugmentName,
  augmentation,
  type ChangeDrawer,
  drawPrograms,
  normaliseTable,
} from '../../lib/data/augment/augment.ts';
import { CIFAR10_POLICY } from '../../lib/data/augment/auto-augment.ts';
import { colorJitter, randAugment } from '../../lib/data/augment/rand-augment.ts';
import { checkImageSet, imageSet } from '../../lib/data/images/image-set.ts';
import { limit } from '../../lib/data/limit.ts';
import { type AffineMap, encodePrograms, type ImageProgram } from '../../lib/ops/image-program.ts';
import { randomSet } from '../support/image-sets.ts';

describe('data: image sets', () => {
  it('limit takes the first n in file order as a view', () => {
    const set = randomSet();
    const few = limit(set, 5);
    expect([few.count, few.labels.length, few.images.length]).to.deep.equal([5, 5, 5 * 3 * 8 * 7]);
    expect([...few.images]).to.deep.equal([...set.images.subarray(0, 840)]);
    expect(few.images.buffer).to.equal(set.images.buffer);
    expect(limit(set, 1000).count).to.equal(23);
    checkImageSet(few);
    for (const bad of [0, -3, 1.5, Number.NaN])
      expect(() => limit(set, bad)).to.throw(SpikeloomError, 'positive integer');
  });

  it('imageSet copies into shared memory only what is not there yet', () => {
    const set = randomSet();
    const again = imageSet(set);
    expect(again.images).to.equal(set.images);
    expect(again.labels).to.equal(set.labels);
    expect(imageSet({ ...set, labels: [...set.labels] }).labels.buffer).to.be.instanceOf(SharedArrayBuffer);
  });

  it('refuses parts that do not fit together', () => {
    const set = randomSet();
    const refuse = (change: object, message: string | RegExp) =>
      expect(() => imageSet({ ...set, ...change })).to.throw(SpikeloomError, message);
    refuse({ count: 24 }, '[24,3,8,7] need 4032 bytes, but there are 3864');
    refuse({ width: 0 }, 'width must be a positive integer');
    refuse({ labels: [1] }, '23 images need 23 labels, but there are 1');
    refuse({ mean: [0.1] }, 'mean must hold one finite number per channel (3)');
    refuse({ std: [0.1, 0, 0.1] }, 'std must be positive');
    refuse({ classes: ['a', 'b'] }, 'label 2 of image 2 is outside 0..1');
    expect(() => checkImageSet({ ...set, images: new Uint8Array(3864) as never })).to.throw(
      SpikeloomError,
      'imageSet(',
    );
  });
});

describe('data: augmentation', () => {
  const size = [32, 32] as const;
  const drawn = (dataSet: string, name: AugmentName, { seed = 3407, epoch = 0, n = 20_000 } = {}): ImageProgram[] => {
    const draw = drawPrograms(augmentation(dataSet, name), size, seed, epoch);
    return Array.from({ length: n }, (_, index) => draw(index));
  };
  const share = <T>(all: T[], test: (one: T) => boolean): number => all.filter(test).length / all.length;
  const counts = (numbers: number[]): Map<number, number> => {
    const found = new Map<number, number>();
    for (const x of numbers) found.set(x, (found.get(x) ?? 0) + 1);
    return new Map([...found].sort(([a], [b]) => a - b));
  };

  it('leaves everything as it is by the name none', () => {
    expect(drawn('whatever', 'none', { n: 3 })).to.deep.equal([{ index: 0 }, { index: 1 }, { index: 2 }]);
  });

  it('draws from seed, epoch and sample alone, and each of them matters', () => {
    for (const name of ['basic', 'published'] as const) {
      const key = (seed: number, epoch: number) => JSON.stringify(drawn('cifar10', name, { seed, epoch, n: 20 }));
      expect(key(1, 2)).to.equal(key(1, 2));
      expect(new Set([key(1, 2), key(2, 2), key(1, 3)]).size).to.equal(3);
      const one = drawPrograms(augmentation('cifar10', name), size, 1, 2);
      for (const index of [19, 3, 3, 0]) {
        expect(one(index)).to.deep.equal(drawn('cifar10', name, { seed: 1, epoch: 2, n: 20 })[index]);
      }
    }
  });

  it('uses every offset equally often and flips half', () => {
    const all = drawn('cifar10', 'basic');
    for (const key of ['top', 'left'] as const) {
      const found = counts(all.map((program) => program[key]!));
      expect([...found.keys()]).to.deep.equal([-4, -3, -2, -1, 0, 1, 2, 3, 4]);
      for (const count of found.values()) expect(count / all.length).to.be.within(0.9 / 9, 1.1 / 9);
    }
    expect(share(all, ({ flip }) => flip === true)).to.be.closeTo(0.5, 0.015);
    expect(share(all, ({ changes, hole }) => changes !== undefined || hole !== undefined)).to.equal(0);
  });

  it('never flips digits', () => {
    const all = drawn('mnist', 'basic', { n: 200 });
    expect(share(all, ({ flip, top, left }) => !flip && Math.abs(top!) <= 2 && Math.abs(left!) <= 2)).to.equal(1);
  });

  it('the published one of CIFAR begins as the basic one and cuts a hole of 16 around any pixel', () => {
    const all = drawn('cifar10', 'published');
    const crops = all.map(({ index, top, left, flip }) => ({ index, top, left, flip }));
    expect(crops).to.deep.equal(drawn('cifar10', 'basic'));
    for (const [from, to] of [
      ['top', 'bottom'],
      ['left', 'right'],
    ] as const) {
      expect(share(all, ({ hole }) => hole![to] - hole![from] === 16)).to.equal(1);
      const found = counts(all.map(({ hole }) => hole![from]));
      expect([...found.keys()]).to.deep.equal(Array.from({ length: 32 }, (_, i) => i - 8));
      for (const count of found.values()) expect(count / all.length).to.be.within(0.8 / 32, 1.2 / 32);
    }
    expect(drawn('cifar100', 'published', { n: 50 })).to.deep.equal(all.slice(0, 50));
  });

  it('draws the operations of the policy as often as it says, with both signs', () => {
    const all = drawn('cifar10', 'published').flatMap(({ changes }) => changes!);
    const expected = new Map<string, number>();
    for (const [name, probability] of CIFAR10_POLICY.flat()) {
      const kind = /^(shear|translate|rotate)/.test(name) ? 'affine' : name;
      expected.set(kind, (expected.get(kind) ?? 0) + probability / 25);
    }
    for (const [kind, rate] of expected) {
      expect(all.filter((change) => change.kind === kind).length / 20_000, kind).to.be.closeTo(rate, 0.01);
    }
    const factors = all.flatMap((change) => ('factor' in change && change.factor !== 1 ? [change.factor] : []));
    expect(share(factors, (factor) => factor > 1)).to.be.closeTo(0.5, 0.02);
  });

  it('refuses unknown names, listing the known ones', () => {
    expect(() => augmentation('cifar10', 'strong' as never)).to.throw(SpikeloomError, 'none, basic, published');
    for (const name of ['mine', 'toString']) {
      expect(() => augmentation(name, 'basic')).to.throw(SpikeloomError, 'cifar10, cifar100, fashion-mnist, mnist');
      expect(() => augmentation(name, 'published')).to.throw(SpikeloomError, 'only for cifar10, cifar100: use');
    }
  });

  it('normalises as a real number, rounded once', () => {
    const table = normaliseTable([0.5, 0.1], [0.2, 0.3]);
    expect(table.length).to.equal(512);
    expect(table[255]).to.equal(Math.fround((1 - 0.5) / 0.2));
    expect(table[256 + 77]).to.equal(Math.fround((77 / 255 - 0.1) / 0.3));
  });
});

describe('data: RandAugment and colour jitter', () => {
  const n = 20_000;
  const drawn = ({ draw }: ChangeDrawer) => {
    const draws = philox(1, 77, 0, 0);
    return Array.from({ length: n }, (_, index) => {
      draws.reopen(index);
      return draw(draws, [224, 200]);
    });
  };

  it('RandAugment does each of two operations half of the time, all kinds alike, at levels around 5', () => {
    const all = drawn(randAugment());
    const done = all.flat();
    expect(done.length / n).to.be.closeTo(1, 0.02);
    expect(Math.max(...all.map((changes) => changes.length))).to.equal(2);
    const kinds = new Map<string, number>();
    for (const { kind } of done) kinds.set(kind, (kinds.get(kind) ?? 0) + 1 / done.length);
    expect(kinds.get('affine')).to.be.closeTo(5 / 15, 0.015);
    for (const kind of ['invert', 'equalize', 'autoContrast', 'solarizeAdd', 'sharpness']) {
      expect(kinds.get(kind), kind).to.be.closeTo(1 / 15, 0.01);
    }
    const factors = done.flatMap((change) => (change.kind === 'contrast' ? [Math.abs(change.factor - 1) / 0.09] : []));
    const mean = factors.reduce((a, b) => a + b) / factors.length;
    expect(mean).to.be.closeTo(5, 0.05);
    expect(Math.sqrt(factors.reduce((sum, x) => sum + (x - mean) ** 2, 0) / factors.length)).to.be.closeTo(0.5, 0.04);
    const moves = done.flatMap((change) => (change.kind === 'affine' ? [change] : []));
    const bilinear = moves.filter(({ resample }) => resample === 'bilinear').length;
    expect(bilinear / moves.length).to.be.closeTo(0.5, 0.03);
    expect(moves[0]!.fill).to.deep.equal([124, 116, 104]);
  });

  it('keeps levels within 0 to 10', () => {
    const done = drawn(randAugment({ magnitude: 9, std: 9, probability: 1 })).flat();
    for (const change of done) {
      if (change.kind === 'brightness') expect(change.factor).to.be.within(0.1, 1.9);
      if (change.kind === 'posterize') expect(change.bits).to.be.within(0, 4);
      if (change.kind === 'solarize') expect(change.threshold).to.be.within(0, 256);
    }
    expect(done.length).to.equal(2 * n);
  });

  it('colour jitter has what it was given in every order, with factors all over their range', () => {
    const all = drawn(colorJitter({ brightness: 0.4, contrast: 0.2, saturation: 1.5 }));
    const orders = new Set(all.map((changes) => changes.map(({ kind }) => kind).join()));
    expect(orders.size).to.equal(6);
    for (const [kind, least, most] of [
      ['brightness', 0.6, 1.4],
      ['contrast', 0.8, 1.2],
      ['color', 0, 2.5],
    ] as const) {
      const factors = all.flat().flatMap((change) => (change.kind === kind ? [change.factor] : []));
      expect(factors.length).to.equal(n);
      expect(Math.min(...factors)).to.be.within(least, least + 0.01);
      expect(Math.max(...factors)).to.be.within(most - 0.01, most);
    }
    expect(drawn(colorJitter({ contrast: 0.1 }))[0]).to.have.length(1);
    expect(drawn(colorJitter({}))[0]).to.deep.equal([]);
  });
});

describe('image programs', () => {
  it('have words for the changes of the longest one', () => {
    const words = encodePrograms([
      { index: 7, top: -2, left: 3, flip: true },
      { index: 1, changes: [{ kind: 'invert' }] },
    ]);
    expect(words.length).to.equal(2 * (8 + 16));
    expect([...words.subarray(0, 24)]).to.deep.equal([7, -2, 3, 1, ...new Array(20).fill(0)]);
    expect([...words.subarray(24, 33)]).to.deep.equal([1, 0, 0, 0, 0, 0, 0, 0, 11]);
    expect(encodePrograms([])).to.have.length(0);
    expect(encodePrograms([{ index: 0 }], 2)).to.have.length(40);
  });

  it('are refused where they do not fit', () => {
    const changes = [{ kind: 'invert' }, { kind: 'invert' }] as const;
    expect(() => encodePrograms([{ index: 0, changes }], 1)).to.throw(SpikeloomError, 'needs 40 words, not 24');
    const affine = { kind: 'affine', fill: [0], resample: 'nearest' } as const;
    const refuse = (map: AffineMap, message: string) =>
      expect(() => encodePrograms([{ index: 0, changes: [{ ...affine, map }] }])).to.throw(SpikeloomError, message);
    refuse([0.5, 0, 0, 0, 1, 0], 'has scales 0.5, 1');
    refuse([1, 0, 40000, 0, 1, 0], 'within +-32768');
    refuse([1, Number.NaN, 0, 0, 1, 0], 'within +-32768');
  });
});
