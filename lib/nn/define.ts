import { z } from 'zod';
import { SpikeloomError } from '../core/errors.ts';
import { needArguments, needOptions } from '../core/options.ts';
import { integer, type Layer, schemaProblems } from './layer.ts';
import { NET_DEFAULTS, Net, type NetOptions } from './net.ts';
import { type ImageSize, ModelPlan } from './plan.ts';

/** What every model is made for. */
export interface ModelOptions {
  /** Time steps T. */
  steps: number;
  /** Channels, height and width of an image or frame. */
  input: ImageSize;
  /** Outputs of the network. */
  classes: number;
}

/** Other ways to say the input, in place of `input` or parts of it. */
export interface InputOptions {
  /** Channels of an image or frame. */
  channels?: number | undefined;
  /** Height and width in pixels; one number for both. */
  size?: number | readonly [height: number, width: number] | undefined;
}

export type FactoryOptions<Own> = Partial<ModelOptions> & InputOptions & Partial<Own>;

/** Makes networks of one design. */
export interface Factory<Own = object> {
  (options?: FactoryOptions<Own> & NetOptions): Net;
  /** The model without memory: shapes and counts. Needs no addon. */
  plan(options?: FactoryOptions<Own> & NetOptions): ModelPlan;
  readonly model: string;
}

export interface DefineSettings {
  /** What holds where the caller says nothing. Default: 2 steps, 3x32x32, 10 classes. */
  defaults?: Partial<ModelOptions>;
  /** The design's own options: their names, or a schema with their defaults. Others are refused. Default: none. */
  own?: readonly string[] | z.ZodObject;
}

const pixels = integer(1, 65_536);
const common = {
  steps: integer(1, 1024),
  classes: integer(1, 2 ** 20),
  input: z.strictObject({ channels: pixels, height: pixels, width: pixels }),
  channels: pixels.optional(),
  size: z
    .union([pixels, z.tuple([pixels, pixels])], 'must be an integer from 1 to 65536, or [height, width]')
    .optional(),
};
const commonSchema = z.object(common);
const isOfNet = (key: string): boolean => Object.hasOwn(NET_DEFAULTS, key);

/**
 * Names a design: a function from options to layers, built-in ones and those of layer(). Shapes are checked when a network
 * is made.
 * @example
 * const tiny = define('tiny', ({ classes }) => [
 *   conv2d(64, { kernel: 3 }), norm(), lif(), ...stage(128, { blocks: 2, stride: 2 }),
 *   globalAvgPool(), linear(classes), meanOverTime(),
 * ]);
 * const net = tiny({ steps: 2, input: { channels: 3, height: 32, width: 32 }, classes: 10, seed: 3407 });
 */
export function define<Own extends object = object>(
  model: string,
  build: (options: ModelOptions & Own) => readonly Layer[],
  settings: DefineSettings = {},
): Factory<Own> {
  if (typeof model !== 'string' || typeof build !== 'function') {
    throw new SpikeloomError("define() takes a name and a function that gives layers: define('tiny', () => [...])");
  }
  needOptions('define()', settings, { defaults: true, own: true });
  const { defaults = {} } = settings;
  needOptions(`'defaults' of ${model}`, defaults, { steps: true, input: true, classes: true });
  const own = ownSchema(settings.own ?? []);
  const base = { steps: 2, input: { channels: 3, height: 32, width: 32 }, classes: 10, ...defaults };
  const plan = (options: FactoryOptions<Own> & NetOptions = {}): ModelPlan => {
    needArguments(model, 'an object', { options });
    const given = defined(options, (key) => !isOfNet(key));
    const { steps, classes, input, channels, size } = checked(model, commonSchema, { ...base, ...given });
    const [height, width] = typeof size === 'number' ? [size, size] : (size ?? [input.height, input.width]);
    const shared = { steps, classes, input: { channels: channels ?? input.channels, height, width } };
    const rest = defined(given, (key) => !Object.hasOwn(common, key));
    const mine: unknown = checked(model, own, rest, [...Object.keys(common), ...Object.keys(NET_DEFAULTS)]);
    const layers = build({ ...(mine as Own), ...shared });
    return new ModelPlan({ format: 'spikeloom-model', version: 1, model, steps, input: shared.input, layers });
  };
  const make = (options: FactoryOptions<Own> & NetOptions = {}): Net =>
    new Net(plan(options), defined(options, isOfNet));
  return Object.assign(make, { plan, model });
}

function ownSchema(own: readonly string[] | z.ZodObject): z.ZodObject {
  if (own instanceof z.ZodObject) return own.strict();
  needArguments('define() (or a schema)', 'an array', { own });
  return z.strictObject(Object.fromEntries(own.map((name) => [name, z.any().optional()])));
}

/** The wanted ones of the options that are given. */
function defined(options: object, wanted: (key: string) => boolean): Record<string, unknown> {
  return Object.fromEntries(Object.entries(options).filter(([key, value]) => value !== undefined && wanted(key)));
}

function checked<S extends z.ZodObject>(model: string, schema: S, value: unknown, others: string[] = []): z.output<S> {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new SpikeloomError(
    `${model}: ${schemaProblems(parsed.error, value, [...Object.keys(schema.shape), ...others])}`,
  );
}
