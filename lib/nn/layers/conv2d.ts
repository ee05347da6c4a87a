import { z } from 'zod';
import { conv2d as convolve, coveredSize } from '../../ops/conv2d.ts';
import {
  imageOf,
  integer,
  type Layer,
  type LayerKind,
  layerSchema,
  MAX_WIDTH,
  type Options,
  type Run,
} from '../layer.ts';
import { windowSize } from '../window.ts';

/** The default of the largest kernel and dilation. */
const MOST_PADDING = 255 * 127;

const schema = layerSchema('conv2d', {
  channels: integer(1, MAX_WIDTH),
  kernel: integer(1, 255),
  stride: integer(1, 255).default(1),
  /** Zeros on each side. Default: dilation floor(kernel / 2), which keeps the size for odd kernels and stride 1. */
  padding: integer(0, MOST_PADDING).optional(),
  /** The channels are cut into so many groups, each convolved by itself; as many as input channels: depthwise. Default 1. */
  groups: integer(1, MAX_WIDTH).optional(),
  /** Pixels from one kernel element to the next. Default 1. */
  dilation: integer(1, 255).optional(),
  bias: z.boolean().default(false),
});

export type Conv2dLayer = z.input<typeof schema>;
type Checked = z.output<typeof schema>;

/**
 * Convolution of every time step: y[t,b,o] = sum_c w[o,c] (*) x[t,b,c] (+ bias[o]), square kernel, zero padding; with
 * `groups` over the C / groups channels of o's group alone, as in PyTorch.
 * [C,H,W] -> [channels,P,Q], P = floor((H + 2 padding - dilation (kernel - 1) - 1) / stride) + 1. Weights start normal
 * with standard deviation sqrt(2 / (kernel^2 channels / groups)), the outputs that an input reaches, biases at 0.
 * @example conv2d(64, { kernel: 3 })
 * @example conv2d(64, { kernel: 7, groups: 64 }) // depthwise, behind 64 channels
 */
export const conv2d = (channels: number, options: Options<typeof schema, 'channels'>): Conv2dLayer => ({
  kind: 'conv2d',
  channels,
  ...options,
});

const paddingOf = ({ kernel, padding, dilation = 1 }: Checked): number => padding ?? dilation * Math.floor(kernel / 2);

/** What the op takes. */
export function convolutionOf(layer: Layer, run: Run) {
  const checked = layer as Checked;
  const bias = checked.bias ? run.tensor('bias') : undefined;
  const { stride, groups, dilation } = checked;
  return { w: run.tensor('weight'), bias, stride, padding: paddingOf(checked), groups, dilation };
}

export const conv2dKind: LayerKind<Checked> = {
  kind: 'conv2d',
  label: 'conv',
  schema,
  overTime: 'each',
  readsSpikes: true,
  readsBf16: true,
  released: { weight: 'pool.weight', bias: 'pool.bias' },
  plan(layer, input, context) {
    const [inputs, height, width] = imageOf(input, context);
    const { channels, kernel, stride, bias, groups = 1, dilation = 1 } = layer;
    if (inputs % groups !== 0 || channels % groups !== 0) {
      context.fail(
        `groups divides the input and the output channels, but there are ${groups} groups, ${inputs} input and ${channels} output channels; change the channels or the groups`,
      );
    }
    const ofGroup = inputs / groups;
    const size = { kernel: coveredSize(kernel, dilation), stride, padding: paddingOf(layer) };
    const shape = [channels, windowSize(height, size, context), windowSize(width, size, context)];
    const weight = {
      role: 'weight',
      shape: [channels, ofGroup, kernel, kernel],
      init: { std: Math.sqrt(2 / (kernel * kernel * (channels / groups))) },
    };
    return {
      output: { shape, spikes: false, timed: true },
      parameters: bias ? [weight, { role: 'bias', shape: [channels], init: { constant: 0 } }] : [weight],
      macs: channels * shape[1]! * shape[2]! * ofGroup * kernel * kernel,
    };
  },
  forward(layer, x, run) {
    const { w, ...options } = convolutionOf(layer, run);
    return convolve(x, w, { ...options, precision: run.precision });
  },
};
