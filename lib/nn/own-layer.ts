// Layers of the user's own: a definition in functions, made the kind that plans and networks know all layers by.
import { z } from 'zod';
import { SpikeloomError, UnmadeError } from '../core/errors.ts';
import { describe, elements, isRecording, type RealType, type Tensor } from '../core/index.ts';
import { contentOf, isPromise, kindOf, needArguments, needOptions } from '../core/options.ts';
import { copyOfPlain, plainData } from '../core/plain-data.ts';
import { needAnswered } from '../core/step.ts';
import { isMadeHere, isTensor } from '../core/tensor.ts';
import { reshape } from '../ops/reshape.ts';
import { layerKinds } from './kinds.ts';
import {
  type Layer,
  type LayerKind,
  type LayerPlan,
  layerName,
  type PlanContext,
  type PlannedLayer,
  type Run,
  type Signal,
  signalText,
} from './layer.ts';
import {
  answerOf,
  type ConstantTensor,
  constantsFrom,
  type InitialTensor,
  needDistinct,
  tensorsFrom,
} from './own-tensors.ts';

/** The settings that a layer's functions see: those of its schema, or of the kinds of its defaults. */
export type SettingsOf<D> = D extends z.ZodObject ? z.output<D> : D;

/** The settings as they are given; those with a default may be left out. */
export type GivenSettings<D> = D extends z.ZodObject ? z.input<D> : { [K in keyof D]?: D[K] | undefined };

/** What a layer is made for. */
export interface LayerPlace<D = object> {
  /** Of one sample and time step: shape [C,H,W] or [F], whether spikes, whether there is a time axis. */
  readonly input: Signal;
  readonly settings: SettingsOf<D>;
  /** Time steps T of the network. */
  readonly steps: number;
}

/** A pass of it. */
export interface LayerRun<D = object> extends LayerPlace<D> {
  readonly training: boolean;
  /** Type of the network's numbers, which the output has unless it is spikes; what `real` of an op is set to. */
  readonly real: RealType;
  /** Number of the pass and a seed of this layer alone, as ops.dropout() takes them. */
  readonly counter: Tensor;
  readonly seed: number;
}

/** All there is to know of a layer of your own. `D` is its settings, `R` the names of the tensors it holds. */
export interface LayerDefinition<
  D extends object = object,
  P extends string = string,
  B extends string = string,
  C extends string = string,
> {
  /** Its name in JSON and in messages, as no other kind of layer has; with a number, the name of its layers. */
  readonly kind: string;
  /**
   * Its settings, plain data: their defaults, whose types they keep, or a schema (z.object()) for settings without
   * default and for rules. What a schema makes of them is read again from JSON, so it gives that back
   * as it is: it checks and fills in, and functions such as forward() convert. Default: none.
   */
  readonly settings?: D | undefined;
  /**
   * What it learns, by role: shape, and how it starts: `{ constant }`, `{ std }` of a normal distribution or
   * `{ bound }` of a uniform one. Default: nothing.
   */
  parameters?(place: LayerPlace<D>): Readonly<Record<P, InitialTensor>>;
  /** State that is saved and not trained, such as the running statistics of ops.batchNorm(). Default: none. */
  buffers?(place: LayerPlace<D>): Readonly<Record<B, InitialTensor>>;
  /** Numbers that never change and are not saved. Default: none. */
  constants?(place: LayerPlace<D>): Readonly<Record<C, ConstantTensor>>;
  /**
   * What it makes, per sample and time step; what is not said is the shape of the input, no spikes, with a time axis
   * where the input has one. Here, as in the functions above, what is thrown refuses the input: its message follows the
   * layer's name.
   */
  output?(place: LayerPlace<D>): Partial<Signal>;
  /**
   * Whether the spikes it gives are those of neurons, which are counted, and their firing rates reported. Default true;
   * false where it only passes on spikes of others.
   */
  readonly neurons?: boolean | undefined;
  /** Multiply-accumulates of convolutions and matrix products in one time step. Default: not known. */
  macs?(place: LayerPlace<D>): number;
  /**
   * 'each' where every time step is computed by itself, in the same way: then it gets an image that is shown at all
   * steps once, [1,B,...], in front of the first layer that needs them all. Default 'all': x has T time steps.
   */
  readonly overTime?: 'each' | 'all' | undefined;
  /**
   * Computes it by ops. A recorded step calls it once and repeats the ops, so that it reads nothing that changes from
   * pass to pass but its arguments.
   * @param x [T,B,C,H,W] or [T,B,F], without T behind a layer that ends the time axis; real, or spikes (`input.spikes`)
   * @returns what output() says, behind x's own T and B
   */
  forward(x: Tensor, tensors: Readonly<Record<P | B | C, Tensor>>, run: LayerRun<D>): Tensor;
}

const KIND = Symbol('kind of layer');

/** Any function of layer(), as `layers` of Net.fromJSON(), loadNet() and ModelPlan take it. */
export interface OwnLayer {
  (...settings: never[]): Layer;
  readonly kind: string;
  /** @internal */
  readonly [KIND]: LayerKind;
}

/** Makes layers of one kind of your own, from their settings and, if you like, a name. */
export interface LayerFunction<D extends object> extends Pick<OwnLayer, keyof OwnLayer> {
  (
    ...settings: object extends GivenSettings<D>
      ? [settings?: GivenSettings<D> & Pick<Layer, 'name'>]
      : [settings: GivenSettings<D> & Pick<Layer, 'name'>]
  ): Layer;
}

const KNOWN: Record<keyof LayerDefinition, true> = {
  ...({ kind: true, settings: true, parameters: true, buffers: true, constants: true } as const),
  ...({ output: true, neurons: true, macs: true, overTime: true, forward: true } as const),
};

/**
 * Defines a layer of your own: a function that makes layers for define(), residual(), stage() and others, beside those
 * that are built in. It runs by itself, never as one with a convolution in front of it. JSON holds its kind and its
 * settings, so Net.fromJSON(), loadNet() and ModelPlan read it where `layers` has the function.
 *
 * @throws SpikeloomError for a definition that is none; the layer's own functions are called, and what they give is
 * checked, when a network is made, the output of forward() at every pass
 * @example
 * const channelScale = layer({ // y = w x, a weight for every channel
 *   kind: 'channelScale',
 *   settings: { start: 1 },
 *   parameters: ({ input, settings }) => ({
 *     weight: { shape: [input.shape[0], 1, 1], init: { constant: settings.start } },
 *   }),
 *   forward: (x, { weight }) => ops.mul(x, ops.expand(weight, x.shape)),
 * });
 * const net = define('scaled', ({ classes }) => [
 *   conv2d(16, { kernel: 3 }), norm(), channelScale({ start: 0.5 }), lif(),
 *   globalAvgPool(), linear(classes), meanOverTime(),
 * ])();
 */
export function layer<
  D extends object = object,
  P extends string = never,
  B extends string = never,
  C extends string = never,
>(definition: LayerDefinition<D, P, B, C>): LayerFunction<D> {
  const kind = kindFrom(definition as unknown as LayerDefinition);
  const make = (settings: object = {}) => {
    needArguments(`${kind.kind}()`, 'an object', { settings });
    const own = copyOfPlain({ ...settings }) as object; // what the caller writes later changes no layer
    return { ...own, kind: kind.kind, [KIND]: kind }; // a copy with another name keeps the symbol, JSON does not
  };
  return Object.assign(make, { kind: kind.kind, [KIND]: kind }) as unknown as LayerFunction<D>;
}

/** The kind that a layer, or the function that makes it, came with. */
export const kindIn = (value: unknown): LayerKind | undefined => (value as Partial<OwnLayer> | undefined)?.[KIND];

/** Kinds of the user's own by name. @throws SpikeloomError for what is not made by layer(), and for two of one kind */
export function ownKinds(layers: readonly OwnLayer[]): Map<string, LayerKind> {
  needArguments('layers of your own', 'an array', { layers });
  const kinds = new Map<string, LayerKind>();
  for (const own of layers) {
    const kind = typeof own === 'function' ? kindIn(own) : undefined;
    if (!kind) throw new SpikeloomError(`layers of your own are functions that layer() made, not ${kindOf(own)}`);
    if ((kinds.get(kind.kind) ?? kind) !== kind) {
      throw new SpikeloomError(
        `two definitions in 'layers' have the kind ${JSON.stringify(kind.kind)}; leave out one, or give it another kind`,
      );
    }
    kinds.set(kind.kind, kind);
  }
  return kinds;
}

function kindFrom(definition: LayerDefinition): LayerKind {
  needArguments('layer()', 'an object', { definition });
  needOptions('layer()', definition, KNOWN);
  const { kind, settings = {}, overTime = 'all' } = definition;
  if (typeof kind !== 'string' || !/^[A-Za-z]\w{0,59}$/.test(kind)) {
    throw new SpikeloomError(
      `layer(): 'kind' is a name of up to 60 letters, digits and _, first a letter, not ${kindOf(kind)}`,
    );
  }
  const of = `layer() of ${kind}`;
  if (layerKinds.has(kind))
    throw new SpikeloomError(`${of}: there is a built-in layer of this kind; name it otherwise`);
  needArguments(of, 'a function', { forward: definition.forward });
  const { parameters, buffers, constants, output, macs, neurons } = definition;
  for (const [name, given] of Object.entries({ parameters, buffers, constants, output, macs }))
    if (given !== undefined) needArguments(of, 'a function', { [name]: given });
  if (neurons !== undefined && typeof neurons !== 'boolean')
    throw new SpikeloomError(`${of}: 'neurons' is true or false, not ${kindOf(neurons)}`);
  if (overTime !== 'each' && overTime !== 'all')
    throw new SpikeloomError(`${of}: 'overTime' is 'each' or 'all', not ${kindOf(overTime)}`);
  return {
    kind,
    label: kind,
    overTime,
    schema: schemaOf(of, kind, settings),
    plan: (layer, input, context) => planOf(definition, layer, input, context),
    forward: (layer, x, run) => passOf(definition, layer, x, run),
  };
}

/** A schema of settings and of what every layer has. */
function schemaOf(of: string, kind: string, settings: object): z.ZodObject {
  needArguments(of, 'an object', { settings });
  const isSchema = '_def' in settings || '_zod' in settings;
  if (isSchema && !(settings instanceof z.ZodObject && typeof settings.safeExtend === 'function'))
    throw new SpikeloomError(
      `${of}: a schema of settings is a z.object() of zod 4.1 or later; or give their defaults alone`,
    );
  const given = settings instanceof z.ZodObject ? settings : z.object(schemasOf(of, settings));
  for (const key of ['kind', 'name'])
    if (Object.hasOwn(given.shape, key))
      throw new SpikeloomError(`${of}: no setting may be named '${key}', which every layer has`);
  return given.strict().safeExtend({ kind: z.literal(kind), name: layerName.optional() });
}

/** What stands in the place of a default is of its type; of null anything. */
function schemaLike(value: unknown): z.ZodType {
  if (Array.isArray(value)) return z.array(z.any());
  if (typeof value === 'object') return value === null ? z.any() : z.record(z.string(), z.any());
  return { number: z.number(), string: z.string(), boolean: z.boolean() }[
    typeof value as 'number' | 'string' | 'boolean'
  ];
}

function schemasOf(of: string, defaults: object): Record<string, z.ZodType> {
  const values = Object.entries(plainData(`the settings of a layer`, `'settings' of ${of}`, defaults));
  return Object.fromEntries(values.map(([key, value]) => [key, schemaLike(value).default(value)]));
}

/** Copies: what a definition's functions write there changes no plan. */
function placeOf({ kind, name: _name, ...settings }: Layer, input: Signal, steps: number): LayerPlace {
  const { shape, ...rest } = input;
  const own = plainData(`the settings of ${kind}`, 'settings', settings);
  return { input: { ...rest, shape: [...shape] }, settings: own, steps };
}

/** What a function of the definition gives, or `otherwise` where there is none. */
function asked(
  definition: LayerDefinition,
  name: 'parameters' | 'buffers' | 'constants' | 'output' | 'macs',
  place: LayerPlace,
  context: PlanContext,
  otherwise: unknown,
): unknown {
  if (definition[name] === undefined) return otherwise;
  return answerOf(`${name}()`, () => definition[name]!(place), context);
}

function planOf(definition: LayerDefinition, layer: Layer, input: Signal, context: PlanContext): LayerPlan {
  const ask = (name: Parameters<typeof asked>[1], otherwise: unknown = {}) =>
    asked(definition, name, placeOf(layer, input, context.steps), context, otherwise);
  const output = outputFrom(ask('output'), input, context);
  const neurons = output.spikes && definition.neurons !== false ? elements(output.shape) : 0;
  if (definition.overTime === 'each' && (neurons > 0 || output.timed !== input.timed)) {
    const what = neurons > 0 ? 'makes spikes' : 'ends the time axis';
    context.fail(`${what}, for which it must have all time steps; leave out overTime: 'each'`);
  }
  const parameters = tensorsFrom('parameters()', ask('parameters'), context);
  const buffers = tensorsFrom('buffers()', ask('buffers'), context);
  const constants = constantsFrom('constants()', ask('constants'), context);
  needDistinct([...parameters, ...buffers, ...constants], context);
  const macs = ask('macs', 0);
  if (!(Number.isFinite(macs) && (macs as number) >= 0))
    context.fail(`macs() gives a number of at least 0, not ${kindOf(macs)}`);
  const uncounted = definition.macs === undefined;
  return { output, parameters, buffers, constants, neurons, macs: macs as number, uncounted };
}

function outputFrom(given: unknown, input: Signal, context: PlanContext): Signal {
  const rule = "output() gives an object with any of 'shape', 'spikes' and 'timed'";
  if (typeof given !== 'object' || given === null) context.fail(`${rule}, not ${kindOf(given)}`);
  const { shape = input.shape, spikes = false, timed = input.timed, ...rest } = given as Partial<Signal>;
  const others = Object.keys(rest);
  if (others.length > 0) context.fail(`${rule}, not ${others.map((key) => JSON.stringify(key)).join(', ')}`);
  const isSize = (size: unknown) => Number.isSafeInteger(size) && (size as number) >= 1;
  if (!Array.isArray(shape) || (shape.length !== 1 && shape.length !== 3) || !shape.every(isSize))
    context.fail(`the shape that output() gives is [channels, height, width] or [features], not ${contentOf(shape)}`);
  for (const [key, value] of Object.entries({ spikes, timed }))
    if (typeof value !== 'boolean') context.fail(`'${key}' of output() is true or false, not ${kindOf(value)}`);
  if (timed && !input.timed) context.fail('gives a time axis, but its input has none; put it before meanOverTime()');
  if (spikes && !timed)
    context.fail("gives spikes without a time axis, which neurons have; leave out 'spikes' or 'timed'");
  return { shape: [...shape], spikes, timed };
}

function passOf(definition: LayerDefinition, layer: Layer, x: Tensor, run: Run): Tensor {
  const { planned, steps, training, real, counter, seed } = run;
  const { input, parameters, buffers, constants } = planned;
  const held = [...parameters, ...buffers, ...constants].map(({ role }) => [role, run.tensor(role)] as const);
  const place = placeOf(layer, input, steps);
  const tensors = Object.fromEntries(held);
  // a pass without the tape frees x behind the layer, which may keep what it was given
  const given = isRecording() ? x : reshape(x, x.shape);
  const made = withoutNumbers(planned, () =>
    checkedPass(definition.forward(given, tensors, { ...place, training, real, counter, seed }), x, run),
  );
  // without the tape a pass runs each layer in a scope, and frees what it made, not what it holds or was given
  const isOthers = held.some(([, tensor]) => tensor === made) || (!isRecording() && !isMadeHere(made));
  return isOthers ? reshape(made, made.shape) : made;
}

/** Names the layer where its forward() writes or reads numbers while a step is recorded. */
function withoutNumbers({ path, kind }: PlannedLayer, forward: () => Tensor): Tensor {
  needAnswered(); // what was read before is not this layer's doing
  try {
    const y = forward();
    needAnswered();
    return y;
  } catch (error) {
    if (!(error instanceof UnmadeError)) throw error;
    throw new SpikeloomError(
      `${path} (${kind.kind}): forward() is recorded once, when what it makes has no memory yet, but it writes or reads numbers there, as by tensor() or item(); take constants from 'constants', and read what net.onLayer gets`,
      { cause: error },
    );
  }
}

/** @throws SpikeloomError where forward() did not make what output() says */
function checkedPass(y: unknown, x: Tensor, { planned, real }: Run): Tensor {
  const { path, kind, input, output } = planned;
  const before = x.shape.slice(0, x.shape.length - input.shape.length);
  const shape = [...(output.timed ? before : before.slice(-1)), ...output.shape];
  const dtype = output.spikes ? 'spike' : real;
  const rule = `${path} (${kind.kind}): forward() gives ${dtype}[${shape}], ${signalText(output)} as output() says`;
  if (isPromise(y)) {
    Promise.resolve(y).catch(() => {}); // what it says is not what was wrong
    throw new SpikeloomError(`${rule}, but it gave a promise; it must not be async, since nothing is read in it`);
  }
  if (!isTensor(y)) throw new SpikeloomError(`${rule}, but it gave ${kindOf(y)}; make it of x by ops`);
  const tensor = y as Tensor;
  if (tensor.dtype !== dtype || tensor.shape.join() !== shape.join())
    throw new SpikeloomError(`${rule}, but it gave ${describe(tensor)}; make the two agree`);
  return tensor;
}
