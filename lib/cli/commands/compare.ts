import type { Command } from 'commander';
import { writeFileAtomic } from '../../core/atomic-file.ts';
import { type ComparedRun, type Comparison, compareRuns, comparisonPage, labelsOf } from '../../train/compare.ts';
import { label } from '../../train/report-chart.ts';
import { renderPage } from '../../train/report-page.ts';
import { readRun } from '../../train/run-record.ts';
import { asUsage, UsageError } from '../exit.ts';
import { table, writeJson, writeText } from '../output.ts';
import { percent, snakeCase } from '../results.ts';

interface Options {
  out?: string;
  json?: boolean;
}

export function addCompare(program: Command): void {
  program
    .command('compare')
    .description('set runs side by side; refused where data, split or test samples are not the same')
    .argument('<run...>', 'folders of two or more runs')
    .option('--out <file>', 'also write their curves to this HTML file')
    .option('--json', 'one JSON document on stdout')
    .action(compareCommand);
}

const text = <V>(value: V | null, show: (value: V) => string): string => (value === null ? '' : show(value));

/** The head of the results, and the cells that come between a run's epochs and its firing rate. */
function resultsOf({ hasTargets }: Comparison): [head: string[], cells: (run: ComparedRun) => string[]] {
  if (hasTargets) {
    const cells = ({ bestLoss, testLoss }: ComparedRun) => [
      text(bestLoss, ({ loss }) => label(loss)),
      text(bestLoss, ({ epoch }) => String(epoch)),
      text(testLoss, label),
    ];
    return [['best test loss', 'epoch', 'last test loss'], cells];
  }
  const cells = ({ best, last, testLoss }: ComparedRun) => [
    text(best, ({ accuracy }) => percent(accuracy)),
    text(best, ({ epoch }) => String(epoch)),
    text(last, ({ accuracy }) => percent(accuracy)),
    text(testLoss, (loss) => loss.toFixed(4)),
  ];
  return [['best accuracy', 'epoch', 'last accuracy', 'test loss'], cells];
}

function rowsOf(found: Comparison): string[][] {
  const labels = labelsOf(found.runs);
  const [results, cells] = resultsOf(found);
  const rows = found.runs.map((run, i) => [
    ...[labels[i]!, String(run.epochs), ...cells(run)],
    text(run.firingRate, percent),
    text(run.imagesPerSecond, (speed) => speed.toFixed(speed < 100 ? 1 : 0)),
  ]);
  return [['run', 'epochs', ...results, 'firing rate', 'images/s'], ...rows];
}

const COLUMNS = [1, 2, 3, 4, 5, 6, 7];

function compareCommand(folders: string[], { out, json }: Options): void {
  if (folders.length < 2) throw new UsageError('two runs or more are compared; give their folders');
  const runs = folders.map((folder) => asUsage(() => readRun(folder)));
  const found = compareRuns(runs);
  const rows = rowsOf(found);
  if (out !== undefined) writeFileAtomic(out, renderPage(comparisonPage(runs, rows)));
  if (json) {
    const differing = Object.fromEntries(found.differing.map(([key, ...values]) => [key, values]));
    writeJson({ runs: found.runs.map(snakeCase), differing, report: out ?? null });
    return;
  }
  writeText(table(rows, COLUMNS));
  if (found.differing.length > 0) {
    writeText(`\n${table([['settings that differ', ...labelsOf(runs)], ...found.differing])}`);
  }
  if (out !== undefined) writeText(`\n${out}`);
}
