// Data sets, augmentation and the loader.
export { type FileEntry, type FileTree, openTree, openTreeSync, type TreeEntry } from './archive.ts';
export { cifar10, cifar100 } from './cifar.ts';
export type { Events } from './events/events.ts';
export { EVENT_FORMATS, type EventFormat, type EventOptions, type SensorSize } from './events/formats.ts';
export { type GestureLabel, parseGestureLabels, readGestureLabels } from './events/gesture.ts';
export { type LabelledEvents, readHdf5Events, readShd } from './events/hdf5.ts';
export { decodeEvents, readEvents, streamEvents } from './events/read.ts';
export { DataError } from './files.ts';
export { fashionMnist, mnist, readIdx } from './idx.ts';
export { type ImageSet, type ImageSplits, imageSet } from './image-set.ts';
export { limit } from './limit.ts';
export { type Batch, Loader, type LoaderOptions, loader } from './loader.ts';
export { type ImageFiles, type ImageFilesOptions, imageFolder } from './pictures/image-files.ts';
export { type ImageShardsOptions, imageShards } from './pictures/image-shards.ts';
export type { BatchArrays, SampleSet, SampleSplits, SkippedSample, SplitName } from './sample-set.ts';
