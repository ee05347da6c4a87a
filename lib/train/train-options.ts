// Options of a training run, their defaults and checks, and what its numbers depend on.
import { SpikeloomError } from '../core/errors.ts';
import { needSignal } from '../core/need-signal.ts';
import { kindOf, needOptions } from '../core/options.ts';
import { plainData } from '../core/plain-data.ts';
import type { AugmentName } from '../data/augment/augment.ts';
import { type MixSettings, mixSettings } from '../data/augment/mix.ts';
import { type AnySplits, needSet } from '../data/batch.ts';
import type { Net } from '../nn/index.ts';
import { needNet } from '../nn/net.ts';
import { constant, type OptimizerFactory, optimizerFrom, type Schedule, sgd } from '../optim/index.ts';
import { isMadeBySettings, isOptimizerFactory } from '../optim/optimizer.ts';
import type { Accuracy, Course } from './checkpoint.ts';
import { describeData, describeSamples } from './data-description.ts';
import { checkOutput, isBuiltIn, type Loss, type LossFunction, type LossOption, lossFrom } from './loss.ts';
import type { Progress, ProgressOptions } from './progress.ts';
import type { Residence } from './residence.ts';
import type { RunFiles } from './run-files.ts';
import { MOST_LOGGED, usualLogEvery } from './step-log.ts';

export interface TrainOptions {
  /** What is trained on, and tested on after every epoch. */
  data: AnySplits;
  /** Passes over the training images. Default: all epochs of the schedule. */
  epochs?: number | undefined;
  /** Images per update. Default 128. */
  batch?: number | undefined;
  /** Whether the last batch of an epoch is left out where it is smaller. Default false. */
  dropLast?: boolean | undefined;
  /**
   * Default sgd({ momentum: 0.9, nesterov: true }). A function of your own with `settings` may train a part of the
   * network, as in Object.assign((all) => base(all.slice(-2)), { settings: base.settings }); parameters are frozen
   * without it, too: `tensor.requiresGrad = false`.
   */
  optimizer?: OptimizerFactory | undefined;
  /**
   * The learning rate by epoch. Default: the optimizer's in every epoch. One of your own has `settings`, too, where the
   * run has a folder, as in { ...constant({ epochs: 3 }), lrAt }: a resumed run compares them, and the rates of the
   * epochs that have begun.
   */
  schedule?: Schedule | undefined;
  /**
   * Settings, or a function of your own, see {@link LossFunction}; the test loss is by the same one. Where the run has a
   * folder it has settings, as in Object.assign(focal, { settings: { kind: 'focal', gamma: 2 } }): a resumed run compares
   * them, not the function. Default: cross-entropy without smoothing; where samples have targets, the mean squared error.
   */
  loss?: LossOption | undefined;
  /** Of the images' order and augmentation. Default: the net's. */
  seed?: number | undefined;
  /** Random changes of the training samples. Default 'none'. */
  augment?: AugmentName | undefined;
  /** Whether batches are mixed with themselves: mixup, CutMix (of classes alone). Default: not. */
  mix?: Partial<MixSettings> | undefined;
  /**
   * Threads that prepare batches; 0: the calling thread. Default 1. Images in memory need none; samples that a function
   * of your own makes are made in the calling thread.
   */
  workers?: number | undefined;
  /**
   * Whether the images are kept on the network's device, see {@link Residence}; the bits are the same. Default 'auto'.
   */
  resident?: Residence | undefined;
  /**
   * Largest norm of the whole gradient, in place of that of sgd(), adamw() or lamb(); 0: no clipping. Refused beside a
   * function of your own.
   */
  clipNorm?: number | undefined;
  /**
   * Whether steps are recorded once per batch size and replayed, with a plan of their memory; else every call is queued
   * each time, as always where net.onLayer is set. The bits are the same. Default true.
   */
  record?: boolean | undefined;
  /**
   * Steps between two reads of the training loss and accuracy from the device, which collects them, 1 to 200; the sums
   * are the same. Default 1 on the CPU, 10 on a GPU, which would pause for every read.
   */
  logEvery?: number | undefined;
  /** A folder for this run's files, made where missing. Without it and `run` nothing is saved. */
  out?: string | undefined;
  /** In place of `out`: a folder that createRun() or openRun() gave. */
  run?: RunFiles | undefined;
  /** Continues from the state in that folder. Default false. */
  resume?: boolean | undefined;
  /** true: a progress bar on stderr. Your own Progress is left for you to close. */
  progress?: boolean | Progress | Partial<ProgressOptions> | undefined;
  /**
   * Aborted: the steps under way are finished, the state is saved, and the iteration ends with `interrupted`. A batch
   * that is not there yet is not waited for. While the numbers of a set are hashed, before all of it, nothing is saved.
   */
  signal?: AbortSignal | undefined;
}

/**
 * An epoch with its evaluation on the test images; accuracies and rates are 0 to 1. Where samples have targets there are
 * no accuracies.
 */
export interface EpochReport<A extends Accuracy = number> {
  /** From 0. */
  epoch: number;
  /** Mean training loss over the epoch's images, each before the update it took part in. */
  loss: number;
  /** Share of the test images classified right; null of targets. */
  accuracy: A;
  trainAccuracy: A;
  /** Mean test loss, without label smoothing. */
  testLoss: number;
  /** Mean over all neurons on the test images: spikes / (T images neurons). */
  firingRate: number;
  /** The same for every neuron layer, by its path. */
  firingRates: Record<string, number>;
  lr: number;
  /** Of the training steps, evaluation left out. */
  imagesPerSecond: number;
  /** The part of the training time, in this process, that was spent waiting for data, 0 to 1. */
  waitShare: number;
  /** Training and evaluation. */
  seconds: number;
  /** Training and test samples that could not be read and were replaced by others (pictures, broken: 'skip'). */
  skipped: number;
  /** Whether the accuracy is the highest so far, or of targets the test loss the lowest. */
  best: boolean;
}

/** The options with their defaults. */
export type Filled = Required<
  Pick<
    TrainOptions,
    | ('data' | 'batch' | 'dropLast' | 'optimizer' | 'schedule' | 'seed' | 'augment' | 'workers' | 'resident')
    | ('record' | 'logEvery')
  >
> &
  Pick<TrainOptions, 'signal'> & { epochs: number; loss: Loss; mix: MixSettings | undefined };

/** Every option, which the compiler counts. */
const KNOWN: Record<keyof TrainOptions, true> = {
  ...({ data: true, epochs: true, batch: true, optimizer: true, schedule: true, loss: true, seed: true } as const),
  ...({ augment: true, mix: true, workers: true, resident: true, clipNorm: true, record: true } as const),
  ...({ dropLast: true, logEvery: true, out: true, run: true, resume: true, progress: true, signal: true } as const),
};

/** The factory with another largest norm. @throws SpikeloomError for a function of the user's, which would be lost */
function clipped(factory: OptimizerFactory, clipNorm: number | undefined): OptimizerFactory {
  if (clipNorm === undefined) return factory;
  if (isMadeBySettings(factory)) return optimizerFrom({ ...factory.settings, clipNorm });
  throw new SpikeloomError(
    'train(): clipNorm goes with what sgd(), adamw() or lamb() makes, but optimizer is a function of your own; leave clipNorm out and clip in it, as in sgd({ clipNorm: 1 })(parameters)',
  );
}

const isRun = (run: Partial<RunFiles> | null): boolean =>
  typeof run?.paths?.state === 'string' && typeof run.metrics?.append === 'function';

/** Refuses what is not what its type says, where that would be noticed late or not at all. */
function checkParts({ data, optimizer, schedule, out, run, loss, ...rest }: TrainOptions): void {
  const isSaved = out !== undefined || run !== undefined;
  const wrong = [
    [!data?.train || !data.test, 'data is two sets, { train, test }'],
    [
      optimizer !== undefined && !isOptimizerFactory(optimizer),
      'optimizer is what sgd(), adamw() or lamb() makes, as in sgd({ lr: 0.1 })',
    ],
    [
      schedule !== undefined && typeof schedule?.lrAt !== 'function',
      'schedule is what constant(), step() or cosine() makes',
    ],
    [
      schedule !== undefined && isSaved && typeof schedule?.settings?.kind !== 'string',
      'schedule has settings where the run is saved (out, run), which is resumed by them, but this one has none; take what constant(), step() or cosine() makes, as in { ...constant({ epochs: 3 }), lrAt }',
    ],
    [
      typeof loss === 'function' && isSaved && typeof loss.settings?.kind !== 'string',
      "loss has settings where the run is saved (out, run), which is resumed by them, but this function has none; give it some, as in Object.assign(loss, { settings: { kind: 'focal', gamma: 2 } })",
    ],
    [
      typeof loss === 'function' && [false, true].some((hasTargets) => isBuiltIn(loss.settings?.kind, hasTargets)),
      `loss has settings with a kind of its own, but ${kindOf((loss as LossFunction | undefined)?.settings?.kind)} is that of a built-in loss; give it another one`,
    ],
    [out !== undefined && (typeof out !== 'string' || out === ''), 'out is the path of a folder'],
    [run !== undefined && !isRun(run), 'run is what createRun() or openRun() gives; the path of a folder is out'],
    [run !== undefined && out !== undefined, 'run is in place of out; give one of them'],
  ] as const;
  for (const [is, rule] of wrong) if (is) throw new SpikeloomError(`train(): ${rule}`);
  for (const name of ['record', 'resume', 'dropLast'] as const) {
    const value: unknown = rest[name];
    if (value !== undefined && typeof value !== 'boolean')
      throw new SpikeloomError(`train(): ${name} is true or false, not ${kindOf(value)}`);
  }
  needSignal('train()', rest.signal);
}

/** @throws SpikeloomError for options that make no sense */
export function filled(net: Net, options: TrainOptions): Filled {
  needNet('train()', net);
  needOptions('train()', options, KNOWN);
  checkParts(options);
  const {
    data,
    batch = 128,
    dropLast = false,
    seed = net.seed,
    augment = 'none',
    workers = 1,
    resident = 'auto',
    record = true,
    logEvery = usualLogEvery(net.device),
    clipNorm,
    signal,
  } = options;
  const optimizer = clipped(options.optimizer ?? sgd({ momentum: 0.9, nesterov: true }), clipNorm);
  const epochs = options.epochs ?? options.schedule?.epochs;
  if (epochs === undefined || !Number.isSafeInteger(epochs) || epochs < 1) {
    throw new SpikeloomError(`train() needs a whole number of epochs of at least 1, not ${kindOf(epochs)}`);
  }
  if (!Number.isSafeInteger(logEvery) || logEvery < 1 || logEvery > MOST_LOGGED) {
    throw new SpikeloomError(`logEvery is a whole number of steps from 1 to ${MOST_LOGGED}, not ${kindOf(logEvery)}`);
  }
  const schedule = options.schedule ?? constant({ epochs });
  const hasTargets = data.train.targets !== undefined;
  const loss = lossFrom('train()', options.loss, hasTargets);
  const mix = mixSettings(options.mix);
  if (mix && mix.cutmix > 0 && hasTargets)
    throw new SpikeloomError(
      'CutMix shares classes by area, but the samples have targets; leave mix.cutmix out (mixup mixes targets, too)',
    );
  const feed = { data, batch, dropLast, seed, augment, mix, workers, resident };
  return { ...feed, optimizer, schedule, record, logEvery, signal, epochs, loss };
}

/** @throws SpikeloomError where training and test samples are not of one kind: test results would mean nothing */
function checkHalves({ train, test }: AnySplits): void {
  const [own, others] = [train, test].map(({ targets }) => targets && `[${targets.shape.join(',')}]`);
  if (own !== others) {
    const [of, beside] = [own, others].map((shape) => (shape ? `targets ${shape}` : 'classes'));
    throw new SpikeloomError(
      `training and test samples have classes, or targets of one shape, but those of '${train.name}' have ${of} in training and ${beside} in tests; give both sets the same`,
    );
  }
  const i = train.classes.findIndex((name, at) => name !== test.classes[at]);
  if (i >= 0) {
    const [of, beside] = [train, test].map(({ classes }) => kindOf(classes[i]));
    throw new SpikeloomError(
      `the classes of the training samples are those of the test samples, in the same order, but class ${i} of '${train.name}' is ${of} in training and ${beside} in tests; give both sets the same list`,
    );
  }
  if ((train.steps === undefined) === (test.steps === undefined)) return;
  const [timed, other] = train.steps === undefined ? ['test', 'training'] : ['training', 'test'];
  throw new SpikeloomError(
    `training and test samples have time steps both or neither, but of '${train.name}' only the ${timed} samples have; make the ${other} samples [T,C,H,W], too`,
  );
}

/** @throws SpikeloomError for sets that do not fit the network or each other */
export function checkData(net: Net, { data, loss }: Filled): void {
  const { steps } = net.plan;
  const { channels, height, width } = net.plan.input;
  for (const [part, set] of Object.entries(data)) {
    needSet(set);
    if (set.steps !== undefined && set.steps !== steps) {
      throw new SpikeloomError(
        `the ${part} samples of '${set.name}' have T = ${set.steps} time steps, but ${net.plan.model} has T = ${steps}; make both the same`,
      );
    }
    const size = [set.channels, set.height, set.width].join();
    if (size !== [channels, height, width].join()) {
      throw new SpikeloomError(
        `${net.plan.model} takes images [${channels},${height},${width}], but the ${part} images of '${set.name}' are [${size}]; make the network for them`,
      );
    }
  }
  checkHalves(data);
  checkOutput(loss, net.plan, data.train);
}

/** The settings of a part, which may be the user's own, as they are now. @throws SpikeloomError for no plain data */
const settingsOf = (name: string, { settings }: { readonly settings?: object | undefined }): object | undefined =>
  settings && plainData(`train(): the settings of ${name}`, `${name}.settings`, settings);

/** Everything that the numbers of a run depend on; threads, workers and the device are not among it. */
export function courseOf(net: Net, options: Filled): Course {
  const { data, epochs, batch, dropLast, optimizer, schedule, seed, augment, mix, loss } = options;
  return {
    model: net.toJSON(),
    dtype: net.dtype,
    precision: net.precision,
    netSeed: net.seed,
    data: describeData(data),
    samples: { train: describeSamples(data.train, augment), test: describeSamples(data.test, 'none') },
    ...{ epochs, batch, seed, augment, mix },
    ...(dropLast ? { dropLast } : {}), // states of older versions do not have it
    loss: typeof loss === 'function' ? settingsOf('loss', loss) : loss,
    optimizer: settingsOf('optimizer', optimizer),
    schedule: settingsOf('schedule', schedule),
  };
}
