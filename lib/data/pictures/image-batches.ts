import { setImmediate as nextTurn } from 'node:timers/promises';
import { native } from '../../core/native.ts';
import { philox, STREAM } from '../../core/random.ts';
import { type AugmentName, normaliseTable } from '../augment.ts';
import { DataError } from '../files.ts';
import type { BatchMaker, SkippedSample } from '../sample-set.ts';
import { centreWindow, cropWindow, randomCrop } from './crop.ts';
import { openPicture } from './decode.ts';
import type { ImageFiles } from './image-files.ts';
import { FileReader, fileName } from './packed-files.ts';

/** Broken pictures one after the other that a sample may meet before 'skip' gives up. */
const MAX_SKIPS = 100;

/**
 * Makes the batches of pictures in files. Without augmentation: the short side scaled to `resize`, the middle cut out. 'basic': a random
 * crop scaled to H x W, mirrored with probability 1/2. Then (p / 255 - mean) / std. A sample's draws depend on (seed, epoch, index) alone.
 */
export function pictureBatches({
  set,
  seed,
  augment,
}: {
  set: ImageFiles;
  seed: number;
  augment: AugmentName;
}): BatchMaker {
  const reader = new FileReader(set.files);
  const table = normaliseTable(set.mean, set.std);
  const plane = set.height * set.width;
  const render = async (epoch: number, index: number, out: Uint8Array, at: number): Promise<void> => {
    const picture = await openPicture(fileName(set.files, index), reader.read(index));
    const { width, height } = picture;
    if (augment === 'none') return picture.render(centreWindow(set, width, height), out, at);
    const draws = philox(seed, STREAM.augment, epoch, index);
    const box = randomCrop(width, height, set, draws);
    picture.render(cropWindow(set, box, draws.below(2) === 1), out, at);
  };
  let spare = new Uint8Array(0); // new memory costs more than a picture's scaling, so that of the last batch is used again
  return async ({ epoch, indices }) => {
    const length = indices.length * 3 * plane;
    const pixels = spare.length === length ? spare : new Uint8Array(length);
    spare = new Uint8Array(0);
    const labels = new Int32Array(indices.length);
    const skipped: SkippedSample[] = [];
    for (const [i, index] of indices.entries()) {
      const used = await firstSound(set, index, skipped, (each) => render(epoch, each, pixels, i * 3 * plane));
      labels[i] = set.labels[used]!;
      await nextTurn(); // the thread may have others to answer
    }
    const images = new Float32Array(pixels.length);
    native().normalisePixels(pixels, plane, table, images);
    spare = pixels;
    return { images, labels, ...(skipped.length > 0 ? { skipped } : {}) };
  };
}

/** Renders a sample, or with 'skip' the first one behind it that can be decoded; gives its index. */
async function firstSound(
  set: ImageFiles,
  index: number,
  skipped: SkippedSample[],
  render: (index: number) => Promise<void>,
): Promise<number> {
  for (let tries = 0; ; tries++) {
    const used = (index + tries) % set.labels.length;
    try {
      await render(used);
      return used;
    } catch (error) {
      if (!(error instanceof DataError)) throw error;
      if (set.broken === 'error')
        throw named(error, `sample ${used} of ${set.name}; broken: 'skip' would take the next one in its place`);
      if (tries === MAX_SKIPS)
        throw named(error, `${MAX_SKIPS} broken samples one behind the other, up to ${used} of ${set.name}`);
      skipped.push({ index: used, reason: error.message });
    }
  }
}

function named(error: DataError, what: string): DataError {
  return new DataError(error.file, `${error.detail}: ${what}`, { offset: error.offset, cause: error });
}
