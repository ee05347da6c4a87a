// How large the gradients of activations are that a backward pass keeps in memory, in f32 and in bf16.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { asUsage } from '../lib/cli/exit.ts';
import { writeJson, writeText } from '../lib/cli/output.ts';
import { bf16ToF32 } from '../lib/core/half-float.ts';
import type { Tensor } from '../lib/core/index.ts';
import { loader } from '../lib/data/index.ts';
import { loadWeights, type Net } from '../lib/nn/index.ts';
import { netOf, scheduleOf, trainRecipe } from '../lib/train/assemble.ts';
import { openData } from '../lib/train/data-sets.ts';
import type { LossSettings } from '../lib/train/loss.ts';
import { loadRecipe } from '../lib/train/recipe.ts';
import { runPaths } from '../lib/train/run-folder.ts';
import type { Settings } from '../lib/train/settings.ts';
import type { AnyBatch } from '../lib/train/step-inputs.ts';
import { queueGradients } from '../lib/train/training-step.ts';
import { watchCalls } from './calls.ts';
import { provenance } from './provenance.ts';
import { makeFolderOf, writeResult } from './result-file.ts';

export interface GradientsOptions {
  out?: string;
  json?: boolean;
}

/**
 * Of the numbers that are not 0: below the first of these half precision (fp16) rounds to 0, above the second to
 * infinity.
 */
const FP16 = { least: 2 ** -25, largest: 65_504 };
/** The least number of bf16 and f32 that is not denormal, which count as 0. */
const LEAST_NORMAL = 2 ** -126;

/** The numbers of one tensor, or of all. */
export interface Magnitudes {
  count: number;
  zeros: number;
  /** Of those that are not 0. */
  smallest: number;
  largest: number;
  fp16_to_zero: number;
  fp16_to_infinity: number;
  denormal: number;
}

export function magnitudesOf(values: ArrayLike<number>): Magnitudes {
  const found = {
    count: 0,
    zeros: 0,
    smallest: Infinity,
    largest: 0,
    fp16_to_zero: 0,
    fp16_to_infinity: 0,
    denormal: 0,
  };
  for (let i = 0; i < values.length; i++) {
    const size = Math.abs(values[i]!);
    found.count++;
    if (size === 0) found.zeros++;
    else {
      if (size < found.smallest) found.smallest = size;
      if (size < FP16.least) found.fp16_to_zero++;
      if (size < LEAST_NORMAL) found.denormal++;
    }
    if (size > found.largest) found.largest = size;
    if (size > FP16.largest) found.fp16_to_infinity++;
  }
  return found;
}

export function together(all: readonly Magnitudes[]): Magnitudes {
  const sum = (key: keyof Magnitudes) => all.reduce((total, m) => total + m[key], 0);
  return {
    ...{ count: sum('count'), zeros: sum('zeros'), denormal: sum('denormal') },
    ...{ fp16_to_zero: sum('fp16_to_zero'), fp16_to_infinity: sum('fp16_to_infinity') },
    smallest: Math.min(...all.map(({ smallest }) => smallest)),
    largest: Math.max(...all.map(({ largest }) => largest)),
  };
}

interface Layer extends Magnitudes {
  /** Which op made it, the how manieth of its kind on the way back, and its shape. */
  tensor: string;
}

interface Side {
  precision: string;
  /** Test accuracy after the last epoch. */
  accuracy: number;
  all: Magnitudes;
  layers: Layer[];
}

/** Names of outputs that are gradients of activations. */
const GRADIENTS = ['g', 'gx', 'gy'];

async function numbersOf(tensor: Tensor): Promise<ArrayLike<number>> {
  const array = await tensor.array();
  if (tensor.dtype !== 'bf16') return array;
  const values = new Float32Array(array.length);
  bf16ToF32(array as Uint16Array, values);
  return values;
}

/** The gradients of activations on the way back through a net, each as it was when its op had made it. */
async function gradientsOf(net: Net, batch: AnyBatch, loss: LossSettings): Promise<Layer[]> {
  const counts = new Map<string, number>();
  const layers: Promise<Layer>[] = [];
  const work = () => queueGradients(net, batch, loss);
  const numbers = watchCalls(work, ({ op }, _, outputs) => {
    for (const [name, tensor] of Object.entries(outputs)) {
      if (!op.includes('Grad') || !GRADIENTS.includes(name) || tensor.shape.length < 4) continue;
      const number = (counts.get(op) ?? 0) + 1;
      counts.set(op, number);
      const label = `${op} ${number}: ${name} [${tensor.shape}]`;
      layers.push(numbersOf(tensor).then((values) => ({ tensor: label, ...magnitudesOf(values) })));
    }
  });
  await numbers;
  for (const { tensor } of net.parameters()) tensor.freeGrad();
  return Promise.all(layers);
}

/** Trains as the settings say, then looks at the batch that would come next. */
async function measured(settings: Settings): Promise<Side> {
  const out = mkdtempSync(join(tmpdir(), 'spikeloom-gradients-'));
  try {
    const { epochs, folder } = await trainRecipe({ ...settings, out });
    const data = await openData(settings);
    using net = netOf(settings, data);
    loadWeights(net, runPaths(folder).last);
    net.train();
    const { batch, seed } = settings;
    const { augment } = settings.data;
    await using source = loader(data.train, { batch, seed, shuffle: true, workers: 0, augment });
    const next = await source.epoch(scheduleOf(settings).epochs).next();
    const layers = await gradientsOf(net, next.value!, settings.loss);
    return { precision: settings.precision, accuracy: epochs.at(-1)!.accuracy, all: together(layers), layers };
  } finally {
    rmSync(out, { recursive: true, force: true });
  }
}

const share = (part: number, { count }: Magnitudes) => `${((100 * part) / count).toFixed(4)} %`;

function summaryOf({ precision, accuracy, all }: Side): string {
  const range = `2^${Math.log2(all.smallest).toFixed(1)} to 2^${Math.log2(all.largest).toFixed(1)}`;
  const lost = `denormal ${share(all.denormal, all)}, in half precision 0: ${share(all.fp16_to_zero, all)}`;
  return `${precision}: ${all.count} numbers, zeros ${share(all.zeros, all)}, others ${range}, ${lost}; accuracy ${(100 * accuracy).toFixed(2)} %`;
}

export async function gradientsCommand(recipe: string, overrides: string[], options: GradientsOptions): Promise<void> {
  const { out, json } = options;
  if (out !== undefined) makeFolderOf(out);
  const sides: Side[] = [];
  for (const precision of ['fp32', 'bf16']) {
    const settings = asUsage(() => loadRecipe(recipe, [...overrides, `precision=${precision}`]));
    const side = await measured(settings);
    sides.push(side);
    process.stderr.write(`${summaryOf(side)}\n`);
  }
  const command = `npm run bench -- gradients ${[recipe, ...overrides].join(' ')}`;
  const found = { command, ...provenance(), recipe, sides };
  if (out !== undefined) writeResult(out, found);
  if (json) return writeJson(found);
  writeText(sides.map(summaryOf).join('\n'));
}
