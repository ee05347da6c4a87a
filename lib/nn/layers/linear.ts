import { z } from 'zod';
import { linear as multiply } from '../../ops/linear.ts';
import { featuresOf, integer, type LayerKind, layerSchema, MAX_WIDTH, type Options, signalText } from '../layer.ts';

const voteSchema = layerSchema('vote', { neurons: integer(1, MAX_WIDTH) });
const schema = layerSchema('linear', {
  features: integer(1, MAX_WIDTH),
  bias: z.boolean().default(true),
  /** Standard deviation of the weights at the start. Default: 1/F, for a head; more in front of neurons. */
  std: z.number().positive().optional(),
});

export type LinearLayer = z.input<typeof schema>;
export type VoteLayer = z.input<typeof voteSchema>;

/**
 * y = w x (+ bias) on the last axis: [F] -> [features]. Weights start normal with standard deviation `std`, biases at
 * 0. By default it is 1/F, as a head has it: neurons behind it hardly fire where F is large. PyTorch's is 1/sqrt(3 F).
 * @example linear(10)
 */
export const linear = (features: number, options: Options<typeof schema, 'features'> = {}): LinearLayer => ({
  kind: 'linear',
  features,
  ...options,
});

/**
 * The mean over groups of neighbouring features, each group the neurons that vote for one class: [F] -> [F / neurons].
 * @example vote(10)
 */
export const vote = (neurons: number, options: Options<typeof voteSchema, 'neurons'> = {}): VoteLayer => ({
  kind: 'vote',
  neurons,
  ...options,
});

export const linearKind: LayerKind<z.output<typeof schema>> = {
  kind: 'linear',
  label: 'linear',
  schema,
  overTime: 'each',
  readsSpikes: true,
  released: { weight: 'conv.weight', bias: 'conv.bias' },
  plan({ features, bias, std }, input, context) {
    const inputs = featuresOf(input, context);
    const weight = { role: 'weight', shape: [features, inputs], init: { std: std ?? 1 / inputs } };
    return {
      output: { shape: [features], spikes: false, timed: input.timed },
      parameters: bias ? [weight, { role: 'bias', shape: [features], init: { constant: 0 } }] : [weight],
      macs: inputs * features,
    };
  },
  forward({ bias }, x, run) {
    const { precision } = run;
    return multiply(x, run.tensor('weight'), bias ? run.tensor('bias') : undefined, { precision });
  },
};

/** A product with a matrix that never changes. */
export const voteKind: LayerKind<z.output<typeof voteSchema>> = {
  kind: 'vote',
  label: 'vote',
  schema: voteSchema,
  overTime: 'each',
  plan({ neurons }, input, context) {
    const inputs = featuresOf(input, context);
    const groups = inputs / neurons;
    if (!Number.isInteger(groups))
      context.fail(`needs whole groups of ${neurons} features, but gets ${signalText(input)}; make them a multiple`);
    const values = () =>
      Float64Array.from({ length: groups * inputs }, (_, at) => {
        return Math.floor((at % inputs) / neurons) === Math.floor(at / inputs) ? 1 / neurons : 0;
      });
    return {
      output: { shape: [groups], spikes: false, timed: input.timed },
      constants: [{ role: 'weight', shape: [groups, inputs], values }],
    };
  },
  forward(_layer, x, run) {
    return multiply(x, run.tensor('weight'));
  },
};
