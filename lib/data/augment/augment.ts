import { SpikeloomError } from '../../core/errors.ts';
import { isKeyOf, kindOf, needArguments } from '../../core/options.ts';
import { type Philox, philox, STREAM } from '../../core/random.ts';
import { encodeProgram, type ImageChange, type ImageProgram, programWords } from '../../ops/image-program.ts';
import { AUTO_AUGMENT_CHANGES, autoAugmentCifar10 } from './auto-augment.ts';

/** The kinds of augmentation that a loader offers. */
export const AUGMENT_NAMES = ['none', 'basic', 'published'] as const;
export type AugmentName = (typeof AUGMENT_NAMES)[number];

/** Draws changes of an image's pixels. */
export interface ChangeDrawer {
  /** How many it draws at most. */
  most: number;
  draw(draws: Philox, size: readonly [H: number, W: number]): ImageChange[];
}

/** What is done with training images, in this order. */
export interface Augmentation {
  /** Random crop of H x W out of the image with that many zero pixels on every side. */
  pad: number;
  /** Horizontal flip with probability 1/2. */
  flip: boolean;
  changes?: ChangeDrawer;
  /**
   * Side of a square hole of zeros around a random pixel, clipped at the edges (DeVries and Taylor, "Cutout", 2017).
   */
  cutout?: number;
}

/** Digits are not flipped. */
const BASIC: Readonly<Record<string, Augmentation>> = {
  cifar10: { pad: 4, flip: true },
  cifar100: { pad: 4, flip: true },
  'fashion-mnist': { pad: 2, flip: true },
  mnist: { pad: 2, flip: false },
};

const CIFAR: Augmentation = {
  pad: 4,
  flip: true,
  changes: { most: AUTO_AUGMENT_CHANGES, draw: autoAugmentCifar10 },
  cutout: 16,
};

/** What the recipes of FSTA-SNN use; CIFAR-100, too, gets the policy of CIFAR-10. */
const PUBLISHED: Readonly<Record<string, Augmentation>> = { cifar10: CIFAR, cifar100: CIFAR };

const AS_IT_IS: Augmentation = { pad: 0, flip: false };

/**
 * The augmentation of that name for images of that data set.
 * @throws SpikeloomError where none is defined
 */
export function augmentation(dataSet: string, name: AugmentName): Augmentation {
  if (name === 'none') return AS_IT_IS;
  if (!AUGMENT_NAMES.includes(name)) {
    throw new SpikeloomError(`augment must be one of ${AUGMENT_NAMES.join(', ')}, but is ${kindOf(name)}`);
  }
  const kinds = name === 'basic' ? BASIC : PUBLISHED;
  if (!isKeyOf(dataSet, kinds)) {
    const known = Object.keys(kinds).join(', ');
    throw new SpikeloomError(
      `no ${name} augmentation is defined for '${dataSet}', only for ${known}: use another augment or give the set one of these names`,
    );
  }
  return kinds[dataSet]!;
}

/** Draws what is done with an epoch's images of H x W, each a pure function of (seed, epoch, index). */
export function drawPrograms(
  augmentation: Augmentation,
  size: readonly [H: number, W: number],
  seed: number,
  epoch: number,
): (index: number) => ImageProgram {
  needArguments('drawPrograms()', 'an object', { augmentation });
  needArguments('drawPrograms()', 'an array', { size });
  const { pad, flip, changes, cutout } = augmentation;
  const draws = philox(seed, STREAM.augment, epoch, 0);
  const places = 2 * pad + 1;
  return (index) => {
    draws.reopen(index);
    const program: ImageProgram = { index };
    if (pad > 0) {
      program.top = draws.below(places) - pad;
      program.left = draws.below(places) - pad;
    }
    if (flip) program.flip = draws.below(2) === 1;
    if (changes) program.changes = changes.draw(draws, size);
    if (cutout) {
      const [top, left] = [draws.below(size[0]) - (cutout >> 1), draws.below(size[1]) - (cutout >> 1)];
      program.hole = { top, left, bottom: top + 2 * (cutout >> 1), right: left + 2 * (cutout >> 1) };
    }
    return program;
  };
}

/** Words of a program of an augmentation. */
export const wordsOf = ({ changes }: Augmentation): number => programWords(changes?.most ?? 0);

/**
 * The programs of a batch, i32 [B,L].
 * @param isBrought whether only the batch's own images were uploaded, image i of the batch at i
 */
export function batchPrograms(
  kind: Augmentation,
  draw: (index: number) => ImageProgram,
  indices: Int32Array,
  isBrought: boolean,
): Int32Array<ArrayBuffer> {
  const length = wordsOf(kind);
  const words = new Int32Array(indices.length * length);
  indices.forEach((index, i) => {
    const program = words.subarray(i * length, (i + 1) * length);
    encodeProgram(draw(index), program);
    if (isBrought) program[0] = i;
  });
  return words;
}

/** Normalized value of every pixel value, [C,256]: (p / 255 - mean[c]) / std[c], rounded once to float32. */
export function normaliseTable(mean: number[], std: number[]): Float32Array {
  return Float32Array.from({ length: mean.length * 256 }, (_, i) => {
    const c = i >> 8;
    return ((i & 255) / 255 - mean[c]!) / std[c]!;
  });
}
