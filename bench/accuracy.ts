// Trains a recipe with several seeds for each value of one setting, and sets the test accuracies side by side.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { asUsage, UsageError } from '../lib/cli/exit.ts';
import { writeJson, writeText } from '../lib/cli/output.ts';
import { trainRecipe } from '../lib/train/assemble.ts';
import { loadRecipe } from '../lib/train/recipe.ts';
import { median } from './options.ts';
import { provenance } from './provenance.ts';
import { makeFolderOf, writeResult } from './result-file.ts';

export interface AccuracyOptions {
  seeds: string[];
  /** KEY=VALUE,VALUE,... */
  vary: string;
  out?: string;
  json?: boolean;
}

export interface Trained {
  value: string;
  seed: number;
  /** Of the test samples, after each epoch. */
  accuracy: number[];
  /** Mean training loss of each epoch. */
  loss: number[];
  /** After the last epoch. */
  firing_rate: number;
  images_per_s: number;
  wait_share: number;
}

/** A comparison as `bench accuracy --out` writes it. */
export interface AccuracyResult {
  command: string;
  date: string;
  commit: string | null;
  machine: { cpu: string; cores: number };
  recipe: string;
  vary: string;
  /** Test accuracy after the last and after the best epoch: mean over the seeds and standard deviation. */
  sides: { value: string; last: Spread; best: Spread; firing_rate: Spread }[];
  runs: Trained[];
}

export interface Spread {
  mean: number;
  deviation: number;
}

async function trained(recipe: string, overrides: string[], value: string, seed: string): Promise<Trained> {
  const out = mkdtempSync(join(tmpdir(), 'spikeloom-accuracy-'));
  try {
    const settings = asUsage(() => loadRecipe(recipe, [...overrides, `seed=${seed}`, `out=${out}`]));
    const { epochs, waitShare } = await trainRecipe(settings);
    return {
      value,
      seed: Number(seed),
      accuracy: epochs.map((epoch) => epoch.accuracy),
      loss: epochs.map((epoch) => epoch.loss),
      firing_rate: epochs.at(-1)!.firingRate,
      images_per_s: median(epochs.map((epoch) => epoch.imagesPerSecond)),
      wait_share: waitShare,
    };
  } finally {
    rmSync(out, { recursive: true, force: true });
  }
}

/** Mean and standard deviation (n - 1). */
export function spread(values: readonly number[]): Spread {
  const mean = values.reduce((sum, v) => sum + v, 0) / values.length;
  const squares = values.reduce((sum, v) => sum + (v - mean) ** 2, 0);
  return { mean, deviation: values.length > 1 ? Math.sqrt(squares / (values.length - 1)) : 0 };
}

/** The key that varies and its values. */
function variation(text: string): { key: string; values: string[] } {
  const [key, list, ...rest] = text.split('=');
  const values = list?.split(',') ?? [];
  if (!key || rest.length > 0 || values.length === 0 || values.includes('')) {
    throw new UsageError(`--vary is KEY=VALUE,VALUE, such as model.attention=fsta,none, not '${text}'`);
  }
  return { key, values };
}

function sideOf(value: string, runs: readonly Trained[]): AccuracyResult['sides'][number] {
  const own = runs.filter((run) => run.value === value);
  return {
    value,
    last: spread(own.map(({ accuracy }) => accuracy.at(-1)!)),
    best: spread(own.map(({ accuracy }) => Math.max(...accuracy))),
    firing_rate: spread(own.map(({ firing_rate }) => firing_rate)),
  };
}

export async function accuracyCommand(recipe: string, overrides: string[], options: AccuracyOptions): Promise<void> {
  const { seeds, vary, out, json } = options;
  const { key, values } = variation(vary);
  if (out !== undefined) makeFolderOf(out);
  const runs: Trained[] = [];
  const command = `npm run bench -- accuracy ${[recipe, ...overrides].join(' ')} --seeds ${seeds.join(' ')} --vary ${vary}`;
  const made = provenance();
  const result = (): AccuracyResult => {
    const sides = values.filter((value) => runs.some((run) => run.value === value)).map((value) => sideOf(value, runs));
    return { command, ...made, recipe, vary: key, sides, runs };
  };
  for (const seed of seeds) {
    for (const value of values) {
      const run = await trained(recipe, [...overrides, `${key}=${value}`], value, seed);
      runs.push(run);
      if (out !== undefined) writeResult(out, result()); // each takes its time, and a later one may fail
      const last = (100 * run.accuracy.at(-1)!).toFixed(2);
      process.stderr.write(`${key}=${value}, seed ${seed}: ${last} %, ${run.images_per_s.toFixed(0)} images/s\n`);
    }
  }
  const found = result();
  if (json) return writeJson(found);
  const percent = ({ mean, deviation }: Spread) => `${(100 * mean).toFixed(2)} % +- ${(100 * deviation).toFixed(2)}`;
  const lines = found.sides.map(
    ({ value, last, best, firing_rate: rate }) =>
      `${key}=${value}: last ${percent(last)}, best ${percent(best)}, firing rate ${percent(rate)} (${seeds.length} seeds)`,
  );
  writeText(lines.join('\n'));
}
