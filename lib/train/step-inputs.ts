// What a step gets from the host: a batch's numbers, or programs that take its images from those on the device.
import { type Device, empty, keep, type RealType, SpikeloomError, type Tensor, tensor } from '../core/index.ts';
import type { ProgrammedBatch } from '../data/images/device-loader.ts';
import type { Batch, BatchIndices, ByteBatch } from '../data/loader.ts';
import { targetBatch } from '../data/numbers/targets.ts';
import type { BatchArrays } from '../data/sample-set.ts';
import { mixImages } from '../ops/mix.ts';
import { bytesToReal } from '../ops/to-real.ts';

/** A batch, and how it is mixed with itself, if at all (see drawMix()). */
export type AnyBatch = (Batch | ByteBatch | ProgrammedBatch) & { mix?: Float32Array<ArrayBuffer> };

/** A batch as the network sees it: images are mixed already, labels are not. */
export interface DeviceBatch {
  images: Tensor;
  /** Classes, i32 [B]; or targets [B,...] or [T,B,...], of the network's type. */
  labels: Tensor;
  mix?: Tensor;
}

const mixed = (batch: DeviceBatch, mix: Tensor | undefined): DeviceBatch =>
  mix ? { ...batch, images: mixImages(batch.images, mix), mix } : batch;

const realsOf = (numbers: Float32Array<ArrayBuffer>, dtype: RealType) =>
  dtype === 'f64' ? new Float64Array(numbers) : numbers;

/** A batch that the host has made. */
type HostBatch = BatchIndices &
  Pick<Batch, 'labels' | 'targets'> &
  Pick<AnyBatch, 'mix'> &
  Pick<BatchArrays, 'images' | 'unit'>;

/**
 * The type in which images are transferred: spikes, a bit each, where they are 0 and 1 and not mixed; bytes where they
 * are multiples of a unit.
 */
const crossingType = (
  { binary, mix, unit }: Pick<HostBatch, 'unit'> & { binary: boolean; mix?: unknown },
  dtype: RealType,
) => (binary && !mix ? 'spike' : unit === undefined ? dtype : 'u8');

function imagesOf(batch: HostBatch, dtype: RealType) {
  const { images } = batch;
  if (images instanceof Uint8Array) return images;
  return crossingType(batch, dtype) === 'spike' ? Uint8Array.from(images) : realsOf(images, dtype);
}

/** The classes of a batch or, where its samples have them, their targets. */
const labelsOf = ({ labels, targets }: HostBatch, dtype: RealType) => (targets ? realsOf(targets, dtype) : labels);

/** The type and shape of what {@link labelsOf} gives. */
const labelKind = (size: number, targetShape: number[] | undefined, dtype: RealType) =>
  targetShape ? ({ shape: targetShape, dtype } as const) : ({ shape: [size], dtype: 'i32' } as const);

/** Transferred images as the network sees them. */
const arrived = (images: Tensor, unit: number | undefined, real: RealType): Tensor =>
  images.dtype === 'u8' ? bytesToReal(images, { unit: unit!, real }) : images;

/** Brings a batch to a device. Call it within scope(). */
export function upload(given: AnyBatch, dtype: RealType, device: Device): DeviceBatch {
  const mix = given.mix && tensor(realsOf(given.mix, dtype), { dtype, device });
  if ('programs' in given) {
    given.bring?.();
    return mixed(given.set.take(tensor(given.programs, { shape: [given.size, given.programWords], device })), mix);
  }
  const batch: HostBatch = given;
  const images = tensor(imagesOf(batch, dtype), { shape: batch.shape, dtype: crossingType(batch, dtype), device });
  const labels = tensor(labelsOf(batch, dtype), { ...labelKind(batch.size, batch.targetShape, dtype), device });
  return mixed({ images: arrived(images, batch.unit, dtype), labels }, mix);
}

/** What a step's plan depends on. */
export interface PlannedBatch {
  /** Samples. */
  size: number;
  /** T, where samples have time steps of their own. */
  steps?: number | undefined;
  /** Whether they hold 0 and 1 alone. */
  binary?: boolean | undefined;
  /** What their numbers are multiples of, where they come as bytes. */
  unit?: number | undefined;
  /** Whether batches are mixed with themselves. */
  mix?: boolean | undefined;
  /** The shape of a sample's target, where samples have targets in place of classes. */
  targets?: readonly number[] | undefined;
}

/**
 * What a recorded step reads: tensors that are there before it and hold one batch after the other, all of one size and
 * one origin.
 */
export interface StepInputs extends Disposable {
  write(batch: AnyBatch): void;
  /** The batch as the step reads it. Called while the step is recorded. */
  read(): DeviceBatch;
}

function wrongOrigin(): never {
  throw new SpikeloomError('the batches of recorded steps come from one loader; make other steps for another one');
}

function pixelInputs(like: HostBatch, dtype: RealType, device: Device): StepInputs {
  const { shape, size, unit, targetShape } = like;
  const type = crossingType(like, dtype);
  const images = keep(empty(shape, type, device));
  const kind = labelKind(size, targetShape, dtype);
  const labels = keep(empty(kind.shape, kind.dtype, device));
  return {
    write(batch) {
      if ('programs' in batch || crossingType(batch, dtype) !== type) return wrongOrigin();
      images.set(imagesOf(batch, dtype));
      labels.set(labelsOf(batch, dtype));
    },
    read: () => ({ images: arrived(images, unit, dtype), labels }),
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

/** What batches of one loader may differ in that a recorded step depends on. */
export const inputKind = (batch: AnyBatch): string => `${batch.size}${'unit' in batch ? ' as bytes' : ''}`;

/** Inputs for batches like this one. */
export function inputsFor(batch: AnyBatch, dtype: RealType, device: Device): StepInputs {
  const inputs = 'programs' in batch ? programInputs(batch, device) : pixelInputs(batch, dtype, device);
  return batch.mix ? mixedInputs(inputs, dtype, device) : inputs;
}

/**
 * Inputs without numbers, for a plan: a batch of images, or of frames where the samples have time steps of their own.
 * @returns the batch, and the tensors that hold one batch after the other
 */
export function plannedInputs(
  { steps, size, mix: isMixed = false, binary = false, unit, targets }: PlannedBatch,
  { channels, height, width }: { channels: number; height: number; width: number },
  dtype: RealType,
  device: Device,
): { batch: DeviceBatch; held: Tensor[] } {
  const sample = [size, channels, height, width];
  const type = crossingType({ mix: isMixed || undefined, binary: binary && steps !== undefined, unit }, dtype);
  const images = empty(steps === undefined ? sample : [steps, ...sample], type, device);
  const kind = labelKind(size, targets && targetBatch(targets, size), dtype);
  const labels = empty(kind.shape, kind.dtype, device);
  const mix = isMixed ? empty([6], dtype, device) : undefined;
  const batch = mixed({ images: arrived(images, unit, dtype), labels }, mix);
  return { batch, held: mix ? [images, labels, mix] : [images, labels] };
}
