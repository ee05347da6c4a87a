// RandAugment and color jitter for ImageNet, as the recipes that name them draw them.

import { SpikeloomError } from '../../core/errors.ts';
import { kindOf, needArguments, needOptions } from '../../core/options.ts';
import type { Philox } from '../../core/random.ts';
import type { AffineMap, ImageChange, Resample } from '../../ops/image-program.ts';
import { rotate, shearX, shearY, translate } from './affine.ts';
import type { ChangeDrawer } from './augment.ts';

type Size = readonly [H: number, W: number];

export interface RandAugmentOptions {
  /** Magnitude of the operations, 0 to 10. Default 5. */
  magnitude?: number;
  /** Standard deviation of the magnitude, which is drawn for every operation and kept within 0 to 10. Default 0.5. */
  std?: number;
  /** Operations per image. Default 2. */
  count?: number;
  /** Probability of each operation. Default 0.5. */
  probability?: number;
  /** Bytes of pixels from outside of the image, one per channel. Default: ImageNet's mean, [124, 116, 104]. */
  fill?: readonly number[];
  /** How moved pixels are interpolated; one of several is drawn. Default ['bilinear', 'bicubic']. */
  resample?: readonly Resample[];
}

const KNOWN: Record<keyof RandAugmentOptions, true> = {
  ...({ magnitude: true, std: true, count: true, probability: true, fill: true, resample: true } as const),
};

/** What an operation depends on, beside its kind. */
export interface RandomLevel {
  /** 0 to 10 */
  level: number;
  /** 1 or -1 */
  sign: number;
  size: Size;
  fill: readonly number[];
  resample: Resample;
}

const moved = ({ resample, fill }: RandomLevel, map: AffineMap): ImageChange => ({
  kind: 'affine',
  map,
  resample,
  fill,
});
const factorOf = ({ level, sign }: RandomLevel): number => Math.max(0.1, 1 + sign * (level / 10) * 0.9);
const tenths = (level: number, most: number): number => Math.trunc((level / 10) * most);

/**
 * The operations whose strength grows with the level ("increasing", Cubuk et al., "RandAugment", 2020, in timm's form):
 * rotation to 30 degrees, shear to 0.3, translation to 0.45 of the size, factors 1 +- 0.9 (at least 0.1), 4 to 0 bits,
 * thresholds 256 to 0, additions to 110.
 */
export const RAND_AUGMENT: Readonly<Record<string, (at: RandomLevel) => ImageChange>> = {
  autoContrast: () => ({ kind: 'autoContrast' }),
  equalize: () => ({ kind: 'equalize' }),
  invert: () => ({ kind: 'invert' }),
  rotate: (at) => moved(at, rotate(at.sign * (at.level / 10) * 30, at.size)),
  posterize: ({ level }) => ({ kind: 'posterize', bits: 4 - tenths(level, 4) }),
  solarize: ({ level }) => ({ kind: 'solarize', threshold: 256 - Math.min(256, tenths(level, 256)) }),
  solarizeAdd: ({ level }) => ({ kind: 'solarizeAdd', add: Math.min(128, tenths(level, 110)), threshold: 128 }),
  color: (at) => ({ kind: 'color', factor: factorOf(at) }),
  contrast: (at) => ({ kind: 'contrast', factor: factorOf(at) }),
  brightness: (at) => ({ kind: 'brightness', factor: factorOf(at) }),
  sharpness: (at) => ({ kind: 'sharpness', factor: factorOf(at) }),
  shearX: (at) => moved(at, shearX(at.sign * (at.level / 10) * 0.3)),
  shearY: (at) => moved(at, shearY(at.sign * (at.level / 10) * 0.3)),
  translateX: (at) => moved(at, translate(at.sign * (at.level / 10) * 0.45 * at.size[1], 0)),
  translateY: (at) => moved(at, translate(0, at.sign * (at.level / 10) * 0.45 * at.size[0])),
};

const OPERATIONS = Object.values(RAND_AUGMENT);

/**
 * RandAugment: `count` operations of {@link RAND_AUGMENT}, drawn with replacement, each done with its probability at a
 * level drawn from N(magnitude, std). The defaults are 'rand-m5-mstd0.5-inc1'.
 * @example const changes = randAugment({ magnitude: 9 }).draw(philox(seed, 7, epoch, index), [224, 224]);
 */
export function randAugment(options: RandAugmentOptions = {}): ChangeDrawer {
  needOptions('randAugment()', options, KNOWN);
  const { magnitude = 5, std = 0.5, count = 2, probability = 0.5 } = options;
  const { fill = [124, 116, 104], resample = ['bilinear', 'bicubic'] } = options;
  needArguments('randAugment()', 'an array', { fill, resample });
  const rules: [key: string, value: number, isFine: boolean, rule: string][] = [
    ['magnitude', magnitude, magnitude >= 0 && magnitude <= 10, 'a number from 0 to 10'],
    ['std', std, std >= 0 && std <= 100, 'a number from 0 to 100'],
    ['count', count, Number.isInteger(count) && count >= 0 && count <= 100, 'an integer from 0 to 100'],
    ['probability', probability, probability >= 0 && probability <= 1, 'a number from 0 to 1'],
  ];
  for (const [key, value, isFine, rule] of rules) {
    if (!isFine || typeof value !== 'number')
      throw new SpikeloomError(`randAugment(): ${key} is ${rule}, not ${kindOf(value)}`);
  }
  const draw = (draws: Philox, size: Size): ImageChange[] => {
    const drawn = Array.from({ length: count }, () => OPERATIONS[draws.below(OPERATIONS.length)]!);
    const done = drawn.filter(() => draws.uniform() < probability);
    return done.map((operation) => {
      const level = Math.min(10, Math.max(0, magnitude + std * draws.normal()));
      const sign = draws.below(2) === 1 ? 1 : -1;
      return operation({ level, sign, size, fill, resample: resample[draws.below(resample.length)]! });
    });
  };
  return { most: count, draw };
}

/** Largest change of every factor: drawn from max(0, 1 - change) to 1 + change; 0: unchanged. */
export interface ColorJitterOptions {
  /** Factors are uniform in [max(0, 1 - brightness), 1 + brightness]; 0 (the default) changes nothing. */
  brightness?: number;
  /** Likewise. */
  contrast?: number;
  /** Likewise. */
  saturation?: number;
}

/**
 * Color jitter: brightness, contrast and saturation times random factors, in random order (as torchvision's
 * ColorJitter without hue).
 * @example const changes = colorJitter({ brightness: 0.4, contrast: 0.4, saturation: 0.4 }).draw(draws);
 */
export function colorJitter(options: ColorJitterOptions): ChangeDrawer {
  needOptions('colorJitter()', options, { brightness: true, contrast: true, saturation: true });
  const { brightness = 0, contrast = 0, saturation = 0 } = options;
  const all = [
    ['brightness', brightness],
    ['contrast', contrast],
    ['color', saturation],
  ] as const;
  for (const [kind, change] of all) {
    if (typeof change !== 'number' || !(change >= 0 && change < 1e6))
      throw new SpikeloomError(`colorJitter(): a change of ${kind} is a number from 0 on, not ${kindOf(change)}`);
  }
  const kinds = all.filter(([, change]) => change > 0);
  const draw = (draws: Philox): ImageChange[] =>
    [...draws.permutation(kinds.length)].map((i) => {
      const [kind, change] = kinds[i]!;
      const least = Math.max(0, 1 - change);
      return { kind, factor: least + (1 + change - least) * draws.uniform() };
    });
  return { most: kinds.length, draw };
}
