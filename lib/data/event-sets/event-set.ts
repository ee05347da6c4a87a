import { SpikeloomError } from '../../core/errors.ts';
import { kindOf } from '../../core/options.ts';
import { COLUMNS } from '../events/cache.ts';
import { type BinningRule, checkBinning } from '../events/slices.ts';
import type { SampleSet, SampleSplits } from '../sample-set.ts';

/** How the events of a slice become a frame; see eventFrames(). */
export interface FrameShape {
  /** H and W of the sensor's part that is counted. */
  window: [number, number];
  /** Row and column of its first pixel. */
  corner: [number, number];
  clip: number;
  normalise: boolean;
}

/**
 * Labeled recordings of an event camera, seen as T frames of two channels (darker, brighter). They lie in a cache
 * file.
 */
export interface EventSet extends SampleSet {
  kind: 'events';
  /** Its samples have classes. */
  targets?: undefined;
  steps: number;
  /** The cache's file, and the id that tells it from another one of that name. */
  cache: { file: string; id: string };
  /** Sensor size in pixels. */
  sensor: { width: number; height: number };
  /**
   * Where every recording of the cache lies [recordings, 6]: offset, bytes, events, CRC-32, first and last time in
   * microseconds.
   */
  recordings: Float64Array<SharedArrayBuffer>;
  /** How a recording is cut into frames; `window`: microseconds of a frame, where `by` is 'window'. */
  binning: { by: BinningRule; window: number };
  frame: FrameShape;
}

/** Recordings for training and for tests. */
export type EventSplits = SampleSplits<EventSet>;

/** Checks that the parts of an event set fit together. @throws SpikeloomError */
export function checkEventSet(set: EventSet): void {
  const fail = (text: string): never => {
    throw new SpikeloomError(`event set '${set.name}': ${text}`);
  };
  const { count, chosen, channels, steps, height, width, labels, recordings } = set;
  for (const [key, value] of Object.entries({ count, channels, steps, height, width })) {
    if (!Number.isInteger(value) || value < 1) fail(`${key} must be a positive integer, but is ${kindOf(value)}`);
  }
  if (channels !== 2) fail(`frames have 2 channels, not ${kindOf(channels)}`);
  if (recordings.length !== labels.length * COLUMNS) {
    fail(`${labels.length} labels need as many rows of ${COLUMNS} numbers, not ${recordings.length / COLUMNS}`);
  }
  if (count !== (chosen ?? labels).length) fail(`${count} recordings are in use, not ${(chosen ?? labels).length}`);
  for (const array of [labels, recordings, ...(chosen ? [chosen] : [])]) {
    if (!(array.buffer instanceof SharedArrayBuffer)) fail('labels, recordings and chosen must lie in shared memory');
  }
  const absent = chosen?.findIndex((i) => i < 0 || i >= labels.length) ?? -1;
  if (absent >= 0) fail(`there is no recording ${chosen![absent]} among ${labels.length}`);
  const bad = labels.findIndex((label) => label < 0 || label >= set.classes.length);
  if (bad >= 0) fail(`label ${labels[bad]} of recording ${bad} is outside 0..${set.classes.length - 1}`);
  checkBinning(set.binning.by, set.binning.window);
}
