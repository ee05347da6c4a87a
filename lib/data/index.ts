// Data sets, augmentation and the loader.
export { type Philox, philox } from '../core/random.ts';
export { type FileEntry, type FileTree, openTree, openTreeSync, type TreeEntry, type TreeKind } from './archive.ts';
export {
  type Augmentation,
  type AugmentName,
  augmentation,
  type ChangeDrawer,
  drawPrograms,
} from './augment/augment.ts';
export { autoAugmentCifar10 } from './augment/auto-augment.ts';
export type { MixSettings } from './augment/mix.ts';
export { type ColorJitterOptions, colorJitter, type RandAugmentOptions, randAugment } from './augment/rand-augment.ts';
export type { AnySet, AnySplits, ClassSet, ClassSplits, TargetSplits } from './batch.ts';
export { cifar10Dvs } from './event-sets/cifar10-dvs.ts';
export { dvs128Gesture } from './event-sets/dvs128-gesture.ts';
export type { EventSet, EventSplits, FrameShape } from './event-sets/event-set.ts';
export { nCaltech101 } from './event-sets/n-caltech101.ts';
export { nCars } from './event-sets/n-cars.ts';
export { nMnist } from './event-sets/n-mnist.ts';
export type { EventSetOptions } from './event-sets/open.ts';
export { shd } from './event-sets/shd.ts';
export type { Events } from './events/events.ts';
export { EVENT_FORMATS, type EventFormat, type EventOptions, type SensorSize } from './events/formats.ts';
export { type GestureLabel, parseGestureLabels, readGestureLabels } from './events/gesture.ts';
export { type LabelledEvents, readHdf5Events, readShd } from './events/hdf5.ts';
export { decodeEvents, readEvents, streamEvents } from './events/read.ts';
export { type BinningRule, eventSlices, packEvents, type SliceOptions } from './events/slices.ts';
export { DataError } from './files.ts';
export { cifar10, cifar100 } from './images/cifar.ts';
export { fashionMnist, type IdxArray, mnist, readIdx } from './images/idx.ts';
export { type ImageSet, type ImageSetInit, type ImageSplits, imageSet } from './images/image-set.ts';
export { limit } from './limit.ts';
export {
  type Batch,
  type BatchIndices,
  type ByteBatch,
  type EpochOptions,
  Loader,
  type LoaderOptions,
  loader,
  type PixelBatch,
} from './loader.ts';
export {
  type ClassNumberSet,
  type MadeSample,
  type NumberSet,
  type NumberSetInit,
  numberSet,
  type SampleMaker,
  type SampleNumbers,
  type SampleRequest,
  type SampleWithTargets,
  type TargetSet,
} from './numbers/number-set.ts';
export { type ImageFiles, type ImageFilesOptions, type Interpolation, imageFolder } from './pictures/image-files.ts';
export { type ImageShardsOptions, imageShards } from './pictures/image-shards.ts';
export type { BatchArrays, SampleSet, SampleSplits, SkippedSample, SplitName, Targets } from './sample-set.ts';
