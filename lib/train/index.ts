// Training, evaluation, runs and their files.
export { type RecipeOptions, type RecipeResult, trainRecipe } from './assemble.ts';
export type { Accuracy, Best } from './checkpoint.ts';
export type { Environment } from './environment.ts';
export { type EvaluateOptions, type Evaluation, evaluate } from './evaluate.ts';
export { type EvaluateRunOptions, evaluateRun, type LoadNetOptions, loadNet } from './evaluate-run.ts';
export type { LossFunction, LossOption, LossSettings } from './loss.ts';
export { type MemoryOptions, type TrainingMemory, trainingMemory } from './memory.ts';
export type { MetricsRecord } from './metrics-log.ts';
export {
  type EpochProgress,
  Progress,
  type ProgressOptions,
  type ProgressStream,
  type StepProgress,
} from './progress.ts';
export { loadRecipe, resolveSettings } from './recipe.ts';
export type { Residence } from './residence.ts';
export type { RunFiles } from './run-files.ts';
export { createRun, openRun, type RunFolder, type RunPaths } from './run-folder.ts';
export type { Settings } from './settings.ts';
export type { TargetLossSettings } from './target-loss.ts';
export { Run, train } from './train.ts';
export type { EpochReport, TrainOptions } from './train-options.ts';
