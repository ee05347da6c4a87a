// Where the images of a run rest: on the host, which makes the batches, or on the device.
import { type Device, SpikeloomError } from '../core/index.ts';
import type { ImageSet } from '../data/image-set.ts';
import { type BatchFeed, type LoaderOptions, loader } from '../data/loader.ts';
import { ResidentLoader, residentBytes } from '../data/resident.ts';
import type { Net } from '../nn/index.ts';
import { freeBytes } from './memory.ts';
import type { AnyBatch } from './trainer-inputs.ts';

export const RESIDENCES = ['auto', 'on', 'off'] as const;

/**
 * Whether images rest on the device, which then makes the batches: 'auto' where it has memory of its own (a GPU) and the images take
 * a quarter of what is free there at most.
 */
export type Residence = (typeof RESIDENCES)[number];

function restsOnDevice(wanted: Residence, bytes: number, device: Device): boolean {
  if (!RESIDENCES.includes(wanted)) {
    throw new SpikeloomError(`resident is one of ${RESIDENCES.join(', ')}, not '${wanted}'`);
  }
  if (wanted !== 'auto') return wanted === 'on';
  return device.memory() !== undefined && bytes <= freeBytes(device) / 4;
}

/** Loaders for a network, by name. */
export interface Feeds<K extends string> {
  feeds: Record<K, BatchFeed<AnyBatch>>;
  /** What the images take of the device's memory while they rest there. */
  dataBytes: number;
}

/**
 * Loaders for image sets with their options, all of the same kind.
 * @throws SpikeloomError for options that make no sense
 */
export function feedsOf<K extends string>(
  wanted: Residence,
  { device, dtype }: Net,
  sets: Record<K, readonly [ImageSet, LoaderOptions]>,
): Feeds<K> {
  const named = Object.entries(sets) as [K, readonly [ImageSet, LoaderOptions]][];
  const bytes = named.reduce((sum, [, [set]]) => sum + residentBytes(set, dtype), 0);
  const isResident = restsOnDevice(wanted, bytes, device);
  const make = (set: ImageSet, options: LoaderOptions): BatchFeed<AnyBatch> =>
    isResident ? new ResidentLoader(set, options, { device, dtype }) : loader(set, options);
  const feeds = Object.fromEntries(named.map(([name, [set, options]]) => [name, make(set, options)]));
  return { feeds: feeds as Record<K, BatchFeed<AnyBatch>>, dataBytes: isResident ? bytes : 0 };
}
