// Optimizers and schedules.
export * from './optimizer.ts';
export * from './schedule.ts';
export type { MomentOptions, MomentSettings, OptimizerSettings, SgdOptions, SgdSettings } from './settings.ts';
