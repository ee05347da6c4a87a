// The fastest that PyTorch makes of the 'collapsed' form, or of another library's network: speed-ups alone and together,
// each tried once in a short run.
import { SpikeloomError } from '../../lib/core/errors.ts';
import { libraryOf, type StepOptions } from '../options.ts';
import { commandOf, type Measured, peerOf, runSide, type Side, torchSide } from './sides.ts';

const SPEEDUPS = ['bf16', 'channels_last', 'compile'];

/** Those of library_step.py. */
export const LIBRARY_SPEEDUPS = ['once', ...SPEEDUPS];

/** Those of torch_step.py. */
export const TORCH_SPEEDUPS = [...SPEEDUPS, 'amp', 'graphs'];

/** On a GPU: fewer, since each is compiled separately; 'graphs' compiles for CUDA graphs. */
const ON_GPU = [
  [],
  ['bf16'],
  ['bf16', 'channels_last'],
  ['bf16', 'compile'],
  ['bf16', 'channels_last', 'compile'],
  ['bf16', 'graphs'],
  ['bf16', 'channels_last', 'graphs'],
];

/** Steps before the clock starts, at least: the first ones compile. */
const WARMUP = 3;

const subsets = (list: readonly string[]): string[][] =>
  Array.from({ length: 2 ** list.length }, (_, bits) => list.filter((_, i) => bits & (1 << i)));

/**
 * On a CPU every subset of the speed-ups; the empty one first. What an image makes in front of the first neurons is
 * computed once in all of them but the empty one.
 */
export function variants({ device, model, frames }: Pick<StepOptions, 'device' | 'model' | 'frames'>): string[][] {
  if (device !== 'cpu') return ON_GPU;
  const all = subsets(SPEEDUPS);
  return libraryOf(model) && !frames ? [[], ...all.map((speedups) => ['once', ...speedups])] : all;
}

const listed = (speedups: readonly string[]): string => (speedups.length > 0 ? speedups.join(', ') : 'plain');

export interface Tried {
  name: string;
  command: string;
  step_s?: number;
  images_per_s?: number;
  peak_bytes?: number;
  /** Why there are no numbers. */
  failed?: string;
}

export interface Best {
  side: Side;
  tried: Tried[];
}

export type Run = (side: Side) => Promise<Measured>;

/**
 * Tries all variants with few steps and returns the fastest as a side of the comparison. A variant that fails is
 * reported, not left out.
 */
export async function findBest(
  options: StepOptions,
  python: string,
  run: Run = runSide,
  tell: (line: string) => void = (line) => process.stderr.write(`${line}\n`),
): Promise<Best> {
  const brief = { ...options, warmup: Math.max(options.warmup, WARMUP), repeats: Math.min(options.repeats, 3) };
  const tried: Tried[] = [];
  let fastest = { step_s: Number.POSITIVE_INFINITY, speedups: [] as string[] };
  const form = libraryOf(options.model) ? 'plain' : 'collapsed';
  const peer = peerOf(options.model);
  for (const speedups of variants(options)) {
    const what = form === 'plain' ? peer : `${peer} ${form}`;
    const side = torchSide(brief, python, form, speedups, `${what} (${listed(speedups)})`);
    tell(`trying ${side.name}`);
    const entry = { name: side.name, command: commandOf(side) };
    try {
      const { step_s, images_per_s, peak_bytes } = await run(side);
      tried.push({ ...entry, step_s, images_per_s, peak_bytes });
      if (step_s < fastest.step_s) fastest = { step_s, speedups };
    } catch (error) {
      if (!(error instanceof SpikeloomError)) throw error;
      tell(error.message);
      tried.push({ ...entry, failed: error.message });
    }
  }
  if (!Number.isFinite(fastest.step_s))
    throw new SpikeloomError(`the best of ${peer} is sought among what runs, but nothing does: ${tried[0]!.failed}`);
  const full = { ...options, warmup: brief.warmup };
  const name = `${peer} best (${listed(fastest.speedups)})`;
  return { side: torchSide(full, python, form, fastest.speedups, name), tried };
}
