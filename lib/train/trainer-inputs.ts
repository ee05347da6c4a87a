// What a step gets from the host: a batch's numbers, or what is to be taken from images on the device.
import { type Device, empty, keep, type RealType, SpikeloomError, type Tensor, tensor } from '../core/index.ts';
import type { ProgrammedBatch } from '../data/images/device-loader.ts';
import type { Batch } from '../data/loader.ts';
import { mixImages } from '../ops/mix.ts';

/** A batch, and how it is mixed with itself, if at all (see drawMix()). */
export type AnyBatch = (Batch | ProgrammedBatch) & { mix?: Float32Array<ArrayBuffer> };

/** A batch as the network sees it: images are mixed already, labels are not. */
export interface DeviceBatch {
  images: Tensor;
  labels: Tensor;
  mix?: Tensor;
}

const mixed = (batch: DeviceBatch, mix: Tensor | undefined): DeviceBatch =>
  mix ? { ...batch, images: mixImages(batch.images, mix), mix } : batch;

const realsOf = (numbers: Float32Array<ArrayBuffer>, dtype: RealType) =>
  dtype === 'f64' ? new Float64Array(numbers) : numbers;

/** The type that a batch's images are stored in: spikes, a bit each, where they are 0 and 1 and not mixed. */
const restingType = ({ binary, mix }: { binary?: boolean | undefined; mix?: unknown }, dtype: RealType) =>
  binary && !mix ? 'spike' : dtype;

const imagesOf = (batch: Batch & Pick<AnyBatch, 'mix'>, dtype: RealType) =>
  restingType(batch, dtype) === 'spike' ? Uint8Array.from(batch.images) : realsOf(batch.images, dtype);

/** Brings a batch to a device. Call it within scope(). */
export function upload(batch: AnyBatch, dtype: RealType, device: Device): DeviceBatch {
  const mix = batch.mix && tensor(realsOf(batch.mix, dtype), { dtype, device });
  if ('programs' in batch) {
    batch.bring?.();
    return mixed(batch.set.take(tensor(batch.programs, { shape: [batch.size, batch.programWords], device })), mix);
  }
  const type = restingType(batch, dtype);
  const images = tensor(imagesOf(batch, dtype), { shape: batch.shape, dtype: type, device });
  return mixed({ images, labels: tensor(batch.labels, { device }) }, mix);
}

/** What a step's plan depends on. */
export interface PlannedBatch {
  /** Samples. */
  size: number;
  /** T, where samples have time steps of their own. */
  steps?: number | undefined;
  /** Whether they hold 0 and 1 alone. */
  binary?: boolean | undefined;
  /** Whether batches are mixed with themselves. */
  mix?: boolean | undefined;
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

function pixelInputs(like: Batch & Pick<AnyBatch, 'mix'>, dtype: RealType, device: Device): StepInputs {
  const { shape, size } = like;
  const images = keep(empty(shape, restingType(like, dtype), device));
  const labels = keep(empty([size], 'i32', device));
  return {
    write(batch) {
      if ('programs' in batch) return wrongOrigin();
      images.set(imagesOf(batch, dtype));
      labels.set(batch.labels);
    },
    read: () => ({ images, labels }),
    [Symbol.dispose]() {
      images.dispose();
      labels.dispose();
    },
  };
}

function programInputs({ size, set, programWords }: ProgrammedBatch, device: Device): StepInputs {
  const programs = keep(empty([size, programWords], 'i32', device));
  return {
    write(batch) {
      if (!('programs' in batch) || batch.set !== set) return wrongOrigin();
      batch.bring?.();
      programs.set(batch.programs);
    },
    read: () => set.take(programs),
    [Symbol.dispose]: () => programs.dispose(),
  };
}

/** Inputs whose batches are all mixed with themselves. */
function mixedInputs(inputs: StepInputs, dtype: RealType, device: Device): StepInputs {
  const mix = keep(empty([6], dtype, device));
  return {
    write(batch) {
      if (!batch.mix) return wrongOrigin();
      inputs.write(batch);
      mix.set(realsOf(batch.mix, dtype));
    },
    read: () => mixed(inputs.read(), mix),
    [Symbol.dispose]() {
      mix.dispose();
      inputs[Symbol.dispose]();
    },
  };
}

/** Inputs for batches like this one. */
export function inputsFor(batch: AnyBatch, dtype: RealType, device: Device): StepInputs {
  const inputs = 'programs' in batch ? programInputs(batch, device) : pixelInputs(batch, dtype, device);
  return batch.mix ? mixedInputs(inputs, dtype, device) : inputs;
}

/** Inputs without numbers, for a plan: a batch of images, or of frames where the samples have time steps of their own. */
export function plannedInputs(
  { steps, size, mix, binary }: PlannedBatch,
  { channels, height, width }: { channels: number; height: number; width: number },
  dtype: RealType,
  device: Device,
): DeviceBatch {
  const sample = [size, channels, height, width];
  const type = restingType({ mix, binary: binary && steps !== undefined }, dtype);
  const images = empty(steps === undefined ? sample : [steps, ...sample], type, device);
  const labels = empty([size], 'i32', device);
  return mixed({ images, labels }, mix ? empty([6], dtype, device) : undefined);
}
