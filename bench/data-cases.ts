// What `bench data` times here: recordings to events, events to frames, pictures to batches.
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { UsageError } from '../lib/cli/exit.ts';
import { device, scope, tensor } from '../lib/core/index.ts';
import { philox } from '../lib/core/random.ts';
import type { AugmentName } from '../lib/data/augment/augment.ts';
import type { AnySet } from '../lib/data/batch.ts';
import { type EventSetPlan, openEventSet } from '../lib/data/event-sets/open.ts';
import { Origins } from '../lib/data/event-sets/origins.ts';
import type { CacheItem } from '../lib/data/events/cache.ts';
import type { Events } from '../lib/data/events/events.ts';
import { MAX_HEADER, openRecording } from '../lib/data/events/formats.ts';
import { readEvents } from '../lib/data/events/read.ts';
import { cifar10 } from '../lib/data/images/cifar.ts';
import { loader } from '../lib/data/loader.ts';
import { imageFolder } from '../lib/data/pictures/image-files.ts';
import { eventFrames, packEvent } from '../lib/ops/event-frames.ts';

/** A case as every side gets it. */
export interface DataCase {
  name: string;
  kind: 'decode' | 'frames' | 'cache' | 'images';
  unit: 'events' | 'images';
  /** decode: a recording, or a folder of many; images: the data set's root. */
  path?: string;
  /** decode: as readEvents() tells it. */
  format?: string;
  /** images: the data set. */
  set?: 'cifar10' | 'imagenet';
  augment?: AugmentName;
}

export interface DataOptions {
  recordings: string[];
  cifar?: string;
  imagenet?: string;
  threads: number;
  /** How long a case is timed, after half as long without the clock. */
  seconds: number;
}

/** Rates by case; a case that could not be run says why. */
export type Rates = Record<string, { per_s: number; count: number } | { failed: string }>;

/** Events and frames of the case `frames`: those of a DVS128 recording in T = 10 slices. */
export const FRAMES = { events: 2 ** 20, side: 128, steps: 10 };
/** Recordings of the case `cache`: as long as those of CIFAR10-DVS, and made as small as its recipe makes them. */
const CACHE = { recordings: 64, events: 200_000, size: 64 };
const BATCH = 128;

function filesOf(path: string): string[] {
  if (!statSync(path, { throwIfNoEntry: false })) throw new UsageError(`there is no recording ${path}`);
  if (!statSync(path).isDirectory()) return [path];
  const files = readdirSync(path).filter((name) => /\.(bin|bs2|aedat|aedat4|dat|raw)$/.test(name));
  return files.sort().map((name) => join(path, name));
}

function recordingCase(path: string): DataCase {
  const [file] = filesOf(path);
  if (file === undefined) throw new UsageError(`there is no recording in ${path}`);
  const { format } = openRecording(readFileSync(file).subarray(0, MAX_HEADER), file, {});
  return { name: `${format}: ${basename(path)}`, kind: 'decode', unit: 'events', path, format };
}

/** The cases that the options ask for. */
export function casesOf({ recordings, cifar, imagenet }: DataOptions): DataCase[] {
  const cases = recordings.map(recordingCase);
  const { events, side, steps } = FRAMES;
  cases.push({ name: `events to ${steps} frames, ${events} events, ${side}x${side}`, kind: 'frames', unit: 'events' });
  const { size } = CACHE;
  cases.push({ name: `cache to ${steps} frames, ${side}x${side} to ${size}x${size}`, kind: 'cache', unit: 'events' });
  const images = (title: string, set: DataCase['set'], path: string, augment: AugmentName) =>
    cases.push({ name: title, kind: 'images', unit: 'images', set: set!, path, augment });
  if (cifar !== undefined) {
    images('CIFAR-10: crop, mirror', 'cifar10', cifar, 'basic');
    images('CIFAR-10: crop, mirror, AutoAugment, Cutout', 'cifar10', cifar, 'published');
  }
  if (imagenet !== undefined) {
    images('ImageNet: JPEG, crop to 224, mirror', 'imagenet', imagenet, 'basic');
    images('ImageNet: JPEG, crop to 224, mirror, RandAugment', 'imagenet', imagenet, 'published');
  }
  return cases;
}

/** Repeats `run`, which gives how much it did, for some seconds after half of them that do not count. */
async function rate(seconds: number, run: () => number | Promise<number>): Promise<{ per_s: number; count: number }> {
  let start = performance.now();
  const elapsed = () => (performance.now() - start) / 1000;
  const count = await run();
  while (elapsed() < seconds / 2) await run();
  let done = 0;
  start = performance.now();
  do done += await run();
  while (elapsed() < seconds);
  return { per_s: done / elapsed(), count };
}

function decode({ path }: DataCase): number {
  return filesOf(path!).reduce((sum, file) => sum + readEvents(file).count, 0);
}

function framesCase(): () => Promise<number> {
  const { events, side, steps } = FRAMES;
  const drawn = philox(1, 0x62656e63);
  const packed = Int32Array.from({ length: events }, () =>
    packEvent(drawn.below(side), drawn.below(side), drawn.below(2)),
  );
  const bounds = Int32Array.from({ length: steps + 1 }, (_, t) => Math.floor((t * events) / steps));
  return async () => {
    scope(() => {
      const slices = tensor(bounds, { shape: [1, steps + 1] });
      eventFrames(tensor(packed), slices, { window: [side, side] });
    });
    await device('cpu').finish();
    return events;
  };
}

/** Events drawn all over the sensor, a microsecond apart. */
function drawnEvents(count: number, side: number): Events {
  const drawn = philox(1, 0x62656e63);
  const pixels = () => Uint16Array.from({ length: count }, () => drawn.below(side));
  const p = Uint8Array.from({ length: count }, () => drawn.below(2));
  return {
    width: side,
    height: side,
    count,
    x: pixels(),
    y: pixels(),
    p,
    t: Float64Array.from({ length: count }, (_, i) => i),
  };
}

/** Events a second from a cache in the system's page cache to batches of frames. */
async function cacheCase({ threads, seconds }: DataOptions) {
  const { side, steps } = FRAMES;
  const events = drawnEvents(CACHE.events, side);
  const names = Array.from({ length: CACHE.recordings }, (_, i) => `${i}`);
  async function* items(): AsyncGenerator<CacheItem> {
    for (const name of names) yield { name, label: 0, events };
  }
  const folder = mkdtempSync(join(tmpdir(), 'spikeloom-bench-'));
  const plan: EventSetPlan = {
    ...{ name: 'drawn', origins: new Origins([]), sensor: { width: side, height: side } },
    open: async () => ({ classes: ['one'], count: names.length, items: items() }),
    splits: { all: () => ({ train: names, test: names }) },
  };
  try {
    const { train } = await openEventSet(folder, plan, { steps, size: [CACHE.size, CACHE.size] });
    return await batchRate(train, 'none', 16, threads, seconds, CACHE.events);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Batches of an epoch one after the other, epochs without an end. */
async function* batchesOf(set: AnySet, augment: AugmentName, batch: number, workers: number) {
  await using batches = loader(set, { batch, seed: 1, shuffle: true, augment, workers, prefetch: 2 * workers });
  for (let epoch = 0; ; epoch++) for await (const { size } of batches.epoch(epoch)) yield size;
}

/** `each` times the samples a second that loader threads make batches of. */
async function batchRate(set: AnySet, augment: AugmentName, batch: number, threads: number, seconds: number, each = 1) {
  const batches = batchesOf(set, augment, batch, threads);
  try {
    for (let i = 0; i < 2 * threads; i++) await batches.next(); // what was made ahead is not timed
    return await rate(seconds, async () => each * ((await batches.next()).value as number));
  } finally {
    await batches.return();
  }
}

function imagesCase({ set, path, augment }: DataCase, { threads, seconds }: DataOptions) {
  const { train } = set === 'imagenet' ? imageFolder(path!) : cifar10(path!);
  return batchRate(train, augment!, BATCH, threads, seconds);
}

/** Times every case in this process. */
export async function timeCases(options: DataOptions): Promise<Rates> {
  device('cpu').setThreads(options.threads);
  const rates: Rates = {};
  for (const one of casesOf(options)) {
    try {
      if (one.kind === 'decode') rates[one.name] = await rate(options.seconds, () => decode(one));
      else if (one.kind === 'frames') rates[one.name] = await rate(options.seconds, framesCase());
      else if (one.kind === 'cache') rates[one.name] = await cacheCase(options);
      else rates[one.name] = await imagesCase(one, options);
    } catch (error) {
      rates[one.name] = { failed: (error as Error).message.split('\n')[0]! };
    }
  }
  return rates;
}
