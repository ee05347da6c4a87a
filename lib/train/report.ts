// report.html and metrics.csv of a run: made from its files, after its first epoch, then at most every half minute and at
// its end, and by `spikeloom report`.
import { join } from 'node:path';
import { writeFileAtomic, writeFileAtomicAsync } from '../core/atomic-file.ts';
import { Turns } from '../core/turns.ts';
import { splitText } from './data-description.ts';
import { metricsCsv } from './metrics-csv.ts';
import { type Chart, label, type Series } from './report-chart.ts';
import { pageParts, type ReportPage, renderPage } from './report-page.ts';
import {
  accuracies,
  column,
  firingColumns,
  hasTargets,
  median,
  type RunRecord,
  readRun,
  testLosses,
} from './run-record.ts';

const percent = (share: number): string => `${(100 * share).toFixed(2)} %`;

/** Blue at the input, red at the output. */
const depthColour = (layer: number, layers: number): string =>
  `hsl(${Math.round(225 - (205 * layer) / Math.max(1, layers - 1))} 65% 52%)`;

function firingSeries(run: RunRecord): Series[] {
  const layers = [...firingColumns(run)];
  const lines = layers.map(([name, values], i) => ({ name, values, colour: depthColour(i, layers.length) }));
  return [...lines, { name: 'all neurons', values: column(run, 'firingRate'), colour: 'var(--text)' }];
}

/** The curves of one run. */
function chartsOf(run: RunRecord): Chart[] {
  const isRegression = hasTargets(run);
  const best = (isRegression ? testLosses(run) : accuracies(run))?.best.epoch;
  const of = (key: string, name: string): Series => ({ name, values: column(run, key) });
  const marked = (key: string) => ({ ...of(key, 'test'), mark: best === undefined ? undefined : best - 1 });
  const testLoss = isRegression ? marked('testLoss') : of('testLoss', 'test');
  const accuracy = { title: 'Accuracy', percent: true, series: [of('trainAccuracy', 'training'), marked('accuracy')] };
  return [
    { title: 'Loss', series: [of('loss', 'training'), testLoss] },
    ...(isRegression ? [] : [accuracy]),
    { title: 'Learning rate', fromZero: true, series: [of('lr', 'learning rate')] },
    { title: 'Firing rate on the test samples', percent: true, fromZero: true, series: firingSeries(run) },
    { title: 'Training speed', fromZero: true, series: [of('imagesPerSecond', 'images/s')] },
    {
      title: 'Time spent waiting for data',
      percent: true,
      fromZero: true,
      series: [of('waitShare', 'share of the training time')],
    },
  ];
}

function dataFacts({ data }: RunRecord): [string, string][] {
  if (!data) return [['data', 'not kept by the version that made the run']];
  const { name, train, test, classes, targets, steps } = data;
  const facts: [string, string][] = [
    ['data', name],
    ['training samples', String(train)],
    ['test samples', String(test)],
    targets ? ['target of a sample', `[${targets.join(',')}]`] : ['classes', String(classes)],
  ];
  if (steps !== undefined) facts.push(['time steps of a sample', String(steps)]);
  if (data.split) facts.push(['split', splitText(data)], ['SHA-256 of the split', data.split.hash]);
  return facts;
}

const asText = (value: unknown): string => (typeof value === 'string' ? value : JSON.stringify(value));

function environmentFacts({ environment }: RunRecord): [string, string][] {
  return Object.entries(environment).map(([key, value]) => [
    key,
    key === 'command' && Array.isArray(value) ? value.join(' ') : asText(value),
  ]);
}

/** The best and the last result. */
function resultsOf(run: RunRecord): [string, string][] {
  if (hasTargets(run)) {
    const found = Object.entries(testLosses(run) ?? {});
    return found.map(([which, { epoch, loss }]) => [`${which} test loss, epoch ${epoch}`, label(loss)]);
  }
  const found = Object.entries(accuracies(run) ?? {});
  return found.map(([which, { epoch, accuracy }]) => [`${which} test accuracy, epoch ${epoch}`, percent(accuracy)]);
}

/** The report of a run as a page. */
function reportOf(run: RunRecord): ReportPage {
  const highlights = resultsOf(run);
  const rate = column(run, 'firingRate').at(-1);
  if (rate !== null && rate !== undefined) highlights.push(['firing rate, last epoch', percent(rate)]);
  const speed = median(column(run, 'imagesPerSecond'));
  if (speed !== undefined) highlights.push(['images/s, median', label(speed)]);
  const skipped = column(run, 'skipped').at(-1) ?? 0;
  if (skipped > 0) highlights.push(['samples replaced, last epoch', String(skipped)]);
  if (run.data?.split) highlights.push(['split', splitText(run.data)]);
  return {
    ...{ title: run.name, highlights, charts: chartsOf(run) },
    tables: [
      { title: 'Data', rows: dataFacts(run) },
      { title: 'Environment', rows: environmentFacts(run) },
    ],
    texts: [['Settings', run.settings]],
  };
}

/**
 * Writes report.html and metrics.csv into the folder of a run, or the report alone to another place; the folder may be
 * read-only then.
 * @returns the report's file
 * @throws SpikeloomError where the folder is not one of a run, is damaged, or cannot be written to
 * @example writeReport('runs/quickstart-0001') // 'runs/quickstart-0001/report.html'
 */
export function writeReport(folder: string, out?: string): string {
  const run = readRun(folder);
  const file = out ?? join(folder, 'report.html');
  writeFileAtomic(file, renderPage(reportOf(run)));
  if (out === undefined) writeFileAtomic(join(folder, 'metrics.csv'), metricsCsv(run.epochs));
  return file;
}

/**
 * {@link writeReport} beside other work: the event loop has a turn between the parts, and does not wait for the disk.
 */
async function writeReportInTurns(folder: string): Promise<void> {
  const turns = new Turns();
  const run = readRun(folder);
  await turns.pause();
  const report = reportOf(run);
  const parts: string[] = [];
  for (const part of pageParts(report)) {
    parts.push(part);
    await turns.pause();
  }
  await writeFileAtomicAsync(join(folder, 'report.html'), parts.join('\n'));
  await writeFileAtomicAsync(join(folder, 'metrics.csv'), metricsCsv(run.epochs));
}

/** Between two reports of a run that is under way, in ms: making one takes moments of the event loop. */
const REPORT_MS = 30_000;

/** Keeps a run's report up to date. A failure is noted and does not end the run. */
export class ReportKeeper {
  readonly #folder: string;
  readonly #note: (text: string) => void;
  #written = Number.NEGATIVE_INFINITY;
  #stale = false;

  constructor(folder: string, note: (text: string) => void) {
    this.#folder = folder;
    this.#note = note;
  }

  /** Call after every epoch: writes after the first, and then every half minute at most. */
  async epochOver(): Promise<void> {
    this.#stale = true;
    if (performance.now() - this.#written >= REPORT_MS) await this.#write();
  }

  /** Call when the run ends, in whatever way. */
  async close(): Promise<void> {
    if (this.#stale) await this.#write();
  }

  async #write(): Promise<void> {
    try {
      await writeReportInTurns(this.#folder);
    } catch (error) {
      this.#note(`no report was written: ${(error as Error).message}`);
    }
    this.#written = performance.now();
    this.#stale = false;
  }
}
