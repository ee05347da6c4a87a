// A thread that reads a cache over and over, whatever happens to the file, and counts in shared memory: [whole,
// refused, wrong].
import { workerData } from 'node:worker_threads';
import { type EventCache, RecordingFile } from '../../lib/data/events/cache.ts';
import { DataError } from '../../lib/data/files.ts';
import { rowsOf } from './mapped-caches.ts';

const { cache, counts } = workerData as { cache: EventCache; counts: Int32Array };
const rows = rowsOf(cache);

function readOften(): void {
  const opened = new RecordingFile(cache);
  try {
    for (let i = 0; i < 300; i++) {
      opened.read(rows[i % rows.length]!);
      Atomics.add(counts, 0, 1);
    }
  } finally {
    opened.close();
  }
}

for (;;) {
  try {
    readOften();
  } catch (error) {
    Atomics.add(counts, error instanceof DataError && error.offset !== undefined ? 1 : 2, 1);
  }
}
