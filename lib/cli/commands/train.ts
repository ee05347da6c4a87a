import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from 'commander';
import { device } from '../../core/index.ts';
import { quoted } from '../../core/shell.ts';
import { trainRecipe } from '../../train/assemble.ts';
import { readMetrics } from '../../train/metrics-log.ts';
import { loadRecipe } from '../../train/recipe.ts';
import { hasState } from '../../train/run-files.ts';
import { readSettings, runPaths } from '../../train/run-folder.ts';
import { renderSettingKeys, type Settings } from '../../train/settings.ts';
import type { Run } from '../../train/train.ts';
import type { EpochReport } from '../../train/train-options.ts';
import { asUsage, EXIT, UsageError } from '../exit.ts';
import { writeJson, writeText } from '../output.ts';
import { showReading } from '../reading.ts';
import { firingTable, memoryLine, percent, replacedLine, snakeCase } from '../results.ts';
import { listenForStop } from '../signals.ts';

interface Options {
  resume?: string;
  json?: boolean;
}

export function addTrain(program: Command): void {
  program
    .command('train')
    .description('train a network as a recipe says, in a run folder of its own')
    .argument('[recipe]', 'recipe file (YAML); not needed with --resume RUN, which has its settings')
    .argument('[key=value...]', "settings in place of the recipe's, e.g. epochs=2 lr=0.05 model.width=16")
    .option('--resume <run>', "go on with an interrupted run: its folder, or 'last' for the newest of this recipe")
    .option('--json', 'JSON lines on stdout: start, epoch, and end or interrupted')
    .addHelpText('after', () => `\nKeys of a recipe (in brackets: short forms for key=value):\n${renderSettingKeys()}`)
    .action(trainCommand);
}

async function trainCommand(recipe: string | undefined, rest: string[], { resume, json }: Options): Promise<void> {
  // with --resume RUN the recipe may be left out; a path may have a '=' in it
  const isKey = resume !== undefined && recipe?.includes('=') && !existsSync(recipe);
  const [file, overrides] = recipe !== undefined && isKey ? [undefined, [recipe, ...rest]] : [recipe, rest];
  if (resume !== undefined && resume !== 'last') asUsage(() => readSettings(resume));
  const settings = asUsage(() => loadRecipe(file ?? settingsOf(resume), overrides));
  const folder = resume === 'last' ? lastRun(settings) : resume;
  using stopping = listenForStop();
  const reading = showReading();
  const result = await trainRecipe(settings, {
    resume: folder,
    onPrepare: reading.onProgress,
    progress: true,
    signal: stopping.signal,
    onStart: (folderOfRun, run) => {
      announce(folderOfRun, run, settings, { resume: folder, json });
    },
    onEpoch: (report) => {
      if (json) writeJson({ event: 'epoch', ...epochJson(report) });
    },
  })
    .catch((error: unknown) => {
      if (error !== stopping.signal.reason) throw error;
      return undefined; // stopped while the data was read
    })
    .finally(reading.close);
  if (result === undefined || result.interrupted) {
    const run = result?.folder ?? folder;
    // a run's folder has what it was begun with; what stands beside --resume has to be said again
    const again = run === undefined ? undefined : resumption(run, resume === undefined ? {} : { file, overrides });
    const when = result ? 'interrupted, and saved' : 'interrupted while the data was read, before the first step';
    sayInterrupted(run, again, when, json);
    process.exitCode = stopping.status ?? EXIT.failure;
    return;
  }
  sayEnd(result.folder, result.best, result.epochs.at(-1) ?? lastReport(result.folder), json);
}

/** The settings file of the run to go on with, which is a recipe. */
function settingsOf(resume: string | undefined): string {
  if (resume === undefined)
    throw new UsageError(
      'train needs a recipe, such as recipes/quickstart.yaml, or a run to go on with (--resume RUN)',
    );
  if (resume === 'last')
    throw new UsageError("--resume last is the newest run of a recipe: name the recipe, or the run's folder");
  return runPaths(resume).settings;
}

function announce(folder: string, run: Run, settings: Settings, { resume, json }: Options): void {
  const memory = run.memory();
  if (json) {
    writeJson({ event: 'start', run: folder, resumed: resume !== undefined, settings, memory: snakeCase(memory) });
    return;
  }
  writeText(`${resume === undefined ? 'run folder' : 'going on in'} ${folder}`);
  writeText(memoryLine(memory, device(settings.device).memory()));
}

/** The command that goes on with a run. */
function resumption(
  run: string,
  { file, overrides = [] }: { file?: string | undefined; overrides?: string[] },
): string {
  const given = [...(file === undefined ? [] : [file]), '--resume', run, ...overrides];
  return `npx spikeloom train ${given.map(quoted).join(' ')}`;
}

/** @param run none where it was to be a new one, which has no folder yet, and no command that resumes it */
function sayInterrupted(run: string | undefined, resume: string | undefined, text: string, json = false): void {
  if (json) writeJson({ event: 'interrupted', run: run ?? null, resume: resume ?? null });
  else writeText(resume === undefined ? `${text}: the same command begins again` : `${text}; to go on:\n  ${resume}`);
}

type Best = { epoch: number; accuracy: number } | null;

function sayEnd(run: string, best: Best, report: EpochReport, json: boolean | undefined): void {
  if (json) {
    const { epoch, test_accuracy, firing_rate, firing_rates } = epochJson(report);
    const top = best && { epoch: best.epoch + 1, test_accuracy: best.accuracy };
    writeJson({ event: 'end', run, epoch, test_accuracy, best: top, firing_rate, firing_rates });
    return;
  }
  writeText(firingTable(report.firingRates, report.firingRate));
  if (best && best.epoch !== report.epoch) {
    writeText(`best test accuracy ${percent(best.accuracy)} after epoch ${best.epoch + 1}`);
  }
  writeText(`test accuracy ${percent(report.accuracy)}`);
  if (report.skipped > 0) writeText(replacedLine(report.skipped));
  writeText(`run folder ${run}`);
}

/** Epochs count from 1 in what users read. */
function epochJson({ epoch, accuracy, ...rest }: EpochReport): Record<string, unknown> {
  return { epoch: epoch + 1, test_accuracy: accuracy, ...snakeCase(rest) };
}

/** The report of the last epoch of a run that was complete before it was resumed. */
function lastReport(run: string): EpochReport {
  const record = readMetrics(runPaths(run).metrics).at(-1);
  if (record === undefined) throw new UsageError(`the run ${run} has no epoch to report; start a new run`);
  return record as unknown as EpochReport;
}

/** The folder with the highest number among this recipe's runs that have a state: others did not begin. */
function lastRun({ out, name }: Settings): string {
  const numberOf = (entry: string) => (entry.startsWith(`${name}-`) ? entry.slice(name.length + 1) : '');
  let entries: string[] = [];
  try {
    entries = readdirSync(out).filter(
      (entry) => /^\d{4,9}$/.test(numberOf(entry)) && hasState(runPaths(join(out, entry))),
    );
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code !== 'ENOENT')
      throw new UsageError(`cannot list the runs in ${out}: ${message}; choose another out=FOLDER`);
  }
  const last = entries.sort((a, b) => Number(numberOf(a)) - Number(numberOf(b))).at(-1);
  if (last !== undefined) return join(out, last);
  throw new UsageError(`there is no run ${join(out, name)}-NNNN to continue; start one without --resume`);
}
