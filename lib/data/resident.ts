// Image sets that rest on a device: batches are taken, cropped, mirrored and normalised there.
import { setImmediate as nextTurn } from 'node:timers/promises';
import {
  type Device,
  empty,
  keep,
  OutOfMemoryError,
  type RealType,
  SpikeloomError,
  type Tensor,
} from '../core/index.ts';
import { type ImageTensors, takeImages, takeLabels } from '../ops/take-images.ts';
import { type Augmentation, augmentation, normaliseTable, placements } from './augment.ts';
import type { ImageSet } from './image-set.ts';
import { type BatchFeed, type BatchIndices, type Loader, type LoaderOptions, loader } from './loader.ts';

/** Bytes that a set takes on a device. */
export function residentBytes({ images, labels, channels }: ImageSet, dtype: RealType): number {
  return images.byteLength + labels.byteLength + channels * 256 * (dtype === 'f64' ? 8 : 4);
}

/** Bytes that are copied in one turn of the event loop. */
const PIECE = 2 ** 22;

/** An image set on a device; made by {@link residentSet}. */
export class ResidentSet implements Disposable {
  readonly #images: ImageTensors;
  readonly #labels: Tensor;

  constructor(images: ImageTensors, labels: Tensor) {
    this.#images = images;
    this.#labels = labels;
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

async function fill(images: Tensor, pixels: Uint8Array): Promise<void> {
  const row = images.shape[1]!;
  const rows = Math.max(1, Math.floor(PIECE / row));
  for (let first = 0; first < images.shape[0]!; first += rows) {
    images.setRows(first, pixels.slice(first * row, (first + rows) * row)); // a copy out of shared memory
    await nextTurn();
  }
}

/**
 * Copies a set to a device; the event loop goes on meanwhile.
 * @throws SpikeloomError where the device has no room for it
 */
export async function residentSet(set: ImageSet, dtype: RealType, device: Device): Promise<ResidentSet> {
  const { count, channels, height, width } = set;
  const made: Tensor[] = [];
  const room = (shape: number[], type: Tensor['dtype']): Tensor => {
    made.push(keep(empty(shape, type, device)));
    return made.at(-1)!;
  };
  try {
    const images = room([count, channels * height * width], 'u8');
    const table = room([channels, 256], dtype);
    const labels = room([count], 'i32');
    const values = normaliseTable(set.mean, set.std); // in f64, too, those that were rounded to f32
    table.set(dtype === 'f64' ? new Float64Array(values) : values);
    labels.set(new Int32Array(set.labels));
    await fill(images, set.images);
    return new ResidentSet({ images, table, size: [height, width] }, labels);
  } catch (cause) {
    for (const t of made) t.dispose();
    if (!(cause instanceof OutOfMemoryError)) throw cause;
    const fact = `the ${count} images of '${set.name}' take ${residentBytes(set, dtype)} bytes on '${device.name}' and do not fit`;
    throw new SpikeloomError(`${fact}; leave them on the host (resident: 'off')`, { cause });
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
  #resident: Promise<ResidentSet> | undefined;

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
    this.#resident ??= residentSet(this.#set, this.#dtype, this.#device);
    const set = await this.#resident;
    const placeOf = placements(this.#augmentation, this.#loader.options.seed, epoch);
    for (const batch of batches) {
      this.#loader.refuseIfClosed();
      const picks = new Int32Array(4 * batch.indices.length);
      batch.indices.forEach((index, i) => {
        const { top, left, flip } = placeOf(index);
        picks[4 * i] = index;
        picks[4 * i + 1] = top;
        picks[4 * i + 2] = left;
        picks[4 * i + 3] = Number(flip);
      });
      yield { ...batch, set, picks };
    }
  }

  /** Frees the set; an iteration under way gets an error. */
  async close(): Promise<void> {
    await this.#loader.close();
    const resident = this.#resident;
    this.#resident = undefined;
    (await resident?.catch(() => undefined))?.dispose(); // who waits for it learns of its failure
  }
}
