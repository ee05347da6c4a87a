import { createHash } from 'node:crypto';
import { existsSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { CacheItem } from '../events/cache.ts';
import { readShd } from '../events/hdf5.ts';
import { DataError } from '../files.ts';
import type { EventSplits } from './event-set.ts';
import { checkEventOptions, type EventSetOptions, openEventSet } from './open.ts';
import { splitBy } from './splits.ts';

const FILES = ['shd_train.h5', 'shd_test.h5'];
const CLASSES = ['English', 'German'].flatMap((language) =>
  Array.from({ length: 10 }, (_, digit) => `${language} ${digit}`),
);

/** Recordings in an .h5 are not counted before they are read; these are all there are. */
const COUNT = 8156 + 2264;

async function* itemsOf(files: string[]): AsyncGenerator<CacheItem> {
  for (const [half, file] of files.entries()) {
    let number = 0;
    for await (const { events, label } of readShd(file)) {
      yield { name: `${half === 0 ? 'train' : 'test'}/${String(number++).padStart(4, '0')}`, label, events };
    }
  }
}

/**
 * Spiking Heidelberg Digits (Cramer et al., 2020; 8,156 + 2,264 recordings of 700 units, 20 classes) as T frames [T,B,2,1,700]: shd_train.h5
 * and shd_test.h5 in `root`. All spikes lie in the second channel. Split: 'official'.
 * @throws DataError if files are missing or damaged; SpikeloomError for options out of range
 * @example const { train, test } = await shd('datasets/shd', { steps: 100, binning: 'window', window: 10_000 });
 */
export async function shd(root: string, options: EventSetOptions): Promise<EventSplits> {
  checkEventOptions(options);
  const files = FILES.map((name) => join(root, name));
  const stamp = createHash('sha256');
  for (const file of files) {
    if (!existsSync(file)) throw new DataError(file, 'is not there: SHD is shd_train.h5 and shd_test.h5, unpacked');
    const { size, mtimeMs } = statSync(file);
    stamp.update(`${JSON.stringify([basename(file), size, mtimeMs])}\n`);
  }
  const plan = {
    ...{ name: 'shd', sensor: { width: 700, height: 1 }, source: stamp.digest('hex') },
    open: async () => ({ classes: CLASSES, count: COUNT, items: itemsOf(files) }),
    splits: { official: (names: readonly string[]) => splitBy(names, (name) => name.startsWith('test/')) },
  };
  return openEventSet(root, plan, options);
}
