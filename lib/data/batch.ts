import { isMainThread } from 'node:worker_threads';
import { device, scope, tensor } from '../core/index.ts';
import { type AugmentName, augmentation, batchPrograms, drawPrograms, wordsOf } from './augment.ts';
import { eventBatches } from './event-batches.ts';
import type { EventSet } from './event-set.ts';
import type { ImageSet } from './image-set.ts';
import { pictureBatches } from './pictures/image-batches.ts';
import type { ImageFiles } from './pictures/image-files.ts';
import { residentRoom } from './resident-set.ts';
import type { BatchMaker, SampleSplits } from './sample-set.ts';

/** The sets that batches can be made of, by their kind. */
export type AnySet = ImageSet | ImageFiles | EventSet;
export type AnySplits = SampleSplits<AnySet>;

/** All that a thread needs to make batches of a data set; plain data over shared memory. */
export interface BatchSource<S extends AnySet = AnySet> {
  set: S;
  seed: number;
  augment: AugmentName;
}

const MAKERS: { [K in AnySet['kind']]: (source: BatchSource<Extract<AnySet, { kind: K }>>) => BatchMaker } = {
  images: imageBatches,
  'image-files': pictureBatches,
  events: eventBatches,
};

/** The function that makes the batches of a source. It depends on nothing but its arguments. */
export function batchMaker(source: BatchSource): BatchMaker {
  const maker = MAKERS[source.set.kind] as (source: BatchSource) => BatchMaker;
  return maker(source);
}

/** On the CPU device of the thread it runs in, by the op that makes batches on every device. */
function imageBatches({ set, seed, augment }: BatchSource<ImageSet>): BatchMaker {
  const kind = augmentation(set.name, augment);
  const { height, width } = set;
  return async ({ epoch, indices }) => {
    if (!isMainThread) device().setThreads(1); // loader threads are several by themselves
    using room = residentRoom(set, indices.length, 'f32', device());
    room.bring(set, indices);
    const words = batchPrograms(kind, drawPrograms(kind, [height, width], seed, epoch), indices, true);
    using images = scope(() => room.take(tensor(words, { shape: [indices.length, wordsOf(kind)] })).images);
    const labels = indices.map((index) => set.labels[index]!);
    return { images: (await images.array()) as Float32Array<ArrayBuffer>, labels };
  };
}
