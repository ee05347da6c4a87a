import { SpikeloomError } from '../../core/errors.ts';
import { given, kindOf, needOptions } from '../../core/options.ts';
import { type Philox, philox, STREAM } from '../../core/random.ts';

/**
 * How batches are mixed with themselves in reversed order (see mixImages()): mixup (Zhang et al., arXiv 1710.09412),
 * CutMix (Yun et al., arXiv 1905.04899), or a draw between them, once for a batch, as timm's Mixup in its mode 'batch'.
 */
export interface MixSettings {
  /** Mixup's share of the own image is drawn from Beta(mixup, mixup), at most {@link MOST_ALPHA}; 0: no mixup. */
  mixup: number;
  /**
   * CutMix's share of the own image, before the box is cut to the picture, is drawn from Beta(cutmix, cutmix), at most
   * {@link MOST_ALPHA}; 0: no CutMix.
   */
  cutmix: number;
  /** Probability that a batch is mixed. */
  p: number;
  /** Probability that it is CutMix where both are on. */
  switch: number;
}

/** The largest alpha, whose shares lie within a few hundredths of 1/2: a larger one is a slip. */
export const MOST_ALPHA = 1000;

export const MIX_DEFAULTS: Readonly<MixSettings> = { mixup: 0, cutmix: 0, p: 1, switch: 0.5 };

/** Which batch is mixed, and its pictures' size in pixels. */
export interface MixedBatch {
  seed: number;
  epoch: number;
  batch: number;
  height: number;
  width: number;
}

/**
 * Settings with their defaults; undefined where nothing is ever mixed.
 * @throws SpikeloomError for numbers out of range
 */
export function mixSettings(options: Partial<MixSettings> | undefined): MixSettings | undefined {
  if (options) needOptions('mix', options, MIX_DEFAULTS);
  const settings: MixSettings = { ...MIX_DEFAULTS, ...given(options ?? {}) };
  for (const [name, value] of Object.entries(settings)) {
    const most = name === 'p' || name === 'switch' ? 1 : MOST_ALPHA;
    if (typeof value !== 'number' || !(value >= 0 && value <= most)) {
      throw new SpikeloomError(`mix.${name} is a number from 0 to ${most}, not ${kindOf(value)}`);
    }
  }
  return settings.p > 0 && settings.mixup + settings.cutmix > 0 ? settings : undefined;
}

/**
 * Gamma(shape, 1) by Marsaglia and Tsang ("A simple method for generating gamma variables", 2000); below 1 by way of
 * shape + 1.
 */
function gamma(draws: Philox, shape: number): number {
  if (shape < 1) return gamma(draws, shape + 1) * (1 - draws.uniform()) ** (1 / shape);
  const d = shape - 1 / 3;
  for (;;) {
    const x = draws.normal();
    const v = (1 + x / Math.sqrt(9 * d)) ** 3;
    if (v > 0 && Math.log(1 - draws.uniform()) < x ** 2 / 2 + d - d * v + d * Math.log(v)) return d * v;
  }
}

/** Beta(alpha, alpha). */
function symmetricBeta(draws: Philox, alpha: number): number {
  const [a, b] = [gamma(draws, alpha), gamma(draws, alpha)];
  return a + b > 0 ? a / (a + b) : Number(draws.below(2)); // both underflow for a tiny alpha: then it is 0 or 1
}

/**
 * A box of the share 1 - lambda of the picture around a point of it, cut to the picture: [top, left, bottom, right].
 */
function box(draws: Philox, lambda: number, height: number, width: number): [number, number, number, number] {
  const ratio = Math.sqrt(1 - lambda);
  const halves = [Math.floor(height * ratio) >> 1, Math.floor(width * ratio) >> 1] as const;
  const [y, x] = [draws.below(height), draws.below(width)];
  return [
    Math.max(0, y - halves[0]),
    Math.max(0, x - halves[1]),
    Math.min(height, y + halves[0]),
    Math.min(width, x + halves[1]),
  ];
}

/**
 * How a batch is mixed, a pure function of (seed, epoch, batch).
 * @returns (keep, share, top, left, bottom, right), as mixImages() and mixLabels() take it
 * @example
 * drawMix({ mixup: 0.5, cutmix: 0, p: 1, switch: 0.5 }, { seed: 42, epoch: 0, batch: 7, height: 64, width: 64 })
 */
export function drawMix(settings: MixSettings, place: MixedBatch): Float32Array<ArrayBuffer> {
  const { height, width } = place;
  const draws = philox(place.seed, STREAM.mix, place.epoch, place.batch);
  if (draws.uniform() >= settings.p) return Float32Array.of(1, 1, 0, 0, 0, 0);
  const cuts = settings.cutmix > 0 && (settings.mixup === 0 || draws.uniform() < settings.switch);
  const lambda = symmetricBeta(draws, cuts ? settings.cutmix : settings.mixup);
  if (!cuts) return Float32Array.of(lambda, lambda, 0, 0, 0, 0);
  const [top, left, bottom, right] = box(draws, lambda, height, width);
  const share = 1 - ((bottom - top) * (right - left)) / (height * width);
  return Float32Array.of(1, share, top, left, bottom, right);
}
