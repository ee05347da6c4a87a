import type { Device, RealType } from '../../core/index.ts';
import type { ProgrammedBatch } from '../images/device-loader.ts';
import { type ResidentSet, residentBytes, residentRoom } from '../images/resident-set.ts';
import { type BatchFeed, type EpochOptions, Loader, type LoaderOptions, type PixelBatch } from '../loader.ts';
import type { ImageFiles } from './image-files.ts';

/**
 * A {@link Loader} of pictures in files whose batches are made on a device: the same ones in the same order, to the
 * bit. Its threads decode, cut out and scale; the pixels cross as bytes, a quarter of the size of real numbers, and are
 * augmented and normalized there.
 */
export class PictureLoader implements BatchFeed<ProgrammedBatch> {
  readonly #loader: Loader<PixelBatch>;
  readonly #set: ImageFiles;
  readonly #place: { dtype: RealType; device: Device };
  #room: ResidentSet | undefined;

  constructor(set: ImageFiles, options: LoaderOptions, place: { dtype: RealType; device: Device }) {
    this.#loader = new Loader<PixelBatch>(set, options, { asPixels: true });
    this.#set = set;
    this.#place = place;
  }

  get batches(): number {
    return this.#loader.batches;
  }

  get waitMs(): number {
    return this.#loader.waitMs;
  }

  /** Bytes that its images take on the device: those of a batch. */
  get bytes(): number {
    return residentBytes(this.#set, this.#count, this.#place.dtype);
  }

  get #count(): number {
    return Math.min(this.#set.count, this.#loader.options.batch);
  }

  /** As {@link Loader.epoch}. @throws SpikeloomError where the device has no room for a batch */
  async *epoch(epoch: number, options: EpochOptions = {}): AsyncGenerator<ProgrammedBatch, void, void> {
    for await (const { images, labels, programs, ...batch } of this.#loader.epoch(epoch, options)) {
      this.#room ??= residentRoom(this.#set, this.#count, this.#place.dtype, this.#place.device);
      const set = this.#room;
      const bring = () => {
        set.setImages(0, images);
        set.setLabels(labels);
      };
      yield { ...batch, set, programs, programWords: programs.length / batch.size, bring };
    }
  }

  /** Ends the threads and frees the batch on the device; an iteration under way gets an error. */
  async close(): Promise<void> {
    await this.#loader.close();
    this.#room?.dispose();
    this.#room = undefined;
  }
}
