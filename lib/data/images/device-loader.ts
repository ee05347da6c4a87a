// Batches that are augmented and normalized on a device, from a set that is resident there or from bytes that are
// uploaded with each batch.
import type { Device, RealType } from '../../core/index.ts';
import { type Augmentation, augmentation, batchPrograms, drawPrograms, wordsOf } from '../augment/augment.ts';
import {
  type BatchFeed,
  type BatchIndices,
  type EpochOptions,
  type Loader,
  type LoaderOptions,
  loader,
} from '../loader.ts';
import type { ImageSet } from './image-set.ts';
import { type ResidentSet, residentBytes, residentRoom, residentSet } from './resident-set.ts';

/** A batch as the programs that make it from images on a device. */
export interface ProgrammedBatch extends BatchIndices {
  set: ResidentSet;
  /** For every image of the batch, what is done with which image of `set`, [B,L] (see takeImages()). */
  programs: Int32Array<ArrayBuffer>;
  /** L */
  programWords: number;
  /** Where the set is not resident: uploads the batch's images. To be called before they are taken. */
  bring?: () => void;
}

export interface DevicePlace {
  dtype: RealType;
  device: Device;
  /** Whether the whole set is resident, from the first epoch to close(); else a batch's images are uploaded with it. */
  whole: boolean;
}

/**
 * A {@link Loader} whose batches are made on a device: the same ones in the same order, to the bit. An image is a
 * program of some words, and where the set is not resident its pixels as bytes, a quarter of the size of real numbers.
 * No thread is needed.
 */
export class DeviceLoader implements BatchFeed<ProgrammedBatch> {
  /** Nobody waits for these batches. */
  readonly waitMs = 0;
  readonly #loader: Loader;
  readonly #set: ImageSet;
  readonly #augmentation: Augmentation;
  readonly #place: DevicePlace;
  #resident: Promise<ResidentSet> | undefined;

  constructor(set: ImageSet, options: LoaderOptions, place: DevicePlace) {
    this.#loader = loader(set, options);
    this.#set = set;
    this.#augmentation = augmentation(set.name, this.#loader.options.augment);
    this.#place = place;
  }

  get batches(): number {
    return this.#loader.batches;
  }

  /** Bytes that its images take on the device. */
  get bytes(): number {
    return residentBytes(this.#set, this.#count, this.#place.dtype);
  }

  /** As {@link Loader.epoch}. @throws SpikeloomError where the device has no room for the images */
  epoch(epoch: number, { startBatch = 0, signal }: EpochOptions = {}): AsyncIterableIterator<ProgrammedBatch> {
    this.#loader.needEpoch(epoch, startBatch);
    return this.#program(epoch, startBatch, signal);
  }

  get #count(): number {
    const { count } = this.#set;
    return this.#place.whole ? count : Math.min(count, this.#loader.options.batch);
  }

  async #open(): Promise<ResidentSet> {
    const { whole, dtype, device } = this.#place;
    return whole ? residentSet(this.#set, dtype, device) : residentRoom(this.#set, this.#count, dtype, device);
  }

  async *#program(
    epoch: number,
    startBatch: number,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<ProgrammedBatch, void, void> {
    this.#resident ??= this.#open();
    const set = await this.#resident;
    const { whole } = this.#place;
    const { height, width } = this.#set;
    const kind = this.#augmentation;
    const draw = drawPrograms(kind, [height, width], this.#loader.options.seed, epoch);
    for (const batch of (await this.#loader.plan(epoch, startBatch, signal)) ?? []) {
      this.#loader.refuseIfClosed();
      if (signal?.aborted) return;
      const { indices } = batch;
      const words = batchPrograms(kind, draw, indices, !whole);
      const made = { ...batch, set, programs: words, programWords: wordsOf(kind) };
      yield whole ? made : { ...made, bring: () => set.bring(this.#set, indices) };
    }
  }

  /** Frees the images on the device; an iteration under way gets an error. */
  async close(): Promise<void> {
    await this.#loader.close();
    const resident = this.#resident;
    this.#resident = undefined;
    (await resident?.catch(() => undefined))?.dispose(); // who waits for it learns of its failure
  }
}
