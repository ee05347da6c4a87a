import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { openTree } from '../archive.ts';
import type { CacheItem } from '../events/cache.ts';
import { type LabelledEvents, readShd } from '../events/hdf5.ts';
import { DataError } from '../files.ts';
import type { EventSplits } from './event-set.ts';
import { checkEventOptions, type EventSetOptions, openEventSet } from './open.ts';
import { Origins } from './origins.ts';
import { splitBy } from './splits.ts';

const FILES = ['shd_train.h5', 'shd_test.h5'];
const CLASSES = ['English', 'German'].flatMap((language) =>
  Array.from({ length: 10 }, (_, digit) => `${language} ${digit}`),
);

/** All recordings, for progress: those in an .h5 are not counted before they are read. */
const COUNT = 8156 + 2264;

/**
 * The recordings of an .h5, or of its .zip, which is unpacked into a temporary folder. That is removed as soon as the
 * file in it is open, so that nothing is left behind if the process ends while the recordings are read.
 */
async function* recordingsOf(file: string): AsyncGenerator<LabelledEvents, void, undefined> {
  if (!file.endsWith('.zip')) return yield* readShd(file);
  const name = basename(file, '.zip');
  const folder = await mkdtemp(join(tmpdir(), 'spikeloom-'));
  const recordings = readShd(join(folder, name));
  try {
    const first = await unpackedFor(recordings, file, join(folder, name)).finally(() =>
      rm(folder, { recursive: true }),
    );
    if (!first.done) yield first.value;
    yield* recordings;
  } finally {
    await recordings.return();
  }
}

/** Unpacks what a reader reads, and has it open that. */
async function unpackedFor<T>(reader: AsyncGenerator<T, void>, zip: string, file: string) {
  const tree = await openTree(zip);
  try {
    await writeFile(file, await tree.read(basename(file)));
  } finally {
    tree.close();
  }
  return await reader.next();
}

async function* itemsOf(files: string[]): AsyncGenerator<CacheItem> {
  for (const [half, file] of files.entries()) {
    let number = 0;
    for await (const { events, label } of recordingsOf(file)) {
      yield { name: `${half === 0 ? 'train' : 'test'}/${String(number++).padStart(4, '0')}`, label, events };
    }
  }
}

/**
 * Spiking Heidelberg Digits (Cramer et al., 2020; 8,156 + 2,264 recordings of 700 units, 20 classes) as T frames
 * [T,B,2,1,700]: shd_train.h5 and shd_test.h5 in `root`, or their .zip. All spikes lie in the second channel. Split:
 * 'official'.
 * @throws DataError if files are missing or damaged; SpikeloomError for options out of range
 * @example const { train, test } = await shd('datasets/shd', { steps: 100, binning: 'window', window: 10_000 });
 */
export async function shd(root: string, options: EventSetOptions): Promise<EventSplits> {
  checkEventOptions(root, options);
  const files = FILES.map((name) => join(root, name)).map((file) =>
    !existsSync(file) && existsSync(`${file}.zip`) ? `${file}.zip` : file,
  );
  for (const file of files) {
    if (!existsSync(file))
      throw new DataError(
        file,
        'is not there: SHD is shd_train.h5 and shd_test.h5, or shd_train.h5.zip and shd_test.h5.zip',
      );
  }
  const plan = {
    ...{ name: 'shd', sensor: { width: 700, height: 1 } },
    origins: new Origins(files.map((file) => ({ name: basename(file), file }))),
    open: async () => ({ classes: CLASSES, count: COUNT, items: itemsOf(files) }),
    splits: { official: (names: readonly string[]) => splitBy(names, (name) => name.startsWith('test/')) },
  };
  return openEventSet(root, plan, options);
}
