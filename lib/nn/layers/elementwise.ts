import { z } from 'zod';
import { elements } from '../../core/index.ts';
import { dropout as drop } from '../../ops/dropout.ts';
import { meanOverTime as meanOfSteps } from '../../ops/mean-over-time.ts';
import { relu as rectify } from '../../ops/relu.ts';
import { reshape } from '../../ops/reshape.ts';
import { toReal } from '../../ops/to-real.ts';
import { type LayerKind, layerSchema, needTime, type Options } from '../layer.ts';

const reluSchema = layerSchema('relu', {});
const dropoutSchema = layerSchema('dropout', { p: z.number().min(0).lt(1) });
const flattenSchema = layerSchema('flatten', {});
const meanSchema = layerSchema('meanOverTime', {});

export type ReluLayer = z.input<typeof reluSchema>;
export type DropoutLayer = z.input<typeof dropoutSchema>;
export type FlattenLayer = z.input<typeof flattenSchema>;
export type MeanOverTimeLayer = z.input<typeof meanSchema>;

/** y = max(x, 0). */
export const relu = (options: Options<typeof reluSchema> = {}): ReluLayer => ({ kind: 'relu', ...options });

/**
 * While training, each element is zero with probability p, one draw for all time steps, and the others are divided by
 * 1 - p. Spikes become real numbers, in evaluation too.
 */
export const dropout = (p: number, options: Options<typeof dropoutSchema, 'p'> = {}): DropoutLayer => ({
  kind: 'dropout',
  p,
  ...options,
});

/** [C,H,W] -> [C H W], in that order. */
export const flatten = (options: Options<typeof flattenSchema> = {}): FlattenLayer => ({ kind: 'flatten', ...options });

/** The mean over the time steps, which removes the time axis. */
export const meanOverTime = (options: Options<typeof meanSchema> = {}): MeanOverTimeLayer => ({
  kind: 'meanOverTime',
  ...options,
});

export const reluKind: LayerKind = {
  kind: 'relu',
  label: 'relu',
  schema: reluSchema,
  overTime: 'each',
  plan(_layer, input, context) {
    if (input.spikes) context.fail('changes nothing on spikes, which are 0 or 1; leave it out');
    return { output: input };
  },
  forward(_layer, x) {
    return rectify(x);
  },
};

export const dropoutKind: LayerKind<z.output<typeof dropoutSchema>> = {
  kind: 'dropout',
  label: 'dropout',
  schema: dropoutSchema,
  overTime: 'each',
  readsSpikes: true,
  plan(_layer, input, context) {
    needTime(input, context);
    return { output: { ...input, spikes: false } };
  },
  forward({ p }, x, run) {
    if (run.training && p > 0) return drop(x, run.counter, { p, seed: run.seed, real: run.real });
    return x.dtype === 'spike' ? toReal(x, { real: run.real }) : x;
  },
};

export const flattenKind: LayerKind = {
  kind: 'flatten',
  label: 'flatten',
  schema: flattenSchema,
  overTime: 'each',
  plan(_layer, input, context) {
    needTime(input, context);
    return { output: { ...input, shape: [elements(input.shape)] } };
  },
  forward(_layer, x) {
    const [steps, batch, ...rest] = x.shape as [number, number, ...number[]];
    return reshape(x, [steps, batch, elements(rest)]);
  },
};

export const meanOverTimeKind: LayerKind = {
  kind: 'meanOverTime',
  label: 'mean',
  schema: meanSchema,
  overTime: 'each',
  readsSpikes: true,
  plan(_layer, input, context) {
    needTime(input, context);
    return { output: { shape: input.shape, spikes: false, timed: false } };
  },
  forward(_layer, x, run) {
    return meanOfSteps(x, { real: run.real });
  },
};
