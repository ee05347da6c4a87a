import { z } from 'zod';
import { avgPool2d as average } from '../../ops/avg-pool2d.ts';
import { globalAvgPool as averageAll } from '../../ops/global-avg-pool.ts';
import { maxPool2d as largest } from '../../ops/max-pool2d.ts';
import {
  imageOf,
  integer,
  type LayerKind,
  layerSchema,
  type Options,
  type PlanContext,
  type Signal,
} from '../layer.ts';
import { type Window, windowSize } from '../window.ts';

const side = integer(1, 255);

const window = {
  kernel: side,
  /** Default: the kernel. */
  stride: side.optional(),
  padding: integer(0, 127).default(0),
  /** Round the output size up instead of down. */
  ceilMode: z.boolean().default(false),
};

const avgSchema = layerSchema('avgPool2d', {
  ...window,
  /** Whether zeros of the padding count in the mean. */
  countIncludePad: z.boolean().default(true),
});
const maxSchema = layerSchema('maxPool2d', window);
const globalSchema = layerSchema('globalAvgPool', {});

export type AvgPool2dLayer = z.input<typeof avgSchema>;
export type MaxPool2dLayer = z.input<typeof maxSchema>;
export type GlobalAvgPoolLayer = z.input<typeof globalSchema>;

/** Mean over square windows: [C,H,W] -> [C,P,Q], P = floor((H + 2 padding - kernel) / stride) + 1. */
export const avgPool2d = (kernel: number, options: Options<typeof avgSchema, 'kernel'> = {}): AvgPool2dLayer => ({
  kind: 'avgPool2d',
  kernel,
  ...options,
});

/** Maximum over square windows; the first maximum, row by row, gets the gradient. */
export const maxPool2d = (kernel: number, options: Options<typeof maxSchema, 'kernel'> = {}): MaxPool2dLayer => ({
  kind: 'maxPool2d',
  kernel,
  ...options,
});

/** Mean over H and W: [C,H,W] -> [C]. */
export const globalAvgPool = (options: Options<typeof globalSchema> = {}): GlobalAvgPoolLayer => ({
  kind: 'globalAvgPool',
  ...options,
});

type Pool = Omit<Window, 'stride'> & { stride?: number | undefined; ceilMode: boolean };

const windowOf = ({ kernel, stride, padding, ceilMode }: Pool) => ({
  kernel,
  stride: stride ?? kernel,
  padding,
  ceilMode,
});

function pooled(layer: Pool, input: Signal, context: PlanContext): number[] {
  const [channels, height, width] = imageOf(input, context);
  const size = windowOf(layer);
  if (2 * size.padding > size.kernel)
    context.fail(
      `padding ${size.padding} is more than half of the kernel ${size.kernel}; some windows would hold no pixel`,
    );
  return [channels, windowSize(height, size, context), windowSize(width, size, context)];
}

export const avgPool2dKind: LayerKind<z.output<typeof avgSchema>> = {
  kind: 'avgPool2d',
  label: 'pool',
  schema: avgSchema,
  overTime: 'each',
  readsSpikes: true,
  readsBf16: true,
  plan(layer, input, context) {
    return { output: { shape: pooled(layer, input, context), spikes: false, timed: true } };
  },
  forward(layer, x, run) {
    return average(x, {
      ...windowOf(layer),
      countIncludePad: layer.countIncludePad,
      real: run.real,
      precision: run.precision,
    });
  },
};

export const maxPool2dKind: LayerKind<z.output<typeof maxSchema>> = {
  kind: 'maxPool2d',
  label: 'pool',
  schema: maxSchema,
  overTime: 'each',
  readsSpikes: true,
  readsBf16: true,
  plan(layer, input, context) {
    return { output: { ...input, shape: pooled(layer, input, context) } };
  },
  forward(layer, x, run) {
    return largest(x, { ...windowOf(layer), precision: run.precision });
  },
};

export const globalAvgPoolKind: LayerKind<z.output<typeof globalSchema>> = {
  kind: 'globalAvgPool',
  label: 'pool',
  schema: globalSchema,
  overTime: 'each',
  readsSpikes: true,
  plan(_layer, input, context) {
    return { output: { shape: imageOf(input, context).slice(0, 1), spikes: false, timed: true } };
  },
  forward(_layer, x, run) {
    return averageAll(x, { real: run.real });
  },
};
