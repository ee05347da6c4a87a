// The public surface of Spikeloom.
export {
  type BackendInfo,
  type Backward,
  backward,
  backwardInTurns,
  beforeReplay,
  cudaBackend,
  type Device,
  type DType,
  describe,
  device,
  dtypes,
  elements,
  empty,
  type HostArray,
  isRecording,
  isStepRecording,
  keep,
  type MemoryStats,
  NotFiniteError,
  needsGrad,
  noGrad,
  OutOfMemoryError,
  parameter,
  planStep,
  type RealType,
  RecordedStep,
  record,
  recordStep,
  recordStepInTurns,
  type Shape,
  SpikeloomError,
  type StepBody,
  type StepPlan,
  type StepTurns,
  scope,
  stepInput,
  Tensor,
  type TensorOptions,
  tensor,
  zeros,
} from './core/index.ts';
export * from './data/index.ts';
export * from './nn/index.ts';
export * as ops from './ops/index.ts';
export { bceWithLogits, crossEntropy, type LossOptions, tetLoss } from './ops/index.ts';
export * from './optim/index.ts';
export * from './train/index.ts';
