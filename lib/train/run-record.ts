// What a run's folder holds, for reports and comparisons. Nothing in the folder is changed.
import { existsSync } from 'node:fs';
import { basename, resolve } from 'node:path';
import { SpikeloomError } from '../core/errors.ts';
import { readTextFile } from '../core/file-kind.ts';
import { type DataDescription, readDataDescription } from './data-description.ts';
import { type MetricsRecord, readMetrics } from './metrics-log.ts';
import { needRunFile, runPaths } from './run-folder.ts';

export interface RunRecord {
  folder: string;
  /** Name with number, e.g. `quickstart-0003`. */
  name: string;
  /** One record an epoch. */
  epochs: MetricsRecord[];
  /** What it was trained and tested on; undefined for runs of versions that did not keep it. */
  data: DataDescription | undefined;
  /** The settings as they are in the folder: a recipe, or the options of train() as JSON. */
  settings: string;
  /** Where and how it was started. */
  environment: Readonly<Record<string, unknown>>;
}

function readText(path: string): string {
  try {
    return readTextFile(path);
  } catch (error) {
    throw new SpikeloomError(`cannot read ${path}: ${(error as Error).message}`, { cause: error });
  }
}

/** @throws SpikeloomError where the file cannot be read or holds no JSON object */
export function readObject(path: string): Record<string, unknown> {
  try {
    const value = JSON.parse(readText(path));
    if (typeof value === 'object' && value !== null) return value;
  } catch (error) {
    if (error instanceof SpikeloomError) throw error;
  }
  throw new SpikeloomError(`${path} must hold a JSON object, but it is damaged`);
}

/** @throws SpikeloomError where the folder is not one of a run, or a file in it is damaged */
export function readRun(folder: string): RunRecord {
  const paths = runPaths(folder);
  needRunFile(folder, paths.metrics);
  const settings = [paths.settings, paths.course].find(existsSync);
  return {
    folder,
    name: basename(resolve(folder)),
    epochs: readMetrics(paths.metrics),
    data: existsSync(paths.data) ? readDataDescription(paths.data) : undefined,
    settings: settings === undefined ? '' : readText(settings),
    environment: existsSync(paths.environment) ? readObject(paths.environment) : {},
  };
}

/** One number per epoch; null where it is missing. */
export function column({ epochs }: Pick<RunRecord, 'epochs'>, key: string): (number | null)[] {
  return epochs.map((record) => {
    const value = record[key];
    return typeof value === 'number' && Number.isFinite(value) ? value : null;
  });
}

/** Firing rates of every neuron layer by its path, in the order of the network. */
export function firingColumns({ epochs }: Pick<RunRecord, 'epochs'>): Map<string, (number | null)[]> {
  const columns = new Map<string, (number | null)[]>();
  for (const [i, { firingRates }] of epochs.entries()) {
    if (typeof firingRates !== 'object' || firingRates === null) continue;
    for (const [layer, rate] of Object.entries(firingRates)) {
      if (!columns.has(layer)) columns.set(layer, Array(epochs.length).fill(null));
      columns.get(layer)![i] = typeof rate === 'number' ? rate : null;
    }
  }
  return columns;
}

/** Epoch, from 1, and value of the first highest accuracy and of the last one. */
export interface Accuracies {
  best: { epoch: number; accuracy: number };
  last: { epoch: number; accuracy: number };
}

/** Epoch, from 1, and value of the first lowest test loss and of the last one. */
export interface TestLosses {
  best: { epoch: number; loss: number };
  last: { epoch: number; loss: number };
}

/** The first best value of a column and the last one, with their epochs from 1; undefined where there is none. */
function resultsOf<K extends string>(
  run: Pick<RunRecord, 'epochs'>,
  key: string,
  name: K,
  isBetter: (a: number, b: number) => boolean,
): Record<'best' | 'last', { epoch: number } & Record<K, number>> | undefined {
  const known = column(run, key).flatMap((value, i) => (value === null ? [] : [{ epoch: i + 1, value }]));
  const [first, ...rest] = known;
  if (!first) return undefined;
  const named = ({ epoch, value }: typeof first) => ({ epoch, [name]: value }) as { epoch: number } & Record<K, number>;
  return {
    best: named(rest.reduce((a, b) => (isBetter(b.value, a.value) ? b : a), first)),
    last: named(known.at(-1)!),
  };
}

/** Test accuracies: the first highest and the last one; undefined before the first epoch is over, and of targets. */
export const accuracies = (run: Pick<RunRecord, 'epochs'>): Accuracies | undefined =>
  resultsOf(run, 'accuracy', 'accuracy', (a, b) => a > b);

/** Test losses: the first lowest and the last one. */
export const testLosses = (run: Pick<RunRecord, 'epochs'>): TestLosses | undefined =>
  resultsOf(run, 'testLoss', 'loss', (a, b) => a < b);

/** Whether the samples have targets in place of classes: there is no accuracy then. */
export const hasTargets = ({ data }: Pick<RunRecord, 'data'>): boolean => data?.targets !== undefined;

/** The median of what is known (the lower one of two); undefined where nothing is. */
export function median(values: readonly (number | null)[]): number | undefined {
  const sorted = values.filter((value) => value !== null).sort((a, b) => a - b);
  return sorted[Math.floor((sorted.length - 1) / 2)];
}
