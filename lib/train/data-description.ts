// What a run was trained and tested on: the facts that two runs must share to be compared, and how the samples are
// presented.

import { hashOf } from '../core/content-hash.ts';
import { SpikeloomError } from '../core/errors.ts';
import { readTextFile } from '../core/file-kind.ts';
import type { AugmentName } from '../data/augment/augment.ts';
import type { AnySet } from '../data/batch.ts';
import type { SampleSplits, SplitName } from '../data/sample-set.ts';

/** Samples and classes of a data set as a run used it, after its limits. */
export interface DataDescription {
  name: string;
  /** Training samples. */
  train: number;
  /** Test samples. */
  test: number;
  /** Number of classes. */
  classes: number;
  /** T where samples have a time axis of their own. */
  steps?: number;
  /** How samples were split, where there is more than one way in use. */
  split?: SplitName;
}

/**
 * Describes a data set for a run's files.
 * @example describeData(mnist('datasets/mnist')) // { name: 'mnist', train: 60000, test: 10000, classes: 10 }
 */
export function describeData({ train, test }: SampleSplits): DataDescription {
  const { name, steps, split, classes } = train;
  return {
    ...{ name, train: train.count, test: test.count, classes: classes.length },
    ...(steps === undefined ? {} : { steps }),
    ...(split === undefined ? {} : { split }),
  };
}

/**
 * How the samples of a set become numbers, by what changes these alone: not where the files lie, nor what is done with
 * broken ones. T is in the description, C, H and W are in the network. Of plain numbers contentsOf() has the rest.
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

/**
 * The hash of samples that lie in memory alone, by which a resumed run knows them again; nothing for other sets, and for
 * samples that a function makes.
 */
export async function contentsOf(set: AnySet): Promise<{ sha256?: string }> {
  if (set.kind !== 'numbers' || typeof set.numbers === 'function') return {};
  const { numbers, labels, chosen } = set;
  return { sha256: await hashOf([numbers, labels, ...(chosen ? [chosen] : [])]) };
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
  if (typeof value?.name === 'string' && whole && split) return value as DataDescription;
  throw new SpikeloomError(`${file} must hold name, train, test and classes of a data set, but it does not`);
}

/** Why results of two runs say nothing beside each other; undefined where they may be compared. */
export function incomparable(a: DataDescription, b: DataDescription): string | undefined {
  if (a.name !== b.name) return `the data sets are '${a.name}' and '${b.name}'`;
  if (a.classes !== b.classes) return `the classes are ${a.classes} and ${b.classes}`;
  if (a.split?.hash !== b.split?.hash) return `the splits are ${splitText(a)} and ${splitText(b)}`;
  if (a.test !== b.test) return `the test samples are ${a.test} and ${b.test}`;
  return undefined;
}

/** A split as people read it: its name and the first digits of its hash. */
export function splitText({ split }: DataDescription): string {
  return split ? `'${split.name}' (${split.hash.slice(0, 12)})` : 'unnamed';
}
