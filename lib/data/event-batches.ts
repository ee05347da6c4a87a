// Batches of frames out of recordings in a cache: read, unpacked, cut into slices, counted by eventFrames(), augmented.
import { isMainThread } from 'node:worker_threads';
import { device } from '../core/device.ts';
import { SpikeloomError } from '../core/errors.ts';
import { scope, tensor } from '../core/tensor.ts';
import { eventFrames } from '../ops/event-frames.ts';
import type { AugmentName } from './augment.ts';
import type { EventSet } from './event-set.ts';
import { COLUMNS, RecordingFile } from './events/cache.ts';
import { unpackRecording } from './events/packed.ts';
import { countBounds, sliceEdges } from './events/slices.ts';
import { frameAugmenter } from './frame-augment.ts';
import type { BatchMaker } from './sample-set.ts';

/** The events of a batch, one recording behind the other, and their slices [B,T+1]. */
interface BatchEvents {
  events: Int32Array<ArrayBuffer>;
  bounds: Int32Array<ArrayBuffer>;
}

/** @param indices of recordings in the cache */
function readBatch(set: EventSet, indices: Int32Array): BatchEvents {
  const { steps, binning, sensor, recordings } = set;
  const rows = Array.from(indices, (index) => recordings.subarray(index * COLUMNS, (index + 1) * COLUMNS));
  const total = rows.reduce((sum, row) => sum + row[2]!, 0);
  if (total >= 2 ** 31) {
    throw new SpikeloomError(`a batch has less than 2^31 events, but this one has ${total}; make it smaller`);
  }
  const events = new Int32Array(Math.max(1, total));
  const bounds = new Int32Array(rows.length * (steps + 1));
  const file = new RecordingFile(set.cache);
  try {
    let start = 0;
    for (const [b, row] of rows.entries()) {
      const [offset, , count, , first, last] = row as unknown as [number, number, number, number, number, number];
      const edges = sliceEdges(binning.by, steps, binning.window, first, last);
      const boundsStart = b * (steps + 1);
      if (edges.length === 0)
        bounds.set(
          countBounds(count, steps).map((n) => n + start),
          boundsStart,
        );
      const target = { events, start, bounds, boundsStart };
      if (!unpackRecording({ bytes: file.read(row), count, first }, sensor, edges, target)) throw file.damaged(offset);
      start += count;
    }
  } finally {
    file.close();
  }
  return { events, bounds };
}

/** The device that a thread counts on: the CPU, and in a thread of a loader one core of it, since there are more such threads. */
function countingDevice() {
  const cpu = device('cpu');
  if (!isMainThread) cpu.setThreads(1);
  return cpu;
}

/** Makes batches of frames [T,B,2,H,W] as counts (or what the set's frames say). */
export function eventBatches({
  set,
  seed,
  augment,
}: {
  set: EventSet;
  seed: number;
  augment: AugmentName;
}): BatchMaker {
  const augmented = frameAugmenter(set, augment, seed);
  return async (job) => {
    const { indices } = job;
    const { events, bounds } = readBatch(set, indices);
    const on = countingDevice();
    const shape = [indices.length, set.steps + 1];
    const frames = scope(() =>
      eventFrames(tensor(events, { device: on }), tensor(bounds, { shape, device: on }), {
        ...set.frame,
        size: [set.height, set.width],
      }),
    );
    const images = (await frames.array()) as Float32Array<ArrayBuffer>;
    frames.dispose();
    augmented(images, job);
    return { images, labels: Int32Array.from(indices, (index) => set.labels[index]!) };
  };
}
