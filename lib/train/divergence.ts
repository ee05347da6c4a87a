// Where a loss that is not finite comes from.
import { empty, noGrad, runToEnd, SpikeloomError, scope, type Tensor } from '../core/index.ts';
import type { Net } from '../nn/index.ts';
import { clipFactor } from '../ops/optimizer-updates.ts';
import { type AnyBatch, upload } from './step-inputs.ts';

/** Training has left the finite numbers. */
export class DivergenceError extends SpikeloomError {}

interface Probe {
  name: string;
  /**
   * The norm of the tensor: not finite where an element is not, or where elements are too large to be squared and
   * summed.
   */
  norm: Promise<number>;
}

/**
 * Queues the measurement of tensors of one type taken together; memory on the device is free again when this returns.
 */
function normOf(tensors: readonly Tensor[]): Promise<number> {
  const [{ dtype, device }] = tensors as [Tensor];
  let norm: Promise<number> | undefined;
  scope(() => {
    norm = clipFactor(tensors, empty([tensors.length], dtype, device), 1).norm.item();
    norm.catch(() => {});
  });
  return norm!;
}

const probe = (name: string, tensor: Tensor): Probe => ({ name, norm: normOf([tensor]) });

async function firstNotFinite(probes: readonly Probe[]): Promise<string | undefined> {
  const norms = await Promise.all(probes.map(({ norm }) => norm));
  return probes.find((_, i) => !Number.isFinite(norms[i]))?.name;
}

const TRAINING = { training: true };

const isReal = ({ dtype }: Tensor): boolean => dtype === 'f32' || dtype === 'f64';

/** Path of the first layer whose output for this batch is not finite. Spikes are 0 or 1 and always finite. */
async function firstBadLayer(net: Net, batch: AnyBatch): Promise<string | undefined> {
  const probes: Probe[] = [];
  const { onLayer, passes } = net;
  net.passes = passes - 1; // the same masks of dropout again
  net.onLayer = (path, output) => {
    if (isReal(output)) probes.push(probe(path, output));
  };
  try {
    noGrad(() => scope(() => void runToEnd(net.forwardInTurns(upload(batch, net.dtype, net.device).images, TRAINING))));
  } finally {
    net.onLayer = onLayer;
    net.passes = passes;
  }
  return firstNotFinite(probes);
}

/** Whether all parameters and running statistics are finite. Spikes can hide from the loss that they are not. */
export async function allFinite(net: Net): Promise<boolean> {
  return Number.isFinite(await normOf([...net.parameters(), ...net.buffers()].map(({ tensor }) => tensor)));
}

/**
 * The error for a network that has left the finite numbers. The forward pass of the batch is run again with every
 * layer's output looked at; parameters, running statistics and gradients (where the step left them) are looked at too.
 * Nothing in the parameters is changed.
 * @param fact where it was seen, and what: 'epoch 3, step 17 of 390: the loss must be ..., but is NaN'
 */
export async function divergence(net: Net, batch: AnyBatch, fact: string, lr: number): Promise<DivergenceError> {
  const parameters = net.parameters();
  const gradients = parameters.filter(({ tensor }) => tensor.grad !== undefined);
  const badGradient = firstNotFinite(gradients.map(({ name, tensor }) => probe(name, tensor.grad!)));
  const badParameter = firstNotFinite(parameters.map(({ name, tensor }) => probe(name, tensor)));
  // before the forward pass, which changes them
  const badBuffer = firstNotFinite(net.buffers().map(({ name, tensor }) => probe(name, tensor)));
  const layer = await firstBadLayer(net, batch);
  const [gradient, parameter, buffer] = await Promise.all([badGradient, badParameter, badBuffer]);
  const places: string[] = [];
  if (layer !== undefined) places.push(`the output of layer '${layer}'`);
  else if (gradient !== undefined) places.push(`the gradient of '${gradient}'`);
  if (parameter !== undefined) places.push(`the parameter '${parameter}'`);
  if (places.length === 0 && buffer !== undefined) places.push(`the running statistics '${buffer}'`);
  const found = places.length > 0 ? `The first that is not finite: ${places.join(', and ')}` : 'Every layer is finite';
  const remedy = `Lower the learning rate (${lr} here), clip the gradient's norm, or look at the data`;
  return new DivergenceError(`${fact}. ${found}. ${remedy}`);
}
