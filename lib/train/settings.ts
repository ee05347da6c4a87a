// The settings of a training run: what a recipe (YAML) and `key=value` on the command line may say. This file is the
// one place of every key's type, default, unit and meaning; help texts and error messages are made from it.
// It belongs to training rather than to the command line because a run folder stores its settings and reads them back.
import { z } from 'zod';
import { DEVICE_NAME, MOST_THREADS } from '../core/device.ts';
import { MOST_ALPHA } from '../data/augment/mix.ts';
import { MOST_IMAGES } from '../data/loader.ts';
import { ZOO_NAMES } from '../nn/zoo.ts';
import { surrogates } from '../ops/lif.ts';

interface Kind<S extends z.ZodType> {
  schema: S;
  type: string;
}

const integer = (min: number, max = Number.MAX_SAFE_INTEGER, note = '') => ({
  schema: z.int().min(min).max(max),
  type: `${max === Number.MAX_SAFE_INTEGER ? `integer >= ${min}` : `integer from ${min} to ${max}`}${note}`,
});
const atLeast = (min: number) => ({ schema: z.number().min(min), type: `number >= ${min}` });
const positive = () => ({ schema: z.number().positive(), type: 'number > 0' });
const fraction = () => ({ schema: z.number().min(0).lt(1), type: 'number >= 0 and < 1' });
const zeroTo = (max: number) => ({ schema: z.number().min(0).max(max), type: `number from 0 to ${max}` });
const zeroToOne = () => zeroTo(1);
const yesNo = () => ({ schema: z.boolean(), type: 'true or false' });
const path = () => ({ schema: z.string().regex(/^[^\0]+$/), type: 'a path' });
const oneOf = <const T extends readonly [string, ...string[]]>(...values: T) => ({
  schema: z.enum(values),
  type: values.length === 2 ? values.join(' or ') : `one of ${values.join(', ')}`,
});
const pattern = (rule: RegExp, type: string) => ({ schema: z.string().regex(rule), type });

/** A key with a default. */
const key = <S extends z.ZodType>({ schema, type }: Kind<S>, fallback: z.output<S>, description: string) =>
  schema
    .default(fallback as never)
    .meta({ description, type, fallback: JSON.stringify(fallback).replace(/^"|"$/g, '') });
/** A key that may be left out; `fallback` says in words what holds then. */
const optional = <S extends z.ZodType>({ schema, type }: Kind<S>, fallback: string, description: string) =>
  schema.optional().meta({ description, type, fallback });
/** A key that every recipe must have. */
const required = <S extends z.ZodType>({ schema, type }: Kind<S>, description: string) =>
  schema.meta({ description, type, fallback: 'required' });

const pixels = z.int().min(1).max(4096);
const imageSize = {
  schema: z.union([pixels.transform((side): [number, number] => [side, side]), z.tuple([pixels, pixels])]),
  type: 'integer from 1 to 4096, or [height, width]',
};
const dctBasis = {
  schema: z.union([z.literal(3), z.literal(7)]),
  type: '3 or 7 (an even basis would make the frequency maps one pixel too small)',
};
const twoBetas = {
  schema: z.tuple([fraction().schema, fraction().schema]),
  type: '[number, number], each >= 0 and < 1',
};

const neuron = z.strictObject({
  kind: key(
    oneOf('lif', 'if', 'plif', 'cubaLif', 'alif'),
    'lif',
    'neuron: leaky, without leak, leaky with a learned decay, with a synaptic current, or with a threshold that adapts; recurrent: lif or cubaLif',
  ),
  decay: key(zeroToOne(), 0.25, 'factor on the membrane from one time step to the next (plif: its start; if: unused)'),
  vth: key(positive(), 1, 'unit of the membrane; a neuron fires above threshold * vth'),
  threshold: key(positive(), 0.5, 'a neuron fires where membrane / vth exceeds this'),
  reset: key(oneOf('hard', 'soft'), 'hard', 'after a spike: to zero, or minus the firing level'),
  detachReset: key(yesNo(), false, 'keep the gradient from flowing through the reset'),
  surrogate: key(oneOf(...surrogates), 'tanh', "shape of the gradient that replaces the step's"),
  synapticDecay: optional(
    zeroToOne(),
    'cubaLif: 0.5, alif: 0',
    'cubaLif, alif: factor on the synaptic current from one time step to the next',
  ),
  adaptationDecay: optional(zeroToOne(), 'alif: 0.9', 'alif: factor on the adaptation from one time step to the next'),
  adaptationStrength: optional(atLeast(0), 'alif: 0.1', 'alif: how much a spike raises the threshold'),
  temperature: optional(
    positive(),
    "the surrogate's own: tanh 1, atan 2, sigmoid 4, fastSigmoid 25, else 1",
    'steepness of the surrogate',
  ),
});

/** The key of a neuron's kind. */
export const NEURON_KIND = 'model.neuron.kind';

/** Keys of neurons that only some kinds have. */
export const NEURON_KEYS: Readonly<Record<string, readonly string[]>> = {
  'model.neuron.synapticDecay': ['cubaLif', 'alif'],
  'model.neuron.adaptationDecay': ['alif'],
  'model.neuron.adaptationStrength': ['alif'],
};

/** As define() has it. */
const MOST_CLASSES = 2 ** 20;

const model = z.strictObject({
  name: required(oneOf(...ZOO_NAMES), 'network'),
  steps: key(integer(1, 1024), 2, 'time steps T'),
  width: optional(
    integer(1, 4096),
    "the network's own",
    'channels of the first stage, the others scale with it; recurrent: its neurons',
  ),
  classes: optional(integer(1, MOST_CLASSES), "the data's", 'outputs of the network'),
  channels: optional(integer(1, 4096), "the data's", 'channels of the input image'),
  size: optional(imageSize, "the data's", 'input size in pixels'),
  reduction: optional(
    integer(1, 49),
    "the network's own",
    'FSTA: factor by which the frequency maps are reduced; fsta-resnet19: in its stem, its blocks use 16',
  ),
  basis: key(dctBasis, 7, 'FSTA: side of the DCT basis in pixels; fsta-resnet19: 7 alone'),
  attention: optional(
    oneOf('fsta', 'none'),
    'fsta; recurrent: none',
    'attention before every neuron layer; recurrent: none alone',
  ),
  neuron,
});

/** Data sets that recipes know. */
export const DATA_NAMES = [
  ...(['cifar10', 'cifar100', 'mnist', 'fashion-mnist', 'imagenet'] as const),
  ...(['cifar10-dvs', 'dvs128-gesture', 'n-mnist', 'n-caltech101', 'n-cars', 'shd'] as const),
] as const;

const data = z.strictObject({
  name: required(oneOf(...DATA_NAMES), 'data set'),
  root: required(path(), 'folder that holds its files'),
  split: optional(oneOf('fsta', 'tet', 'official'), "the set's own", 'event sets: which samples are for training'),
  size: optional(
    imageSize,
    "the data's; imagenet: 224",
    'event sets, imagenet: size in pixels that samples are resized to',
  ),
  binning: key(
    oneOf('count', 'duration', 'window'),
    'count',
    'event sets: a frame is an equal number of events, an equal part of the recording, or `window` microseconds',
  ),
  crop: optional(imageSize, 'all of it', "event sets: the sensor's middle part that is counted, in pixels"),
  clip: key(
    integer(0, 2 ** 31 - 1),
    0,
    'event sets: largest count of a pixel in a frame; 1 = binary frames, 0 = as it is',
  ),
  normalise: key(yesNo(), false, 'event sets: divide every frame by its largest count'),
  window: key(positive(), 10_000, 'event sets: microseconds of a frame where binning is window'),
  cache: optional(path(), 'a folder in root', 'event sets: folder for the events in one file, NAME-HASH.events there'),
  interpolation: optional(oneOf('bilinear', 'bicubic'), 'imagenet: bilinear', 'imagenet: how crops are resized'),
  broken: optional(
    oneOf('error', 'skip'),
    'imagenet: error',
    'imagenet: a picture that cannot be decoded ends the run, or is replaced by the next one in use',
  ),
  train_limit: key(
    integer(0),
    0,
    'use N training samples only (images: the first; else evenly spread over each class); 0 = all',
  ),
  test_limit: key(integer(0), 0, 'use N test samples only; 0 = all'),
  augment: key(
    oneOf('none', 'basic', 'published'),
    'none',
    'training samples: as they are; random crop and mirror; or as the published recipe of the data set does',
  ),
  workers: key(
    integer(0, 64),
    1,
    'threads that prepare batches, 0 = none; images in memory need none: the step makes them',
  ),
  resident: key(
    oneOf('auto', 'on', 'off'),
    'auto',
    'keep the images on the device, where batches are made: auto = on a GPU with 4 times as much memory free',
  ),
});

const parameterGroups = {
  schema: z.array(
    z.strictObject({
      names: z.union([z.string().min(1), z.array(z.string().min(1)).min(1)]),
      lr_scale: z.number().min(0).optional(),
      weight_decay: z.number().min(0).optional(),
    }),
  ),
  type: 'a list of { names, lr_scale, weight_decay }, where names are one or a list, * for any characters',
};

const optimizer = z.strictObject({
  kind: key(oneOf('sgd', 'adamw', 'lamb'), 'sgd', 'update rule'),
  lr: key(atLeast(0), 0.1, 'learning rate at the top of the schedule'),
  momentum: key(fraction(), 0.9, 'sgd: momentum'),
  nesterov: key(yesNo(), true, 'sgd: look ahead along the momentum'),
  weight_decay: key(atLeast(0), 0, 'weight decay; parameters of one dimension never have it'),
  betas: key(twoBetas, [0.9, 0.999], 'adamw, lamb: decay of the first and second moment'),
  eps: key(positive(), 1e-8, 'adamw, lamb: added to the denominator'),
  clip_norm: key(atLeast(0), 0, 'largest norm of the whole gradient; 0 = no clipping'),
  groups: optional(
    parameterGroups,
    'all are trained alike',
    'parameters with a factor on the learning rate or a weight decay of their own, the first group that names one',
  ),
});

const schedule = z.strictObject({
  kind: key(oneOf('constant', 'step', 'cosine'), 'cosine', 'how the learning rate changes from epoch to epoch'),
  warmup: key(integer(0), 0, 'epochs of linear warm-up; they count among epochs and do not shift the cosine'),
  warmup_lr: key(atLeast(0), 1e-5, 'learning rate at the start of the warm-up'),
  min_lr: key(atLeast(0), 1e-5, 'learning rate at the end of the cosine and in the cooldown'),
  cooldown: key(integer(0), 0, 'epochs at min_lr after the others'),
  step_size: key(integer(1), 30, 'step: epochs between two drops'),
  gamma: key(atLeast(0), 0.1, 'step: factor of a drop'),
});

const loss = z.strictObject({
  kind: key(
    oneOf('ce', 'bce', 'tet'),
    'ce',
    'cross-entropy of the mean logits, binary cross-entropy, mean of the per-step loss',
  ),
  smoothing: key(zeroToOne(), 0, 'label smoothing'),
});

const mix = z.strictObject({
  mixup: key(zeroTo(MOST_ALPHA), 0, "alpha of mixup's Beta distribution; 0 = no mixup"),
  cutmix: key(zeroTo(MOST_ALPHA), 0, "alpha of CutMix's Beta distribution; 0 = no CutMix"),
  p: key(zeroToOne(), 1, 'probability that a batch is mixed'),
  switch: key(zeroToOne(), 0.5, 'probability of CutMix where both are on'),
});

/** The largest name leaves room for the number of the run in a file name. */
export const RUN_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,79}$/;

export const settingsSchema = z.strictObject({
  name: key(
    pattern(RUN_NAME, 'up to 80 letters, digits, ".", "_" or "-", the first a letter or digit'),
    'run',
    'name of the run; its folder is OUT/NAME-0001 or the next free number',
  ),
  seed: key(integer(0), 3407, 'seed of every random number'),
  epochs: key(integer(1), 10, 'passes over the training images: length of the cosine, without the cooldown'),
  batch: key(integer(1, MOST_IMAGES), 128, 'images per update'),
  drop_last: key(yesNo(), false, 'leave out the last batch of an epoch where it is smaller'),
  threads: key(integer(0, MOST_THREADS), 0, 'compute threads; 0 = all cores'),
  device: key(pattern(DEVICE_NAME, 'cpu, cuda or cuda:N'), 'cpu', 'where the network runs'),
  precision: key(oneOf('fp32', 'bf16', 'fp64'), 'fp32', 'arithmetic, and how activations are stored'),
  recompute: key(
    yesNo(),
    false,
    'less memory: the backward pass recomputes convolutions in front of lif, if and plif neurons',
  ),
  log_every: optional(
    integer(1, 200),
    '1; on a GPU 10',
    'steps between two reads of the training loss and accuracy, which are collected on the device',
  ),
  out: key(path(), 'runs', 'folder that run folders are made in'),
  model,
  data,
  mix,
  optimizer,
  schedule,
  loss,
});

/** Settings with every default filled in; what comes from the network or the data set stays undefined. */
export type Settings = z.output<typeof settingsSchema>;

/** Short keys of the command line. */
export const ALIASES: Readonly<Record<string, string>> = {
  lr: 'optimizer.lr',
  warmup: 'schedule.warmup',
  cooldown: 'schedule.cooldown',
  smoothing: 'loss.smoothing',
};

/** What is known of one key, as help and messages show it. */
export interface SettingKey {
  /** Dotted, e.g. `model.neuron.decay`. */
  readonly key: string;
  readonly type: string;
  /** The default in words, or `required`. */
  readonly fallback: string;
  readonly description: string;
  readonly alias: string | undefined;
  readonly schema: z.ZodType;
}

/** Every key, in the order of the schema. */
export const SETTING_KEYS: ReadonlyMap<string, SettingKey> = new Map(
  leaves(settingsSchema, '').map((leaf) => [leaf.key, leaf]),
);

/** Groups and the short names in them, the top as ''. */
export const SETTING_GROUPS: ReadonlyMap<string, readonly string[]> = new Map(groups(settingsSchema, ''));

function leaves(schema: z.ZodObject, prefix: string): SettingKey[] {
  return Object.entries(schema.shape).flatMap(([name, field]) => {
    if (field instanceof z.ZodObject) return leaves(field, `${prefix}${name}.`);
    const dotted = prefix + name;
    const { type, fallback, description } = (field as z.ZodType).meta() as Record<string, string>;
    const alias = Object.keys(ALIASES).find((short) => ALIASES[short] === dotted);
    return [
      { key: dotted, type: type!, fallback: fallback!, description: description!, alias, schema: field as z.ZodType },
    ];
  });
}

function groups(schema: z.ZodObject, prefix: string): [string, string[]][] {
  const inner = Object.entries(schema.shape).flatMap(([name, field]) =>
    field instanceof z.ZodObject ? groups(field, prefix === '' ? name : `${prefix}.${name}`) : [],
  );
  return [[prefix, Object.keys(schema.shape)], ...inner];
}

/** The keys as lines of text: key, type, default and meaning. */
export function renderSettingKeys(): string {
  const rows = [...SETTING_KEYS.values()].map(({ key: dotted, type, fallback, description, alias }) => [
    alias === undefined ? dotted : `${dotted} (${alias})`,
    fallback === 'required' ? `${type}; required` : `${type}; default ${fallback}`,
    description,
  ]);
  const width = Math.max(...rows.map(([name]) => name!.length));
  return rows
    .map(([name, type, text]) => `  ${name!.padEnd(width)}  ${text}\n  ${' '.repeat(width)}  ${type}`)
    .join('\n');
}
