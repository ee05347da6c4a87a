// What a step is measured with: the options that every side of a comparison understands.
import { type Command, InvalidArgumentError, Option } from 'commander';
import { wholeNumber } from '../lib/cli/whole-number.ts';
import { DEVICE_NAME } from '../lib/core/device.ts';
import { MOST_THREADS, usualThreads } from '../lib/core/index.ts';

export interface StepOptions {
  model: string;
  /** Time steps T. */
  steps: number;
  /** Images of a training step. */
  batch: number;
  /** Height and width in pixels. */
  size: number;
  channels: number;
  classes: number;
  /** Channels of the first stage; undefined: the network's own default. */
  width?: number;
  /** Of the frequency maps; undefined: the network's own default. */
  reduction?: number;
  /** Before the neurons; undefined: the network's own default. */
  attention?: 'fsta' | 'none';
  /** Whether the input is frames [T,B,C,H,W] in place of images [B,C,H,W]. */
  frames?: boolean;
  /** Whether Spikeloom recomputes convolutions in the backward pass. */
  recompute?: boolean;
  /** 'cpu', 'cuda' or 'cuda:N'. */
  device: string;
  threads: number;
  precision: 'fp32' | 'bf16' | 'fp64';
  /** Steps before the clock starts. */
  warmup: number;
  /** Steps that are timed. */
  repeats: number;
  seed: number;
}

/** What the networks of other libraries are trained with there, in place of the defaults below. */
const USUAL: Readonly<Record<string, Partial<StepOptions>>> = {
  'spikingjelly-csnn': { steps: 4, batch: 128, size: 28, channels: 1 },
  'spikingjelly-dvs-gesture': { steps: 16, batch: 4, size: 128, channels: 2, classes: 11, frames: true },
  'snntorch-convnet': { steps: 50, batch: 128, size: 28, channels: 1 },
};

/** Whose network it is; undefined: the authors of FSTA-SNN's, or ours. */
export function libraryOf(model: string): 'spikingjelly' | 'snntorch' | undefined {
  return Object.hasOwn(USUAL, model) ? (model.split('-')[0] as 'spikingjelly' | 'snntorch') : undefined;
}

/** Fills in what the command line does not say. */
function takeUsual(command: Command): void {
  const { model } = command.opts<StepOptions>();
  for (const [key, value] of Object.entries(Object.hasOwn(USUAL, model) ? USUAL[model]! : {})) {
    const source = command.getOptionValueSource(key);
    if (source === undefined || source === 'default') command.setOptionValue(key, value);
  }
}

function deviceName(text: string): string {
  if (DEVICE_NAME.test(text)) return text;
  throw new InvalidArgumentError("It takes 'cpu', 'cuda' or 'cuda:N'.");
}

/** What a measurement ran on, in a few words. */
export const placeOf = ({ device, threads }: Pick<StepOptions, 'device' | 'threads'>): string =>
  device === 'cpu' ? `${threads} threads` : device;

export const precisionOption = (flags: string, text: string): Option =>
  new Option(flags, text).choices(['fp32', 'bf16', 'fp64']);

/** `list`: --steps takes several numbers, these if none is given. */
export function addStepOptions(command: Command, list?: readonly number[]): Command {
  const steps = wholeNumber(1, 1024);
  const number = (flags: string, text: string, least: number, most: number, value?: number) =>
    command.option(flags, text, wholeNumber(least, most), value);
  command.hook('preAction', (_, action) => takeUsual(action));
  command.option('--model <name>', `a network of the zoo, or one of ${Object.keys(USUAL).join(', ')}`, 'fsta-resnet20');
  if (list) {
    const several = (text: string, before: number[]) => [...(before === list ? [] : before), steps(text)];
    command.option('--steps <n...>', 'time steps', several, list as number[]);
  } else command.option('--steps <n>', 'time steps', steps, 2);
  number('--batch <n>', 'images of a step', 1, 65_536, 32);
  number('--size <n>', 'height and width in pixels', 1, 65_536, 32);
  number('--channels <n>', 'channels of an image', 1, 65_536, 3);
  number('--classes <n>', 'outputs of the network', 1, 2 ** 20, 10);
  number('--width <n>', "channels of the first stage (default: the network's own)", 1, 4096);
  number('--reduction <n>', "of the frequency maps (default: the network's own)", 1, 4096);
  const attention = "before the neurons (default: the network's own)";
  command.addOption(new Option('--attention <kind>', attention).choices(['fsta', 'none']));
  command.option('--recompute', 'recompute convolutions in the backward pass: less memory (ours only)');
  command.option('--frames', 'a frame for every time step, in place of one image for all');
  number('--threads <n>', 'threads of the CPU (default: as many as it runs at once)', 1, MOST_THREADS, usualThreads());
  command.option('--device <name>', 'cpu, cuda or cuda:N', deviceName, 'cpu');
  command.addOption(precisionOption('--precision <type>', 'of arithmetic, and of stored activations').default('fp32'));
  number('--warmup <n>', 'steps before the clock starts', 0, 10_000, 2);
  number('--repeats <n>', 'steps that are timed', 1, 10_000, 5);
  return number('--seed <n>', 'of the weights and the images', 0, 2 ** 31 - 1, 0);
}

const KEYS = ['model', 'steps', 'batch', 'size', 'channels', 'classes', 'width', 'reduction', 'attention', 'threads'];
const MORE = ['device', 'precision', 'warmup', 'repeats', 'seed'];

/** The options as a command line, for a process of its own. */
export function asArguments(options: StepOptions): string[] {
  const values = options as unknown as Record<string, string | number | undefined>;
  const given = [...KEYS, ...MORE].filter((key) => values[key] !== undefined);
  return [
    ...given.flatMap((key) => [`--${key}`, String(values[key])]),
    ...(options.frames ? ['--frames'] : []),
    ...(options.recompute ? ['--recompute'] : []),
  ];
}

/** The median; of an even count the mean of the two middle ones. */
export function median(numbers: readonly number[]): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  const half = sorted.length / 2;
  return (sorted[Math.ceil(half) - 1]! + sorted[Math.floor(half)]!) / 2;
}
