// Optimizers and schedules.
export { adamw, lamb, type NamedParameter, Optimizer, type OptimizerFactory, optimizerFrom, sgd } from './optimizer.ts';
export * from './schedule.ts';
export type { MomentOptions, MomentSettings, OptimizerSettings, SgdOptions, SgdSettings } from './settings.ts';
