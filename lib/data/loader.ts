import { setImmediate as nextTurn } from 'node:timers/promises';
import { SpikeloomError } from '../core/errors.ts';
import { needSignal } from '../core/need-signal.ts';
import { given, kindOf, needOptions } from '../core/options.ts';
import { orAborted } from '../core/or-aborted.ts';
import { indicesInTurns, philox, STREAM } from '../core/random.ts';
import { runToEnd, Turns } from '../core/turns.ts';
import type { AugmentName } from './augment/augment.ts';
import { type AnySet, type BatchSource, batchMaker, needSet } from './batch.ts';
import { targetBatch } from './numbers/targets.ts';
import { closedMeanwhile, WorkerPool } from './pool.ts';
import type { BatchArrays, BatchJob, BatchMaker, SkippedSample } from './sample-set.ts';

/** Indices that are looked up between two turns. */
const CHOSEN = 2 ** 14;

/** Images of the largest batch. */
export const MOST_IMAGES = 2 ** 20;

export interface LoaderOptions {
  /** B, images per batch: an integer from 1 to 2^20. */
  batch: number;
  /** Of shuffling and augmentation, an integer from 0 to 2^53 - 1. Default 0. */
  seed?: number;
  /** Whether every epoch has an order of its own; otherwise file order. Default false. */
  shuffle?: boolean;
  /** Random changes of the samples. Default 'none'. */
  augment?: AugmentName;
  /** Threads that make batches; 0: the calling thread. Default 1. */
  workers?: number;
  /** Whether the last batch of an epoch is left out where it is smaller than `batch`. Default false. */
  dropLast?: boolean;
  /**
   * Batches made ahead of the consumer, at most (with workers); `workers` or more keep every thread busy. Default 2.
   */
  prefetch?: number;
}

const DEFAULTS = { seed: 0, shuffle: false, augment: 'none', workers: 1, dropLast: false, prefetch: 2 } as const;

/** Which images a batch holds. */
export interface BatchIndices {
  /** Indices into the set [B]. */
  indices: Int32Array<ArrayBuffer>;
  /** Samples in the batch. */
  size: number;
  /** [B,C,H,W], or [T,B,C,H,W] where the samples have time steps. */
  shape: number[];
  /** Where the samples have targets: [B,...], or [T,B,...] where those have time steps. */
  targetShape?: number[];
  /** Number of the batch in its epoch, from 0. */
  index: number;
  /** Whether it holds 0 and 1 alone, which a network may get as spikes. */
  binary: boolean;
  /** Samples that could not be read and were replaced by another one. */
  skipped?: SkippedSample[];
  /** @internal Where its images are lent: gives them back, for another batch. They are not read any more. */
  release?: () => void;
}

export interface Batch extends BatchIndices {
  /** Normalized pixels, of the batch's shape; the consumer's own. */
  images: Float32Array<ArrayBuffer>;
  /** Classes [B]; none where the samples have targets. */
  labels: Int32Array<ArrayBuffer>;
  /** Where the samples have targets: those of `targetShape`. */
  targets?: Float32Array<ArrayBuffer>;
}

/** A {@link Batch} whose samples are bytes: multiples of `unit`. */
export interface ByteBatch extends Omit<Batch, 'images'> {
  images: Uint8Array<ArrayBuffer>;
  unit: number;
}

/** A {@link Batch} whose samples are pixels, with the programs that augment and normalize them (see takeImages()). */
export interface PixelBatch extends Omit<Batch, 'images'> {
  images: Uint8Array<ArrayBuffer>;
  /** [B,L] */
  programs: Int32Array<ArrayBuffer>;
}

export interface EpochOptions {
  /** Number of the first batch, to resume inside an epoch. Default 0. */
  startBatch?: number;
  /** Aborted: the epoch ends at once, even amid waiting for a batch. A function that makes samples gets it, too. */
  signal?: AbortSignal | undefined;
}

/** What feeds a training loop. */
export interface BatchFeed<B extends BatchIndices> {
  /** Batches in an epoch. */
  readonly batches: number;
  /** Milliseconds that the consumer has spent waiting for batches. */
  readonly waitMs: number;
  epoch(epoch: number, options?: EpochOptions): AsyncIterableIterator<B>;
  close(): Promise<void>;
}

/** Where batches come from: this thread or a pool. */
interface Producer {
  make(job: BatchJob, signal: AbortSignal | undefined): Promise<BatchArrays>;
  hold(): void;
  release(): void;
}

const WORKER = new URL(`./batch-worker.${import.meta.url.endsWith('.ts') ? 'ts' : 'js'}`, import.meta.url);

/** Feeds a data set to a training loop in batches; made by {@link loader}. */
export class Loader<B extends Batch | ByteBatch | PixelBatch = Batch> implements BatchFeed<B> {
  readonly options: Required<LoaderOptions>;
  /** Batches in an epoch. */
  readonly batches: number;
  readonly #source: BatchSource;
  readonly #makeHere: BatchMaker;
  readonly #lends: boolean;
  /** Memory of images that were given back. */
  #spare: ArrayBuffer[] = [];
  #pool: WorkerPool<BatchJob, BatchArrays> | undefined;
  #closed = false;
  #waitMs = 0;
  #skipped = 0;

  /**
   * @internal use loader(), byteLoader() or a PictureLoader
   * @param form of the samples; where it is given, batches are lent (see BatchIndices.release)
   */
  constructor(set: AnySet, options: LoaderOptions, form?: Pick<BatchSource, 'asBytes' | 'asPixels'>) {
    needSet(set);
    this.options = resolveOptions(options);
    const { batch, dropLast, seed, augment, workers } = this.options;
    if (workers > 0 && set.kind === 'numbers' && typeof set.numbers === 'function') {
      throw new SpikeloomError(
        `the samples of '${set.name}' are made by a function, which runs in the calling thread alone; give workers: 0`,
      );
    }
    this.#source = { set, seed, augment, ...form };
    this.#lends = form !== undefined;
    this.#makeHere = batchMaker(this.#source);
    this.batches = dropLast ? Math.floor(set.count / batch) : Math.ceil(set.count / batch);
    if (this.batches === 0) {
      throw new SpikeloomError(
        `with dropLast (in a recipe drop_last) a batch of ${batch} is never full: '${set.name}' has ${set.count} samples; use a smaller batch`,
      );
    }
  }

  /** Milliseconds that the consumer has spent waiting for batches since the loader was made. */
  get waitMs(): number {
    return this.#waitMs;
  }

  /** Samples so far that could not be read and were replaced by another one; a batch's `skipped` names them. */
  get skipped(): number {
    return this.#skipped;
  }

  /**
   * The images' order in an epoch [N], a pure function of (seed, epoch). It is drawn at once: of tens of millions that
   * takes seconds, in which nothing else runs. epoch() draws it in turns.
   */
  order(epoch: number): Int32Array {
    checkCount('epoch', epoch, 0, 2 ** 32 - 1);
    return runToEnd(this.#orderInTurns(epoch));
  }

  *#orderInTurns(epoch: number): Generator<void, Int32Array, void> {
    const { count, chosen } = this.#source.set;
    const order = this.options.shuffle
      ? yield* philox(this.options.seed, STREAM.shuffle, epoch).permutationInTurns(count)
      : yield* indicesInTurns(count);
    for (let from = 0; chosen && from < count; from += CHOSEN) {
      for (let i = from; i < Math.min(count, from + CHOSEN); i++) order[i] = chosen[order[i]!]!;
      yield;
    }
    return order;
  }

  /**
   * The batches of one epoch, from number `startBatch` on, to the end or until the signal is aborted.
   * Batch b holds the same samples with the same augmentation whatever the workers, the prefetch and `startBatch`.
   * @throws SpikeloomError from the iterator if a thread fails or the loader is closed meanwhile
   * @example for await (const { images, labels, shape } of loader.epoch(0)) ...
   */
  epoch(epoch: number, options: EpochOptions = {}): AsyncIterableIterator<B> {
    needOptions('epoch()', options, { startBatch: true, signal: true });
    const { startBatch = 0, signal } = options;
    needSignal('epoch()', signal);
    this.needEpoch(epoch, startBatch);
    return this.#iterate(epoch, { startBatch, signal });
  }

  /** @internal Refuses an epoch that there is not, and all of them where the loader is closed. */
  needEpoch(epoch: number, startBatch: number): void {
    this.refuseIfClosed();
    checkCount('startBatch', startBatch, 0, this.batches);
    checkCount('epoch', epoch, 0, 2 ** 32 - 1);
  }

  /**
   * @internal Which images the batches of an epoch hold, from number `startBatch` on. The order of many takes seconds:
   * it is drawn in turns of the event loop. Undefined: the signal was aborted meanwhile.
   */
  async plan(
    epoch: number,
    startBatch: number,
    signal: AbortSignal | undefined,
  ): Promise<Generator<BatchIndices, void, void> | undefined> {
    const [turns, order] = [new Turns(), this.#orderInTurns(epoch)];
    for (let turn = order.next(); ; turn = order.next()) {
      if (turn.done) return this.#cut(turn.value, startBatch);
      await turns.pause();
      if (this.#closed) throw closedMeanwhile();
      if (signal?.aborted) return undefined;
    }
  }

  /** Ends the threads and closes files; an iteration under way gets an error. The process can exit without it. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#spare = [];
    this.#makeHere.close?.();
    await this.#pool?.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  *#cut(order: Int32Array, startBatch: number): Generator<BatchIndices, void, void> {
    const { batch: size } = this.options;
    const { steps, binary = false, channels, height, width, targets } = this.#source.set;
    for (let index = startBatch; index < this.batches; index++) {
      const indices = order.slice(index * size, (index + 1) * size);
      const sample = [indices.length, channels, height, width];
      const shape = steps === undefined ? sample : [steps, ...sample];
      const wanted = targets && { targetShape: targetBatch(targets.shape, indices.length) };
      yield { indices, size: indices.length, shape, index, binary, ...wanted };
    }
  }

  async *#iterate(
    epoch: number,
    { startBatch, signal }: { startBatch: number; signal: AbortSignal | undefined },
  ): AsyncGenerator<B, void, void> {
    const begun = performance.now();
    const plan = await this.plan(epoch, startBatch, signal);
    this.#waitMs += performance.now() - begun;
    if (this.#closed) throw closedMeanwhile();
    if (!plan) return;
    const { workers, prefetch } = this.options;
    const ahead = workers === 0 ? 0 : prefetch;
    const queue: { batch: BatchIndices; arrays: Promise<BatchArrays> }[] = [];
    const fill = (producer: Producer, room: number): void => {
      while (queue.length < room) {
        const { value: batch } = plan.next();
        if (!batch) return;
        const memory = this.#spare.pop();
        const job = { epoch, batch: batch.index, indices: batch.indices, ...(memory && { memory }) };
        const arrays = producer.make(job, signal);
        arrays.catch(() => {}); // awaited when its turn comes; an abandoned one is ignored
        queue.push({ batch, arrays });
      }
    };
    for (let index = startBatch; index < this.batches; index++) {
      this.refuseIfClosed();
      if (signal?.aborted) return;
      const started = performance.now();
      const producer = this.#producer();
      fill(producer, Math.max(ahead, 1));
      const { batch, arrays } = queue.shift()!;
      producer.hold();
      let made: BatchArrays | undefined;
      try {
        made = await orAborted(arrays, signal);
      } finally {
        producer.release();
        this.#waitMs += performance.now() - started;
      }
      if (!made) return;
      this.#skipped += made.skipped?.length ?? 0;
      fill(producer, ahead);
      const lent = this.#lends ? { release: this.#takeBack(made.images) } : {};
      yield { ...made, ...batch, ...lent } as Batch | ByteBatch | PixelBatch as B;
    }
  }

  #takeBack({ buffer }: BatchArrays['images']): () => void {
    let isLent = true;
    return () => {
      if (isLent && !this.#closed) this.#spare.push(buffer);
      isLent = false;
    };
  }

  #producer(): Producer {
    if (this.options.workers === 0) {
      const make = async (job: BatchJob, signal: AbortSignal | undefined) => {
        await nextTurn();
        return this.#makeHere({ ...job, ...(signal && { signal }) });
      };
      return { make, hold() {}, release() {} };
    }
    if (!this.#pool || this.#pool.failure) this.#pool = new WorkerPool(WORKER, this.#source, this.options.workers);
    const pool = this.#pool;
    return {
      make: (job) => pool.run(job, job.memory && [job.memory]),
      hold: () => pool.hold(),
      release: () => pool.release(),
    };
  }

  /** @internal */
  refuseIfClosed(): void {
    if (this.#closed) throw new SpikeloomError('this loader is closed: make a new one to go on');
  }
}

function checkCount(name: string, value: number, least: number, most: number): void {
  if (!Number.isInteger(value) || value < least || value > most) {
    throw new SpikeloomError(`${name} must be an integer from ${least} to ${most}, but is ${kindOf(value)}`);
  }
}

function resolveOptions(options: LoaderOptions): Required<LoaderOptions> {
  needOptions('a loader', options, { batch: true, ...DEFAULTS });
  const all: Required<LoaderOptions> = { ...DEFAULTS, ...given(options) };
  checkCount('batch', all.batch, 1, MOST_IMAGES);
  checkCount('seed', all.seed, 0, Number.MAX_SAFE_INTEGER);
  checkCount('workers', all.workers, 0, 64);
  checkCount('prefetch', all.prefetch, 1, 1024);
  return all;
}

/**
 * Makes a loader: seeded shuffling, augmentation and normalization, off the event loop where `workers` > 0.
 * @throws SpikeloomError for options and sets that do not fit together; from an epoch for a batch that is too large
 * @example
 * const batches = loader(fashionMnist('datasets/fashion-mnist-small').train, { batch: 64, seed: 1, shuffle: true });
 * for await (const batch of batches.epoch(0)) console.log(batch.index, batch.shape);
 */
export function loader(set: AnySet, options: LoaderOptions): Loader {
  return new Loader(set, options);
}

/**
 * @internal A loader whose batches are bytes where the set has a unit and their numbers are small enough; the same
 * numbers in the same order. They are lent, see BatchIndices.release.
 */
export const byteLoader = (set: AnySet, options: LoaderOptions): BatchFeed<Batch | ByteBatch> =>
  new Loader<Batch | ByteBatch>(set, options, { asBytes: true });
