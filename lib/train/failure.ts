// What a run says when its device has not enough memory or is lost, or when it diverges.
import { OutOfMemoryError, SpikeloomError } from '../core/index.ts';
import type { Net } from '../nn/index.ts';
import { binaryBytes } from '../nn/summary.ts';
import type { Optimizer } from '../optim/index.ts';
import { DivergenceError } from './divergence.ts';
import type { Loss } from './loss.ts';
import { freeBytes, largestBatch, planTraining } from './memory.ts';
import type { RunPaths } from './run-folder.ts';
import type { PlannedBatch } from './step-inputs.ts';
import { freeGradients } from './training-step.ts';

/** What training a batch needs. */
export interface Needs {
  net: Net;
  optimizer: Optimizer;
  loss: Loss;
  batch: PlannedBatch;
}

function outOfMemory(error: OutOfMemoryError, { net, optimizer, loss, batch }: Needs): SpikeloomError {
  freeGradients(net);
  const { device } = net;
  const bytes = freeBytes(device);
  const { peakBytes } = planTraining(net, optimizer, loss, batch);
  const fact = `a training step of ${batch.size} images takes ${binaryBytes(peakBytes)} on '${device.name}' as planned, beside weights and optimizer, and ${binaryBytes(bytes)} are free`;
  const fits = largestBatch(net, optimizer, loss, { ...batch, bytes, most: batch.size - 1 });
  const remedy =
    fits > 0
      ? `a batch of ${fits} fits by its plan; take that or a smaller one`
      : 'not even one image fits; make the network or the time steps smaller';
  return new OutOfMemoryError(`out of memory: ${fact}; ${remedy}, or recompute: true (${error.message})`, {
    cause: error,
  });
}

/**
 * The error that a run ends with.
 * @param saved the run's files, and after how many epochs they were written; undefined where nothing is saved
 */
export function explainFailure(
  error: unknown,
  needs: Needs,
  saved: { paths: RunPaths; epochs: number } | undefined,
): unknown {
  const { lost } = needs.net.device;
  if (lost !== undefined) {
    const kept = saved
      ? `The state after epoch ${saved.epochs} is kept in ${saved.paths.folder}: go on from it with --resume (train(): resume: true)`
      : 'This run saved nothing: give it a folder (out) to be able to go on';
    return new SpikeloomError(`${error instanceof Error ? error.message : lost}. ${kept}`, { cause: error });
  }
  if (error instanceof DivergenceError && saved && saved.epochs > 0) {
    const kept = `The weights after epoch ${saved.epochs} are kept in ${saved.paths.last}`;
    return new DivergenceError(`${error.message}. ${kept}`, { cause: error });
  }
  return error instanceof OutOfMemoryError ? outOfMemory(error, needs) : error;
}
