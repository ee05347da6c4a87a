import { z } from 'zod';
import { type BatchNormOptions, batchNorm } from '../../ops/batch-norm.ts';
import { imageOf, type Layer, type LayerKind, layerSchema, needReal, type Options, type Run } from '../layer.ts';

const schema = layerSchema('norm', {
  /** Share of the new statistics in the running ones. */
  momentum: z.number().min(0).max(1).default(0.1),
  /** Added to the variance. */
  eps: z.number().positive().default(1e-5),
});

export type NormLayer = z.input<typeof schema>;

/**
 * Batch normalization per channel with statistics over T, B, H and W: y = gamma (x - mean) / sqrt(var + eps) + beta. In
 * evaluation the running statistics take the place of mean and var. gamma (`weight`) starts at 1, beta (`bias`) at 0.
 * The shape stays.
 */
export const norm = (options: Options<typeof schema> = {}): NormLayer => ({ kind: 'norm', ...options });

/** What the op takes. */
export function normOf(layer: Layer, run: Run): BatchNormOptions {
  const { momentum, eps } = layer as z.output<typeof schema>;
  return {
    gamma: run.tensor('weight'),
    beta: run.tensor('bias'),
    runningMean: run.tensor('running_mean'),
    runningVar: run.tensor('running_var'),
    training: run.training,
    momentum,
    eps,
  };
}

export const normKind: LayerKind<z.output<typeof schema>> = {
  kind: 'norm',
  label: 'norm',
  schema,
  // the running variance is unbiased for T B H W values, so an image is repeated before it
  overTime: 'all',
  released: { weight: 'bn.weight', bias: 'bn.bias', running_mean: 'bn.running_mean', running_var: 'bn.running_var' },
  plan(_layer, input, context) {
    const [channels] = imageOf(input, context);
    needReal(input, context);
    const tensor = (role: string, constant: number) => ({ role, shape: [channels], init: { constant } });
    return {
      output: { ...input, spikes: false },
      parameters: [tensor('weight', 1), tensor('bias', 0)],
      buffers: [tensor('running_mean', 0), tensor('running_var', 1)],
    };
  },
  forward(layer, x, run) {
    return batchNorm(x, normOf(layer, run));
  },
};
