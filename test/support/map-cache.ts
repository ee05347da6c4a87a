// A process that reads a cache from a mapping, and then: is sent SIGBUS, meets one of its own (a library that makes
// it), or handles the signal itself. Watched by event-cache-mapped.test.ts.
//   map-cache.ts FILE sent|met|handled [LIBRARY]
import { once } from 'node:events';
import { truncateSync } from 'node:fs';
import { setTimeout as wait } from 'node:timers/promises';
import { openEventCache, RecordingFile } from '../../lib/data/events/cache.ts';
import { mappedBytes, rowsOf } from './mapped-caches.ts';

const [file, how, library] = process.argv.slice(2);
const say = (what: unknown): unknown => process.stdout.write(`${what}\n`);

const cache = openEventCache(file!)!;
const opened = new RecordingFile(cache);
const [row, next] = rowsOf(cache);
opened.read(row!);
say(mappedBytes(file!) > 0 ? 'mapped' : 'not mapped');

if (how === 'sent') {
  process.kill(process.pid, 'SIGBUS');
  await wait(10_000);
}
if (how === 'met') process.dlopen({ exports: {} }, library!);
if (how === 'handled') {
  const signalled = once(process, 'SIGBUS');
  const another = new RecordingFile(cache);
  another.read(row!);
  another.close();
  truncateSync(file!, next![0]! + 10_000);
  try {
    opened.read(next!); // from the mapping this would be a SIGBUS that nobody mends
  } catch (error) {
    say((error as Error).message);
  }
  const alive = setInterval(() => {}, 1000); // waiting for a signal keeps no process going
  process.kill(process.pid, 'SIGBUS');
  await signalled;
  clearInterval(alive);
  say('signalled');
}
opened.close();
say(mappedBytes(file!) > 0 ? 'mapped' : 'not mapped');
