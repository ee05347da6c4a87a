import { type Augmentation, normaliseTable, placements, renderSample } from './augment.ts';
import type { ImageSet } from './image-set.ts';

/** All that a thread needs to make batches of a data set; plain data over shared memory. */
export interface BatchSource {
  set: ImageSet;
  seed: number;
  augmentation: Augmentation | undefined;
}

/** The samples of one batch, by index into the set. */
export interface BatchJob {
  epoch: number;
  indices: Int32Array<ArrayBuffer>;
}

/** Pixels [B,C,H,W], normalised, and classes [B]. */
export interface BatchArrays {
  images: Float32Array<ArrayBuffer>;
  labels: Int32Array<ArrayBuffer>;
}

/** The function that makes the batches of a source. It depends on nothing but its arguments. */
export function batchMaker({ set, seed, augmentation }: BatchSource): (job: BatchJob) => BatchArrays {
  const table = normaliseTable(set.mean, set.std);
  const size = set.channels * set.height * set.width;
  return ({ epoch, indices }) => {
    const images = new Float32Array(indices.length * size);
    const labels = new Int32Array(indices.length);
    const placeOf = placements(augmentation, seed, epoch);
    for (const [i, index] of indices.entries()) {
      renderSample(set, index, placeOf(index), table, images, i * size);
      labels[i] = set.labels[index]!;
    }
    return { images, labels };
  };
}
