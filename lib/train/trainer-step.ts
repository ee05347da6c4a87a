// One training step up to the gradients: upload, forward, loss, backward.
import { backward, type Device, type RealType, scope, type Tensor, tensor } from '../core/index.ts';
import type { Batch } from '../data/loader.ts';
import type { Net } from '../nn/index.ts';
import { accuracyCount } from '../ops/accuracy-count.ts';
import { type LossSettings, lossOf } from './trainer-loss.ts';

export interface DeviceBatch {
  images: Tensor;
  labels: Tensor;
}

/** Copies a batch to a device. Call it within scope(). */
export function upload({ images, labels, shape }: Batch, dtype: RealType, device: Device): DeviceBatch {
  const pixels = dtype === 'f64' ? Float64Array.from(images) : images;
  return { images: tensor(pixels, { shape, dtype, device }), labels: tensor(labels, { device }) };
}

/** The numbers of a batch, read as soon as the device has them. */
export interface StepNumbers {
  /** Mean over the batch. */
  loss: number;
  /** How many were classified right. */
  correct: number;
}

/** Queues the reads at once, so the tensors may be freed as soon as this has returned its promise. */
export function readNumbers(loss: Tensor, correct: Tensor): Promise<StepNumbers> {
  const reads = Promise.all([loss.item(), correct.item()]).then(([l, c]) => ({ loss: l, correct: c }));
  reads.catch(() => {}); // it is awaited later, and a failure must not end the process before that
  return reads;
}

/**
 * Queues forward and backward pass of a batch; the gradients lie in the parameters afterwards.
 * The numbers arrive when the forward pass is done, while the backward pass still runs: whoever waits for them before the update
 * keeps the device busy and never updates by a loss that is not finite.
 */
export function queueGradients(net: Net, batch: Batch, settings: LossSettings): Promise<StepNumbers> {
  let numbers: Promise<StepNumbers> | undefined;
  scope(() => {
    const { images, labels } = upload(batch, net.dtype, net.device);
    const { loss, logits } = lossOf(settings, net.forward(images), labels);
    numbers = readNumbers(loss, accuracyCount(logits, labels));
    backward(loss);
  });
  return numbers!;
}
