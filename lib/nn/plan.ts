// Models before they hold any memory: checked layers, shapes and counts. Needs no addon.
import { isDeepStrictEqual } from 'node:util';
import { z } from 'zod';
import { SpikeloomError } from '../core/errors.ts';
import { elements } from '../core/index.ts';
import { kindOf, needOptions } from '../core/options.ts';
import { copyOfPlain, plainData } from '../core/plain-data.ts';
import { layerKinds } from './kinds.ts';
import {
  integer,
  type Layer,
  type LayerKind,
  type PlanContext,
  type PlannedLayer,
  refuse,
  type Signal,
  schemaProblems,
  type TensorPlan,
} from './layer.ts';
import { kindIn, type OwnLayer, ownKinds } from './own-layer.ts';
import { type Summary, type SummaryOptions, summarize } from './summary.ts';

/** Size of an input image or frame. */
export interface ImageSize {
  readonly channels: number;
  readonly height: number;
  readonly width: number;
}

/** A model in full, as JSON holds it. */
export interface ModelJson {
  format: 'spikeloom-model';
  version: 1;
  /** Its name. */
  model: string;
  steps: number;
  input: ImageSize;
  layers: readonly Layer[];
}

export interface PlanOptions {
  /** The layers of your own in the JSON, as layer() made them. Default: none. */
  layers?: readonly OwnLayer[] | undefined;
}

/** Elements of all that a model holds (parameters, buffers, constants), and elements of one layer's output for one sample over all time steps. */
const MAX_ELEMENTS = 2 ** 31;
const MAX_LAYERS = 10_000;
const MAX_DEPTH = 16;

const modelSize = {
  steps: integer(1, 1024),
  input: z.strictObject({ channels: integer(1, 65_536), height: integer(1, 65_536), width: integer(1, 65_536) }),
};

const modelSchema = z.strictObject({
  format: z.literal('spikeloom-model'),
  version: z.literal(1),
  model: z.string().min(1).max(200),
  ...modelSize,
  layers: z.array(z.unknown()).min(1, 'must hold at least one layer'),
});

/** What a whole model may not exceed or hold twice. */
interface Budget {
  layers: number;
  /** Of all tensors that are held. */
  elements: number;
  readonly names: Set<string>;
  /** Kinds of the user's own by name: those that were given, and those that layers came with. */
  readonly own: Map<string, LayerKind>;
}

/** A checked model: its layers with their shapes, what they hold and what they cost. */
export class ModelPlan {
  readonly model: string;
  readonly steps: number;
  readonly input: ImageSize;
  readonly layers: readonly PlannedLayer[];
  /** Shape of the output per sample (and per step, if `timed`). */
  readonly output: Signal;

  /** @throws SpikeloomError that names the layer by its path, for whatever is wrong in `json` */
  constructor(json: unknown, options: PlanOptions = {}) {
    needOptions('a plan', options, { layers: true });
    const parsed = modelSchema.safeParse(json);
    if (!parsed.success) {
      throw new SpikeloomError(
        `this is not a model: ${schemaProblems(parsed.error, json, Object.keys(modelSchema.shape))}`,
      );
    }
    const { model, steps, input, layers } = parsed.data;
    this.model = model;
    this.steps = steps;
    this.input = input;
    const budget = { layers: 0, elements: 0, names: new Set<string>(), own: ownKinds(options.layers ?? []) };
    const start = { shape: [input.channels, input.height, input.width], spikes: false, timed: true };
    const planned = planList(layers, start, { steps, budget, prefix: '', defaultPrefix: '', depth: 0 });
    this.layers = planned.layers;
    this.output = planned.output;
  }

  /** Every layer, those inside of others too, in the order they are run. */
  *walk(layers = this.layers): Generator<PlannedLayer> {
    for (const planned of layers) {
      for (const inner of Object.values(planned.children)) yield* this.walk(inner);
      yield planned;
    }
  }

  /** Shapes, parameters, multiply-accumulates, neurons and bytes of every layer and in all. */
  summary(options: SummaryOptions = {}): Summary {
    return summarize(this, options);
  }

  /** The model with every option filled in; `new ModelPlan(json)` makes the same plan. */
  toJSON(): ModelJson {
    const { model, steps, input } = this;
    return { format: 'spikeloom-model', version: 1, model, steps, input, layers: this.layers.map(layerJson) };
  }
}

function layerJson({ layer, children }: PlannedLayer): Layer {
  const inner = Object.entries(children).map(([role, list]) => [role, list.map(layerJson)]);
  return { ...(copyOfPlain(layer) as Layer), ...Object.fromEntries(inner) };
}

interface Place {
  steps: number;
  budget: Budget;
  /** Before every name. */
  prefix: string;
  /** Between the prefix and a name that was not given. */
  defaultPrefix: string;
  depth: number;
}

function planList(layers: readonly unknown[], input: Signal, place: Place): { layers: PlannedLayer[]; output: Signal } {
  const planned: PlannedLayer[] = [];
  const used = new Map<string, number>();
  let signal = input;
  layers.forEach((value, i) => {
    place.budget.layers++;
    if (place.budget.layers > MAX_LAYERS)
      throw new SpikeloomError(`a model has at most ${MAX_LAYERS} layers, but this has more`);
    const { layer, kind } = checkedLayer(value, `${place.prefix}${place.defaultPrefix}[${i}]`, place.budget.own);
    const count = (used.get(kind.label) ?? 0) + 1;
    used.set(kind.label, count);
    const path = place.prefix + (layer.name ?? `${place.defaultPrefix}${kind.label}${count}`);
    const next = planLayer(layer, kind, path, signal, place);
    planned.push(next);
    signal = next.output;
  });
  return { layers: planned, output: signal };
}

/** The kind of a layer, its own or one that is known by name. */
function kindOfLayer(value: unknown, at: string, own: Budget['own']): LayerKind {
  const name = typeof value === 'object' && value !== null ? (value as { kind?: unknown }).kind : undefined;
  const carried = typeof name === 'string' ? kindIn(value) : undefined;
  const known = typeof name === 'string' ? (layerKinds.get(name) ?? own.get(name)) : undefined;
  if (carried && own.has(carried.kind) && own.get(carried.kind) !== carried)
    refuse(at, carried.kind, 'two definitions of layers have this kind in one model; give one of them another kind');
  if (carried) own.set(carried.kind, carried);
  const kind = carried ?? known;
  if (kind) return kind;
  const fact = typeof name === 'string' ? `there is no kind ${JSON.stringify(name.slice(0, 60))}` : 'this is not one';
  const kinds = [...layerKinds.keys(), ...own.keys()].join(', ');
  throw new SpikeloomError(
    `${at}: a layer is an object with a 'kind', but ${fact}; the kinds are ${kinds}. A layer of your own, made by layer(), is read from JSON where it is given: { layers: [it] }`,
  );
}

function checkedLayer(value: unknown, at: string, own: Budget['own']): { layer: Layer; kind: LayerKind } {
  const kind = kindOfLayer(value, at, own);
  const given = (value as { name?: unknown }).name;
  const shown = typeof given === 'string' && given.length <= 60 ? `${at.replace(/\[\d+\]$/, '')}${given}` : at;
  const parsed = parsedBy(kind, value, shown);
  if (!parsed.success)
    return refuse(shown, kind.kind, schemaProblems(parsed.error, value, Object.keys(kind.schema.shape)));
  const layer = parsed.data as unknown as Layer;
  return { layer: layerKinds.get(kind.kind) === kind ? layer : ownLayer(layer, kind, shown), kind };
}

/** What the schema of a kind makes of a layer; that of the user's own may throw. */
function parsedBy(kind: LayerKind, value: unknown, at: string): z.ZodSafeParseResult<Record<string, unknown>> {
  try {
    return kind.schema.safeParse(value);
  } catch (error) {
    if (error instanceof z.core.$ZodAsyncError)
      return refuse(
        at,
        kind.kind,
        'a schema of settings checks at once, but this one is async; make its rules synchronous',
      );
    const reason = error instanceof Error ? error.message : `it threw ${kindOf(error)}`;
    return refuse(at, kind.kind, `its schema of settings fails: ${reason}`, { cause: error });
  }
}

/** A copy, of which JSON gives the same layer. @throws SpikeloomError for settings that a schema makes others of */
function ownLayer(layer: Layer, kind: LayerKind, at: string): Layer {
  const plain = <V>(settings: V) => plainData(`the settings of ${kind.kind}`, 'settings', settings);
  const held = plain(layer);
  const parsed = parsedBy(kind, held, at);
  const again = parsed.success ? plain(parsed.data) : {};
  const changed = parsed.success
    ? Object.entries(held).flatMap(([key, value]) => (isDeepStrictEqual(again[key], value) ? [] : [key]))
    : parsed.error.issues.map(({ path }) => String(path[0] ?? 'settings'));
  if (changed.length === 0) return held;
  return refuse(
    at,
    kind.kind,
    `a schema gives the settings that it made back as they are, since models are read from JSON by it, but this one changes or refuses its own '${changed.join("', '")}'; let it check alone, and convert in the layer's functions, such as forward()`,
  );
}

function planLayer(layer: Layer, kind: LayerKind, path: string, input: Signal, place: Place): PlannedLayer {
  const { steps, budget, depth } = place;
  const context: PlanContext = {
    steps,
    list(layers, start, defaultPrefix = '') {
      if (depth + 1 > MAX_DEPTH)
        refuse(path, kind.kind, `layers lie at most ${MAX_DEPTH} deep inside of others, but this lies deeper`);
      return planList(layers, start, { steps, budget, prefix: `${path}.`, defaultPrefix, depth: depth + 1 });
    },
    fail: (message, options) => refuse(path, kind.kind, message, options),
  };
  claim(path, kind, budget);
  const {
    output,
    parameters = [],
    buffers = [],
    constants = [],
    macs = 0,
    uncounted = false,
    attentionMacs = 0,
    neurons = 0,
    children = {},
  } = kind.plan(layer, input, context);
  const named = (tensors: readonly TensorPlan[]) => tensors.map((t) => ({ ...t, name: `${path}.${t.role}` }));
  for (const { shape } of [...parameters, ...buffers, ...constants]) budget.elements += elements(shape);
  if (budget.elements > MAX_ELEMENTS) {
    refuse(
      path,
      kind.kind,
      `a model has at most 2^31 parameters, with the elements of buffers and constants, but up to here there are ${budget.elements}; use fewer channels or a smaller input`,
    );
  }
  if (elements(output.shape) * steps > MAX_ELEMENTS) {
    refuse(
      path,
      kind.kind,
      `one sample may make 2^31 elements in a layer, but here makes ${steps} x [${output.shape}]; use fewer channels or a smaller input`,
    );
  }
  return {
    path,
    layer,
    kind,
    input,
    output,
    parameters: named(parameters),
    buffers: named(buffers),
    constants,
    macs,
    uncounted,
    attentionMacs,
    neurons,
    children,
  };
}

/** Paths name parameters, firing rates and files, so each is used once. */
function claim(path: string, kind: LayerKind, budget: Budget): void {
  if (budget.names.has(path))
    refuse(path, kind.kind, 'another layer has this path already; give one of them another name');
  budget.names.add(path);
}
