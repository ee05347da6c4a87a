// Data sets with one recording per file.

import type { CacheItem } from '../events/cache.ts';
import type { EventFormat, SensorSize } from '../events/formats.ts';
import { decodeEvents } from '../events/read.ts';
import type { EventSplits } from './event-set.ts';
import { checkEventOptions, type EventSetOptions, openEventSet } from './open.ts';
import { type OpenSources, Sources } from './sources.ts';
import type { SplitNames } from './splits.ts';

/** How the files of such a data set are found and read. */
export interface RecordingsPlan {
  name: string;
  sensor: SensorSize;
  format: EventFormat;
  /** Archives that are opened where they lie in the root. */
  archives: readonly string[];
  /** What the file at that path is called in splits; undefined for a file that is not the set's. */
  nameOf(path: string): string | undefined;
  /** Classes in order, given all names. */
  classes(names: readonly string[]): string[];
  /** The class of a sample. */
  classOf(name: string): string;
  splits: Readonly<Record<string, (names: readonly string[]) => SplitNames>>;
  /** What to do where there is no file. */
  remedy: string;
}

async function* itemsOf(sources: OpenSources, plan: RecordingsPlan, classes: string[]): AsyncGenerator<CacheItem> {
  const { format, sensor: size } = plan;
  const numbers = new Map(classes.map((label, i) => [label, i]));
  for await (const { name, file, read } of sources.files()) {
    const events = decodeEvents(await read(), { format, size, file });
    yield { name, label: numbers.get(plan.classOf(name))!, events };
  }
}

/** @internal Opens such a data set. */
export async function openRecordings(
  root: string,
  plan: RecordingsPlan,
  options: EventSetOptions,
): Promise<EventSplits> {
  checkEventOptions(root, options);
  const { name, sensor, splits } = plan;
  const sources = new Sources(root, plan.archives, plan.nameOf, plan.remedy);
  const open = async () => {
    const opened = await sources.open();
    const { names } = opened;
    const classes = plan.classes(names);
    return { classes, count: names.length, items: itemsOf(opened, plan, classes), close: () => opened.close() };
  };
  return openEventSet(root, { name, sensor, splits, origins: sources.origins, open }, options);
}
