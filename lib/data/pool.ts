import { Worker } from 'node:worker_threads';
import { SpikeloomError } from '../core/errors.ts';
import { DataError } from './files.ts';

/** A message to a worker: do `job` and answer under its number. */
export interface PoolRequest<Job> {
  id: number;
  job: Job;
}

/** A worker's answer: a result, or the message of what went wrong. */
export interface PoolReply<Result = unknown> {
  id: number;
  result?: Result;
  error?: string;
  /** Where it was a {@link DataError}: its parts. */
  data?: { file: string; detail: string; offset: number | undefined };
}

/** What who waits for a batch gets when the loader is closed. */
export const closedMeanwhile = (): SpikeloomError =>
  new SpikeloomError('the loader was closed while a batch was awaited');

interface Waiting<Result> {
  worker: number;
  resolve(result: Result): void;
  reject(error: SpikeloomError): void;
}

/**
 * A fixed number of worker threads that answer jobs one for one.
 *
 * Every promise given out is settled: by the answer, or, when any thread fails or ends or the pool is closed, by an
 * error. Idle threads do not keep the process alive; `hold()` and `release()` bracket the time in which someone waits.
 */
export class WorkerPool<Job, Result> {
  readonly #workers: Worker[];
  readonly #waiting = new Map<number, Waiting<Result>>();
  #nextId = 0;
  #holders = 0;
  #failure: SpikeloomError | undefined;

  /**
   * @param script the worker's module; a TypeScript source is loaded through tsx
   * @param workerData structured-cloned to every worker; shared memory stays shared
   */
  constructor(script: URL, workerData: unknown, count: number) {
    const entry = script.pathname.endsWith('.ts') ? new URL('./source-worker.mjs', import.meta.url) : script;
    const options = { workerData, argv: [script.href], execArgv: [] };
    this.#workers = Array.from({ length: count }, () => this.#start(new Worker(entry, options)));
  }

  /** Why the pool no longer works; undefined while it does. */
  get failure(): SpikeloomError | undefined {
    return this.#failure;
  }

  /** Sends a job to the thread with the fewest jobs, and with it, as its own, the memory of `transfer`. */
  run(job: Job, transfer: ArrayBuffer[] = []): Promise<Result> {
    if (this.#failure) return Promise.reject(this.#failure);
    const load = this.#workers.map(() => 0);
    for (const { worker } of this.#waiting.values()) load[worker]! += 1;
    const worker = load.indexOf(Math.min(...load));
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { worker, resolve, reject });
      this.#workers[worker]!.postMessage({ id, job } satisfies PoolRequest<Job>, transfer);
    });
  }

  /** Keeps the process alive until the matching {@link release}. */
  hold(): void {
    if (this.#holders++ === 0) for (const worker of this.#workers) worker.ref();
  }

  release(): void {
    // threads that are being ended keep the process alive for whoever awaits close()
    if (--this.#holders === 0 && !this.#failure) for (const worker of this.#workers) worker.unref();
  }

  /** Ends the threads and rejects what is still open. */
  async close(): Promise<void> {
    this.#fail(closedMeanwhile());
    await Promise.all(this.#workers.map((worker) => worker.terminate()));
  }

  #start(worker: Worker): Worker {
    worker.unref();
    worker.on('message', (reply: PoolReply<Result>) => this.#settle(reply));
    worker.on('messageerror', (cause) => this.#fail(failed('sent a message that cannot be read', cause)));
    worker.on('error', (cause) => this.#fail(failed(`failed: ${(cause as Error)?.message ?? cause}`, cause)));
    worker.on('exit', (code) => this.#fail(failed(`ended with exit code ${code}`)));
    return worker;
  }

  #settle({ id, result, error, data }: PoolReply<Result>): void {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (error === undefined) waiting?.resolve(result as Result);
    else if (data) waiting?.reject(new DataError(data.file, data.detail, { offset: data.offset }));
    else waiting?.reject(new SpikeloomError(`a loader thread could not make a batch: ${error}`));
  }

  #fail(error: SpikeloomError): void {
    if (this.#failure) return;
    this.#failure = error;
    for (const waiting of this.#waiting.values()) waiting.reject(error);
    this.#waiting.clear();
    for (const worker of this.#workers) void worker.terminate();
  }
}

function failed(what: string, cause?: unknown): SpikeloomError {
  return new SpikeloomError(`a loader thread ${what}; workers: 0 loads in the calling thread`, { cause });
}
