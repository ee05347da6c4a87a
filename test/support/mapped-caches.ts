// What the tests of mapped caches and the processes and threads that they start have in common.
import { readFileSync } from 'node:fs';
import { buildEventCache, COLUMNS, type EventCache, openEventCache } from '../../lib/data/events/cache.ts';
import { someEvents, someSource } from './event-files.ts';

/** A cache of three recordings of about 20 pages each. */
export async function pagedCache(file: string): Promise<EventCache> {
  const content = { width: 34, height: 34, classes: ['one'], source: someSource() };
  async function* items() {
    for (let i = 0; i < 3; i++) yield { name: `${i}`, label: 0, events: someEvents(27_000 + i, 34, 34, i) };
  }
  await buildEventCache(file, content, items());
  return openEventCache(file)!;
}

/** The numbers of every recording in the index. */
export const rowsOf = ({ labels, recordings }: EventCache): Float64Array[] =>
  Array.from(labels, (_, i) => recordings.subarray(i * COLUMNS, (i + 1) * COLUMNS));

/** How many bytes of the file this process has mapped, by the system's list. */
export function mappedBytes(file: string): number {
  const lines = readFileSync('/proc/self/maps', 'utf8').split('\n');
  const spans = lines.filter((line) => line.includes(file)).map((line) => line.split(' ')[0]!.split('-'));
  return spans.reduce((sum, [begin, end]) => sum + Number.parseInt(end!, 16) - Number.parseInt(begin!, 16), 0);
}
