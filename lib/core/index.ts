// What the layers above see of core.
export { cudaBackend, type Device, device, MOST_THREADS, usualThreads } from './device.ts';
export { type DType, dtypes, type HostArray, type RealType } from './dtype.ts';
export { NotFiniteError, OutOfMemoryError, SpikeloomError } from './errors.ts';
export { type BackendInfo, type MemoryStats, native } from './native.ts';
export { NativeOp, nativeOp, opTable } from './op.ts';
export {
  beforeReplay,
  isStepRecording,
  planStep,
  RecordedStep,
  recordStep,
  recordStepInTurns,
  type StepBody,
  type StepPlan,
  type StepTurns,
  stepInput,
} from './step.ts';
export {
  type Backward,
  backward,
  backwardInTurns,
  forBackward,
  isRecording,
  leavesOf,
  needsGrad,
  noGrad,
  noGradInTurns,
  recomputeForBackward,
  record,
  recordStandIns,
} from './tape.ts';
export {
  describe,
  elements,
  empty,
  keep,
  needTensors,
  parameter,
  type Shape,
  scope,
  Tensor,
  type TensorOptions,
  tensor,
  zeros,
} from './tensor.ts';
export { runToEnd } from './turns.ts';
