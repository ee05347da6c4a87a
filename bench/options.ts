// What a step is measured with: the options that every side of a comparison understands.
import { type Command, InvalidArgumentError, Option } from 'commander';
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
  attention: 'fsta' | 'none';
  /** Whether the input is frames [T,B,C,H,W] in place of images [B,C,H,W]. */
  frames?: boolean;
  /** Whether our network computes convolutions again on the way back. */
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

/** Reads an option's value that is a whole number within limits. */
export const wholeNumber =
  (least: number, most: number) =>
  (text: string): number => {
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= least && value <= most) return value;
    throw new InvalidArgumentError(`It takes a whole number from ${least} to ${most}.`);
  };

function deviceName(text: string): string {
  if (/^(cpu|cuda(:\d+)?)$/.test(text)) return text;
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
  command.option('--model <name>', 'a network of the zoo', 'fsta-resnet20');
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
  command.addOption(new Option('--attention <kind>', 'before the neurons').choices(['fsta', 'none']).default('fsta'));
  command.option('--recompute', 'convolutions once more on the way back: less memory (ours only)');
  command.option('--frames', 'frames of their own for every time step, in place of an image shown at all');
  number('--threads <n>', 'threads of the CPU (default: as many as it runs at once)', 1, MOST_THREADS, usualThreads());
  command.option('--device <name>', 'cpu, cuda or cuda:N', deviceName, 'cpu');
  command.addOption(precisionOption('--precision <type>', 'of arithmetic, and of activations at rest').default('fp32'));
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

/** The middle of the numbers, between the two middle ones of an even count. */
export function median(numbers: readonly number[]): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  const half = sorted.length / 2;
  return (sorted[Math.ceil(half) - 1]! + sorted[Math.floor(half)]!) / 2;
}
