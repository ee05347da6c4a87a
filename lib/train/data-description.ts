// What a run was trained and tested on: the facts that two runs must share to be compared, and how the samples are
// presented.

import { hashOf } from '../core/content-hash.ts';
import { SpikeloomError } from '../core/errors.ts';
import { readTextFile } from '../core/file-kind.ts';
import type { AugmentName } from '../data/augment/augment.ts';
import type { AnySet, AnySplits } from '../data/batch.ts';
import type { NumberSet, SampleNumbers } from '../data/numbers/number-set.ts';
import { isTargetShape } from '../data/numbers/targets.ts';
import type { SampleSplits, SplitName } from '../data/sample-set.ts';

/** SHA-256 of samples that lie in memory alone, hexadecimal. */
export interface Contents {
  /** Of the numbers in use, and of their labels or targets. */
  sha256?: string;
  /** Where a function makes the samples: of the labels in use, and of which these are. */
  labelsSha256?: string;
  /** The same of targets; of those that the function makes, too, of which samples are in use alone. */
  targetsSha256?: string;
}

/** The hashes, and what they are of, for messages. */
const HASHES: readonly (readonly [key: keyof Contents, what: string])[] = [
  ['sha256', 'test samples'],
  ['labelsSha256', 'labels of the test samples'],
  ['targetsSha256', 'targets of the test samples'],
];

/** Samples and classes of a data set as a run used it, after its limits. */
export interface DataDescription {
  name: string;
  /** Training samples. */
  train: number;
  /** Test samples. */
  test: number;
  /** Number of classes; 0 where samples have targets. */
  classes: number;
  /** The shape of a sample's target, where samples have one. */
  targets?: number[];
  /** T where samples have a time axis of their own. */
  steps?: number;
  /** How samples were split, where there is more than one way in use. */
  split?: SplitName;
  /** Of sets of plain numbers. */
  contents?: { train?: Contents; test?: Contents };
}

/**
 * Describes a data set for a run's files.
 * @example describeData(mnist('datasets/mnist')) // { name: 'mnist', train: 60000, test: 10000, classes: 10 }
 */
export function describeData({ train, test }: SampleSplits): DataDescription {
  const { name, steps, split, classes, targets } = train;
  return {
    ...{ name, train: train.count, test: test.count, classes: classes.length },
    ...(targets === undefined ? {} : { targets: [...targets.shape] }),
    ...(steps === undefined ? {} : { steps }),
    ...(split === undefined ? {} : { split }),
  };
}

/**
 * How the samples of a set become numbers, by what changes these alone: not where the files lie, nor what is done with
 * broken ones. T is in the description, C, H and W are in the network. Of plain numbers describeContents() has the rest.
 * @param augment decides how pictures are cut: the middle of a size, or at random
 */
export function describeSamples(set: AnySet, augment: AugmentName): Record<string, unknown> {
  if (set.kind === 'events') {
    const { by, window } = set.binning;
    const { window: counted, corner, clip, normalise } = set.frame;
    return { binning: by, ...(by === 'window' ? { window } : {}), counted, corner, clip, normalise };
  }
  if (set.kind === 'numbers') return { binary: set.binary ?? false };
  const statistics = { mean: [...set.mean], std: [...set.std] };
  if (set.kind === 'images') return statistics;
  const { interpolation, resize, scale, ratio } = set;
  return { interpolation, ...(augment === 'none' ? { resize } : { scale, ratio }), ...statistics };
}

/** Those of the samples in use, in their order, of an array that has the same for every sample; pieces of it. */
function* inUse<N extends SampleNumbers>(numbers: N, { chosen, labels }: NumberSet): Generator<N> {
  if (!chosen) return yield numbers;
  const size = numbers.length / labels.length;
  for (let at = 0, end = 1; at < chosen.length; at = end++) {
    while (end < chosen.length && chosen[end] === chosen[end - 1]! + 1) end++;
    yield numbers.subarray(chosen[at]! * size, (chosen[end - 1]! + 1) * size) as N;
  }
}

/** What lies in memory of the labels or targets in use. */
function* wantedInUse(set: NumberSet): Generator<ArrayBufferView> {
  const { chosen, labels, targets } = set;
  if (!targets) yield chosen ? chosen.map((i) => labels[i]!) : labels;
  else if (targets.numbers) yield* inUse(targets.numbers, set);
}

async function contentsOf(set: AnySet, signal: AbortSignal | undefined): Promise<Contents | undefined> {
  if (set.kind !== 'numbers') return {};
  const { numbers, chosen, targets } = set;
  const isMade = typeof numbers === 'function';
  if (isMade && targets && !targets.numbers && !chosen) return {}; // nothing lies in memory
  const key = !isMade ? 'sha256' : targets ? 'targetsSha256' : 'labelsSha256';
  const arrays = function* () {
    if (!isMade) yield* inUse(numbers, set);
    yield* wantedInUse(set);
    if (isMade && chosen) yield chosen;
  };
  const hash = await hashOf(arrays(), signal);
  return hash === undefined ? undefined : { [key]: hash };
}

/**
 * describeData() with the hashes of what lies in memory alone, by which a resumed run knows it again and others are
 * compared with it.
 * @returns undefined when the signal ended it
 */
export async function describeContents(data: AnySplits, signal?: AbortSignal): Promise<DataDescription | undefined> {
  const train = await contentsOf(data.train, signal);
  const test = train && (await contentsOf(data.test, signal));
  if (!test) return undefined;
  const isKnown = Object.keys({ ...train, ...test }).length > 0;
  return { ...describeData(data), ...(isKnown ? { contents: { train, test } } : {}) };
}

/**
 * Reads the description that a run keeps.
 * @throws SpikeloomError with the file where it is missing or damaged
 */
export function readDataDescription(file: string): DataDescription {
  let value: Partial<DataDescription>;
  try {
    value = JSON.parse(readTextFile(file));
  } catch (error) {
    throw new SpikeloomError(`cannot read ${file}, which says what a run was tested on: ${(error as Error).message}`, {
      cause: error,
    });
  }
  const counts = [value?.train, value?.test, value?.classes];
  const whole = counts.every((count) => Number.isSafeInteger(count));
  const split = value?.split === undefined || typeof value.split?.hash === 'string';
  const { train, test } = value?.contents ?? {};
  const hashes = [train, test].flatMap((half) => HASHES.map(([key]) => half?.[key]));
  const hashed = hashes.every((hash) => hash === undefined || typeof hash === 'string');
  const shaped = value?.targets === undefined || isTargetShape(value.targets);
  if (typeof value?.name === 'string' && whole && split && hashed && shaped) return value as DataDescription;
  throw new SpikeloomError(`${file} must hold name, train, test and classes of a data set, but it does not`);
}

/** Why results of two runs say nothing beside each other; undefined where they may be compared. */
export function incomparable(a: DataDescription, b: DataDescription): string | undefined {
  if (a.name !== b.name) return `the data sets are '${a.name}' and '${b.name}'`;
  if (a.classes !== b.classes) return `the classes are ${a.classes} and ${b.classes}`;
  const [shape, other] = [a, b].map(({ targets }) => `[${targets ?? ''}]`);
  if (shape !== other) return `the targets are ${shape} and ${other}`;
  if (a.split?.hash !== b.split?.hash) return `the splits are ${splitText(a)} and ${splitText(b)}`;
  if (a.test !== b.test) return `the test samples are ${a.test} and ${b.test}`;
  const [own, others] = [a.contents?.test ?? {}, b.contents?.test ?? {}];
  for (const [key, what] of HASHES) {
    const hashes = [own[key], others[key]].map((hash) => hash?.slice(0, 12));
    if (own[key] === others[key] || hashes.includes(undefined)) continue;
    return `the ${what} have the SHA-256 ${hashes.join(' and ')}`;
  }
  return undefined;
}

/** A split as people read it: its name and the first digits of its hash. */
export function splitText({ split }: DataDescription): string {
  return split ? `'${split.name}' (${split.hash.slice(0, 12)})` : 'unnamed';
}
