// Models: layers, the language that puts them together, networks ready made, weights.
export {
  type LoadOptions,
  loadWeights,
  type Match,
  matchWeights,
  releasedNames,
  saveWeights,
  type WeightsReport,
} from './checkpoint.ts';
export {
  type DefineSettings,
  define,
  type Factory,
  type FactoryOptions,
  type InputOptions,
  type ModelOptions,
} from './define.ts';
export type { Layer, PlannedLayer, Signal, TensorPlan } from './layer.ts';
export { type BlockOptions, block, type StageOptions, stage } from './layers/block.ts';
export { type Conv2dLayer, conv2d } from './layers/conv2d.ts';
export {
  type DropoutLayer,
  dropout,
  type FlattenLayer,
  flatten,
  type MeanOverTimeLayer,
  meanOverTime,
  type ReluLayer,
  relu,
} from './layers/elementwise.ts';
export { type FstaLayer, fsta } from './layers/fsta.ts';
export { type LinearLayer, linear, type VoteLayer, vote } from './layers/linear.ts';
export {
  type AlifLayer,
  alif,
  type CubaLifLayer,
  cubaLif,
  type IfLayer,
  ifNode,
  type LifLayer,
  lif,
  type NeuronLayer,
  type PlifLayer,
  plif,
  type RecurrentLifLayer,
  recurrentLif,
} from './layers/neurons.ts';
export { type NormLayer, norm } from './layers/norm.ts';
export {
  type AvgPool2dLayer,
  avgPool2d,
  type GlobalAvgPoolLayer,
  globalAvgPool,
  type MaxPool2dLayer,
  maxPool2d,
} from './layers/pooling.ts';
export { type ResidualLayer, residual } from './layers/residual.ts';
export { type FiringCount, type NamedTensor, Net, type NetOptions, type PassOptions, type Precision } from './net.ts';
export {
  type GivenSettings,
  type LayerDefinition,
  type LayerFunction,
  type LayerPlace,
  type LayerRun,
  layer,
  type OwnLayer,
  type SettingsOf,
} from './own-layer.ts';
export type { ConstantTensor, InitialTensor } from './own-tensors.ts';
export { type ImageSize, type ModelJson, ModelPlan, type PlanOptions } from './plan.ts';
export {
  renderSummary,
  type Summary,
  type SummaryOptions,
  type SummaryRow,
  type SummaryTotals,
} from './summary.ts';
export { model, type ZooName, type ZooOptions, zoo } from './zoo.ts';
