import { SpikeloomError } from '../../core/errors.ts';
import { contentOf, kindOf } from '../../core/options.ts';
import type { SampleSet, SampleSplits } from '../sample-set.ts';

/** Labeled images in shared memory, so that loader threads read them without a copy. */
export interface ImageSet extends SampleSet {
  kind: 'images';
  /** Its samples have classes. */
  targets?: undefined;
  /** Pixels [N,C,H,W], 0..255. */
  images: Uint8Array<SharedArrayBuffer>;
  /** Mean of every channel [C], in units where 255 is 1. */
  mean: number[];
  /** Standard deviation of every channel [C], in units where 255 is 1. */
  std: number[];
}

/** Images for training and for tests. */
export type ImageSplits = SampleSplits<ImageSet>;

/** What {@link imageSet} takes: an {@link ImageSet} whose arrays need not be shared yet. */
export type ImageSetInit = Omit<ImageSet, 'kind' | 'images' | 'labels' | 'targets'> & {
  images: Uint8Array;
  labels: ArrayLike<number>;
};

/** New shared memory for `length` pixels. */
export function sharedBytes(length: number): Uint8Array<SharedArrayBuffer> {
  return new Uint8Array(new SharedArrayBuffer(length));
}

/** New shared memory for `length` labels. */
export function sharedLabels(length: number): Int32Array<SharedArrayBuffer> {
  return new Int32Array(new SharedArrayBuffer(4 * length));
}

export function isShared(array: ArrayBufferView): boolean {
  return array.buffer instanceof SharedArrayBuffer;
}

/**
 * Labels in shared memory; they are copied, and checked, where they do not lie there yet.
 * @param one what a label is of, for messages
 * @throws SpikeloomError for one that is no class
 */
export function labelsInMemory(
  of: string,
  one: string,
  labels: ArrayLike<number>,
  classes: number,
): Int32Array<SharedArrayBuffer> {
  if (labels instanceof Int32Array && isShared(labels)) return labels as Int32Array<SharedArrayBuffer>;
  for (let i = 0; i < labels.length; i++) {
    const label = labels[i]!;
    if (Number.isInteger(label) && !outside(label, classes)) continue;
    const rule = `labels are numbers of classes, here 0 to ${classes - 1}`;
    throw new SpikeloomError(`${of}: ${rule}, but that of ${one} ${i} is ${kindOf(label)}`);
  }
  const shared = sharedLabels(labels.length);
  shared.set(labels);
  return shared;
}

/**
 * Makes an image set of your own arrays; they are copied only where they do not lie in shared memory yet.
 * @throws SpikeloomError if sizes, labels or statistics do not fit together
 */
export function imageSet(init: ImageSetInit): ImageSet {
  const lists = {
    images: init?.images,
    labels: init?.labels,
    mean: init?.mean,
    std: init?.std,
    classes: init?.classes,
  };
  for (const [key, list] of Object.entries(lists)) {
    if (typeof list === 'object' && list !== null && 'length' in list) continue;
    throw new SpikeloomError(`imageSet(): ${key} is an array, not ${kindOf(list)}`);
  }
  const { images, labels } = init;
  if (!(images instanceof Uint8Array) && !((images as unknown) instanceof Uint8ClampedArray)) {
    throw new SpikeloomError(
      `imageSet(): images are a Uint8Array of pixels [N,C,H,W], 0 to 255, not ${kindOf(images)}`,
    );
  }
  let sharedImages = images as Uint8Array<SharedArrayBuffer>;
  if (!isShared(images)) {
    sharedImages = sharedBytes(images.length);
    sharedImages.set(images);
  }
  const sharedClasses = labelsInMemory('imageSet()', 'image', labels, init.classes.length);
  const set: ImageSet = { ...init, kind: 'images', images: sharedImages, labels: sharedClasses };
  checkImageSet(set);
  return set;
}

const outside = (label: number, classes: number): boolean => label < 0 || label >= classes;

/** Checks that the parts of an image set fit together. */
export function checkImageSet(set: ImageSet): void {
  const fail = (text: string): never => {
    throw new SpikeloomError(`image set '${set.name}': ${text}`);
  };
  for (const key of ['count', 'channels', 'height', 'width'] as const) {
    if (!Number.isInteger(set[key]) || set[key] < 1)
      fail(`${key} must be a positive integer, but is ${kindOf(set[key])}`);
  }
  const { count, channels, height, width } = set;
  const pixels = count * channels * height * width;
  if (!(set.images instanceof Uint8Array) || !isShared(set.images)) {
    fail('images must be a Uint8Array over a SharedArrayBuffer; imageSet(...) copies them into one');
  }
  if (!(set.labels instanceof Int32Array) || !isShared(set.labels)) {
    fail('labels must be an Int32Array over a SharedArrayBuffer; imageSet(...) copies them into one');
  }
  if (set.images.length !== pixels) {
    fail(`images [${count},${channels},${height},${width}] need ${pixels} bytes, but there are ${set.images.length}`);
  }
  if (set.labels.length !== count) fail(`${count} images need ${count} labels, but there are ${set.labels.length}`);
  for (const key of ['mean', 'std'] as const) {
    if (set[key].length !== channels || !set[key].every(Number.isFinite)) {
      fail(`${key} must hold one finite number per channel (${channels}), but is ${contentOf(set[key])}`);
    }
  }
  if (!set.std.every((value) => value > 0)) fail(`std must be positive, but is ${contentOf(set.std)}`);
  const bad = set.labels.findIndex((label) => outside(label, set.classes.length));
  if (bad >= 0) fail(`label ${set.labels[bad]} of image ${bad} is outside 0..${set.classes.length - 1}`);
}

/** Copies of the pixels of some images, one after another: a new array, or the beginning of `room`. */
export function pixelsOf(
  { images, channels, height, width }: ImageSet,
  indices: Int32Array,
  room?: Uint8Array<ArrayBuffer>,
): Uint8Array<ArrayBuffer> {
  const row = channels * height * width;
  const pixels = room?.subarray(0, indices.length * row) ?? new Uint8Array(indices.length * row);
  indices.forEach((index, i) => void pixels.set(images.subarray(index * row, (index + 1) * row), i * row));
  return pixels;
}
