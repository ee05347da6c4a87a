// The four networks of FSTA-SNN, layer for layer and name for name as released, a small one in their manner for small
// images and machines, and one of recurrent neurons for spikes without a picture.
// Source: Yu, Zhang, Wang, Xu, "FSTA-SNN: Frequency-based Spatial-Temporal Attention Module for Spiking Neural
// Networks", AAAI 2025.
import { z } from 'zod';
import { SpikeloomError } from '../core/errors.ts';
import { isKeyOf, kindOf } from '../core/options.ts';
import { define, type Factory, type ModelOptions } from './define.ts';
import { integer, type Layer } from './layer.ts';
import { neuronsWithAttention, stage } from './layers/block.ts';
import { conv2d } from './layers/conv2d.ts';
import { flatten, meanOverTime } from './layers/elementwise.ts';
import { type FstaLayer, frequencyMaps, fsta } from './layers/fsta.ts';
import { linear } from './layers/linear.ts';
import { type CubaLifLayer, type NeuronLayer, recurrentLif } from './layers/neurons.ts';
import { norm } from './layers/norm.ts';
import { avgPool2d, globalAvgPool } from './layers/pooling.ts';

/** Options of the zoo's networks beside steps, input (or channels and size) and classes. */
export interface ZooOptions {
  /**
   * Channels of the first stage; each later stage has twice as many. Default 64, ResNet-19: 128, ResNet-8: 32.
   * recurrent: its neurons, default 128.
   */
  width?: number | undefined;
  /**
   * FSTA: factor by which the frequency maps are reduced. Default 1. ResNet-19: in its stem alone, the blocks use 16.
   */
  reduction?: number | undefined;
  /** FSTA: side of the DCT filters, odd. Default 7. ResNet-19: 5 or more. */
  basis?: number | undefined;
  /** FSTA: which filters. Default 'all'. ResNet-19: at least 16. */
  filters?: FstaLayer['filters'];
  /** Default 'fsta'; recurrent: 'none', it has no other. */
  attention?: 'fsta' | 'none' | undefined;
  /** Any of lif(), ifNode(), plif(), cubaLif(), alif(); recurrent: lif() or cubaLif(). Default lif(). */
  neuron?: NeuronLayer | undefined;
}

/** @internal What a network has before its neurons where nothing else is said. */
export const usualAttention = (name: unknown): 'fsta' | 'none' => (name === 'recurrent' ? 'none' : 'fsta');

const own = z.strictObject({
  width: integer(1, 4096).optional(),
  reduction: z.int().optional(),
  basis: z.int().optional(),
  filters: z.any().optional(),
  attention: z.enum(['fsta', 'none']).default('fsta'),
  neuron: z.looseObject({ kind: z.enum(['lif', 'if', 'plif', 'cubaLif', 'alif']) }).optional(),
});

interface Parts {
  attention: Layer | 'none';
  neuron: Layer | undefined;
}

function parts({ attention, reduction, basis, filters, neuron }: ZooOptions, blockReduction = reduction): Parts {
  return {
    attention: attention === 'none' ? 'none' : fsta({ reduction: blockReduction, basis, filters }),
    neuron: neuron && withoutName(neuron),
  };
}

/** A neuron's options serve every layer, so they carry no name; neurons without leak ignore the decay. */
function withoutName({ name: _name, ...layer }: NeuronLayer): Layer {
  if (layer.kind !== 'if') return layer;
  const { decay: _decay, ...rest } = layer as typeof layer & { decay?: number };
  return rest;
}

const head = (classes: number): Layer[] => [
  globalAvgPool({ name: 'pool' }),
  linear(classes, { name: 'fc' }),
  meanOverTime({ name: 'mean' }),
];

function stages(width: number, blocks: readonly number[], shortcut: 'pooled' | 'strided', used: Parts): Layer[] {
  return blocks.flatMap((count, i) => {
    const options = { ...used, blocks: count, stride: i === 0 ? 1 : 2, shortcut, name: `layer${i + 1}` };
    return stage(width * 2 ** i, options);
  });
}

function resnet20({ width = 64, ...options }: ModelOptions & ZooOptions): Layer[] {
  const used = parts(options);
  const stem = [0, 3, 6].flatMap((i) => [
    conv2d(width, { kernel: 3, name: `conv1.${i}` }),
    norm({ name: `conv1.${i + 1}` }),
    ...neuronsWithAttention(`conv1.${i + 2}`, used),
  ]);
  return [
    ...stem,
    avgPool2d(2, { name: 'conv1.9' }),
    ...stages(width, [2, 2, 2, 2], 'pooled', used),
    ...head(options.classes),
  ];
}

/**
 * Ours, for small images and small machines: ResNet-20's parts, one stem layer and three blocks in place of three and
 * eight.
 */
function resnet8({ width = 32, ...options }: ModelOptions & ZooOptions): Layer[] {
  const used = parts(options);
  return [
    conv2d(width, { kernel: 3, name: 'conv1.0' }),
    norm({ name: 'conv1.1' }),
    ...neuronsWithAttention('conv1.2', used),
    avgPool2d(2, { name: 'conv1.3' }),
    ...stages(width, [1, 1, 1], 'pooled', used),
    ...head(options.classes),
  ];
}

/** What the blocks of ResNet-19 reduce by. */
const BLOCK_REDUCTION = 16;

function needMapsToReduce({ attention, basis, filters }: ZooOptions): void {
  const maps = attention === 'none' ? undefined : frequencyMaps(fsta({ basis, filters }));
  if (maps === undefined || maps >= BLOCK_REDUCTION) return;
  throw new SpikeloomError(
    `fsta-resnet19: its blocks reduce the frequency maps by ${BLOCK_REDUCTION}, as released, so it needs ${BLOCK_REDUCTION} of them at least, but here are ${maps}; use basis 7 with all filters or with ${BLOCK_REDUCTION} and more, or another network`,
  );
}

/** As released, the option `reduction` reaches the stem alone (default 1); the blocks always use 16. */
function resnet19({ width = 128, ...options }: ModelOptions & ZooOptions): Layer[] {
  needMapsToReduce(options);
  return [
    conv2d(width, { kernel: 3, name: 'conv1' }),
    norm({ name: 'bn1' }),
    ...neuronsWithAttention('relu', parts(options)),
    ...stages(width, [3, 3, 2], 'strided', parts(options, BLOCK_REDUCTION)),
    ...head(options.classes),
  ];
}

/** ResNets for 224x224: the stem halves the size twice. */
const deepResnet =
  (blocks: readonly number[]) =>
  ({ width = 64, ...options }: ModelOptions & ZooOptions): Layer[] => {
    const used = parts(options);
    return [
      conv2d(width, { kernel: 7, stride: 2, padding: 3, name: 'conv1' }),
      norm({ name: 'bn1' }),
      ...neuronsWithAttention('relu', used),
      avgPool2d(3, { stride: 2, padding: 1, name: 'avgpool' }),
      ...stages(width, blocks, 'strided', used),
      ...head(options.classes),
    ];
  };

/** The options of lif() or cubaLif() for neurons that hear each other. */
function recurrentNeuron({ kind, name: _name, ...options }: NeuronLayer) {
  if (kind === 'cubaLif') {
    const { synapticDecay = 0.5, ...rest } = options as Omit<CubaLifLayer, 'kind'>;
    return recurrentLif({ synapticDecay, ...rest });
  }
  if (kind === 'lif') return recurrentLif(options);
  throw new SpikeloomError(`recurrent: its neurons are lif or cubaLif, which hear each other, not ${kindOf(kind)}`);
}

/**
 * One layer of recurrent neurons between two linear ones, whose mean over time is the result: the network of Cramer et
 * al., "The Heidelberg Spiking Data Sets for the Systematic Evaluation of Spiking Neural Networks", IEEE TNNLS 2020.
 * There the last layer integrates, too, and its maximum over time is the result. Input weights start with the standard
 * deviation of PyTorch's linear layers, 1/sqrt(3 F).
 */
function recurrent({ width = 128, attention, neuron, input, classes }: ModelOptions & ZooOptions): Layer[] {
  if (attention === 'fsta')
    throw new SpikeloomError(
      "recurrent: FSTA weighs pictures, but this network's neurons have features alone; use attention 'none'",
    );
  const std = 1 / Math.sqrt(3 * input.channels * input.height * input.width);
  return [
    flatten({ name: 'flatten' }),
    linear(width, { std, name: 'input' }),
    { ...(neuron ? recurrentNeuron(neuron) : recurrentLif()), name: 'hidden' },
    linear(classes, { name: 'fc' }),
    meanOverTime({ name: 'mean' }),
  ];
}

const image = (side: number) => ({ channels: 3, height: side, width: side });
const small = { defaults: { steps: 2, input: image(32), classes: 10 }, own };
const spoken = {
  defaults: { steps: 100, input: { channels: 2, height: 1, width: 700 }, classes: 20 },
  own: own.extend({ attention: own.shape.attention.unwrap().default(usualAttention('recurrent')) }),
};
const large = { defaults: { steps: 4, input: image(224), classes: 1000 }, own };

/** @internal */
export const ZOO_NAMES = [
  ...(['fsta-resnet8', 'fsta-resnet18', 'fsta-resnet19', 'fsta-resnet20', 'fsta-resnet34'] as const),
  'recurrent',
] as const satisfies readonly ZooName[];

/** Networks by name. */
export const zoo: Readonly<Record<ZooName, Factory<ZooOptions>>> = {
  'fsta-resnet8': define<ZooOptions>('fsta-resnet8', resnet8, small),
  'fsta-resnet18': define<ZooOptions>('fsta-resnet18', deepResnet([2, 2, 2, 2]), large),
  'fsta-resnet19': define<ZooOptions>('fsta-resnet19', resnet19, small),
  'fsta-resnet20': define<ZooOptions>('fsta-resnet20', resnet20, small),
  'fsta-resnet34': define<ZooOptions>('fsta-resnet34', deepResnet([3, 4, 6, 3]), large),
  recurrent: define<ZooOptions>('recurrent', recurrent, spoken),
};

export type ZooName =
  | 'fsta-resnet8'
  | 'fsta-resnet18'
  | 'fsta-resnet19'
  | 'fsta-resnet20'
  | 'fsta-resnet34'
  | 'recurrent';

/** The factory of this name. @throws SpikeloomError that lists what exists */
export function model(name: string): Factory<ZooOptions> {
  if (isKeyOf(name, zoo)) return zoo[name as ZooName];
  throw new SpikeloomError(`there is no network ${kindOf(name)}; the networks are ${Object.keys(zoo).join(', ')}`);
}
