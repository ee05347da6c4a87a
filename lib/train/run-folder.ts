import { existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { makeFolders, removeLeftovers, syncFolder, writeFileAtomic, writeJsonAtomic } from '../core/atomic-file.ts';
import { SpikeloomError } from '../core/errors.ts';
import { isFolder } from '../core/file-kind.ts';
import { kindOf, needArguments } from '../core/options.ts';
import { describeEnvironment, type Environment } from './environment.ts';
import { MetricsLog } from './metrics-log.ts';
import { formatSettings, loadRecipe, resolveSettings } from './recipe.ts';
import { RUN_NAME, type Settings } from './settings.ts';

/** Where everything of a run lies. */
export interface RunPaths {
  readonly folder: string;
  /** The settings with all defaults, a recipe in itself. */
  readonly settings: string;
  readonly environment: string;
  /** What it is trained and tested on, see describeData(). */
  readonly data: string;
  /** In a folder that train() made with `out`, in place of settings: the network, and what its numbers depend on. */
  readonly model: string;
  readonly course: string;
  /** One JSON record a line. */
  readonly metrics: string;
  /** Weights at the best test accuracy so far (of targets the lowest test loss), and after the last epoch. */
  readonly best: string;
  readonly last: string;
  /** Everything that resuming needs, in one file so that no crash can mix two checkpoints. */
  readonly state: string;
}

export interface RunFolder {
  /** Name with number, e.g. `quickstart-0003`. */
  readonly name: string;
  readonly settings: Settings;
  readonly paths: RunPaths;
  readonly metrics: MetricsLog;
}

const MAX_ATTEMPTS = 1000;

/** The places of a run's files; nothing is touched. */
export function runPaths(folder: string): RunPaths {
  needArguments('a run', 'a text', { folder });
  return {
    folder,
    settings: join(folder, 'settings.yaml'),
    environment: join(folder, 'environment.json'),
    data: join(folder, 'data.json'),
    model: join(folder, 'model.json'),
    course: join(folder, 'training.json'),
    metrics: join(folder, 'metrics.jsonl'),
    best: join(folder, 'weights', 'best.safetensors'),
    last: join(folder, 'weights', 'last.safetensors'),
    state: join(folder, 'state.safetensors'),
  };
}

/**
 * Makes the next run folder, `OUT/NAME-0001` and so on, and writes its settings and environment. Two processes that do
 * this at once get two folders.
 * @throws SpikeloomError if the folder cannot be made, the name has characters that do not belong in file names, or a
 * key is not as a recipe may have it, and where its first files cannot be written; no folder is left then
 */
export function createRun(settings: Settings, environment?: Environment): RunFolder {
  needArguments('createRun()', 'an object', { settings });
  needArguments('createRun()', 'a text', { name: settings.name, out: settings.out });
  if (!RUN_NAME.test(settings.name)) {
    throw new SpikeloomError(`a run is named with letters, digits, ".", "_" and "-", not ${kindOf(settings.name)}`);
  }
  const used = resolveSettings(settings);
  const folder = claimFolder(used.out, used.name);
  try {
    return begin(folder, used, environment ?? describeEnvironment({ device: used.device }));
  } catch (error) {
    removeIfPossible(folder);
    throw error;
  }
}

/** Writes what a run's folder holds from the beginning. */
function begin(folder: string, settings: Settings, environment: Environment): RunFolder {
  const paths = runPaths(folder);
  makeFolder(join(folder, 'weights'));
  writeJsonAtomic(paths.environment, environment);
  writeFileAtomic(paths.settings, formatSettings(settings));
  syncFolder(settings.out);
  return { name: basename(folder), settings, paths, metrics: new MetricsLog(paths.metrics) };
}

function removeIfPossible(folder: string): void {
  try {
    rmSync(folder, { recursive: true });
  } catch {} // the error that brought us here says more
}

/**
 * Opens a run folder made by {@link createRun}, to continue it. The environment of its start stays as it is.
 * @throws SpikeloomError if there is no such folder, it is not a run folder, or its settings are damaged
 */
export function openRun(folder: string): RunFolder {
  const settings = readSettings(folder);
  const paths = runPaths(folder);
  const metrics = new MetricsLog(paths.metrics);
  clearLeftovers(paths);
  return { name: basename(resolve(folder)), settings, paths, metrics };
}

/** Removes what saves that were killed have left in a run's folder, which is the caller's alone. */
export function clearLeftovers({ state, best, last }: RunPaths): void {
  for (const path of [state, best, last]) if (existsSync(dirname(path))) removeLeftovers(path, 0);
}

/** Refuses a folder that is not there, or is not a run's: it lacks that file of one. */
export function needRunFile(folder: string, file: string): void {
  const remedy = 'Give the folder of a run, such as runs/NAME-0001';
  if (!isFolder(folder)) throw new SpikeloomError(`there is no run folder ${folder}. ${remedy}`);
  if (!existsSync(file))
    throw new SpikeloomError(`${folder} is not a run folder: it has no ${basename(file)}. ${remedy}`);
}

/**
 * The settings of a run; nothing in its folder is touched.
 * @throws SpikeloomError as {@link openRun}
 */
export function readSettings(folder: string): Settings {
  const { settings, model } = runPaths(folder);
  if (!existsSync(settings) && existsSync(model)) {
    throw new SpikeloomError(
      `${folder} is a run of train(), which has a model and no recipe. In a script, loadNet() gives its network, for evaluate(), and train() goes on with it by out and resume: true`,
    );
  }
  needRunFile(folder, settings);
  try {
    return loadRecipe(settings);
  } catch (error) {
    const remedy = 'Repair the file or start a new run';
    throw new SpikeloomError(`the settings of the run ${folder} are damaged. ${remedy}:\n${(error as Error).message}`, {
      cause: error,
    });
  }
}

/** What an evaluation may have in place of the run's: where it computes, and how the data gets there. */
const EVALUATION_KEYS = ['device', 'threads', 'data.root', 'data.cache', 'data.workers', 'data.resident'];

/**
 * The settings of a run for an evaluation of its weights, with overrides.
 * @throws SpikeloomError as {@link openRun}, and for overrides that would change what the weights are or are tested on
 */
export function readEvaluationSettings(folder: string, overrides: readonly string[] = []): Settings {
  const settings = resolveSettings(readSettings(folder), overrides);
  const keys = overrides.map((override) => override.slice(0, override.indexOf('=')).trim());
  const other = keys.find((key) => !EVALUATION_KEYS.includes(key));
  if (other === undefined) return settings;
  throw new SpikeloomError(
    `an evaluation takes the run's own '${other}'; in place of the run's may be given ${EVALUATION_KEYS.join(', ')}`,
  );
}

function claimFolder(out: string, name: string): string {
  makeFolder(out);
  let number = highestNumber(out, name);
  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
    const folder = join(out, `${name}-${String(++number).padStart(4, '0')}`);
    try {
      mkdirSync(folder); // fails if the folder exists: whoever makes it owns it
      return folder;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw cannotMake(folder, error);
    }
  }
  throw new SpikeloomError(`cannot find a free number for ${join(out, name)}: others take every one. Use another name`);
}

function highestNumber(out: string, name: string): number {
  const numbers = readdirSync(out)
    .filter((entry) => entry.startsWith(`${name}-`))
    .map((entry) => entry.slice(name.length + 1))
    .filter((rest) => /^\d{4,9}$/.test(rest));
  return numbers.reduce((highest, text) => Math.max(highest, Number(text)), 0);
}

function makeFolder(folder: string): void {
  try {
    makeFolders(folder);
  } catch (error) {
    throw cannotMake(folder, error);
  }
}

function cannotMake(folder: string, error: unknown): SpikeloomError {
  const remedy = 'Choose a place that can be written with out=FOLDER';
  return new SpikeloomError(`cannot make the folder ${folder}: ${(error as Error).message}. ${remedy}`, {
    cause: error,
  });
}
