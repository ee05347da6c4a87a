import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { CacheItem } from '../events/cache.ts';
import { decodeEvents } from '../events/read.ts';
import { DataError, readDataFile } from '../files.ts';
import type { EventSplits } from './event-set.ts';
import { checkEventOptions, type EventSetOptions, openEventSet } from './open.ts';
import { Origins } from './origins.ts';
import { openRecordings, type RecordingsPlan } from './recordings.ts';
import { splitBy } from './splits.ts';

const CLASSES = Array.from({ length: 10 }, (_, digit) => String(digit));
const SENSOR = { width: 34, height: 34 };

const PLAN: RecordingsPlan = {
  name: 'n-mnist',
  sensor: SENSOR,
  format: 'nmnist',
  archives: ['Train.zip', 'Test.zip'],
  nameOf(path) {
    const [, half, digit, file] = /(?:^|\/)(Train|Test)\/([0-9])\/([^/]+\.bin)$/.exec(path) ?? [];
    return file && `${half}/${digit}/${file}`;
  },
  classes: () => CLASSES,
  classOf: (name) => name.split('/')[1]!,
  splits: { official: (names) => splitBy(names, (name) => name.startsWith('Test/')) },
  remedy:
    'N-MNIST is the folders Train and Test with a folder of .bin files for every digit, or Train.zip and Test.zip, or N.bs2 files with train1K.txt and test100.txt',
};

const LISTS = ['train1K.txt', 'test100.txt'] as const;

/** Samples of a list: after its heading, lines of a number and a class. */
function readList(file: string): { number: number; label: number }[] {
  const samples: { number: number; label: number }[] = [];
  let offset = 0;
  for (const line of readDataFile(file, 2 ** 24)
    .toString('latin1')
    .split('\n')) {
    const [, number, label] = /^([0-9]{1,9})\s+([0-9])\s*$/.exec(line) ?? [];
    if (number) samples.push({ number: Number(number), label: Number(label) });
    else if (line.trim() !== '' && !line.startsWith('#')) {
      throw new DataError(file, `a line of this list is a number and a class from 0 to 9, not '${line.slice(0, 80)}'`, {
        offset,
      });
    }
    offset += line.length + 1;
  }
  return samples;
}

interface ListedSample {
  name: string;
  label: number;
  file: string;
}

async function* listedItems(samples: ListedSample[]): AsyncGenerator<CacheItem> {
  for (const { name, label, file } of samples) {
    await new Promise(setImmediate);
    yield {
      ...{ name, label },
      events: decodeEvents(readDataFile(file, 2 ** 30), { format: 'nmnist', size: SENSOR, file }),
    };
  }
}

/** The subset of SLAYER's example: N.bs2 in one folder, and a list for each half. */
function openListed(folder: string, options: EventSetOptions): Promise<EventSplits> {
  const samples: ListedSample[] = LISTS.flatMap((list, half) =>
    readList(join(folder, list)).map(({ number, label }) => ({
      ...{ label, file: join(folder, `${number}.bs2`) },
      name: `${half === 0 ? 'train' : 'test'}/${number}.bs2`,
    })),
  );
  for (const { file } of samples) {
    if (!existsSync(file)) throw new DataError(file, `a list of ${folder} names it, but it is not there`);
  }
  const lists = LISTS.map((name) => ({ name, file: join(folder, name) }));
  const plan = {
    ...{ name: 'n-mnist', sensor: SENSOR, origins: new Origins([...lists, ...samples]) },
    open: async () => ({ classes: CLASSES, count: samples.length, items: listedItems(samples) }),
    splits: { official: (names: readonly string[]) => splitBy(names, (name) => name.startsWith('test/')) },
  };
  return openEventSet(folder, plan, options);
}

/**
 * N-MNIST (Orchard et al., 2015; 60,000 + 10,000 recordings, 34x34) as T frames: the folders Train and Test or their
 * .zip archives below `root`; or the subset of SLAYER's example, N.bs2 files with lists of 1000 and 100 of them, in
 * `root` or `root`/nmnist-bs2.
 * Split: 'official'.
 * @throws DataError if files are missing or damaged; SpikeloomError for options out of range
 * @example const { train, test } = await nMnist('datasets/nmnist', { steps: 10 });
 */
export async function nMnist(root: string, options: EventSetOptions): Promise<EventSplits> {
  checkEventOptions(root, options);
  const listed = [root, join(root, 'nmnist-bs2')].find((folder) =>
    LISTS.every((list) => existsSync(join(folder, list))),
  );
  return listed ? openListed(listed, options) : openRecordings(root, PLAN, options);
}
