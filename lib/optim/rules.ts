// What tells the optimizers apart: the buffers they keep, the numbers of a step, the update.
import type { Tensor } from '../core/index.ts';
import { adamwUpdate, lambUpdate, momentumUpdate, sgdUpdate, type Update } from '../ops/optimizer-updates.ts';
import type { MomentSettings, OptimizerSettings, SgdSettings } from './settings.ts';

export interface Rule {
  /** One tensor of the parameter's shape each, 0 at first. */
  readonly buffers: readonly string[];
  /** What the update reads from the device in the n-th step (n = 1, 2, ...). */
  hyper(lr: number, n: number): number[];
  update(hyper: Tensor, buffers: readonly Tensor[], update: Update): void;
}

function sgdRule({ momentum, nesterov }: SgdSettings): Rule {
  const hyper = (lr: number) => [lr];
  if (momentum === 0) return { buffers: [], hyper, update: (numbers, _, update) => sgdUpdate(numbers, update) };
  return {
    buffers: ['m'],
    hyper,
    update: (numbers, [m], update) => momentumUpdate(numbers, m!, update, { momentum, nesterov }),
  };
}

function momentRule({ kind, betas, eps }: MomentSettings): Rule {
  const [beta1, beta2] = betas;
  const apply = kind === 'adamw' ? adamwUpdate : lambUpdate;
  return {
    buffers: ['m', 'v'],
    hyper: (lr, n) => [lr, 1 - beta1 ** n, 1 - beta2 ** n],
    update: (numbers, [m, v], update) => apply(numbers, { m: m!, v: v! }, update, { beta1, beta2, eps }),
  };
}

export const ruleOf = (settings: OptimizerSettings): Rule =>
  settings.kind === 'sgd' ? sgdRule(settings) : momentRule(settings);
