// Every op, for networks and loops written by hand.
export { accuracyCount } from './accuracy-count.ts';
export { type AlifOptions, alif, type CubaLifOptions, cubaLif } from './adaptive-lif.ts';
export { type AddOptions, add } from './add.ts';
export { type AvgPool2dOptions, avgPool2d } from './avg-pool2d.ts';
export { type BatchNormOptions, batchNorm } from './batch-norm.ts';
export { bceWithLogits } from './bce-with-logits.ts';
export {
  type ChannelMoments,
  type Conv2dOptions,
  conv2d,
  conv2dWithMoments,
  convolvedSize,
  type Pair,
} from './conv2d.ts';
export { crossEntropy, type LossOptions, tetLoss } from './cross-entropy.ts';
export { type FireOptions, fire, type Normalised } from './current.ts';
export { dctBasis, type FilterChoice } from './dct.ts';
export { type DropoutOptions, dropout } from './dropout.ts';
export { eventFrames, type FrameOptions, packEvent } from './event-frames.ts';
export {
  type FstaOptions,
  type FstaParams,
  type FstaStats,
  frequencyMap,
  fsta,
  fstaGate,
  fstaStats,
  fstaSteps,
} from './fsta.ts';
export { fstaMap } from './fsta-map.ts';
export { type GlobalAvgPoolOptions, globalAvgPool } from './global-avg-pool.ts';
export {
  type AffineMap,
  encodePrograms,
  type ImageChange,
  type ImageProgram,
  programWords,
  type Resample,
} from './image-program.ts';
export {
  type IfOptions,
  ifNode,
  type LifOptions,
  lif,
  lifWithState,
  plif,
  type Reset,
  type Surrogate,
  surrogates,
} from './lif.ts';
export { type LinearOptions, linear } from './linear.ts';
export { type DeviceLog, logMetrics } from './log-metrics.ts';
export { type MatmulOptions, matmul } from './matmul.ts';
export { type ArgmaxOptions, argmax, type MaxOptions, max } from './max.ts';
export { type MaxPool2dOptions, maxPool2d } from './max-pool2d.ts';
export { type MeanOverTimeOptions, meanOverTime } from './mean-over-time.ts';
export { mixImages, mixLabels } from './mix.ts';
export { mul, scale } from './mul.ts';
export { needFinite } from './need-finite.ts';
export { type OneHotOptions, oneHot } from './one-hot.ts';
export {
  adamwUpdate,
  clipFactor,
  lambUpdate,
  type MomentRule,
  type Moments,
  momentumUpdate,
  sgdUpdate,
  type Update,
} from './optimizer-updates.ts';
export { permute } from './permute.ts';
export { abs, type ClampOptions, clamp, div, exp, log, pow, shift, sqrt, sub, tanh } from './pointwise.ts';
export { type PoolOptions, pooledSize } from './pool-window.ts';
export { type RecurrentLifOptions, recurrentLif } from './recurrent-lif.ts';
export { relu } from './relu.ts';
export { repeatOverTime } from './repeat-over-time.ts';
export { reshape } from './reshape.ts';
export { sigmoid } from './sigmoid.ts';
export { type ConcatOptions, concat, type SliceOptions, slice } from './slice.ts';
export { logSoftmax, softmax } from './softmax.ts';
export { spikeCount } from './spike-count.ts';
export { expand, mean, type SumOptions, sum } from './sum.ts';
export { type ImageTensors, takeImages, takeLabels } from './take-images.ts';
export { bytesToReal, realGradient, type ToRealOptions, toReal } from './to-real.ts';
