// The networks that steps are timed on: the zoo's, and three that users of SpikingJelly and snnTorch train, layer for
// layer and with as many parameters, in Spikeloom's own layers.
import { SpikeloomError } from '../lib/core/index.ts';
import * as nn from '../lib/nn/index.ts';
import type { StepOptions } from './options.ts';

const { conv2d, dropout, flatten, ifNode, lif, linear, maxPool2d, meanOverTime, norm } = nn;

interface Own {
  /** Channels of every convolution. */
  width?: number | undefined;
}

/** As both libraries count: the membrane's own unit, and a threshold of 1 of it. */
const unit = { vth: 1, threshold: 1 };

/** CSNN of SpikingJelly's example for Fashion-MNIST. */
const csnn = nn.define<Own>(
  'spikingjelly-csnn',
  ({ classes, width = 128 }) => {
    const neurons = () => ifNode({ ...unit, surrogate: 'atan' });
    const stage = () => [conv2d(width, { kernel: 3 }), norm(), neurons(), maxPool2d(2)];
    const head = (features: number) => [linear(features, { bias: false }), neurons()];
    return [...stage(), ...stage(), flatten(), ...head(width * 4 * 4), ...head(classes), meanOverTime()];
  },
  { own: ['width'] },
);

/** Neurons of DVSGestureNet that vote for one class. */
const VOTES = 10;

/**
 * DVSGestureNet of SpikingJelly's example. Its LIF neurons halve the current as they halve the membrane: the same as
 * a whole current in twice the unit.
 */
const gesture = nn.define<Own>(
  'spikingjelly-dvs-gesture',
  ({ classes, width = 128 }) => {
    const neurons = () => lif({ ...unit, vth: 2, decay: 0.5, detachReset: true, surrogate: 'atan' });
    const stage = () => [conv2d(width, { kernel: 3 }), norm(), neurons(), maxPool2d(2)];
    const head = (features: number) => [dropout(0.5), linear(features), neurons()];
    const stages = Array.from({ length: 5 }, stage).flat();
    return [...stages, flatten(), ...head(512), ...head(classes * VOTES), nn.vote(VOTES), meanOverTime()];
  },
  { own: ['width'] },
);

/** The convolutional network of snnTorch's tutorial 6. There a reset comes one step later, undiminished by the decay. */
const convnet = nn.define('snntorch-convnet', ({ classes }) => {
  const neurons = () => lif({ ...unit, decay: 0.5, reset: 'soft', detachReset: true, surrogate: 'fastSigmoid' });
  const stage = (channels: number) => [
    conv2d(channels, { kernel: 5, padding: 0, bias: true }),
    maxPool2d(2),
    neurons(),
  ];
  return [...stage(12), ...stage(64), flatten(), linear(classes), neurons(), meanOverTime()];
});

const others: Readonly<Record<string, nn.Factory<Own>>> = Object.fromEntries(
  [csnn, gesture, convnet].map((factory) => [factory.model, factory]),
);

type NetworkOptions = Pick<StepOptions, 'model' | 'steps' | 'size' | 'channels' | 'classes'> &
  Partial<Pick<StepOptions, 'width' | 'reduction' | 'attention'>>;

/** @throws SpikeloomError that lists what exists, or for options that the network does not take */
function chosen({ model, steps, size, channels, classes, width, reduction, attention }: NetworkOptions) {
  const shared = { steps, size, channels, classes, width };
  const other = Object.hasOwn(others, model) ? others[model] : undefined;
  if (other) return { factory: other, options: shared };
  if (Object.hasOwn(nn.zoo, model)) return { factory: nn.model(model), options: { ...shared, reduction, attention } };
  const names = [...Object.keys(nn.zoo), ...Object.keys(others)];
  throw new SpikeloomError(`there is no network ${JSON.stringify(model)}; the networks are ${names.join(', ')}`);
}

export function planOf(options: NetworkOptions): nn.ModelPlan {
  const { factory, options: own } = chosen(options);
  return factory.plan(own);
}

export function networkOf(options: NetworkOptions, more: nn.NetOptions): nn.Net {
  const { factory, options: own } = chosen(options);
  return factory({ ...own, ...more });
}
