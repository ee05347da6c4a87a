// The model language: what a layer is. A layer is a plain object that survives JSON; everything that is known of its
// kind (how its options are checked, which shape it makes, what it holds, how it computes) is in one `LayerKind` beside
// the function that makes it.
import { z } from 'zod';
import { SpikeloomError } from '../core/errors.ts';
import type { RealType, Tensor } from '../core/index.ts';
import { contentOf, didYouMean } from '../core/options.ts';

/** A layer as written in a model: made by conv2d(), norm(), lif(), ... or read from JSON. */
export interface Layer {
  readonly kind: string;
  /**
   * Its name in the list around; default: the kind's short name and a number (`conv1`). Dots are allowed (`conv1.0`).
   */
  readonly name?: string | undefined;
}

/** What flows between layers, per sample and time step. */
export interface Signal {
  /** [channels, height, width] or [features]. */
  readonly shape: readonly number[];
  /** Whether the elements are spikes (0 or 1, one bit each at rest). */
  readonly spikes: boolean;
  /** Whether there is still one value per time step (false after meanOverTime). */
  readonly timed: boolean;
}

/** Start values: a constant, N(0, std^2), or uniform on [-bound, bound). */
export type Init = { constant: number } | { std: number } | { bound: number };

/** A tensor that a layer holds, before it exists. `role` is its name inside the layer. */
export interface TensorPlan {
  readonly role: string;
  readonly shape: readonly number[];
  readonly init: Init;
}

/** A tensor that a layer needs and that never changes; it is neither trained nor saved. */
export interface ConstantPlan {
  readonly role: string;
  readonly shape: readonly number[];
  values(): Float64Array;
}

/** What a kind says of a layer once the shape of its input is known. Counts are per sample. */
export interface LayerPlan {
  readonly output: Signal;
  readonly parameters?: readonly TensorPlan[];
  /** State that is saved but not trained: running statistics. */
  readonly buffers?: readonly TensorPlan[];
  readonly constants?: readonly ConstantPlan[];
  /** Multiply-accumulates of dense convolutions and matrix products in one time step. */
  readonly macs?: number;
  /** Whether nobody has counted them: of a layer of the user's own. */
  readonly uncounted?: boolean;
  /** Multiply-accumulates of attention over all time steps together. */
  readonly attentionMacs?: number;
  /** Neurons; each may spike once per time step. */
  readonly neurons?: number;
  /** Lists of layers inside, in the order they are run. */
  readonly children?: Readonly<Record<string, readonly PlannedLayer[]>>;
}

/** A layer with its place, its checked options and all that its kind says of it. */
export interface PlannedLayer {
  readonly path: string;
  readonly layer: Layer;
  /** @internal */
  readonly kind: LayerKind;
  readonly input: Signal;
  readonly output: Signal;
  readonly parameters: readonly (TensorPlan & { name: string })[];
  readonly buffers: readonly (TensorPlan & { name: string })[];
  readonly constants: readonly ConstantPlan[];
  readonly macs: number;
  readonly uncounted: boolean;
  readonly attentionMacs: number;
  readonly neurons: number;
  readonly children: Readonly<Record<string, readonly PlannedLayer[]>>;
}

/** What a kind may ask while a layer is planned. */
export interface PlanContext {
  readonly steps: number;
  /** Plans a list of layers inside this one. `defaultPrefix` goes before the names that were not given. */
  list(layers: readonly unknown[], input: Signal, defaultPrefix?: string): { layers: PlannedLayer[]; output: Signal };
  /** Refuses the layer; the message follows its path. */
  fail(message: string, options?: ErrorOptions): never;
}

/** What a kind may ask while a layer computes. */
export interface Run {
  readonly steps: number;
  readonly training: boolean;
  /** Type of the network's numbers: what spikes become where they are summed. */
  readonly real: RealType;
  /**
   * What convolutions, pools in front of one, and linear layers in front of neurons store their output and gradients in
   * where it is not `real`.
   */
  readonly precision?: 'bf16' | undefined;
  /**
   * Number of the training pass, i32[2] (low and high word): with `seed`, which is the layer's own, it names the random
   * numbers of dropout.
   */
  readonly counter: Tensor;
  readonly seed: number;
  readonly planned: PlannedLayer;
  /** A parameter, buffer or constant of this layer. */
  tensor(role: string): Tensor;
  list(layers: readonly PlannedLayer[], x: Tensor): Tensor;
}

/**
 * All there is to know of one kind of layer. Methods, not functions, so that a kind of one layer type fits the table of
 * all. `overTime` is 'each' where every time step is computed by itself, in the same way: then an image is computed
 * once and repeated later.
 */
export interface LayerKind<L extends Layer = Layer> {
  readonly kind: L['kind'];
  /** Start of names that were not given. */
  readonly label: string;
  readonly schema: z.ZodObject;
  readonly overTime: 'each' | 'all';
  /** Whether it takes spikes where its plan says numbers, as the first layer of a network that is shown spikes. */
  readonly readsSpikes?: boolean;
  /** Whether it takes bf16, too: as its input, and as the gradient of what it makes. */
  readonly readsBf16?: boolean;
  /** Role -> what follows the path in the released checkpoints, where it is not the role. */
  readonly released?: Readonly<Record<string, string>>;
  plan(layer: L, input: Signal, context: PlanContext): LayerPlan;
  forward(layer: L, x: Tensor, run: Run): Tensor;
}

/** Largest number of channels or features of a layer. */
export const MAX_WIDTH = 2 ** 20;

/** An integer from `min` to `max`. */
export const integer = (min: number, max: number) => z.int().min(min).max(max);

/** The option that every layer has. */
export const layerName = z
  .string()
  .max(200, 'must have at most 200 characters')
  .regex(/^\w+(\.\w+)*$/, 'must be letters, digits and _, with single dots between them');

/** The options of a kind: unknown keys are errors, defaults stand here and nowhere else. */
export const layerSchema = <const K extends string, S extends z.ZodRawShape>(kind: K, shape: S) =>
  z.strictObject({ kind: z.literal(kind), name: layerName.optional(), ...shape });

/** The options of a layer function: the schema's without `kind` and what is given as an argument. */
export type Options<S extends z.ZodType, Given extends string = never> = Omit<z.input<S>, 'kind' | Given>;

/** Says in one line each what a schema refused. */
export function schemaProblems(error: z.ZodError, value: unknown, keys: readonly string[]): string {
  return error.issues
    .slice(0, 8)
    .map((issue) => {
      if (issue.code === 'unrecognized_keys') {
        return `there is no option ${issue.keys.map((k) => JSON.stringify(k)).join(', ')}; the options are ${keys.join(', ')}${didYouMean(issue.keys, keys)}`;
      }
      const at = issue.path.map(String).join('.');
      const given = issue.path.reduce<unknown>(
        (inner, key) => (inner as Record<PropertyKey, unknown> | undefined)?.[key],
        value,
      );
      return `${at ? `'${at}' ` : 'it '}${ruleOf(issue)}, but is ${contentOf(given)}`;
    })
    .join('; ');
}

function ruleOf(issue: z.core.$ZodIssue): string {
  const isNumber = 'origin' in issue && (issue.origin === 'number' || issue.origin === 'int');
  if (issue.code === 'too_small' && isNumber)
    return `must be ${issue.inclusive ? 'at least' : 'more than'} ${issue.minimum}`;
  if (issue.code === 'too_big' && isNumber)
    return `must be ${issue.inclusive ? 'at most' : 'less than'} ${issue.maximum}`;
  if (issue.code === 'invalid_type')
    return `must be ${issue.expected === 'int' ? 'an integer' : `of type ${issue.expected}`}`;
  if (issue.code === 'invalid_value')
    return `must be ${issue.values.map((value) => JSON.stringify(value)).join(' or ')}`;
  return issue.message;
}

/** 'image [64,16,16]' or 'features [512]'. */
export const signalText = ({ shape }: Signal): string =>
  `${shape.length === 3 ? 'an image' : 'features'} [${shape.join(',')}]`;

/** The three sizes of an image with a time axis, or a refusal. */
export function imageOf(input: Signal, context: PlanContext): [channels: number, height: number, width: number] {
  if (input.shape.length !== 3)
    context.fail(`needs an image [C,H,W], but gets ${signalText(input)}; put it before flatten() or globalAvgPool()`);
  needTime(input, context);
  return input.shape as [number, number, number];
}

/** How many features come in, or a refusal. */
export function featuresOf(input: Signal, context: PlanContext): number {
  const [inputs, ...rest] = input.shape as [number, ...number[]];
  if (rest.length > 0)
    context.fail(`needs features [F], but gets ${signalText(input)}; put globalAvgPool() or flatten() before it`);
  return inputs;
}

export function needTime(input: Signal, context: PlanContext): void {
  if (!input.timed) context.fail('needs the time axis, which meanOverTime() has removed; put it before meanOverTime()');
}

export function needReal(input: Signal, context: PlanContext): void {
  if (input.spikes)
    context.fail('needs a current of real numbers, but gets spikes; put conv2d() or linear() before it');
}

export const refuse = (path: string, kind: string, message: string, options?: ErrorOptions): never => {
  throw new SpikeloomError(`${path} (${kind}): ${message}`, options);
};
