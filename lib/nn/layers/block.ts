// Groups of layers that residual networks are made of. They return plain layers; the model does not know about them.
import { SpikeloomError } from '../../core/errors.ts';
import { kindOf, needArguments, needOptions } from '../../core/options.ts';
import type { Layer } from '../layer.ts';
import { conv2d } from './conv2d.ts';
import { fsta } from './fsta.ts';
import { lif } from './neurons.ts';
import { norm } from './norm.ts';
import { avgPool2d } from './pooling.ts';
import { residual } from './residual.ts';

export interface BlockOptions {
  /** Of the first convolution and of the shortcut. Default 1. */
  stride?: number;
  /**
   * Where the shape changes: average pool (rounding up, padding not counted), then 1x1 convolution; or 1x1 convolution
   * with stride. Default 'pooled'.
   */
  shortcut?: 'pooled' | 'strided';
  /** Attention before every neuron layer. Default fsta(). */
  attention?: Layer | 'none';
  /** Default lif(). */
  neuron?: Layer;
  /** Path of the block in the list around: its layers are NAME.conv1, NAME.bn1, NAME.relu1, ... */
  name?: string;
}

const KNOWN: Record<keyof BlockOptions, true> = {
  ...({ stride: true, shortcut: true, attention: true, neuron: true, name: true } as const),
};

export interface StageOptions extends BlockOptions {
  /** How many blocks; the first one has the stride. */
  blocks: number;
}

/** Attention named NAME.dct and neurons named NAME, as one. */
export function neuronsWithAttention(name: string, { attention = fsta(), neuron = lif() }: BlockOptions): Layer[] {
  const spikes = { ...neuron, name };
  return attention === 'none' ? [spikes] : [{ ...attention, name: `${name}.dct` }, spikes];
}

function shortcutOf(channels: number, stride: number, kind: 'pooled' | 'strided'): Layer[] {
  if (kind === 'strided')
    return [conv2d(channels, { kernel: 1, stride, name: 'downsample.0' }), norm({ name: 'downsample.1' })];
  return [
    avgPool2d(stride, { ceilMode: true, countIncludePad: false, name: 'downsample.0' }),
    conv2d(channels, { kernel: 1, name: 'downsample.1' }),
    norm({ name: 'downsample.2' }),
  ];
}

/**
 * A residual block: h = N(BN(conv3x3 x)), y = N(BN(conv3x3 h) + r), N attention and neurons, r = x where shapes agree
 * and stride is 1, else BN(conv1x1(...x)). The identity adds the spikes of the block before to the current.
 * @example ...block(128, { stride: 2, name: 'down' })
 */
export function block(channels: number, options: BlockOptions & { name: string }): Layer[] {
  needOptions('block()', options, KNOWN);
  const { stride = 1, shortcut = 'pooled', name } = options;
  needArguments('block()', 'a text', { name });
  const body = [
    conv2d(channels, { kernel: 3, stride, name: 'conv1' }),
    norm({ name: 'bn1' }),
    ...neuronsWithAttention('relu1', options),
    conv2d(channels, { kernel: 3, name: 'conv2' }),
    norm({ name: 'bn2' }),
  ];
  const sum = residual({
    body,
    shortcut: shortcutOf(channels, stride, shortcut),
    use: stride === 1 ? 'where-needed' : 'always',
    name,
  });
  return [sum, ...neuronsWithAttention(`${name}.relu2`, options)];
}

/**
 * `blocks` residual blocks; the first one has the stride. Default name: `stage` and the number of channels.
 * @example ...stage(128, { blocks: 2, stride: 2 })
 */
export function stage(channels: number, given: StageOptions): Layer[] {
  needOptions('stage()', given, { ...KNOWN, blocks: true });
  const { blocks, name = `stage${kindOf(channels)}`, ...options } = given;
  needArguments('stage()', 'a text', { name });
  if (!Number.isInteger(blocks) || blocks < 1 || blocks > 1000) {
    throw new SpikeloomError(`${name}: a stage has 1 to 1000 blocks, not ${kindOf(blocks)}`);
  }
  return Array.from({ length: blocks }, (_, i) =>
    block(channels, { ...options, stride: i === 0 ? options.stride : 1, name: `${name}.${i}` } as BlockOptions & {
      name: string;
    }),
  ).flat();
}
