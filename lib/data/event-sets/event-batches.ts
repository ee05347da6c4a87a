// Batches of frames from recordings in a cache: read, unpacked, cut into slices, counted by eventFrames(), augmented.
import { scope, tensor } from '../../core/tensor.ts';
import { eventFrames } from '../../ops/event-frames.ts';
import { frameAugmenter } from '../augment/frame-augment.ts';
import type { BatchSource } from '../batch.ts';
import { COLUMNS, RecordingFile } from '../events/cache.ts';
import { unpackRecording } from '../events/packed.ts';
import { countBounds, sliceEdges } from '../events/slices.ts';
import { loaderDevice } from '../loader-device.ts';
import type { BatchMaker } from '../sample-set.ts';
import type { EventSet } from './event-set.ts';
import { frameBytes } from './frame-bytes.ts';

type Row = [offset: number, bytes: number, count: number, checksum: number, first: number, last: number];

/** Recordings are counted together up to this many events: few enough to stay in a core's cache. */
const TOGETHER = 2 ** 18;

/** Recordings of a batch that are counted together: [begin, end) and how many events they have. */
interface Group {
  begin: number;
  end: number;
  events: number;
}

function groupsOf(rows: readonly Row[]): Group[] {
  const groups: Group[] = [];
  for (const [b, [, , count]] of rows.entries()) {
    const last = groups.at(-1);
    if (last && last.events + count <= TOGETHER) {
      last.end = b + 1;
      last.events += count;
    } else groups.push({ begin: b, end: b + 1, events: count });
  }
  return groups;
}

/** Reads recordings and cuts them into slices; their events are written one recording after another. */
function unpackGroup(set: EventSet, file: RecordingFile, rows: readonly Row[], events: Int32Array): Int32Array {
  const { steps, binning, sensor } = set;
  const bounds = new Int32Array(rows.length * (steps + 1));
  let start = 0;
  for (const [b, row] of rows.entries()) {
    const [offset, , count, , first, last] = row;
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
  return bounds;
}

/** Queues the counting of recordings; [T,b,2,H,W] when it is done. */
async function countFrames(set: EventSet, events: Int32Array, bounds: Int32Array): Promise<Float32Array<ArrayBuffer>> {
  const on = loaderDevice();
  const shape = [bounds.length / (set.steps + 1), set.steps + 1];
  const frames = scope(() =>
    eventFrames(tensor(events, { device: on }), tensor(bounds, { shape, device: on }), {
      ...set.frame,
      size: [set.height, set.width],
    }),
  );
  try {
    return (await frames.array()) as Float32Array<ArrayBuffer>;
  } finally {
    frames.dispose();
  }
}

/** The frames of a batch [T,B,2,H,W]; while some recordings are counted, the next ones are read. */
async function batchFrames(set: EventSet, indices: Int32Array): Promise<Float32Array<ArrayBuffer>> {
  const rows = Array.from(indices, (i) => [...set.recordings.subarray(i * COLUMNS, (i + 1) * COLUMNS)] as Row);
  const groups = groupsOf(rows);
  const events = new Int32Array(Math.max(1, ...groups.map((group) => group.events)));
  const counting: Promise<Float32Array<ArrayBuffer>>[] = [];
  const file = new RecordingFile(set.cache);
  try {
    for (const { begin, end, events: count } of groups) {
      const bounds = unpackGroup(set, file, rows.slice(begin, end), events);
      counting.push(countFrames(set, events.subarray(0, Math.max(1, count)), bounds));
    }
  } finally {
    file.close();
    await Promise.allSettled(counting);
  }
  const parts = await Promise.all(counting);
  if (parts.length === 1) return parts[0]!;
  const size = 2 * set.height * set.width;
  const images = new Float32Array(set.steps * indices.length * size);
  for (const [g, { begin, end }] of groups.entries()) {
    const run = (end - begin) * size;
    for (let t = 0; t < set.steps; t++) {
      images.set(parts[g]!.subarray(t * run, (t + 1) * run), (t * indices.length + begin) * size);
    }
  }
  return images;
}

/**
 * Makes batches of frames [T,B,2,H,W]: counts, as the set's frames say; as bytes where that is wanted and no number is
 * too large for one.
 */
export function eventBatches({ set, seed, augment, asBytes = false }: BatchSource<EventSet>): BatchMaker {
  const augmented = frameAugmenter(set, augment, seed);
  return async (job) => {
    const images = await batchFrames(set, job.indices);
    augmented(images, job);
    const labels = Int32Array.from(job.indices, (index) => set.labels[index]!);
    const { unit } = set;
    const bytes = asBytes && unit !== undefined ? frameBytes(images, unit) : undefined;
    return bytes ? { images: bytes, unit: unit!, labels } : { images, labels };
  };
}
