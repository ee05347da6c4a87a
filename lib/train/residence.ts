// Where the images of a run are kept, and who makes its batches: the host or the device.
import { type Device, type RealType, SpikeloomError } from '../core/index.ts';
import { kindOf } from '../core/options.ts';
import type { AnySet } from '../data/batch.ts';
import { DeviceLoader } from '../data/images/device-loader.ts';
import { residentBytes } from '../data/images/resident-set.ts';
import { type BatchFeed, byteLoader, type LoaderOptions } from '../data/loader.ts';
import { PictureLoader } from '../data/pictures/picture-loader.ts';
import type { Net } from '../nn/index.ts';
import type { SampleFacts } from './data-sets.ts';
import { freeBytes } from './memory.ts';
import type { AnyBatch } from './step-inputs.ts';

const RESIDENCES = ['auto', 'on', 'off'] as const;

/**
 * Whether images are kept on the device ('on'), or cross as bytes with every batch ('off'). 'auto': on a device with
 * memory of its own (a GPU), if they take at most a quarter of what is free there.
 */
export type Residence = (typeof RESIDENCES)[number];

function restsOnDevice(wanted: Residence, bytes: number, device: Device): boolean {
  if (!RESIDENCES.includes(wanted)) {
    throw new SpikeloomError(`resident is one of ${RESIDENCES.join(', ')}, not ${kindOf(wanted)}`);
  }
  if (wanted !== 'auto') return wanted === 'on';
  return device.memory() !== undefined && bytes <= freeBytes(device) / 4;
}

/** What can be said of where images will lie before a set is there. */
export interface PlannedResidence {
  resident: Residence;
  device: string;
  dtype: RealType;
  /** Samples of a batch of each set. */
  batches: readonly number[];
}

/**
 * What images will take of a device's memory, as feedsOf() counts it; undefined where whole sets may rest there, whose
 * sizes are not known.
 */
export function plannedBytes(
  set: Pick<SampleFacts, 'kind' | 'channels' | 'height' | 'width'>,
  { resident, device, dtype, batches }: PlannedResidence,
): number | undefined {
  const isCpu = device === 'cpu';
  if (set.kind === 'events' || (set.kind === 'image-files' && isCpu)) return 0;
  if (set.kind === 'images' && (resident === 'on' || (resident === 'auto' && !isCpu))) return undefined;
  return batches.reduce((sum, size) => sum + residentBytes(set, size, dtype), 0);
}

/** Loaders for a network, by name. */
export interface Feeds<K extends string> {
  feeds: Record<K, BatchFeed<AnyBatch>>;
  /** What images take of the device's memory: whole sets, or a batch of each. */
  dataBytes: number;
}

/**
 * Loaders for data sets with their options, all of the same kind. Only images in memory can be kept on a device.
 * @throws SpikeloomError for options that make no sense
 */
export function feedsOf<K extends string>(
  wanted: Residence,
  { device, dtype }: Net,
  sets: Record<K, readonly [AnySet, LoaderOptions]>,
): Feeds<K> {
  const named = Object.entries(sets) as [K, readonly [AnySet, LoaderOptions]][];
  const bytes = named.reduce(
    (sum, [, [set]]) => sum + (set.kind === 'images' ? residentBytes(set, set.count, dtype) : 0),
    0,
  );
  const whole = restsOnDevice(wanted, bytes, device);
  const make = (set: AnySet, options: LoaderOptions): BatchFeed<AnyBatch> => {
    if (set.kind === 'images') return new DeviceLoader(set, options, { dtype, device, whole });
    // on the CPU it is the threads of the loader that normalize: there it runs beside the step
    if (set.kind === 'image-files' && device.memory()) return new PictureLoader(set, options, { dtype, device });
    return byteLoader(set, options);
  };
  const made = named.map(([name, [set, options]]) => [name, make(set, options)] as const);
  const taken = (feed: BatchFeed<AnyBatch>) =>
    feed instanceof DeviceLoader || feed instanceof PictureLoader ? feed.bytes : 0;
  const dataBytes = made.reduce((sum, [, feed]) => sum + taken(feed), 0);
  return { feeds: Object.fromEntries(made) as Record<K, BatchFeed<AnyBatch>>, dataBytes };
}
