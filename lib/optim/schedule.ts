// Learning rates by epoch. A schedule is a function of the epoch and of the optimizer's top rate; it holds no state.
import { SpikeloomError } from '../core/index.ts';
import { given, isKeyOf, kindOf, needArguments, needOptions } from '../core/options.ts';

interface WarmSettings {
  /** Epochs before the cooldown; those of the warm-up count among them. */
  epochs: number;
  /** Epochs of linear warm-up. */
  warmup: number;
  /** Learning rate of epoch 0 where there is a warm-up. */
  warmupLr: number;
}

export interface ConstantSettings extends WarmSettings {
  kind: 'constant';
}

export interface StepSettings extends WarmSettings {
  kind: 'step';
  /** Epochs between two drops. */
  stepSize: number;
  /** Factor of a drop. */
  gamma: number;
}

export interface CosineSettings extends WarmSettings {
  kind: 'cosine';
  /** Learning rate from epoch `epochs` on. */
  minLr: number;
  /** Epochs at minLr after the others. */
  cooldown: number;
}

export type ScheduleSettings = ConstantSettings | StepSettings | CosineSettings;
type Options<S extends ScheduleSettings> = Partial<Omit<S, 'kind' | 'epochs'>> & { epochs: number };

export interface Schedule {
  /** Plain data from which scheduleFrom() makes the same schedule. */
  readonly settings: ScheduleSettings;
  /** All epochs of the run, the cooldown's among them. */
  readonly epochs: number;
  /** The learning rate of an epoch (0, 1, ...) where the optimizer's top rate is `lr`. */
  lrAt(epoch: number, lr: number): number;
}

function check(settings: ScheduleSettings): void {
  for (const [name, value] of Object.entries(settings) as [string, number][]) {
    if (name === 'kind') continue;
    const isRate = name === 'warmupLr' || name === 'minLr' || name === 'gamma';
    const least = name === 'epochs' || name === 'stepSize' ? 1 : 0;
    if (Number.isFinite(value) && value >= least && (isRate || Number.isSafeInteger(value))) continue;
    throw new SpikeloomError(
      `${settings.kind}: ${name} is a ${isRate ? '' : 'whole '}number of at least ${least}, not ${kindOf(value)}`,
    );
  }
}

const warmDefaults = { warmup: 0, warmupLr: 1e-5 };
const stepDefaults = { ...warmDefaults, stepSize: 30, gamma: 0.1 };
const cosineDefaults = { ...warmDefaults, minLr: 1e-5, cooldown: 0 };
const defaultsOf = { constant: warmDefaults, step: stepDefaults, cosine: cosineDefaults };

/** The rate without warm-up. */
function plainRate(settings: ScheduleSettings, epoch: number, lr: number): number {
  if (settings.kind === 'constant') return lr;
  if (settings.kind === 'step') return lr * settings.gamma ** Math.floor(epoch / settings.stepSize);
  const { epochs, minLr } = settings;
  if (epoch >= epochs) return minLr;
  return minLr + ((lr - minLr) * (1 + Math.cos((Math.PI * epoch) / epochs))) / 2;
}

/**
 * The schedule of these settings, over the defaults of its kind; one that is undefined counts as not given.
 * @throws SpikeloomError naming the setting and its rule
 */
export function scheduleFrom(wanted: ScheduleSettings): Schedule {
  needArguments('scheduleFrom()', 'an object', { settings: wanted });
  const { kind, ...options } = wanted;
  if (!isKeyOf(kind, defaultsOf)) {
    throw new SpikeloomError(`a schedule is one of ${Object.keys(defaultsOf).join(', ')}, not ${kindOf(kind)}`);
  }
  const defaults = { epochs: Number.NaN, ...defaultsOf[kind] };
  needOptions<object>(kind, options, defaults);
  const settings = { kind, ...defaults, ...given(options) } as ScheduleSettings;
  check(settings);
  const { warmup, warmupLr } = settings;
  return {
    settings,
    epochs: settings.epochs + (settings.kind === 'cosine' ? settings.cooldown : 0),
    lrAt(epoch, lr) {
      if (!Number.isFinite(epoch) || !Number.isFinite(lr)) {
        throw new SpikeloomError(`lrAt(epoch, lr) takes numbers, not ${kindOf(epoch)} and ${kindOf(lr)}`);
      }
      if (epoch < warmup) return warmupLr + (epoch * (lr - warmupLr)) / warmup;
      return plainRate(settings, epoch, lr);
    },
  };
}

/** The top rate in every epoch. Defaults: warmup 0, warmupLr 1e-5. */
export const constant = (options: Options<ConstantSettings>): Schedule =>
  scheduleFrom({ ...options, kind: 'constant' } as ConstantSettings);

/** lr gamma^floor(e / stepSize). Defaults: stepSize 30, gamma 0.1, warmup 0, warmupLr 1e-5. */
export const step = (options: Options<StepSettings>): Schedule =>
  scheduleFrom({ ...options, kind: 'step' } as StepSettings);

/**
 * Cosine by epoch, not shifted by the warm-up, in epoch e of E:
 *
 *     e < warmup:  warmupLr + e (lr - warmupLr) / warmup
 *     e < E:       minLr + (lr - minLr) (1 + cos(pi e / E)) / 2
 *     e >= E:      minLr, for `cooldown` epochs
 *
 * Defaults: warmup 0, warmupLr 1e-5, minLr 1e-5, cooldown 0.
 *
 * @example cosine({ epochs: 600, warmup: 10, cooldown: 10 }).lrAt(0, 0.1)   // 1e-5
 */
export const cosine = (options: Options<CosineSettings>): Schedule =>
  scheduleFrom({ ...options, kind: 'cosine' } as CosineSettings);
