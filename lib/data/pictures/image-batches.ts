import { setImmediate as nextTurn } from 'node:timers/promises';
import { native } from '../../core/native.ts';
import { type Philox, philox, STREAM } from '../../core/random.ts';
import { encodePrograms, type ImageProgram } from '../../ops/image-program.ts';
import { arrayIn, Scratch } from '../array-in.ts';
import { type AugmentName, normaliseTable } from '../augment/augment.ts';
import { randAugment } from '../augment/rand-augment.ts';
import { DataError } from '../files.ts';
import { runPrograms } from '../images/run-programs.ts';
import type { BatchArrays, BatchMaker, SkippedSample } from '../sample-set.ts';
import { centreWindow, cropWindow, randomCrop } from './crop.ts';
import { openPicture } from './decode.ts';
import type { ImageFiles } from './image-files.ts';
import { FileReader, fileName } from './packed-files.ts';

/** Consecutive broken pictures that 'skip' passes over before it gives up. */
const MAX_SKIPS = 100;

/**
 * Makes the batches of pictures in files. Without augmentation: the short side scaled to `resize`, the middle cut out.
 * 'basic': a random crop scaled to H x W, mirrored with probability 1/2; 'published': the same, then RandAugment
 * (magnitude 5, standard deviation 0.5). Then (p / 255 - mean) / std. A sample's draws depend on (seed, epoch, index)
 * alone.
 * @param options.asPixels pixels as they are cut out, with programs of what is left to do
 */
export function pictureBatches({
  set,
  seed,
  augment,
  asPixels = false,
}: {
  set: ImageFiles;
  seed: number;
  augment: AugmentName;
  asPixels?: boolean;
}): BatchMaker {
  const reader = new FileReader(set.files);
  const table = normaliseTable(set.mean, set.std);
  const plane = set.height * set.width;
  const policy = augment === 'published' ? randAugment() : undefined;
  /** Writes the sample's bytes; returns its random stream, for what is drawn next. */
  const render = async (epoch: number, index: number, out: Uint8Array, at: number): Promise<Philox> => {
    const picture = await openPicture(fileName(set.files, index), reader.read(index));
    const { width, height } = picture;
    const draws = philox(seed, STREAM.augment, epoch, index);
    if (augment === 'none') {
      picture.render(centreWindow(set, width, height), out, at);
      return draws;
    }
    const box = randomCrop(width, height, set, draws);
    picture.render(cropWindow(set, box, draws.below(2) === 1), out, at);
    return draws;
  };
  const scratch = new Scratch<Uint8Array<ArrayBuffer>>(Uint8Array);
  const make: BatchMaker = async ({ epoch, indices, memory }) => {
    const length = indices.length * 3 * plane;
    const pixels = asPixels ? arrayIn(Uint8Array, length, memory) : scratch.take(length);
    const labels = new Int32Array(indices.length);
    const skipped: SkippedSample[] = [];
    const programs: ImageProgram[] = [];
    for (const [i, index] of indices.entries()) {
      const [used, draws] = await firstSound(set, index, skipped, (each) => render(epoch, each, pixels, i * 3 * plane));
      labels[i] = set.labels[used]!;
      programs.push({ index: i, changes: policy?.draw(draws, [set.height, set.width]) ?? [] });
      await nextTurn(); // the thread may have other requests to answer
    }
    const rest: Omit<BatchArrays, 'images'> = { labels, ...(skipped.length > 0 ? { skipped } : {}) };
    if (asPixels) return { images: pixels, programs: encodePrograms(programs, policy?.most ?? 0), ...rest };
    const images = arrayIn(Float32Array, length, memory);
    if (policy) await runPrograms(set, pixels, encodePrograms(programs), images);
    else native().normalisePixels(pixels, plane, table, images);
    scratch.giveBack(pixels);
    return { images, ...rest };
  };
  return Object.assign(make, { close: () => reader.close() });
}

/**
 * Renders a sample, or with 'skip' the first one after it, of those in use, that can be decoded; returns its index and
 * its random stream.
 */
async function firstSound(
  set: ImageFiles,
  index: number,
  skipped: SkippedSample[],
  render: (index: number) => Promise<Philox>,
): Promise<[number, Philox]> {
  for (let tries = 0; ; tries++) {
    const used = tries === 0 ? index : behind(set, index, tries);
    try {
      return [used, await render(used)];
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

/** The sample in use that is `steps` behind another one; after the last comes the first. */
function behind({ chosen, labels }: ImageFiles, index: number, steps: number): number {
  return chosen ? chosen[(chosen.indexOf(index) + steps) % chosen.length]! : (index + steps) % labels.length;
}

function named(error: DataError, what: string): DataError {
  return new DataError(error.file, `${error.detail}: ${what}`, { offset: error.offset, cause: error });
}
