// Images of a set on a device, as bytes, and batches made of them there.
import { setImmediate as nextTurn } from 'node:timers/promises';
import {
  type Device,
  empty,
  keep,
  OutOfMemoryError,
  type RealType,
  SpikeloomError,
  type Tensor,
} from '../../core/index.ts';
import { type ImageTensors, takeImages, takeLabels } from '../../ops/take-images.ts';
import { normaliseTable } from '../augment/augment.ts';
import { type ImageSet, pixelsOf } from './image-set.ts';

/** What is to be known of images that lie on a device. */
type Kind = Pick<ImageSet, 'name' | 'channels' | 'height' | 'width' | 'mean' | 'std'>;

/** Bytes that `count` images of a set take on a device. */
export function residentBytes(
  { channels, height, width }: Pick<Kind, 'channels' | 'height' | 'width'>,
  count: number,
  dtype: RealType,
): number {
  return count * (channels * height * width + 4) + channels * 256 * (dtype === 'f64' ? 8 : 4);
}

/** Bytes that are copied in one turn of the event loop. */
const PIECE = 2 ** 22;

/** Images of a set on a device; made by {@link residentSet} or {@link residentRoom}. */
export class ResidentSet implements Disposable {
  readonly #images: ImageTensors;
  readonly #labels: Tensor;
  /** Where batches are put together, again and again: a new array each would call the garbage collector often. */
  #room: Uint8Array<ArrayBuffer> | undefined;

  constructor(images: ImageTensors, labels: Tensor) {
    this.#images = images;
    this.#labels = labels;
  }

  /** Replaces the pixels of the images from number `first` on. */
  setImages(first: number, pixels: Uint8Array): void {
    this.#images.images.setRows(first, pixels);
  }

  /** Replaces the classes of all images, or of the first ones where fewer are given. */
  setLabels(labels: Int32Array): void {
    const all = new Int32Array(this.#labels.size);
    all.set(labels);
    this.#labels.set(all);
  }

  /** Replaces images and classes by those of a set on the host. */
  bring(set: ImageSet, indices: Int32Array): void {
    this.#room ??= new Uint8Array(this.#images.images.size);
    this.setImages(0, pixelsOf(set, indices, this.#room));
    this.setLabels(indices.map((index) => set.labels[index]!));
  }

  /** The batch that the programs (see takeImages()) make, as f32 or f64 [B,C,H,W] and i32 [B]. */
  take(programs: Tensor): { images: Tensor; labels: Tensor } {
    return { images: takeImages(this.#images, programs), labels: takeLabels(this.#labels, programs) };
  }

  dispose(): void {
    for (const t of [this.#images.images, this.#images.table, this.#labels]) t.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/**
 * Room for `count` images of a set on a device, not filled yet.
 * @throws SpikeloomError where the device has none
 */
export function residentRoom(set: Kind, count: number, dtype: RealType, device: Device): ResidentSet {
  const { channels, height, width } = set;
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
    return new ResidentSet({ images, table, size: [height, width] }, labels);
  } catch (cause) {
    for (const t of made) t.dispose();
    if (!(cause instanceof OutOfMemoryError)) throw cause;
    const fact = `${count} images of '${set.name}' take ${residentBytes(set, count, dtype)} bytes on '${device.name}' and do not fit`;
    throw new SpikeloomError(`${fact}; leave the set on the host (resident: 'off') or make the batch smaller`, {
      cause,
    });
  }
}

/**
 * Copies a set to a device; the event loop keeps running meanwhile.
 * @throws SpikeloomError where the device has no room for it
 */
export async function residentSet(set: ImageSet, dtype: RealType, device: Device): Promise<ResidentSet> {
  const made = residentRoom(set, set.count, dtype, device);
  const row = set.channels * set.height * set.width;
  const rows = Math.max(1, Math.floor(PIECE / row));
  try {
    made.setLabels(set.labels);
    for (let first = 0; first < set.count; first += rows) {
      made.setImages(first, set.images.subarray(first * row, (first + rows) * row));
      await nextTurn();
    }
  } catch (error) {
    made.dispose();
    throw error;
  }
  return made;
}
