/**
 * What labeled data sets of every kind have in common. Plain data over shared memory, so that a thread can get one.
 */
export interface SampleSet {
  /** Selects who makes the set's batches, see batch.ts. */
  kind: string;
  /** Short name of the data set: 'cifar10', 'dvs128-gesture', ... It selects the augmentation. */
  name: string;
  /** Class of every sample of the files, 0..classes.length-1; 0 of each where samples have targets. */
  labels: Int32Array<SharedArrayBuffer>;
  /** N, how many samples are in use. */
  count: number;
  /** Which of the files' samples are in use [N]; none: all of them. */
  chosen?: Int32Array<SharedArrayBuffer>;
  /** T where a sample has a time axis of its own (events as frames); none: an image, shown at every time step. */
  steps?: number;
  /** Whether samples with time steps hold 0 and 1 alone: a network gets them as spikes, a bit each. */
  binary?: boolean;
  /**
   * What every number of a sample is a multiple of, where samples may come as bytes (see BatchSource): frames of
   * events.
   */
  unit?: number;
  /** C, of what the network sees. */
  channels: number;
  /** H in pixels */
  height: number;
  /** W in pixels */
  width: number;
  /** Names of the classes; none where samples have targets. */
  classes: string[];
  /** What samples have in place of classes, for a regression: those of sets of numbers. */
  targets?: Targets;
  /** How samples were split into training and test, where there is more than one way in use. */
  split?: SplitName;
}

/** Real numbers that samples have in place of classes, in one shape for all of them. */
export interface Targets {
  /** Of a sample: [K] or [C,H,W], or with time steps [T,K] or [T,C,H,W]. */
  shape: number[];
  /** Those of every sample of the set, one after the other; none: what makes the samples gives them, too. */
  numbers?: Float32Array<SharedArrayBuffer>;
}

/** Names a split: two runs can be compared where both agree. */
export interface SplitName {
  /** 'fsta', 'tet', 'official', ... */
  name: string;
  /** SHA-256 over the names of the training samples and of the test samples, in order; hexadecimal. */
  hash: string;
}

/** The two halves of a data set. */
export interface SampleSplits<S extends SampleSet = SampleSet> {
  train: S;
  test: S;
}

/** The samples of one batch, by index into the set. */
export interface BatchJob {
  epoch: number;
  /** Number of the batch in its epoch, from 0. */
  batch: number;
  indices: Int32Array<ArrayBuffer>;
  /** Where the images may be put: memory of an earlier batch that its consumer has given back. */
  memory?: ArrayBuffer;
  /** Of batches that are made in the calling thread: aborted when nobody waits for them any more. */
  signal?: AbortSignal;
}

/**
 * What the network sees, [B,C,H,W] or, where the set has steps, [T,B,C,H,W], normalized; and classes [B], or targets
 * [B,...] or [T,B,...].
 */
export interface BatchArrays {
  /** Bytes: multiples of `unit`, or pixels [B,C,H,W] that `programs` make numbers of. */
  images: Float32Array<ArrayBuffer> | Uint8Array<ArrayBuffer>;
  unit?: number;
  /** What takeImages() does with the pixels, [B,L]; L is the same for all batches. */
  programs?: Int32Array<ArrayBuffer>;
  /** None where the set has targets. */
  labels: Int32Array<ArrayBuffer>;
  targets?: Float32Array<ArrayBuffer>;
  /** Samples that could not be read and were replaced by another one, where the set allows it. */
  skipped?: SkippedSample[];
}

/** A sample that could not be read. */
export interface SkippedSample {
  index: number;
  /** The file and what is wrong with it. */
  reason: string;
}

/** Makes batches; what it makes is a pure function of the set, the seed, the augmentation and the job. */
export interface BatchMaker {
  (job: BatchJob): BatchArrays | Promise<BatchArrays>;
  /** Where it keeps files open: closes them. It makes no batches any more. */
  close?: () => void;
}
