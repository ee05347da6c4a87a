import { parentPort, workerData } from 'node:worker_threads';
import { type BatchSource, batchMaker } from './batch.ts';
import type { PoolReply, PoolRequest } from './pool.ts';
import type { BatchJob } from './sample-set.ts';

/** The thread behind a loader: makes the batches it is asked for, in the order it is asked. */
const port = parentPort!;
const make = batchMaker(workerData as BatchSource);

port.on('message', async ({ id, job }: PoolRequest<BatchJob>) => {
  try {
    const result = await make(job);
    port.postMessage({ id, result } satisfies PoolReply, [result.images.buffer, result.labels.buffer]);
  } catch (error) {
    port.postMessage({ id, error: (error as Error).message } satisfies PoolReply);
  }
});
