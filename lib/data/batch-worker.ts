import { parentPort, workerData } from 'node:worker_threads';
import { type BatchSource, batchMaker } from './batch.ts';
import { DataError } from './files.ts';
import type { PoolReply, PoolRequest } from './pool.ts';
import type { BatchJob } from './sample-set.ts';

/** A loader's thread: makes the batches that it is asked for, in that order. */
const port = parentPort!;
const make = batchMaker(workerData as BatchSource);

let last: Promise<void> = Promise.resolve();
port.on('message', (request: PoolRequest<BatchJob>) => {
  last = last.then(() => answer(request));
});

async function answer({ id, job }: PoolRequest<BatchJob>): Promise<void> {
  try {
    const result = await make(job);
    const { images, labels, targets } = result;
    const own = [images.buffer, labels.buffer, ...(targets ? [targets.buffer] : [])];
    port.postMessage({ id, result } satisfies PoolReply, own);
  } catch (error) {
    const { message } = error as Error;
    const data =
      error instanceof DataError ? { file: error.file, detail: error.detail, offset: error.offset } : undefined;
    port.postMessage({ id, error: message, ...(data ? { data } : {}) } satisfies PoolReply);
  }
}
