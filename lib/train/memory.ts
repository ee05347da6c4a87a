// How much of a device's memory training takes, known before the first step.
import { freemem } from 'node:os';
import { SpikeloomError } from '../core/errors.ts';
import { type Device, planStep, runToEnd, type StepPlan, type Tensor } from '../core/index.ts';
import { contentOf, needOptions } from '../core/options.ts';
import { isTargetShape, TARGET_SHAPES } from '../data/numbers/targets.ts';
import type { Net } from '../nn/index.ts';
import { needNet } from '../nn/net.ts';
import { type Optimizer, type OptimizerFactory, sgd } from '../optim/index.ts';
import { isOptimizerFactory, makeOptimizer } from '../optim/optimizer.ts';
import { checkTimed, type Loss, type LossOption, lossFrom } from './loss.ts';
import { type PlannedBatch, plannedInputs } from './step-inputs.ts';
import { checkTargetOutput, isTargetLoss } from './target-loss.ts';
import { trainingStep } from './training-step.ts';

export interface MemoryOptions extends Omit<PlannedBatch, 'size'> {
  /** Images per update. */
  batch: number;
  /** Default sgd({ momentum: 0.9, nesterov: true }). */
  optimizer?: OptimizerFactory | undefined;
  /** Default: cross-entropy; of targets the mean squared error. */
  loss?: LossOption | undefined;
  /** Of images on the device, beside the batch. Default 0. */
  dataBytes?: number | undefined;
}

const KNOWN: Record<keyof MemoryOptions, true> = {
  ...({ batch: true, optimizer: true, loss: true, dataBytes: true } as const),
  ...({ steps: true, binary: true, unit: true, mix: true, targets: true } as const),
};

/** Bytes on the device. */
export interface TrainingMemory {
  batch: number;
  /** Parameters and running statistics. */
  weightBytes: number;
  /** The optimizer's buffers. */
  optimizerBytes: number;
  /** What a step makes, by its plan: activations, gradients, loss; and the batch. */
  stepBytes: number;
  /** The most of these that live at once; the rest is lost between blocks. */
  leastStepBytes: number;
  /** Images on the device, as bytes: whole data sets, or a batch of each; 0 where the host makes the batches. */
  dataBytes: number;
  /** Weights, optimizer, step and data: the peak of training. Scratch memory of kernels is not in it. */
  bytes: number;
}

const bytesOf = (tensors: readonly Tensor[], each: number): number =>
  tensors.reduce((sum, t) => sum + t.size * each, 0);

/** The plan of a training step for a batch. Nothing is run, and the net is left as it was. */
export function planTraining(net: Net, optimizer: Optimizer, loss: Loss, batch: PlannedBatch): StepPlan {
  const { dtype, device, trackFiring, onLayer } = net;
  const step = trainingStep(net, optimizer, loss);
  net.trackFiring = false;
  net.onLayer = undefined;
  try {
    return planStep(device, () => {
      const inputs = plannedInputs(batch, net.plan.input, dtype, device);
      return { held: inputs.held, ...runToEnd(step(inputs.batch)) };
    });
  } finally {
    Object.assign(net, { trackFiring, onLayer });
  }
}

/**
 * Plans the training step of a network for a batch without running it. Only the optimizer's buffers are made, for a
 * moment.
 * @throws SpikeloomError where network and loss do not fit together
 * @example const { bytes } = trainingMemory(net, { batch: 128 });
 * @example trainingMemory(net, { batch: 128, targets: [2], loss: { kind: 'l1' } }); // a regression to two numbers
 */
export function trainingMemory(net: Net, options: MemoryOptions): TrainingMemory {
  needNet('trainingMemory()', net);
  needOptions('trainingMemory()', options, KNOWN);
  const { batch, optimizer: factory, dataBytes = 0, ...rest } = options;
  const { steps, binary, unit, mix, targets } = rest;
  if (targets !== undefined && !isTargetShape(targets))
    throw new SpikeloomError(
      `trainingMemory(): targets is the shape of a sample's, ${TARGET_SHAPES}, not ${contentOf(targets)}`,
    );
  if (typeof rest.loss === 'object' && isTargetLoss(rest.loss) && targets === undefined)
    throw new SpikeloomError(
      `trainingMemory(): the loss '${rest.loss.kind}' compares the output with targets; give the shape of a sample's, as in targets: [2]`,
    );
  const loss = lossFrom('trainingMemory()', rest.loss, targets !== undefined);
  if (targets && typeof loss !== 'function') checkTargetOutput(net.plan, targets);
  else checkTimed(loss, net.plan);
  if (factory !== undefined && !isOptimizerFactory(factory))
    throw new SpikeloomError(
      'trainingMemory(): optimizer is what sgd(), adamw() or lamb() makes, as in sgd({ lr: 0.1 })',
    );
  const make = factory ?? sgd({ momentum: 0.9, nesterov: true });
  using optimizer = makeOptimizer('trainingMemory()', make, net.parameters());
  const plan = planTraining(net, optimizer, loss, { size: batch, steps, binary, unit, mix, targets });
  const each = net.dtype === 'f64' ? 8 : 4;
  const weightBytes = bytesOf(
    [...net.parameters(), ...net.buffers()].map(({ tensor }) => tensor),
    each,
  );
  const optimizerBytes = bytesOf(Object.values(optimizer.state()), each);
  return {
    batch,
    weightBytes,
    optimizerBytes,
    stepBytes: plan.peakBytes,
    leastStepBytes: plan.leastBytes + plan.resultBytes,
    dataBytes,
    bytes: weightBytes + optimizerBytes + plan.peakBytes + dataBytes,
  };
}

/** Bytes that may be taken on a device: the free ones, and those that this process holds idle. */
export function freeBytes(device: Device): number {
  const { bytesReserved, bytesInUse } = device.stats();
  return (device.memory()?.freeBytes ?? freemem()) + bytesReserved - bytesInUse;
}

/**
 * The largest batch, up to `most`, whose training step takes no more than so many bytes by its plan; 0 where none does.
 */
export function largestBatch(
  net: Net,
  optimizer: Optimizer,
  loss: Loss,
  { bytes, most, ...kind }: Omit<PlannedBatch, 'size'> & { bytes: number; most: number },
): number {
  let [fits, tooLarge] = [0, most + 1];
  while (tooLarge - fits > 1) {
    const size = (fits + tooLarge) >> 1;
    if (planTraining(net, optimizer, loss, { ...kind, size }).peakBytes <= bytes) fits = size;
    else tooLarge = size;
  }
  return fits;
}
