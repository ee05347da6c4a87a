import { expect } from 'chai';
import { SpikeloomError } from '../../lib/core/errors.ts';
import { augmentation, BASIC, normaliseTable, place, renderSample } from '../../lib/data/augment.ts';
import { checkImageSet, imageSet } from '../../lib/data/image-set.ts';
import { limit } from '../../lib/data/limit.ts';
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
  const set = randomSet();
  const size = 3 * 8 * 7;
  const table = normaliseTable(set.mean, set.std);
  const render = (index: number, placement = { top: 0, left: 0, flip: false }) => {
    const out = new Float32Array(size);
    renderSample(set, index, placement, table, out);
    return out;
  };
  const value = (c: number, pixel: number) => Math.fround((pixel / 255 - set.mean[c]!) / set.std[c]!);

  it('without augmentation only normalises, channel by channel', () => {
    const out = render(4);
    for (let i = 0; i < size; i++) expect(out[i]).to.equal(value(Math.floor(i / 56), set.images[4 * size + i]!));
  });

  it('crops with zero pixels before normalisation and mirrors the crop', () => {
    for (const [top, left] of [
      [-2, 3],
      [4, -1],
      [0, -4],
      [-8, 7],
    ] as const) {
      const plain = render(9, { top, left, flip: false });
      const flipped = render(9, { top, left, flip: true });
      for (let c = 0; c < 3; c++) {
        for (let y = 0; y < 8; y++) {
          for (let x = 0; x < 7; x++) {
            const [row, column] = [y + top, x + left];
            const inside = row >= 0 && row < 8 && column >= 0 && column < 7;
            const pixel = inside ? set.images[9 * size + (c * 8 + row) * 7 + column]! : 0;
            expect(plain[(c * 8 + y) * 7 + x]).to.equal(value(c, pixel));
            expect(flipped[(c * 8 + y) * 7 + 6 - x]).to.equal(value(c, pixel));
          }
        }
      }
    }
  });

  it('writes at the place it is given and nowhere else', () => {
    const out = new Float32Array(3 * size).fill(77);
    renderSample(set, 2, { top: 1, left: 1, flip: true }, table, out, size);
    expect([...out.subarray(size, 2 * size)]).to.deep.equal([...render(2, { top: 1, left: 1, flip: true })]);
    expect([...out.subarray(0, size), ...out.subarray(2 * size)].every((x) => x === 77)).to.equal(true);
  });

  it('draws a placement from seed, epoch and sample alone, and each of them matters', () => {
    const kind = BASIC.cifar10!;
    const key = (seed: number, epoch: number) =>
      Array.from({ length: 20 }, (_, index) => JSON.stringify(place(kind, seed, epoch, index))).join();
    expect(key(1, 2)).to.equal(key(1, 2));
    expect(new Set([key(1, 2), key(2, 2), key(1, 3)]).size).to.equal(3);
    expect(new Set(key(1, 2).split('},')).size).to.be.above(10);
  });

  it('uses every offset equally often and flips half', () => {
    const kind = BASIC.cifar10!;
    const n = 20_000;
    const tops = new Map<number, number>();
    const lefts = new Map<number, number>();
    let flips = 0;
    for (let index = 0; index < n; index++) {
      const { top, left, flip } = place(kind, 3407, 0, index);
      tops.set(top, (tops.get(top) ?? 0) + 1);
      lefts.set(left, (lefts.get(left) ?? 0) + 1);
      flips += Number(flip);
    }
    for (const counts of [tops, lefts]) {
      expect([...counts.keys()].sort((a, b) => a - b)).to.deep.equal([-4, -3, -2, -1, 0, 1, 2, 3, 4]);
      for (const count of counts.values()) expect(count).to.be.within(0.9 * (n / 9), 1.1 * (n / 9));
    }
    expect(flips / n).to.be.closeTo(0.5, 0.015);
  });

  it('never flips digits and leaves everything in place without augmentation', () => {
    const digits = augmentation('mnist', 'basic')!;
    expect(digits).to.deep.equal({ pad: 2, flip: false });
    const placed = Array.from({ length: 200 }, (_, i) => place(digits, 1, 0, i));
    expect(placed.every(({ flip, top, left }) => !flip && Math.abs(top) <= 2 && Math.abs(left) <= 2)).to.equal(true);
    expect(place(augmentation('mnist', 'none'), 1, 2, 3)).to.deep.equal({ top: 0, left: 0, flip: false });
  });

  it('refuses unknown names, listing the known ones', () => {
    expect(() => augmentation('cifar10', 'strong' as never)).to.throw(SpikeloomError, 'none, basic');
    for (const name of ['mine', 'toString']) {
      expect(() => augmentation(name, 'basic')).to.throw(SpikeloomError, 'cifar10, cifar100, fashion-mnist, mnist');
    }
  });
});
