// Runs side by side, where they are comparable: the same data, split and test samples.
import { parse } from 'yaml';
import { SpikeloomError } from '../core/errors.ts';
import { incomparable } from './data-description.ts';
import type { Chart } from './report-chart.ts';
import type { ReportPage } from './report-page.ts';
import { accuracies, column, hasTargets, median, type RunRecord, testLosses } from './run-record.ts';
import { SETTING_KEYS } from './settings.ts';

/** @throws SpikeloomError with both runs and what differs, where results cannot be set beside each other */
function checkComparable(runs: readonly RunRecord[]): void {
  const unknown = runs.find(({ data }) => data === undefined);
  if (unknown) {
    throw new SpikeloomError(
      `runs are compared on the same test samples, but ${unknown.folder} does not say what it was tested on (it has no data.json)`,
    );
  }
  const [first, ...others] = runs;
  for (const other of others) {
    const why = incomparable(first!.data!, other.data!);
    if (why === undefined) continue;
    throw new SpikeloomError(
      `runs are compared on the same data, split and test samples, but of ${first!.folder} and ${other.folder} ${why}`,
    );
  }
}

/** A run in one line; null where nothing is known. */
export interface ComparedRun {
  name: string;
  folder: string;
  epochs: number;
  trainSamples: number;
  /** The highest accuracy and the last one; null where samples have targets. */
  best: { epoch: number; accuracy: number } | null;
  last: { epoch: number; accuracy: number } | null;
  /** The lowest test loss and the last one. */
  bestLoss: { epoch: number; loss: number } | null;
  testLoss: number | null;
  firingRate: number | null;
  imagesPerSecond: number | null;
}

export interface Comparison {
  runs: ComparedRun[];
  /** Whether the samples of all runs have targets: they have no accuracies then. */
  hasTargets: boolean;
  /** Settings that are not the same in all runs: key, and the value of each run. */
  differing: [key: string, ...values: string[]][];
}

function flat(value: unknown, prefix: string, into: Map<string, string>): Map<string, string> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    for (const [key, inner] of Object.entries(value)) flat(inner, prefix === '' ? key : `${prefix}.${key}`, into);
  } else if (prefix !== '') into.set(prefix, JSON.stringify(value) ?? '');
  return into;
}

/** Settings that do not belong to the experiment: where a run lies and what it is called. */
const PLACES = ['name', 'out', 'data.root'];

function settingsOf({ settings, folder }: RunRecord): Map<string, string> {
  try {
    return flat(parse(settings, { maxAliasCount: 100, prettyErrors: false }), '', new Map()); // JSON is YAML, too
  } catch (error) {
    throw new SpikeloomError(`the settings of the run ${folder} are damaged: ${(error as Error).message}`, {
      cause: error,
    });
  }
}

/** What holds where the files of an older version do not have a key. */
function defaultOf(key: string): string | undefined {
  const filled = SETTING_KEYS.get(key)?.schema.safeParse(undefined);
  return filled?.success ? JSON.stringify(filled.data) : undefined;
}

function differingSettings(runs: readonly RunRecord[]): Comparison['differing'] {
  const all = runs.map(settingsOf);
  const keys = new Set(all.flatMap((settings) => [...settings.keys()]));
  return [...keys].flatMap((key): Comparison['differing'] => {
    const values = all.map((settings) => settings.get(key));
    const held = new Set(values.map((value) => value ?? defaultOf(key)));
    return PLACES.includes(key) || held.size === 1 ? [] : [[key, ...values.map((value) => value ?? '')]];
  });
}

/** @throws SpikeloomError for runs that cannot be compared */
export function compareRuns(runs: readonly RunRecord[]): Comparison {
  checkComparable(runs);
  const compared = runs.map((run): ComparedRun => {
    const found = accuracies(run);
    return {
      ...{ name: run.name, folder: run.folder, epochs: run.epochs.length, trainSamples: run.data!.train },
      ...{ best: found?.best ?? null, last: found?.last ?? null },
      bestLoss: testLosses(run)?.best ?? null,
      testLoss: column(run, 'testLoss').at(-1) ?? null,
      firingRate: column(run, 'firingRate').at(-1) ?? null,
      imagesPerSecond: median(column(run, 'imagesPerSecond')) ?? null,
    };
  });
  return { runs: compared, hasTargets: runs.some(hasTargets), differing: differingSettings(runs) };
}

/** What tells runs apart: their names, or their folders where two have one name. */
export function labelsOf(runs: readonly Pick<RunRecord, 'name' | 'folder'>[]): string[] {
  const isClear = new Set(runs.map(({ name }) => name)).size === runs.length;
  return runs.map(({ name, folder }) => (isClear ? name : folder));
}

/** The curves of several runs in the same charts. @param rows the results as a table, with its head */
export function comparisonPage(
  runs: readonly RunRecord[],
  [head, ...rows]: readonly (readonly string[])[],
): ReportPage {
  const { differing } = compareRuns(runs);
  const labels = labelsOf(runs);
  const chart = (title: string, key: string, more: Partial<Chart> = {}): Chart => ({
    ...{ title, ...more },
    series: runs.map((run, i) => ({ name: labels[i]!, values: column(run, key) })),
  });
  const charts = [
    ...(runs.some(hasTargets) ? [] : [chart('Test accuracy', 'accuracy', { percent: true })]),
    chart('Test loss', 'testLoss'),
    chart('Training loss', 'loss'),
    chart('Firing rate on the test samples', 'firingRate', { percent: true, fromZero: true }),
    chart('Learning rate', 'lr', { fromZero: true }),
    chart('Training speed, images/s', 'imagesPerSecond', { fromZero: true }),
  ];
  return {
    ...{ title: labels.join(', '), highlights: [], charts },
    tables: [
      { title: 'Results', head: head ?? [], rows },
      { title: 'Settings that differ', head: ['setting', ...labels], rows: differing },
    ],
    texts: [],
  };
}
