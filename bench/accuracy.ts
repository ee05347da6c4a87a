// Trains a recipe with several seeds in several precisions and sets the test accuracies side by side.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { asUsage } from '../lib/cli/exit.ts';
import { writeJson, writeText } from '../lib/cli/output.ts';
import { trainRecipe } from '../lib/train/assemble.ts';
import { loadRecipe } from '../lib/train/recipe.ts';
import { median } from './options.ts';
import { provenance } from './provenance.ts';

export interface AccuracyOptions {
  seeds: string[];
  precisions: string[];
  out?: string;
  json?: boolean;
}

interface Trained {
  precision: string;
  seed: number;
  /** Of the test images, after each epoch. */
  accuracy: number[];
  /** Mean training loss of each epoch. */
  loss: number[];
  firing_rate: number;
  images_per_s: number;
  wait_share: number;
}

async function trained(recipe: string, overrides: string[], precision: string, seed: string): Promise<Trained> {
  const out = mkdtempSync(join(tmpdir(), 'spikeloom-accuracy-'));
  try {
    const settings = asUsage(() =>
      loadRecipe(recipe, [...overrides, `precision=${precision}`, `seed=${seed}`, `out=${out}`]),
    );
    const { epochs, waitShare } = await trainRecipe(settings);
    return {
      precision,
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

/** Mean and standard deviation (n - 1) of the accuracies after the last epoch. */
export function spread(values: readonly number[]): { mean: number; deviation: number } {
  const mean = values.reduce((sum, v) => sum + v, 0) / values.length;
  const squares = values.reduce((sum, v) => sum + (v - mean) ** 2, 0);
  return { mean, deviation: values.length > 1 ? Math.sqrt(squares / (values.length - 1)) : 0 };
}

export async function accuracyCommand(recipe: string, overrides: string[], options: AccuracyOptions): Promise<void> {
  const { seeds, precisions, out, json } = options;
  const runs: Trained[] = [];
  for (const seed of seeds) {
    for (const precision of precisions) {
      const run = await trained(recipe, overrides, precision, seed);
      runs.push(run);
      const last = (100 * run.accuracy.at(-1)!).toFixed(2);
      process.stderr.write(`${precision}, seed ${seed}: ${last} %, ${run.images_per_s.toFixed(0)} images/s\n`);
    }
  }
  const sides = precisions.map((precision) => {
    const last = runs.filter((run) => run.precision === precision).map((run) => run.accuracy.at(-1)!);
    return { precision, ...spread(last) };
  });
  const command = `npm run bench -- accuracy ${[recipe, ...overrides].join(' ')} --seeds ${seeds.join(' ')} --precisions ${precisions.join(' ')}`;
  const found = { command, ...provenance(), sides, runs };
  if (out !== undefined) writeFileSync(out, `${JSON.stringify(found, null, 2)}\n`);
  if (json) return writeJson(found);
  const percent = (share: number) => (100 * share).toFixed(2);
  writeText(
    sides
      .map(
        (side) =>
          `${side.precision.padEnd(5)} ${percent(side.mean)} % +- ${percent(side.deviation)} (${seeds.length} seeds)`,
      )
      .join('\n'),
  );
}
