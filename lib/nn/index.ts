// Models: layers, the language that puts them together, networks ready made, weights.
export {
  type LoadOptions,
  loadWeights,
  matchWeights,
  releasedNames,
  saveWeights,
  type WeightsReport,
} from './checkpoint.ts';
export { type DefineSettings, define, type Factory, type FactoryOptions, type ModelOptions } from './define.ts';
export type { Layer } from './layer.ts';
export { type BlockOptions, block, type StageOptions, stage } from './layers/block.ts';
export { conv2d } from './layers/conv2d.ts';
export { dropout, flatten, meanOverTime, relu } from './layers/elementwise.ts';
export { fsta } from './layers/fsta.ts';
export { linear, vote } from './layers/linear.ts';
export { ifNode, lif, type NeuronLayer, plif } from './layers/neurons.ts';
export { norm } from './layers/norm.ts';
export { avgPool2d, globalAvgPool, maxPool2d } from './layers/pooling.ts';
export { type ResidualLayer, residual } from './layers/residual.ts';
export { type FiringCount, type NamedTensor, Net, type NetOptions, type PassOptions, type Precision } from './net.ts';
export { type ImageSize, type ModelJson, ModelPlan } from './plan.ts';
export {
  renderSummary,
  type Summary,
  type SummaryOptions,
  type SummaryRow,
  type SummaryTotals,
} from './summary.ts';
export { model, type ZooName, type ZooOptions, zoo } from './zoo.ts';
