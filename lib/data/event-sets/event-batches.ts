// Batches of frames from recordings in a cache: read, unpacked, cut into slices, counted by eventFrames(), augmented.
import { readInto, scope, tensor } from '../../core/tensor.ts';
import { eventFrames } from '../../ops/event-frames.ts';
import { arrayIn, Scratch } from '../array-in.ts';
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

/** Queues the counting of recordings, which fills `frames` [T,b,2,H,W]. */
async function countFrames(
  set: EventSet,
  events: Int32Array,
  bounds: Int32Array,
  frames: Float32Array<ArrayBuffer>,
): Promise<void> {
  const on = loaderDevice();
  const shape = [bounds.length / (set.steps + 1), set.steps + 1];
  using counted = scope(() =>
    eventFrames(tensor(events, { device: on }), tensor(bounds, { shape, device: on }), {
      ...set.frame,
      size: [set.height, set.width],
    }),
  );
  await readInto(counted, frames);
}

/** What is needed while the frames of a batch are made. */
class FrameScratch {
  readonly events = new Scratch<Int32Array<ArrayBuffer>>(Int32Array);
  readonly frames = new Scratch<Float32Array<ArrayBuffer>>(Float32Array);
  /** The groups' frames, one group behind the other. */
  readonly parts = new Scratch<Float32Array<ArrayBuffer>>(Float32Array);
}

/** Fills `images` with the frames of a batch [T,B,2,H,W]; while some recordings are counted, the next ones are read. */
async function fillFrames(
  set: EventSet,
  indices: Int32Array,
  images: Float32Array<ArrayBuffer>,
  scratch: FrameScratch,
): Promise<void> {
  const rows = Array.from(indices, (i) => [...set.recordings.subarray(i * COLUMNS, (i + 1) * COLUMNS)] as Row);
  const groups = groupsOf(rows);
  const size = images.length / indices.length;
  const events = scratch.events.take(Math.max(1, ...groups.map((group) => group.events)));
  const parts = groups.length === 1 ? images : scratch.parts.take(images.length);
  const counting: Promise<void>[] = [];
  const file = new RecordingFile(set.cache);
  try {
    for (const { begin, end, events: count } of groups) {
      const bounds = unpackGroup(set, file, rows.slice(begin, end), events);
      const part = parts.subarray(begin * size, end * size);
      counting.push(countFrames(set, events.subarray(0, Math.max(1, count)), bounds, part));
    }
  } finally {
    file.close();
    await Promise.allSettled(counting);
  }
  await Promise.all(counting);
  scratch.events.giveBack(events);
  if (parts === images) return;
  const frame = size / set.steps;
  for (const { begin, end } of groups) {
    const run = (end - begin) * frame;
    for (let t = 0; t < set.steps; t++) {
      const from = begin * size + t * run;
      images.set(parts.subarray(from, from + run), (t * indices.length + begin) * frame);
    }
  }
  scratch.parts.giveBack(parts);
}

/**
 * Makes batches of frames [T,B,2,H,W]: counts, as the set's frames say; as bytes where that is wanted and no number is
 * too large for one.
 */
export function eventBatches({ set, seed, augment, asBytes = false }: BatchSource<EventSet>): BatchMaker {
  const augmented = frameAugmenter(set, augment, seed);
  const scratch = new FrameScratch();
  return async (job) => {
    const { indices, memory } = job;
    const labels = Int32Array.from(indices, (index) => set.labels[index]!);
    const length = set.steps * indices.length * 2 * set.height * set.width;
    const unit = asBytes ? set.unit : undefined;
    const frames = unit === undefined ? arrayIn(Float32Array, length, memory) : scratch.frames.take(length);
    await fillFrames(set, indices, frames, scratch);
    augmented(frames, job);
    if (unit === undefined) return { images: frames, labels };
    scratch.frames.giveBack(frames); // read below, before another batch can take it
    const bytes = arrayIn(Uint8Array, length, memory);
    if (frameBytes(frames, unit, bytes)) return { images: bytes, unit, labels };
    const images = arrayIn(Float32Array, length, memory);
    images.set(frames);
    return { images, labels };
  };
}
