// The data sets that recipes know: what a network must fit, before any file is there, and how they are opened.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { SpikeloomError } from '../core/errors.ts';
import type { ClassSet, ClassSplits } from '../data/batch.ts';
import { cifar10Dvs } from '../data/event-sets/cifar10-dvs.ts';
import { dvs128Gesture } from '../data/event-sets/dvs128-gesture.ts';
import type { EventSplits } from '../data/event-sets/event-set.ts';
import { nCaltech101 } from '../data/event-sets/n-caltech101.ts';
import { nCars } from '../data/event-sets/n-cars.ts';
import { nMnist } from '../data/event-sets/n-mnist.ts';
import { type EventSetOptions, framesBy } from '../data/event-sets/open.ts';
import { shd } from '../data/event-sets/shd.ts';
import { cifar10, cifar100 } from '../data/images/cifar.ts';
import { fashionMnist, mnist } from '../data/images/idx.ts';
import { limit } from '../data/limit.ts';
import { imageFolder } from '../data/pictures/image-files.ts';
import { imageShards } from '../data/pictures/image-shards.ts';
import type { SampleSet } from '../data/sample-set.ts';
import type { Settings } from './settings.ts';

/** The facts of a data set that a network and the memory of its training depend on. */
export type SampleFacts = Pick<
  SampleSet,
  'kind' | 'name' | 'steps' | 'binary' | 'unit' | 'channels' | 'height' | 'width'
> & {
  classes: { readonly length: number };
};

/** The settings that choose the data and how it is presented. */
export type DataSettings = Pick<Settings, 'data' | 'model'>;

/** Options of opening a data set: where it takes long, it can be watched and aborted. */
export type OpenOptions = Pick<EventSetOptions, 'signal' | 'onProgress'>;

interface Known {
  kind: ClassSet['kind'];
  classes: number;
  channels: number;
  /** H and W of its samples as they come. */
  size: readonly [number, number];
  /** Whether a sample has time steps of its own. */
  timed?: boolean;
  open(settings: DataSettings, options: OpenOptions): ClassSplits | Promise<ClassSplits>;
}

/** Keys of the settings that only some sets have. */
const EVENT_KEYS = ['split', 'crop', 'cache'] as const;
const PICTURE_KEYS = ['interpolation', 'broken'] as const;

function images(classes: number, channels: number, side: number, read: (root: string) => ClassSplits): Known {
  const open = ({ data }: DataSettings) => {
    refuse(data, ['size', ...EVENT_KEYS], 'images come in one size and one split');
    refuse(data, PICTURE_KEYS, 'its images are not JPEG files');
    return read(data.root);
  };
  return { kind: 'images', classes, channels, size: [side, side], open };
}

function events(
  classes: number,
  size: readonly [number, number],
  read: (root: string, options: EventSetOptions) => Promise<EventSplits>,
): Known {
  const open = ({ data, model }: DataSettings, options: OpenOptions) => {
    refuse(data, PICTURE_KEYS, 'it has events, not pictures');
    const { split, size: brought, crop, clip, normalise, binning, window, cache: cacheFolder } = data;
    const given = { split, size: brought, crop, cacheFolder, ...options };
    const chosen = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
    const byWindow = binning === 'window' ? { window } : {};
    return read(data.root, { steps: model.steps, clip, normalise, binning, ...byWindow, ...chosen });
  };
  return { kind: 'events', classes, channels: 2, size, timed: true, open };
}

/** Class folders, or tar shards where train/ has them. */
function openImageNet({ data }: DataSettings): ClassSplits {
  refuse(data, EVENT_KEYS, 'it is split by its folders');
  const [height, width] = data.size ?? [224, 224];
  if (height !== width) throw new SpikeloomError(`imagenet: data.size is one number, not ${height}x${width}`);
  const sharded = existsSync(join(data.root, 'train', 'shard-000000.tar'));
  const { interpolation, broken } = data;
  const options = { size: height, ...(interpolation ? { interpolation } : {}), ...(broken ? { broken } : {}) };
  return (sharded ? imageShards : imageFolder)(data.root, options);
}

function refuse(data: Settings['data'], keys: readonly (keyof Settings['data'])[], why: string): void {
  const given = keys.find((key) => data[key] !== undefined);
  if (given !== undefined)
    throw new SpikeloomError(`data.${given} does not go with '${data.name}': ${why}; leave it out`);
}

const KNOWN: Readonly<Record<Settings['data']['name'], Known>> = {
  cifar10: images(10, 3, 32, cifar10),
  cifar100: images(100, 3, 32, cifar100),
  mnist: images(10, 1, 28, mnist),
  'fashion-mnist': images(10, 1, 28, fashionMnist),
  imagenet: { kind: 'image-files', classes: 1000, channels: 3, size: [224, 224], open: openImageNet },
  'cifar10-dvs': events(10, [128, 128], cifar10Dvs),
  'dvs128-gesture': events(11, [128, 128], dvs128Gesture),
  'n-mnist': events(10, [34, 34], nMnist),
  'n-caltech101': events(101, [180, 240], nCaltech101),
  'n-cars': events(2, [100, 120], nCars),
  shd: events(20, [1, 700], shd),
};

/** What the settings' data set is by its definition; no file is read. */
export function factsOf({ data, model }: DataSettings): SampleFacts {
  const { kind, classes, channels, size, timed } = KNOWN[data.name];
  const facts = { kind, name: data.name, channels, classes: { length: classes } };
  const [height, width] = data.size ?? size;
  if (!timed) return { ...facts, height, width };
  const { frame: _, ...frames } = framesBy({ height: size[0], width: size[1] }, data);
  return { ...facts, steps: model.steps, ...frames };
}

/**
 * The data set of the settings, cut to their limits.
 * @throws SpikeloomError for settings that the set does not have; DataError where its files are missing or damaged
 */
export async function openData(settings: DataSettings, options: OpenOptions = {}): Promise<ClassSplits> {
  const { data } = settings;
  const { train, test } = await KNOWN[data.name].open(settings, options);
  const cut = (set: ClassSet, n: number) => (n > 0 ? limit(set, n) : set);
  return { train: cut(train, data.train_limit), test: cut(test, data.test_limit) };
}
