// What a step gets from the host: a batch's numbers, or what is to be taken from images on the device.
import { type Device, empty, keep, type RealType, SpikeloomError, type Tensor, tensor } from '../core/index.ts';
import type { PickedBatch } from '../data/device-loader.ts';
import type { Batch } from '../data/loader.ts';

export type AnyBatch = Batch | PickedBatch;

/** A batch as the network sees it. */
export interface DeviceBatch {
  images: Tensor;
  labels: Tensor;
}

const pixelsOf = ({ images }: Batch, dtype: RealType) => (dtype === 'f64' ? new Float64Array(images) : images);

/** Brings a batch to a device. Call it within scope(). */
export function upload(batch: AnyBatch, dtype: RealType, device: Device): DeviceBatch {
  if ('picks' in batch) {
    batch.bring?.();
    return batch.set.take(tensor(batch.picks, { shape: [batch.size, 4], device }));
  }
  const images = tensor(pixelsOf(batch, dtype), { shape: batch.shape, dtype, device });
  return { images, labels: tensor(batch.labels, { device }) };
}

/** What a recorded step reads: tensors that are there before it and hold one batch after the other, all of one size and one origin. */
export interface StepInputs extends Disposable {
  write(batch: AnyBatch): void;
  /** Belongs into the step. */
  read(): DeviceBatch;
}

function wrongOrigin(): never {
  throw new SpikeloomError('the batches of recorded steps come from one loader; make other steps for another one');
}

function pixelInputs({ shape, size }: Batch, dtype: RealType, device: Device): StepInputs {
  const images = keep(empty(shape, dtype, device));
  const labels = keep(empty([size], 'i32', device));
  return {
    write(batch) {
      if ('picks' in batch) return wrongOrigin();
      images.set(pixelsOf(batch, dtype));
      labels.set(batch.labels);
    },
    read: () => ({ images, labels }),
    [Symbol.dispose]() {
      images.dispose();
      labels.dispose();
    },
  };
}

function pickInputs({ size, set }: PickedBatch, device: Device): StepInputs {
  const picks = keep(empty([size, 4], 'i32', device));
  return {
    write(batch) {
      if (!('picks' in batch) || batch.set !== set) return wrongOrigin();
      batch.bring?.();
      picks.set(batch.picks);
    },
    read: () => set.take(picks),
    [Symbol.dispose]: () => picks.dispose(),
  };
}

/** Inputs for batches like this one. */
export function inputsFor(batch: AnyBatch, dtype: RealType, device: Device): StepInputs {
  return 'picks' in batch ? pickInputs(batch, device) : pixelInputs(batch, dtype, device);
}
