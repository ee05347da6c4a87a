import { SpikeloomError } from '../core/errors.ts';
import { philox, STREAM } from '../core/random.ts';
import type { ImageSet } from './image-set.ts';

/** The kinds of augmentation that a loader offers. */
export const AUGMENT_NAMES = ['none', 'basic', 'published'] as const;
export type AugmentName = (typeof AUGMENT_NAMES)[number];

/** Random crop of H x W out of the image with `pad` zero pixels on every side; horizontal flip with probability 1/2. */
export interface Augmentation {
  pad: number;
  flip: boolean;
}

/** What 'basic' means for each data set. Digits are not flipped. */
export const BASIC: Readonly<Record<string, Augmentation>> = {
  cifar10: { pad: 4, flip: true },
  cifar100: { pad: 4, flip: true },
  'fashion-mnist': { pad: 2, flip: true },
  mnist: { pad: 2, flip: false },
};

/** Where a sample's window lies: the crop's corner relative to the image (-pad..pad), then whether it is mirrored. */
export interface Placement {
  top: number;
  left: number;
  flip: boolean;
}

const CENTRED: Placement = { top: 0, left: 0, flip: false };

/** The augmentation of that name for that data set; undefined for 'none'. */
export function augmentation(dataSet: string, name: AugmentName): Augmentation | undefined {
  if (name === 'none') return undefined;
  if (name !== 'basic') {
    throw new SpikeloomError(`augment must be one of ${AUGMENT_NAMES.join(', ')}, but is '${name}'`);
  }
  if (!Object.hasOwn(BASIC, dataSet)) {
    const known = Object.keys(BASIC).join(', ');
    throw new SpikeloomError(
      `no basic augmentation is defined for '${dataSet}', only for ${known}: use augment 'none' or give the set one of these names`,
    );
  }
  return BASIC[dataSet];
}

/** Draws the placements of an epoch's samples, each a pure function of (seed, epoch, sample index). */
export function placements(kind: Augmentation | undefined, seed: number, epoch: number): (index: number) => Placement {
  if (kind === undefined) return () => CENTRED;
  const draws = philox(seed, STREAM.augment, epoch, 0);
  const places = 2 * kind.pad + 1;
  return (index) => {
    draws.reopen(index);
    const top = draws.below(places) - kind.pad;
    const left = draws.below(places) - kind.pad;
    return { top, left, flip: kind.flip && draws.below(2) === 1 };
  };
}

/** One of the {@link placements}. */
export function place(kind: Augmentation | undefined, seed: number, epoch: number, index: number): Placement {
  return placements(kind, seed, epoch)(index);
}

/** Normalised value of every pixel value, [C,256]: (p / 255 - mean[c]) / std[c], rounded once to float32. */
export function normaliseTable(mean: number[], std: number[]): Float32Array {
  return Float32Array.from({ length: mean.length * 256 }, (_, i) => {
    const c = i >> 8;
    return ((i & 255) / 255 - mean[c]!) / std[c]!;
  });
}

/**
 * Writes one sample, cropped, mirrored and normalised, as float32 [C,H,W] to `out` at `outStart`:
 *
 *     out[c,y,x] = table[c, image[c, y + top, x' + left]],   x' = W - 1 - x where mirrored, pixel 0 outside the image
 *
 * Padding comes before normalisation: a padded pixel has the normalised value of black.
 */
export function renderSample(
  set: Pick<ImageSet, 'images' | 'channels' | 'height' | 'width'>,
  index: number,
  { top, left, flip }: Placement,
  table: Float32Array,
  out: Float32Array,
  outStart = 0,
): void {
  const { images, channels, height, width } = set;
  let to = outStart;
  for (let c = 0; c < channels; c++) {
    const plane = (index * channels + c) * height * width;
    for (let y = 0; y < height; y++) {
      const row = y + top;
      const inside = row >= 0 && row < height;
      for (let x = 0; x < width; x++) {
        const column = (flip ? width - 1 - x : x) + left;
        const pixel = inside && column >= 0 && column < width ? images[plane + row * width + column]! : 0;
        out[to++] = table[c * 256 + pixel]!;
      }
    }
  }
}
