// Optimizers and schedules.
export type { ParameterGroup } from './groups.ts';
export { adamw, lamb, type NamedParameter, Optimizer, type OptimizerFactory, optimizerFrom, sgd } from './optimizer.ts';
export * from './schedule.ts';
export type { MomentOptions, MomentSettings, OptimizerSettings, SgdOptions, SgdSettings } from './settings.ts';
