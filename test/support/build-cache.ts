// A process that makes a cache of the same recording N times, and may read it back: killed or watched by
// event-cache.test.ts.
//   build-cache.ts FILE RECORDINGS EVENTS [read]
// It says 'N done' after every 50 recordings and at last how many MiB it has taken since it began, at most; what
// loading its sources took is not in it.
import {
  buildEventCache,
  type CacheItem,
  COLUMNS,
  openEventCache,
  RecordingFile,
} from '../../lib/data/events/cache.ts';
import { unpackRecording } from '../../lib/data/events/packed.ts';
import { someEvents, someSource } from './event-files.ts';

const [file, recordings, events, read] = process.argv.slice(2);
const size = { width: 128, height: 128 };
const content = { ...size, classes: ['one'], source: someSource() };
const recording = someEvents(Number(events), 128, 128);

const before = process.memoryUsage.rss();
let most = before;
/** Looks at the memory after every recording. */
const watch = (): void => {
  most = Math.max(most, process.memoryUsage.rss());
};

async function* items(): AsyncGenerator<CacheItem> {
  for (let i = 0; i < Number(recordings); i++) {
    yield { name: `recording ${i}`, label: 0, events: recording };
    watch();
    if (i % 50 === 0) process.stdout.write(`${i} done\n`);
  }
}

await buildEventCache(file!, content, items());
if (read) {
  const cache = openEventCache(file!)!;
  const opened = new RecordingFile(cache);
  const target = { events: new Int32Array(recording.count), start: 0, bounds: new Int32Array(1), boundsStart: 0 };
  for (let i = 0; i < cache.labels.length; i++) {
    const row = cache.recordings.subarray(i * COLUMNS, (i + 1) * COLUMNS);
    const packed = { bytes: opened.read(row), count: row[2]!, first: row[4]! };
    if (!unpackRecording(packed, size, new Float64Array(0), target)) throw new Error(`recording ${i} is damaged`);
    watch();
  }
  opened.close();
}
process.stdout.write(`${Math.round((most - before) / 2 ** 20)}\n`);
