// Image sets that rest on a device: batches are taken, cropped, mirrored and normalised there.
import {
  type Device,
  keep,
  OutOfMemoryError,
  type RealType,
  SpikeloomError,
  type Tensor,
  tensor,
} from '../core/index.ts';
import { type ImageTensors, takeImages, takeLabels } from '../ops/take-images.ts';
import { type Augmentation, augmentation, normaliseTable, place } from './augment.ts';
import type { ImageSet } from './image-set.ts';
import { type BatchFeed, type BatchIndices, type Loader, type LoaderOptions, loader } from './loader.ts';

/** Bytes that a set takes on a device. */
export function residentBytes({ images, labels, channels }: ImageSet, dtype: RealType): number {
  return images.byteLength + labels.byteLength + channels * 256 * (dtype === 'f64' ? 8 : 4);
}

/** An image set on a device. */
export class ResidentSet implements Disposable {
  readonly #images: ImageTensors;
  readonly #labels: Tensor;

  /** @throws SpikeloomError where the device has no room for it */
  constructor(set: ImageSet, dtype: RealType, device: Device) {
    const { count, channels, height, width } = set;
    const table = normaliseTable(set.mean, set.std); // in f64, too, of the values that were rounded to f32
    const made: Tensor[] = [];
    const put = (
      data: Uint8Array | Float32Array | Float64Array | Int32Array,
      shape: number[],
      type: Tensor['dtype'],
    ) => {
      made.push(keep(tensor(data, { shape, dtype: type, device })));
      return made.at(-1)!;
    };
    try {
      const images = put(new Uint8Array(set.images), [count, channels * height * width], 'u8');
      const values = put(dtype === 'f64' ? new Float64Array(table) : table, [channels, 256], dtype);
      this.#images = { images, table: values, size: [height, width] };
      this.#labels = put(new Int32Array(set.labels), [count], 'i32');
    } catch (cause) {
      for (const t of made) t.dispose();
      if (!(cause instanceof OutOfMemoryError)) throw cause;
      const fact = `the ${count} images of '${set.name}' take ${residentBytes(set, dtype)} bytes on '${device.name}' and do not fit`;
      throw new SpikeloomError(`${fact}; leave them on the host (resident: 'off')`, { cause });
    }
  }

  /** The batch that the picks (see {@link PickedBatch}) name, as f32 or f64 [B,C,H,W] and i32 [B]. */
  take(picks: Tensor): { images: Tensor; labels: Tensor } {
    return { images: takeImages(this.#images, picks), labels: takeLabels(this.#labels, picks) };
  }

  dispose(): void {
    for (const t of [this.#images.images, this.#images.table, this.#labels]) t.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** A batch as what is to be taken from a set on a device. */
export interface PickedBatch extends BatchIndices {
  set: ResidentSet;
  /** For every image [B,4]: index into the set, top and left of its window, whether it is mirrored. */
  picks: Int32Array<ArrayBuffer>;
}

/**
 * A {@link Loader} whose set rests on a device, from the first epoch to close(): the same batches in the same order, to the bit, as
 * numbers of 16 bytes an image. No thread is needed.
 */
export class ResidentLoader implements BatchFeed<PickedBatch> {
  /** Nobody waits for these batches. */
  readonly waitMs = 0;
  readonly #loader: Loader;
  readonly #set: ImageSet;
  readonly #augmentation: Augmentation | undefined;
  readonly #dtype: RealType;
  readonly #device: Device;
  #resident: ResidentSet | undefined;

  constructor(set: ImageSet, options: LoaderOptions, { dtype, device }: { dtype: RealType; device: Device }) {
    this.#loader = loader(set, options);
    this.#set = set;
    this.#augmentation = augmentation(set.name, this.#loader.options.augment);
    this.#dtype = dtype;
    this.#device = device;
  }

  get batches(): number {
    return this.#loader.batches;
  }

  /** As {@link Loader.epoch}. @throws SpikeloomError where the device has no room for the set */
  epoch(epoch: number, { startBatch = 0 }: { startBatch?: number } = {}): AsyncIterableIterator<PickedBatch> {
    return this.#pick(epoch, this.#loader.indices(epoch, startBatch));
  }

  async *#pick(epoch: number, batches: Iterable<BatchIndices>): AsyncGenerator<PickedBatch, void, void> {
    this.#resident ??= new ResidentSet(this.#set, this.#dtype, this.#device);
    const { seed } = this.#loader.options;
    for (const batch of batches) {
      const picks = new Int32Array(4 * batch.indices.length);
      for (const [i, index] of batch.indices.entries()) {
        const { top, left, flip } = place(this.#augmentation, seed, epoch, index);
        picks.set([index, top, left, Number(flip)], 4 * i);
      }
      yield { ...batch, set: this.#resident, picks };
    }
  }

  /** Frees the set. */
  async close(): Promise<void> {
    this.#resident?.dispose();
    this.#resident = undefined;
    await this.#loader.close();
  }
}
