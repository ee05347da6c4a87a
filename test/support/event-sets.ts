// Event sets that tests make and look into.
import { expect } from 'chai';
import type { EventSet } from '../../lib/data/event-sets/event-set.ts';
import { COLUMNS } from '../../lib/data/events/cache.ts';
import { eventSlices } from '../../lib/data/events/slices.ts';
import { type Events, loader } from '../../lib/data/index.ts';
import { conv2d, define, globalAvgPool, lif, linear, meanOverTime, norm } from '../../lib/nn/index.ts';
import { aedat2, someEvents, writeTree } from './event-files.ts';

/** A small network for frames of any size. */
export const frameNet = define('frames', ({ classes }) => [
  conv2d(4, { kernel: 3, stride: 2 }),
  norm(),
  lif(),
  globalAvgPool(),
  linear(classes),
  meanOverTime(),
]);

export const CIFAR10_CLASSES = [
  'airplane',
  'automobile',
  'bird',
  'cat',
  'deer',
  'dog',
  'frog',
  'horse',
  'ship',
  'truck',
];

/**
 * A small CIFAR10-DVS: three recordings of each class, number 103 of which comes before 99 by name and below 100 is for
 * tests by 'tet'.
 */
export function writeCifar10Dvs(root: string): void {
  for (const [c, label] of CIFAR10_CLASSES.entries()) {
    for (const [i, number] of [0, 103, 99].entries()) {
      const bytes = aedat2(someEvents(20 + 10 * c + i, 128, 128, 10 * c + i + 1));
      writeTree(root, { [`${label}/cifar10_${label}_${number}.aedat`]: bytes });
    }
  }
}

/** Counts [T,2,H,W] of a recording, one event at a time. */
export function counted(events: Events, T: number, by: 'count' | 'duration' = 'count'): number[] {
  const { width, height, x, y, p } = events;
  const bounds = eventSlices(events, { by, steps: T });
  const frames = new Array<number>(T * 2 * height * width).fill(0);
  for (let t = 0; t < T; t++) {
    for (let i = bounds[t]!; i < bounds[t + 1]!; i++) frames[((t * 2 + p[i]!) * height + y[i]!) * width + x[i]!]! += 1;
  }
  return frames;
}

/** The frames of one sample as a loader makes them, [T,2,H,W]. */
export async function framesOf(set: EventSet, index: number): Promise<number[]> {
  const feed = loader(set, { batch: 1, workers: 0 });
  for await (const batch of feed.epoch(0, { startBatch: index })) {
    expect(batch.shape).to.deep.equal([set.steps, 1, 2, set.height, set.width]);
    return [...batch.images];
  }
  throw new Error('there was no batch');
}

/** Labels of a set in order. */
export const labelsOf = (set: EventSet): number[] => Array.from(set.chosen!, (i) => set.labels[i]!);

/** Events a sample has in the cache: synthetic samples differ in it, so it tells them apart. */
export const countsOf = (set: EventSet): number[] => Array.from(set.chosen!, (i) => set.recordings[i * COLUMNS + 2]!);
