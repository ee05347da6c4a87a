// What an optimizer is set to: plain data, so that a run can write it down and read it back.
import { SpikeloomError } from '../core/index.ts';
import { contentOf, given, kindOf, needOptions } from '../core/options.ts';
import { type ParameterGroup, resolveGroups } from './groups.ts';

interface CommonSettings {
  /** Learning rate of the first step. */
  lr: number;
  /** Never applied to parameters of one dimension or none (norms, biases, gates). */
  weightDecay: number;
  /** The largest norm of the whole gradient; 0: no clipping. */
  clipNorm: number;
  /** Parameters with a learning rate or a decay of their own; none: all are trained alike. */
  groups?: readonly ParameterGroup[] | undefined;
}

export interface SgdSettings extends CommonSettings {
  kind: 'sgd';
  momentum: number;
  nesterov: boolean;
}

export interface MomentSettings extends CommonSettings {
  kind: 'adamw' | 'lamb';
  /** Decay of the mean of the gradients and of their squares. */
  betas: readonly [number, number];
  /** Added to the denominator. */
  eps: number;
}

export type OptimizerSettings = SgdSettings | MomentSettings;
export type SgdOptions = Partial<Omit<SgdSettings, 'kind'>>;
export type MomentOptions = Partial<Omit<MomentSettings, 'kind'>>;

const sgdDefaults = { lr: 0.1, momentum: 0, nesterov: false, weightDecay: 0, clipNorm: 0 };
const momentDefaults = { lr: 1e-3, weightDecay: 0.01, clipNorm: 0, betas: [0.9, 0.999], eps: 1e-8 } as const;

function check(settings: OptimizerSettings, name: string, value: number, inside: boolean, rule: string): void {
  if (!inside) throw new SpikeloomError(`${settings.kind}: ${name} is ${rule}, not ${kindOf(value)}`);
}

const isDecay = (value: unknown): boolean => typeof value === 'number' && value >= 0 && value < 1;

/** Refuses a learning rate that is not a finite number of at least 0. */
export function checkRate(settings: OptimizerSettings, lr: number): void {
  check(settings, 'lr', lr, Number.isFinite(lr) && lr >= 0, 'a finite number of at least 0');
}

/** The settings with every default filled in, checked. @throws SpikeloomError naming the setting and its rule */
export function resolveSettings(
  kind: OptimizerSettings['kind'],
  options: SgdOptions | MomentOptions,
): OptimizerSettings {
  const kinds = ['sgd', 'adamw', 'lamb'];
  if (!kinds.includes(kind))
    throw new SpikeloomError(`an optimizer is one of ${kinds.join(', ')}, not ${kindOf(kind)}`);
  const defaults = kind === 'sgd' ? sgdDefaults : momentDefaults;
  needOptions(kind, options, { ...defaults, groups: true } as Record<keyof typeof options, unknown>);
  const { groups = [], ...rest } = given(options);
  const own = resolveGroups(kind, groups);
  const settings = { kind, ...defaults, ...rest, ...(own.length > 0 && { groups: own }) } as OptimizerSettings;
  checkRate(settings, settings.lr);
  for (const name of ['weightDecay', 'clipNorm'] as const) {
    check(
      settings,
      name,
      settings[name],
      Number.isFinite(settings[name]) && settings[name] >= 0,
      'a finite number of at least 0',
    );
  }
  if (settings.kind === 'sgd') {
    const { momentum, nesterov } = settings;
    check(settings, 'momentum', momentum, isDecay(momentum), 'at least 0 and below 1');
    if (nesterov && momentum === 0) throw new SpikeloomError('sgd: nesterov needs a momentum above 0, which is 0 here');
    return settings;
  }
  const { betas } = settings;
  if (!Array.isArray(betas) || betas.length !== 2) {
    throw new SpikeloomError(`${kind}: betas are two numbers, not ${contentOf(betas)}`);
  }
  for (const beta of betas) check(settings, 'a beta', beta, isDecay(beta), 'at least 0 and below 1');
  check(settings, 'eps', settings.eps, Number.isFinite(settings.eps) && settings.eps > 0, 'a number above 0');
  return settings;
}
