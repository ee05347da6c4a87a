import { z } from 'zod';
import { elements, type Tensor } from '../../core/index.ts';
import { type AlifOptions, alif as fireAdaptive, cubaLif as fireCurrentBased } from '../../ops/adaptive-lif.ts';
import { lif as fire, type LifOptions, surrogates } from '../../ops/lif.ts';
import { recurrentLif as fireRecurrent } from '../../ops/recurrent-lif.ts';
import {
  featuresOf,
  type Layer,
  type LayerKind,
  type LayerPlan,
  layerSchema,
  needReal,
  needTime,
  type Options,
  type PlanContext,
  type Run,
  type Signal,
} from '../layer.ts';

const positive = z.number().positive();
const factor = z.number().min(0).max(1);

/** What every neuron has. */
const common = {
  /** The membrane is divided by it before it meets the threshold. */
  vth: positive.default(1),
  /** A neuron fires where u / vth exceeds it. */
  threshold: positive.default(0.5),
  /** After a spike: to zero, or minus the firing level. */
  reset: z.enum(['hard', 'soft']).default('hard'),
  /** Keep the gradient from flowing through the reset. */
  detachReset: z.boolean().default(false),
  /** Shape of the gradient that replaces the step's. */
  surrogate: z.enum(surrogates).default('tanh'),
  /** Steepness or width of the surrogate. Default: the surrogate's own (tanh: 1). */
  temperature: positive.optional(),
};

const lifSchema = layerSchema('lif', { decay: factor.default(0.25), ...common });
const ifSchema = layerSchema('if', common);
/** The decay is the sigmoid of a learned number, so its start lies strictly between 0 and 1. */
const plifSchema = layerSchema('plif', { decay: z.number().gt(0).lt(1).default(0.25), ...common });
const cubaLifSchema = layerSchema('cubaLif', {
  decay: factor.default(0.25),
  /** What is left of the synaptic current after a step. */
  synapticDecay: factor.default(0.5),
  ...common,
});
const alifSchema = layerSchema('alif', {
  decay: factor.default(0.25),
  /** The same; 0: no current of its own. */
  synapticDecay: factor.default(0),
  /** What is left of the adaptation after a step. */
  adaptationDecay: factor.default(0.9),
  /** How much a spike raises the threshold. */
  adaptationStrength: z.number().min(0).default(0.1),
  ...common,
});

const recurrentLifSchema = layerSchema('recurrentLif', {
  decay: factor.default(0.25),
  /** The same; 0: no current of its own. */
  synapticDecay: factor.default(0),
  ...common,
});

export type LifLayer = z.input<typeof lifSchema>;
export type IfLayer = z.input<typeof ifSchema>;
export type PlifLayer = z.input<typeof plifSchema>;
export type CubaLifLayer = z.input<typeof cubaLifSchema>;
export type AlifLayer = z.input<typeof alifSchema>;
export type RecurrentLifLayer = z.input<typeof recurrentLifSchema>;
/** Neurons that any network takes, whatever the shape. */
export type NeuronLayer = LifLayer | IfLayer | PlifLayer | CubaLifLayer | AlifLayer;

/**
 * Leaky integrate-and-fire neurons over T: u[t] = decay v[t-1] + x[t]; s[t] = 1 where u[t] / vth > threshold, else 0;
 * v[t] = u[t] (1 - s[t]) (hard reset) or u[t] - threshold vth s[t] (soft). Gives spikes, the shape stays.
 */
export const lif = (options: Options<typeof lifSchema> = {}): LifLayer => ({ kind: 'lif', ...options });

/** Integrate-and-fire neurons: lif with decay 1. */
export const ifNode = (options: Options<typeof ifSchema> = {}): IfLayer => ({ kind: 'if', ...options });

/** lif whose decay = sigmoid(logit) is learned, one number a layer; `decay` is where it starts. */
export const plif = (options: Options<typeof plifSchema> = {}): PlifLayer => ({ kind: 'plif', ...options });

/**
 * lif with a synaptic current between input and membrane: i[t] = synapticDecay i[t-1] + x[t]; u[t] = decay v[t-1] + i[t].
 * It runs by itself, not as one with the convolution and norm in front of it; so does alif.
 */
export const cubaLif = (options: Options<typeof cubaLifSchema> = {}): CubaLifLayer => ({ kind: 'cubaLif', ...options });

/**
 * lif with a threshold that adapts: s[t] = 1 where u[t] / vth > threshold + adaptationStrength a[t], with
 * a[t] = adaptationDecay a[t-1] + s[t-1]. With synapticDecay above 0 it has a synaptic current, too, as cubaLif.
 */
export const alif = (options: Options<typeof alifSchema> = {}): AlifLayer => ({ kind: 'alif', ...options });

/**
 * lif on features, where each neuron hears the spikes that all of the layer made the step before:
 * i[t] = synapticDecay i[t-1] + x[t] + w s[t-1]; u[t] = decay v[t-1] + i[t], with learned weights w [F,F]. They start
 * uniform on [-1/sqrt(F), 1/sqrt(F)), as those of PyTorch's recurrent layers and of snnTorch's RLeaky do.
 * @example define('speech', ({ classes }) => [flatten(), linear(99), recurrentLif(), linear(classes), meanOverTime()]);
 */
export const recurrentLif = (options: Options<typeof recurrentLifSchema> = {}): RecurrentLifLayer => ({
  kind: 'recurrentLif',
  ...options,
});

function spikesOf(input: Signal, context: PlanContext) {
  needTime(input, context);
  needReal(input, context);
  return { output: { ...input, spikes: true }, neurons: elements(input.shape) };
}

const fireAs = (layer: Layer, x: Tensor, run: Run): Tensor => fire(x, neuronOf(layer, run));

/** What lif() of the ops takes, for any of the three kinds. */
export function neuronOf({ kind, name: _name, ...layer }: Layer & { decay?: number }, run: Run): LifOptions {
  if (kind === 'lif') return layer;
  const { decay: _decay, ...options } = layer;
  return kind === 'if' ? { ...options, decay: 1 } : { ...options, logit: run.tensor('logit') };
}

/** A kind without parameters of its own. */
const plainKind = <K extends NeuronLayer['kind'], S extends z.ZodObject>(kind: K, schema: S, forward = fireAs) => ({
  kind,
  label: kind,
  schema,
  overTime: 'all' as const,
  plan: (_layer: Layer, input: Signal, context: PlanContext): LayerPlan => spikesOf(input, context),
  forward,
});

const without = <O extends AlifOptions>({ kind: _kind, name: _name, ...options }: Layer & O): AlifOptions => options;

export const lifKind: LayerKind<z.output<typeof lifSchema>> = { ...plainKind('lif', lifSchema), readsBf16: true };
export const ifKind: LayerKind<z.output<typeof ifSchema>> = { ...plainKind('if', ifSchema), readsBf16: true };
export const cubaLifKind: LayerKind<z.output<typeof cubaLifSchema>> = plainKind('cubaLif', cubaLifSchema, (layer, x) =>
  fireCurrentBased(x, without(layer)),
);
export const alifKind: LayerKind<z.output<typeof alifSchema>> = plainKind('alif', alifSchema, (layer, x) =>
  fireAdaptive(x, without(layer)),
);

export const recurrentLifKind: LayerKind<z.output<typeof recurrentLifSchema>> = {
  kind: 'recurrentLif',
  label: 'recurrentLif',
  schema: recurrentLifSchema,
  overTime: 'all',
  plan(_layer, input, context) {
    const F = featuresOf(input, context);
    const weight = { role: 'weight', shape: [F, F], init: { bound: 1 / Math.sqrt(F) } };
    return { ...spikesOf(input, context), parameters: [weight], macs: F * F };
  },
  forward: ({ kind: _kind, name: _name, ...options }, x, run) => fireRecurrent(x, run.tensor('weight'), options),
};

export const plifKind: LayerKind<z.output<typeof plifSchema>> = {
  ...plainKind('plif', plifSchema),
  readsBf16: true,
  plan({ decay }, input, context) {
    const logit = { role: 'logit', shape: [1], init: { constant: Math.log(decay / (1 - decay)) } };
    return { ...spikesOf(input, context), parameters: [logit] };
  },
};
