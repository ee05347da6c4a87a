// Training by settings: data, network, optimizer and schedule from one recipe.
import { existsSync } from 'node:fs';
import { writeJsonAtomic } from '../core/atomic-file.ts';
import { SpikeloomError } from '../core/errors.ts';
import { device, usualThreads } from '../core/index.ts';
import { needSignal } from '../core/need-signal.ts';
import { kindOf, needOptions } from '../core/options.ts';
import { quoted } from '../core/shell.ts';
import { orShipped } from '../core/shipped.ts';
import type { ClassSplits } from '../data/batch.ts';
import { DataError } from '../data/files.ts';
import { loader } from '../data/loader.ts';
import { model, Net, type NeuronLayer } from '../nn/index.ts';
import { groupsOf } from '../optim/groups.ts';
import {
  adamw,
  lamb,
  type OptimizerFactory,
  type Schedule,
  type ScheduleSettings,
  scheduleFrom,
  sgd,
} from '../optim/index.ts';
import type { Best } from './checkpoint.ts';
import { describeData } from './data-description.ts';
import { openData, type SampleFacts } from './data-sets.ts';
import { resolveSettings } from './recipe.ts';
import { checkFresh } from './run-files.ts';
import { createRun, openRun, type RunFolder } from './run-folder.ts';
import type { Settings } from './settings.ts';
import { type Run, train } from './train.ts';
import type { EpochReport, TrainOptions } from './train-options.ts';

/** The data's value. @throws SpikeloomError where the settings say another one */
function agreed<V>(key: string, given: V | undefined, found: V, name: string): V {
  if (given === undefined || String(given) === String(found)) return found;
  throw new SpikeloomError(
    `model.${key} must be the data's, but it is ${given} and '${name}' has ${found}; leave model.${key} out`,
  );
}

/**
 * The network of the settings for a data set, with start values. Under the loss 'tet' it keeps its time axis to the
 * end.
 * @throws SpikeloomError where settings and data differ
 */
export function netOf(settings: Settings, data: { train: SampleFacts; test?: SampleFacts }): Net {
  const { name, steps, width, reduction, basis, attention, neuron } = settings.model;
  const { train: set } = data;
  const options = {
    classes: agreed('classes', settings.model.classes, set.classes.length, set.name),
    channels: agreed('channels', settings.model.channels, set.channels, set.name),
    size: agreed<[number, number]>('size', settings.model.size, [set.height, set.width], set.name),
    ...{ steps, width, reduction, basis, attention, neuron: neuron as NeuronLayer },
  };
  const plan = model(name).plan(options);
  const { layers, ...rest } = plan.toJSON();
  const kept = settings.loss.kind === 'tet' && layers.at(-1)?.kind === 'meanOverTime' ? layers.slice(0, -1) : layers;
  const { seed, device: on, precision: wanted, recompute } = settings;
  const type = wanted === 'fp64' ? ({ dtype: 'f64' } as const) : { precision: wanted };
  return Net.fromJSON({ ...rest, layers: kept }, { seed, device: on, recompute, ...type });
}

/** The optimizer of the settings. Nesterov's rule needs a momentum and is left out without one. */
export function optimizerOf({ optimizer }: Pick<Settings, 'optimizer'>): OptimizerFactory {
  const { kind, lr, momentum, nesterov, weight_decay: weightDecay, betas, eps, clip_norm: clipNorm } = optimizer;
  const groups = optimizer.groups?.map(({ names, lr_scale: lrScale, weight_decay }) => {
    return { names, lrScale, weightDecay: weight_decay };
  });
  const common = { lr, weightDecay, clipNorm, groups };
  if (kind === 'sgd') return sgd({ ...common, momentum, nesterov: nesterov && momentum > 0 });
  return (kind === 'adamw' ? adamw : lamb)({ ...common, betas, eps });
}

export function scheduleOf({ epochs, schedule }: Pick<Settings, 'epochs' | 'schedule'>): Schedule {
  const warm = { epochs, warmup: schedule.warmup, warmupLr: schedule.warmup_lr };
  const byKind: Record<Settings['schedule']['kind'], ScheduleSettings> = {
    constant: { kind: 'constant', ...warm },
    step: { kind: 'step', ...warm, stepSize: schedule.step_size, gamma: schedule.gamma },
    cosine: { kind: 'cosine', ...warm, minLr: schedule.min_lr, cooldown: schedule.cooldown },
  };
  return scheduleFrom(byKind[schedule.kind]);
}

const namesOf = (net: Net): string[] => net.parameters().map(({ name }) => name);

/** Opens the settings' device and gives it their threads; 0: all cores. */
function prepareDevice({ device: name, threads }: Pick<Settings, 'device' | 'threads'>): void {
  const used = device(name);
  if (name === 'cpu') used.setThreads(threads || usualThreads());
}

/** An error with what to do about it; without that, the error itself. */
function advised(error: unknown, advice: string | undefined): unknown {
  if (advice === undefined || !(error instanceof SpikeloomError)) return error;
  if (error instanceof DataError) return new DataError(error.file, `${error.detail}\n${advice}`, { cause: error });
  return new SpikeloomError(`${error.message}\n${advice}`, { cause: error });
}

/**
 * Opens the settings' device and data set.
 * @param command what goes on with a run or evaluates it: errors say how it takes another device or folder
 * @throws SpikeloomError where the device, or DataError where the data is not there
 */
export async function prepared(
  settings: Settings,
  { signal, onPrepare }: Pick<RecipeOptions, 'signal' | 'onPrepare'>,
  command: string | undefined,
): Promise<ClassSplits> {
  const { device: name, data } = settings;
  try {
    prepareDevice(settings);
  } catch (error) {
    throw advised(error, command && `The run's device is '${name}'. On another one: ${command} device=cpu`);
  }
  try {
    return await openData(settings, { ...(signal && { signal }), ...(onPrepare && { onProgress: onPrepare }) });
  } catch (error) {
    if (existsSync(orShipped(data.root))) throw error;
    throw advised(error, command && `The run's data is in ${data.root}. If it was moved: ${command} data.root=FOLDER`);
  }
}

/** Refuses the settings of another recipe before its data is looked for; the state refuses what else differs. */
function checkSameRecipe({ paths, settings: { data, model } }: RunFolder, used: Settings): void {
  if (data.name === used.data.name && model.name === used.model.name) return;
  throw new SpikeloomError(
    `${paths.folder} is a run of ${model.name} on ${data.name}, but the settings are of ${used.model.name} on ${used.data.name}; give those of the run, or none, or start a new run`,
  );
}

/** The settings as they would be read from a run's folder. @throws SpikeloomError naming the keys that are wrong */
function checkedSettings(settings: Settings): Settings {
  if (typeof settings !== 'object' || settings === null)
    throw new SpikeloomError(`trainRecipe() takes settings, as loadRecipe(path) reads them, not ${kindOf(settings)}`);
  return resolveSettings(settings);
}

export interface RecipeOptions extends Pick<TrainOptions, 'progress' | 'signal'> {
  /** The folder of a run to continue, instead of starting a new one. */
  resume?: string | undefined;
  /** Called while the data is prepared, where that takes long: recordings done, of how many. */
  onPrepare?: ((done: number, of: number) => void) | undefined;
  /** Called with the folder before the first step; not where the state to go on from is refused. */
  onStart?: ((folder: string, run: Run) => void) | undefined;
  /** Called after every epoch; what it returns is awaited. */
  onEpoch?: ((report: EpochReport, run: Run) => unknown) | undefined;
}

const KNOWN: Record<keyof RecipeOptions, true> = {
  ...({ resume: true, progress: true, signal: true } as const),
  ...({ onPrepare: true, onStart: true, onEpoch: true } as const),
};

export interface RecipeResult {
  folder: string;
  /** The epochs of this call; those before a resumption stand in the metrics. */
  epochs: EpochReport[];
  best: Best | null;
  /** Whether the signal ended it; resume continues. */
  interrupted: boolean;
  /** The part of the training time that was spent waiting for data, 0 to 1. */
  waitShare: number;
}

/**
 * Trains by settings in a new run folder, or continues in one.
 * @param settings what loadRecipe() reads or resolveSettings() makes; undefined only with `resume`: those of the run.
 * Given with it, they may differ in what does not change the numbers (device, threads, workers, resident, log_every,
 * where the data and its cache lie), and in what is done with broken pictures; else the state refuses them
 * @throws SpikeloomError for keys and values that a recipe may not have and for settings that do not fit the data,
 * before a folder is made, and for whatever train() throws
 * @example
 * const { folder, best } = await trainRecipe(loadRecipe('recipes/quickstart.yaml', ['epochs=2']));
 */
export async function trainRecipe(settings: Settings | undefined, options: RecipeOptions = {}): Promise<RecipeResult> {
  needOptions('trainRecipe()', options, KNOWN);
  const { resume, progress, signal, onPrepare, onStart, onEpoch } = options;
  needSignal('trainRecipe()', signal);
  const given = settings === undefined ? undefined : checkedSettings(settings);
  let folder = resume === undefined ? undefined : openRun(resume);
  const used = given ?? folder?.settings;
  if (!used) throw new SpikeloomError('trainRecipe() needs settings, or a folder to go on with (resume)');
  try {
    if (folder) {
      checkSameRecipe(folder, used);
      checkFresh(folder.paths, true); // before the data is read
    }
    const command = resume === undefined ? undefined : `npx spikeloom train --resume ${quoted(resume)}`;
    const data = await prepared(used, { signal, onPrepare }, command);
    using net = netOf(used, data);
    const { batch, drop_last: dropLast, seed, loss } = used;
    const parts = { data, batch, dropLast, seed, loss, optimizer: optimizerOf(used), schedule: scheduleOf(used) };
    const { augment, workers, resident } = used.data;
    const { mix, log_every: logEvery } = used;
    if (!folder) {
      const { kind, groups = [] } = parts.optimizer.settings;
      groupsOf(kind, groups, namesOf(net)); // refuses one that names no parameter
      loader(data.train, { batch, dropLast, augment }); // refuses an augmentation that the set has not, and no batches
      folder = createRun(used);
      writeJsonAtomic(folder.paths.data, describeData(data));
    }
    const feed = { augment, mix, workers, resident };
    const how = { run: folder, resume: resume !== undefined, logEvery, progress, signal };
    const run = train(net, { ...parts, ...feed, ...how });
    const { folder: place } = folder.paths;
    run.onStart = () => onStart?.(place, run);
    const epochs: EpochReport[] = [];
    for await (const report of run) {
      epochs.push(report);
      await onEpoch?.(report, run);
    }
    const { best, interrupted, waitShare } = run;
    return { folder: place, epochs, best, interrupted, waitShare };
  } finally {
    folder?.metrics.close();
  }
}
