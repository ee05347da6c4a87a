import { z } from 'zod';
import { linear as multiply } from '../../ops/linear.ts';
import { integer, type LayerKind, layerSchema, MAX_WIDTH, type Options, signalText } from '../layer.ts';

const schema = layerSchema('linear', { features: integer(1, MAX_WIDTH), bias: z.boolean().default(true) });

export type LinearLayer = z.input<typeof schema>;

/**
 * y = w x (+ bias) on the last axis: [F] -> [features]. Weights start normal with standard deviation 1/F, biases at 0.
 * @example linear(10)
 */
export const linear = (features: number, options: Options<typeof schema, 'features'> = {}): LinearLayer => ({
  kind: 'linear',
  features,
  ...options,
});

export const linearKind: LayerKind<z.output<typeof schema>> = {
  kind: 'linear',
  label: 'linear',
  schema,
  overTime: 'each',
  released: { weight: 'conv.weight', bias: 'conv.bias' },
  plan({ features, bias }, input, context) {
    const [inputs, ...rest] = input.shape as [number, ...number[]];
    if (rest.length > 0)
      context.fail(`needs features [F], but gets ${signalText(input)}; put globalAvgPool() or flatten() before it`);
    const weight = { role: 'weight', shape: [features, inputs], init: { std: 1 / inputs } };
    return {
      output: { shape: [features], spikes: false, timed: input.timed },
      parameters: bias ? [weight, { role: 'bias', shape: [features], init: { constant: 0 } }] : [weight],
      macs: inputs * features,
    };
  },
  forward({ bias }, x, run) {
    return multiply(x, run.tensor('weight'), bias ? run.tensor('bias') : undefined);
  },
};
