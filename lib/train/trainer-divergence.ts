// Where a loss that is not finite comes from.
import { empty, noGrad, SpikeloomError, scope, type Tensor } from '../core/index.ts';
import type { Batch } from '../data/loader.ts';
import type { Net } from '../nn/index.ts';
import { clipFactor } from '../ops/optimizer-updates.ts';
import { upload } from './trainer-step.ts';

interface Probe {
  name: string;
  /** The norm of the tensor: not finite where an element is not, or where elements are too large to be squared and summed. */
  norm: Promise<number>;
}

/** Queues the measurement of a tensor; memory on the device is free again when this returns. */
function probe(name: string, tensor: Tensor): Probe {
  let norm: Promise<number> | undefined;
  scope(() => {
    norm = clipFactor([tensor], empty([1], tensor.dtype, tensor.device), 1).norm.item();
    norm.catch(() => {});
  });
  return { name, norm: norm! };
}

async function firstNotFinite(probes: readonly Probe[]): Promise<string | undefined> {
  const norms = await Promise.all(probes.map(({ norm }) => norm));
  return probes.find((_, i) => !Number.isFinite(norms[i]))?.name;
}

const isReal = ({ dtype }: Tensor): boolean => dtype === 'f32' || dtype === 'f64';

/** Path of the first layer whose output for this batch is not finite. Spikes are 0 or 1 and always finite. */
async function firstBadLayer(net: Net, batch: Batch): Promise<string | undefined> {
  const probes: Probe[] = [];
  const { onLayer, passes } = net;
  net.passes = passes - 1; // the same masks of dropout again
  net.onLayer = (path, output) => {
    if (isReal(output)) probes.push(probe(path, output));
  };
  try {
    noGrad(() => scope(() => void net.forward(upload(batch, net.dtype, net.device).images)));
  } finally {
    net.onLayer = onLayer;
    net.passes = passes;
  }
  return firstNotFinite(probes);
}

/**
 * The error for a training step with a loss that is not finite. The forward pass of the batch is run again with every layer's output
 * looked at; parameters and their gradients (where the step left them) are looked at too. Nothing in the parameters is changed.
 * @param where the step in words: 'epoch 3, step 17 of 390'
 */
export async function divergence(net: Net, batch: Batch, where: string, facts: { loss: number; lr: number }) {
  const parameters = net.parameters();
  const gradients = parameters.filter(({ tensor }) => tensor.grad !== undefined);
  const badGradient = firstNotFinite(gradients.map(({ name, tensor }) => probe(name, tensor.grad!)));
  const badParameter = firstNotFinite(parameters.map(({ name, tensor }) => probe(name, tensor)));
  const layer = await firstBadLayer(net, batch);
  const [gradient, parameter] = await Promise.all([badGradient, badParameter]);
  const places = [
    layer && `the output of layer '${layer}'`,
    !layer && gradient && `the gradient of '${gradient}'`,
    parameter && `the parameter '${parameter}'`,
  ].filter((place) => place !== undefined && place !== false);
  const found = places.length > 0 ? `The first that is not finite: ${places.join(', and ')}` : 'Every layer is finite';
  const remedy = `Lower the learning rate (${facts.lr} here), clip the gradient's norm, or look at the data`;
  return new SpikeloomError(`${where}: the loss must be a finite number, but is ${facts.loss}. ${found}. ${remedy}`);
}
