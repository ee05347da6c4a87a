import { SpikeloomError } from '../core/errors.ts';
import { isKeyOf } from '../core/options.ts';
import { arrayIn } from './array-in.ts';
import { type AugmentName, augmentation, batchPrograms, drawPrograms } from './augment/augment.ts';
import { eventBatches } from './event-sets/event-batches.ts';
import { checkEventSet, type EventSet } from './event-sets/event-set.ts';
import { checkImageSet, type ImageSet, pixelsOf } from './images/image-set.ts';
import { runPrograms } from './images/run-programs.ts';
import { numberBatches } from './numbers/number-batches.ts';
import { type ClassNumberSet, checkNumberSet, type NumberSet, type TargetSet } from './numbers/number-set.ts';
import { pictureBatches } from './pictures/image-batches.ts';
import type { ImageFiles } from './pictures/image-files.ts';
import type { BatchMaker, SampleSet, SampleSplits } from './sample-set.ts';

/** The sets that batches can be made of, by their kind. */
export type AnySet = ImageSet | ImageFiles | EventSet | NumberSet;
export type AnySplits = SampleSplits<AnySet>;
/** The sets whose samples have classes. */
export type ClassSet = ImageSet | ImageFiles | EventSet | ClassNumberSet;
export type ClassSplits = SampleSplits<ClassSet>;
/** Those of a regression. */
export type TargetSplits = SampleSplits<TargetSet>;

/** All that a thread needs to make batches of a data set; plain data over shared memory. */
export interface BatchSource<S extends AnySet = AnySet> {
  set: S;
  seed: number;
  augment: AugmentName;
  /** Whether samples of a set with a unit come as bytes, in batches that allow it. */
  asBytes?: boolean;
  /** Whether pictures in files come as pixels, not augmented by programs and not normalized yet. */
  asPixels?: boolean;
}

const MAKERS: { [K in AnySet['kind']]: (source: BatchSource<Extract<AnySet, { kind: K }>>) => BatchMaker } = {
  images: imageBatches,
  'image-files': pictureBatches,
  events: eventBatches,
  numbers: numberBatches,
};

const CHECKS: { [K in AnySet['kind']]?: (set: Extract<AnySet, { kind: K }>) => void } = {
  images: checkImageSet,
  events: checkEventSet,
  numbers: checkNumberSet,
};

/** @throws SpikeloomError for what is not a data set, and for one whose parts do not fit together */
export function needSet(set: AnySet): void {
  const isSet = typeof set === 'object' && set !== null && isKeyOf(set.kind, MAKERS) && Array.isArray(set.classes);
  const isWhole =
    isSet && typeof set.name === 'string' && (set.kind !== 'images' || [set.mean, set.std].every(Array.isArray));
  if (!isWhole) {
    throw new SpikeloomError(
      'a data set is a half of what a reader gives, as in mnist(root).train, or what imageSet() and numberSet() make of your own arrays',
    );
  }
  const { kind, name, targets }: SampleSet = set;
  if (targets !== undefined && kind !== 'numbers')
    throw new SpikeloomError(
      `samples of numbers may have targets, but '${name}' is a set of ${kind}; make them by numberSet()`,
    );
  const check = CHECKS[set.kind] as ((set: AnySet) => void) | undefined;
  check?.(set);
}

/** The function that makes the batches of a source. It depends on nothing but its arguments. */
export function batchMaker(source: BatchSource): BatchMaker {
  const maker = MAKERS[source.set.kind] as (source: BatchSource) => BatchMaker;
  return maker(source);
}

function imageBatches({ set, seed, augment }: BatchSource<ImageSet>): BatchMaker {
  const kind = augmentation(set.name, augment);
  return async ({ epoch, indices, memory }) => {
    const words = batchPrograms(kind, drawPrograms(kind, [set.height, set.width], seed, epoch), indices, true);
    const pixels = pixelsOf(set, indices);
    const images = arrayIn(Float32Array, pixels.length, memory);
    await runPrograms(set, pixels, words, images);
    return { images, labels: indices.map((index) => set.labels[index]!) };
  };
}
