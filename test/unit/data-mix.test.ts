// How batches are mixed with themselves: what is drawn, and how often.
import { expect } from 'chai';
import { SpikeloomError } from '../../lib/core/errors.ts';
import { drawMix, MIX_DEFAULTS, type MixSettings, MOST_ALPHA, mixSettings } from '../../lib/data/augment/mix.ts';

const [height, width] = [64, 48];
const COUNT = 20_000;

const draw = (settings: Partial<MixSettings>, batch: number, epoch = 0, seed = 42) =>
  drawMix({ ...MIX_DEFAULTS, ...settings }, { seed, epoch, batch, height, width });
const draws = (settings: Partial<MixSettings>) => Array.from({ length: COUNT }, (_, batch) => draw(settings, batch));
const mean = (numbers: readonly number[]) => numbers.reduce((sum, x) => sum + x, 0) / numbers.length;
const variance = (numbers: readonly number[]) => mean(numbers.map((x) => (x - mean(numbers)) ** 2));

/** Area of the box over that of the picture. */
const boxShare = ([, , top, left, bottom, right]: Float32Array) =>
  ((bottom! - top!) * (right! - left!)) / (height * width);
const isCut = (mix: Float32Array) => mix[0] === 1 && boxShare(mix) > 0;

describe('mixing a batch', () => {
  it('is a pure function of seed, epoch and batch', () => {
    const settings = { mixup: 0.2, cutmix: 1 };
    expect(draw(settings, 3, 5)).to.deep.equal(draw(settings, 3, 5));
    const others = [draw(settings, 4, 5), draw(settings, 3, 6), draw(settings, 3, 5, 43)];
    for (const other of others) expect(other).to.not.deep.equal(draw(settings, 3, 5));
  });

  for (const alpha of [1e-3, 0.02, 0.2, 0.5, 1, 3, MOST_ALPHA]) {
    it(`mixup: the share is Beta(${alpha}, ${alpha})`, () => {
      const shares = draws({ mixup: alpha }).map(([keep, share, ...box]) => {
        expect(keep).to.equal(share);
        expect(box).to.deep.equal([0, 0, 0, 0]);
        return share!;
      });
      for (const share of shares) expect(share).to.be.within(0, 1);
      const spread = 1 / (4 * (2 * alpha + 1));
      expect(mean(shares)).to.be.closeTo(0.5, 5 * Math.sqrt(spread / COUNT));
      expect(variance(shares)).to.be.closeTo(spread, 0.03 * spread);
    });
  }

  it('CutMix: the share is what the box leaves of the picture', () => {
    const all = draws({ cutmix: 1 });
    for (const mix of all) {
      const [keep, share, top, left, bottom, right] = mix as unknown as [
        number,
        number,
        number,
        number,
        number,
        number,
      ];
      expect(keep).to.equal(1);
      expect(share).to.equal(Math.fround(1 - boxShare(mix)));
      expect([top, left, bottom, right].every(Number.isInteger)).to.equal(true);
      expect(top >= 0 && top <= bottom && bottom <= height && left >= 0 && left <= right && right <= width).to.equal(
        true,
      );
    }
    // E[(1 - lambda) (1 - r/4)^2] over uniform lambda, r = sqrt(1 - lambda): what a box keeps of its side where its
    // center is anywhere
    expect(mean(all.map(boxShare))).to.be.closeTo(1 / 2 - 1 / 5 + 1 / 48, 0.02);
    const centres = all
      .filter((mix) => boxShare(mix) < 0.05 && boxShare(mix) > 0)
      .map((mix) => (mix[2]! + mix[4]!) / 2);
    expect(mean(centres)).to.be.closeTo(height / 2, 2);
  });

  it('draws between the two, and leaves some batches alone', () => {
    const all = draws({ mixup: 0.2, cutmix: 1, p: 0.6, switch: 0.25 });
    const untouched = all.filter(([keep, share]) => keep === 1 && share === 1).length / COUNT;
    const cut = all.filter(isCut).length / COUNT;
    expect(untouched).to.be.closeTo(0.4, 0.02); // a box of no pixel is among them
    expect(cut).to.be.closeTo(0.6 * 0.25, 0.02);
  });

  it('settings: nothing to mix is none, what makes no sense is refused', () => {
    expect(mixSettings(undefined)).to.equal(undefined);
    expect(mixSettings({ mixup: 0, cutmix: 0 })).to.equal(undefined);
    expect(mixSettings({ mixup: 1, p: 0 })).to.equal(undefined);
    expect(mixSettings({ mixup: 0.5 })).to.deep.equal({ mixup: 0.5, cutmix: 0, p: 1, switch: 0.5 });
    const refused: [object, RegExp][] = [
      [{ mixup: -1 }, /mix\.mixup is a number from 0 to 1000, not -1/],
      [{ cutmix: 1001 }, /mix\.cutmix is a number from 0 to 1000, not 1001/],
      [{ mixup: Number.NaN }, /mix\.mixup/],
      [{ mixup: 1, p: 1.5 }, /mix\.p is a number from 0 to 1, not 1.5/],
      [{ blend: 1 }, /mix has no option blend; it has mixup, cutmix, p, switch/],
    ];
    for (const [given, message] of refused) expect(() => mixSettings(given)).to.throw(SpikeloomError, message);
  });
});
