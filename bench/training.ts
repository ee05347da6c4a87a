// A network on random images, with what it takes to train it: what the measurements time.
import { backward, keep, type RealType, type Tensor, tensor } from '../lib/core/index.ts';
import { philox } from '../lib/core/random.ts';
import type { Net } from '../lib/nn/index.ts';
import { crossEntropy } from '../lib/ops/index.ts';
import { sgd } from '../lib/optim/index.ts';
import { networkOf } from './networks.ts';
import type { StepOptions } from './options.ts';

/** First word of the stream the images are drawn from. */
const IMAGES = 0x62656e63;

export interface Training {
  readonly net: Net;
  /** Forward pass, cross-entropy, backward pass and update; gives the loss. Belongs into a scope. */
  readonly step: () => Tensor;
  readonly dispose: () => void;
}

export function prepareTraining(options: StepOptions): Training {
  const { steps, batch, size, channels, classes, seed, threads, device } = options;
  const dtype: RealType = options.precision === 'fp64' ? 'f64' : 'f32';
  const precision = options.precision === 'bf16' ? 'bf16' : 'fp32';
  const net = networkOf(options, { seed, dtype, precision, device, recompute: options.recompute });
  if (device === 'cpu') net.device.setThreads(threads);
  const shape = [...(options.frames ? [steps] : []), batch, channels, size, size];
  const drawn = philox(seed, IMAGES);
  const count = shape.reduce((n, d) => n * d, 1);
  const pixels = dtype === 'f64' ? new Float64Array(count) : new Float32Array(count);
  for (let i = 0; i < count; i++) pixels[i] = drawn.normal();
  const x = keep(tensor(pixels, { shape, dtype, device: net.device }));
  const numbers = Int32Array.from({ length: batch }, (_, i) => i % classes);
  const labels = keep(tensor(numbers, { device: net.device }));
  const optimizer = sgd({ lr: 0.01, momentum: 0.9, nesterov: true, weightDecay: 5e-4 })(net.parameters());
  const step = () => {
    const loss = crossEntropy(net(x), labels, { smoothing: 0.1 });
    backward(loss);
    optimizer.step();
    return loss;
  };
  const dispose = () => {
    for (const kept of [optimizer, net, x, labels]) kept.dispose();
  };
  return { net, step, dispose };
}
