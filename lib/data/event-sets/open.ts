// From the original files to the two halves of a data set: the cache, built where it is missing or was made from other
// files, and the split.
import { dirname, join } from 'node:path';
import { SpikeloomError } from '../../core/errors.ts';
import { isFolder } from '../../core/file-kind.ts';
import { contentOf, kindOf, needArguments, needOptions } from '../../core/options.ts';
import {
  type BuildOptions,
  buildEventCache,
  type CacheItem,
  type EventCache,
  openEventCache,
  renewStamp,
} from '../events/cache.ts';
import type { SensorSize } from '../events/formats.ts';
import { type BinningRule, checkBinning } from '../events/slices.ts';
import { DataError } from '../files.ts';
import { checkEventSet, type EventSet, type EventSplits } from './event-set.ts';
import { frameUnit } from './frame-bytes.ts';
import type { Origins } from './origins.ts';
import { chosenSplit, nameSplit, type SplitNames } from './splits.ts';

/** Options of every event set. */
export interface EventSetOptions {
  /** T, frames of a sample. */
  steps: number;
  /** H and W of the frames (default: of what is counted), bilinear. */
  size?: readonly [number, number];
  /**
   * H and W of the sensor's middle part that is counted (default: the whole sensor); larger than the sensor pads with
   * 0.
   */
  crop?: readonly [number, number];
  /** Which samples are for training, by name (default: the set's first way). */
  split?: string;
  /** How a recording is cut into frames (default: 'count'). */
  binning?: BinningRule;
  /** Microseconds of a frame, for binning 'window'. */
  window?: number;
  /** Largest count of a pixel; 1: binary frames; 0 (the default): as they are. */
  clip?: number;
  /** Divide every frame by its largest count. */
  normalise?: boolean;
  /**
   * Folder for the cache (default: 'spikeloom-cache' in the data's folder). Its file is NAME-HASH.events there, by the
   * names and sizes of the data's files, so that several roots may share a folder.
   */
  cacheFolder?: string;
  /** Aborts the building of the cache. */
  signal?: AbortSignal;
  /** Called while the cache is built: recordings done, of how many. */
  onProgress?: (done: number, of: number) => void;
}

const KNOWN: Record<keyof EventSetOptions, true> = {
  ...({ steps: true, size: true, crop: true, split: true, binning: true, window: true, clip: true } as const),
  ...({ normalise: true, cacheFolder: true, signal: true, onProgress: true } as const),
};

/** Recordings on their way into the cache. */
export interface RecordingSource {
  classes: string[];
  /** How many there will be. */
  count: number;
  items: AsyncIterable<CacheItem>;
  close?(): void;
}

/** What tells one data set from another. */
export interface EventSetPlan {
  name: string;
  sensor: SensorSize;
  /** What recordings are made from. */
  origins: Origins;
  /** Opens the original files. */
  open(): Promise<RecordingSource>;
  /** Ways to split the names of all recordings, the usual one first. */
  splits: Readonly<Record<string, (names: readonly string[]) => SplitNames>>;
}

const defaultFolder = (root: string): string => join(isFolder(root) ? root : dirname(root), 'spikeloom-cache');

/** A checked pair of integers. @throws SpikeloomError */
function sides(key: string, value: readonly [number, number]): [number, number] {
  const isSide = (n: number) => Number.isInteger(n) && n >= 1 && n <= 4096;
  if (Array.isArray(value) && value.length === 2 && value.every(isSide)) return [...value] as [number, number];
  throw new SpikeloomError(`${key} is two integers from 1 to 4096 (height, width), not ${contentOf(value)}`);
}

/** @internal Refuses impossible options, and what is no path, before any file is read. */
export function checkEventOptions(root: string, options: EventSetOptions): void {
  needArguments('an event set', 'a text', { root });
  needOptions('an event set', options, KNOWN);
  const { steps, size, crop, clip = 0, binning = 'count', window } = options;
  if (!Number.isInteger(steps) || steps < 1 || steps > 4096) {
    throw new SpikeloomError(`steps is an integer from 1 to 4096, not ${kindOf(steps)}`);
  }
  if (!Number.isInteger(clip) || clip < 0 || clip >= 2 ** 31) {
    throw new SpikeloomError(`clip is an integer from 0 to 2^31 - 1, not ${kindOf(clip)}`);
  }
  if (size) sides('size', size);
  if (crop) sides('crop', crop);
  checkBinning(binning, window);
}

/** The recordings, and at the end a check that the files are still those of the hashes. */
async function* unchanged(items: AsyncIterable<CacheItem>, origins: Origins): AsyncGenerator<CacheItem> {
  yield* items;
  origins.refuseChanges();
}

async function makeCache(file: string, plan: EventSetPlan, options: EventSetOptions): Promise<void> {
  const { signal, onProgress } = options;
  const { sensor, origins } = plan;
  const source = await origins.source(signal);
  const { classes, count, items, close } = await plan.open();
  const building: BuildOptions = {
    ...(signal ? { signal } : {}),
    ...(onProgress ? { onProgress: (done: number) => onProgress(done, count) } : {}),
  };
  try {
    await buildEventCache(file, { ...sensor, classes, source }, unchanged(items, origins), building);
  } finally {
    close?.();
  }
}

/**
 * Whether a cache was made from these files. Where only their times have changed, contents are compared, and a match
 * renews the stamp.
 */
async function isOf({ source, file, id }: EventCache, origins: Origins, signal?: AbortSignal): Promise<boolean> {
  const { listing, stamp } = origins;
  if (source.listing !== listing) return false;
  if (source.stamp === stamp) return true;
  if (source.contents !== (await origins.contents(signal))) return false;
  renewStamp({ file, id }, stamp);
  return true;
}

/** In a folder that is given, which other files of that data set may share, the name tells whose the cache is. */
function cacheFile(root: string, { name, origins }: EventSetPlan, folder: string | undefined): string {
  if (folder === undefined) return join(defaultFolder(root), `${name}.events`);
  return join(folder, `${name}-${origins.listing.slice(0, 8)}.events`);
}

/** The cache of these files; built where there is none, or one of other files, or a damaged one. */
async function cacheOf(root: string, plan: EventSetPlan, options: EventSetOptions): Promise<EventCache> {
  const file = cacheFile(root, plan, options.cacheFolder);
  let found: EventCache | undefined;
  try {
    found = openEventCache(file);
  } catch (error) {
    if (!(error instanceof DataError)) throw error;
  }
  if (found && (await isOf(found, plan.origins, options.signal))) return found;
  await makeCache(file, plan, options);
  const made = openEventCache(file);
  if (made && (await isOf(made, plan.origins, options.signal))) return made;
  throw new DataError(
    file,
    'the cache was replaced by another one while it was built; does a second program build it?',
  );
}

function sharedIntegers(from: ArrayLike<number>): Int32Array<SharedArrayBuffer> {
  const made = new Int32Array(new SharedArrayBuffer(4 * from.length));
  made.set(from);
  return made;
}

function sharedNumbers(from: ArrayLike<number>): Float64Array<SharedArrayBuffer> {
  const made = new Float64Array(new SharedArrayBuffer(8 * from.length));
  made.set(from);
  return made;
}

/** What frames are by the options that shape them; no file is read. */
export function framesBy(
  { height, width }: SensorSize,
  { size, crop, clip = 0, normalise = false }: Pick<EventSetOptions, 'size' | 'crop' | 'clip' | 'normalise'>,
): Pick<EventSet, 'frame' | 'height' | 'width' | 'binary' | 'unit'> {
  const window = crop ? sides('crop', crop) : ([height, width] as [number, number]);
  const [H, W] = size ? sides('size', size) : window;
  const corner: [number, number] = [Math.floor((height - window[0]) / 2), Math.floor((width - window[1]) / 2)];
  const frame = { window, corner, clip, normalise };
  const unit = frameUnit(frame, [H, W]);
  const binary = clip === 1 && H === window[0] && W === window[1];
  return { frame, height: H, width: W, binary, ...(unit === undefined ? {} : { unit }) };
}

function setOf(plan: EventSetPlan, cache: EventCache, options: EventSetOptions): Omit<EventSet, 'count' | 'chosen'> {
  const { steps, binning = 'count' } = options;
  return {
    ...{ kind: 'events', name: plan.name, classes: cache.classes, steps, channels: 2 },
    ...framesBy(plan.sensor, options),
    cache: { file: cache.file, id: cache.id },
    sensor: plan.sensor,
    labels: sharedIntegers(cache.labels),
    recordings: sharedNumbers(cache.recordings),
    binning: { by: binning, window: options.window ?? 0 },
  };
}

/** @internal Opens a data set by its plan. */
export async function openEventSet(root: string, plan: EventSetPlan, options: EventSetOptions): Promise<EventSplits> {
  const [name, rule] = chosenSplit(plan.name, plan.splits, options.split);
  const cache = await cacheOf(root, plan, options);
  const names = rule(cache.names);
  const split = nameSplit(name, names);
  const numbers = new Map(cache.names.map((sample, i) => [sample, i]));
  const base = setOf(plan, cache, options);
  const half = (samples: string[], what: string): EventSet => {
    if (samples.length === 0) {
      throw new DataError(root, `the split '${name}' leaves no sample for ${what} out of ${cache.names.length}`);
    }
    const chosen = sharedIntegers(samples.map((sample) => numbers.get(sample)!));
    const set: EventSet = { ...base, kind: 'events', count: samples.length, chosen, split };
    checkEventSet(set);
    return set;
  };
  return { train: half(names.train, 'training'), test: half(names.test, 'tests') };
}
