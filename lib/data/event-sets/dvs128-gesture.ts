import type { CacheItem } from '../events/cache.ts';
import type { Events } from '../events/events.ts';
import { type GestureLabel, parseGestureLabels } from '../events/gesture.ts';
import { decodeEvents } from '../events/read.ts';
import { DataError } from '../files.ts';
import type { EventSplits } from './event-set.ts';
import { checkEventOptions, type EventSetOptions, openEventSet, type RecordingSource } from './open.ts';
import { type OpenSources, Sources } from './sources.ts';
import { splitBy } from './splits.ts';

/** In the order of gesture_mapping.csv. */
const CLASSES = [
  ...['hand clapping', 'right hand wave', 'left hand wave', 'right arm clockwise', 'right arm counter clockwise'],
  ...['left arm clockwise', 'left arm counter clockwise', 'arm roll', 'air drums', 'air guitar', 'other gestures'],
];
const SENSOR = { width: 128, height: 128 };
const LISTS = { train: 'trials_to_train.txt', test: 'trials_to_test.txt' } as const;
const FILE = /(?:^|\/)(user[0-9]+_[a-z_]+(?:\.aedat|_labels\.csv)|trials_to_(?:train|test)\.txt)$/;
const REMEDY =
  'DVS128 Gesture is the folder DvsGesture with files userNN_LIGHT.aedat, userNN_LIGHT_labels.csv, trials_to_train.txt and trials_to_test.txt, or DvsGesture.tar.gz as distributed';

/** A recording of one person: the half it belongs to and its gestures. */
interface Trial {
  half: 'train' | 'test';
  labels: GestureLabel[];
}

/** What lists and labels say, by the recording's file name. */
async function readTrials(root: string, sources: OpenSources): Promise<Map<string, Trial>> {
  const texts = new Map<string, { text: string; file: string }>();
  for await (const { name, file, read } of sources.files((name) => !name.endsWith('.aedat'))) {
    texts.set(name, { text: Buffer.from(await read()).toString('latin1'), file });
  }
  const textOf = (name: string) => {
    const found = texts.get(name);
    if (!found) throw new DataError(root, `${name} is not there: ${REMEDY}`);
    return found;
  };
  const present = new Set(sources.names);
  const trials = new Map<string, Trial>();
  for (const half of ['train', 'test'] as const) {
    const { text, file: list } = textOf(LISTS[half]);
    for (const line of text.split('\n')) {
      const name = line.trim();
      if (name === '') continue;
      if (!present.has(name)) throw new DataError(list, `names '${name.slice(0, 80)}', which is not there`);
      if (trials.has(name)) throw new DataError(list, `names '${name}', which a list has already`);
      const { text: labels, file } = textOf(name.replace(/\.aedat$/, '_labels.csv'));
      trials.set(name, { half, labels: parseGestureLabels(labels, file) });
    }
  }
  return trials;
}

/** The events with start <= t < end. */
function between({ width, height, count, x, y, p, t }: Events, start: number, end: number): Events {
  const isIn = (i: number): boolean => t[i]! >= start && t[i]! < end;
  let size = 0;
  for (let i = 0; i < count; i++) if (isIn(i)) size++;
  const part: Events = {
    ...{ width, height, count: size },
    ...{ x: new Uint16Array(size), y: new Uint16Array(size), p: new Uint8Array(size), t: new Float64Array(size) },
  };
  for (let i = 0, at = 0; i < count; i++) {
    if (!isIn(i)) continue;
    part.x[at] = x[i]!;
    part.y[at] = y[i]!;
    part.p[at] = p[i]!;
    part.t[at++] = t[i]!;
  }
  return part;
}

async function* itemsOf(sources: OpenSources, trials: Map<string, Trial>): AsyncGenerator<CacheItem> {
  for await (const { name, file, read } of sources.files((name) => trials.has(name))) {
    const events = decodeEvents(await read(), { format: 'aedat3', size: SENSOR, file });
    const { half, labels } = trials.get(name)!;
    for (const [i, { label, start, end }] of labels.entries()) {
      const sample = `${half}/${name.replace(/\.aedat$/, '')}/${String(i).padStart(2, '0')}`;
      yield { name: sample, label, events: between(events, start, end) };
    }
  }
}

async function openTrials(root: string, sources: Sources): Promise<RecordingSource> {
  const opened = await sources.open();
  try {
    const trials = await readTrials(root, opened);
    const count = [...trials.values()].reduce((n, { labels }) => n + labels.length, 0);
    return { classes: CLASSES, count, items: itemsOf(opened, trials), close: () => opened.close() };
  } catch (error) {
    opened.close();
    throw error;
  }
}

/**
 * DVS128 Gesture (Amir et al., 2017; 29 persons, 11 gestures, 1,176 + 288 samples, 128x128, AEDAT 3.1) as T frames: the
 * folder DvsGesture, or DvsGesture.tar.gz, in `root`. A sample is an interval of a recording, start <= t < end, as its
 * label file says.
 * Split: 'official', by person, as the lists in the archive say.
 * @throws DataError if files are missing or damaged; SpikeloomError for options out of range
 * @example const { train, test } = await dvs128Gesture('datasets/dvs128-gesture', { steps: 16 });
 */
export async function dvs128Gesture(root: string, options: EventSetOptions): Promise<EventSplits> {
  checkEventOptions(root, options);
  const archives = ['DvsGesture.tar.gz', 'DvsGesture.tar', 'DvsGesture.zip'];
  const sources = new Sources(root, archives, (path) => FILE.exec(path)?.[1], REMEDY);
  const plan = {
    ...{ name: 'dvs128-gesture', sensor: SENSOR, origins: sources.origins },
    open: () => openTrials(root, sources),
    splits: { official: (names: readonly string[]) => splitBy(names, (name) => name.startsWith('test/')) },
  };
  return openEventSet(root, plan, options);
}
