// Batches of plain numbers: gathered, with the time steps in front where samples have them.
import { SpikeloomError } from '../../core/errors.ts';
import { kindOf } from '../../core/options.ts';
import { arrayIn } from '../array-in.ts';
import type { BatchSource } from '../batch.ts';
import type { BatchMaker, Targets } from '../sample-set.ts';
import {
  firstWrong,
  isList,
  isNumbers,
  type NumberSet,
  numbersRule,
  type SampleMaker,
  type SampleNumbers,
  sizeOf,
} from './number-set.ts';
import { targetSize, targetSteps, wrongTarget } from './targets.ts';

/** What the set's function made for a sample. @throws SpikeloomError that names the sample */
async function madeBy(make: SampleMaker, set: NumberSet, index: number, signal?: AbortSignal): Promise<Sample> {
  const where = `sample ${index} of '${set.name}'`;
  let made: unknown;
  try {
    made = await make(index, { signal });
  } catch (error) {
    const what = error instanceof Error ? error.message : kindOf(error);
    throw new SpikeloomError(`${where} could not be made: ${what}`, { cause: error });
  }
  const { targets } = set;
  if (!targets || targets.numbers) return { numbers: checkedNumbers(set, made, where) };
  const both = (typeof made === 'object' && made !== null ? made : {}) as Partial<Record<keyof Sample, unknown>>;
  if (both.numbers === undefined || both.targets === undefined) {
    throw new SpikeloomError(
      `${where} must be { numbers, targets }, since the set has no targets of its own, but its function gave ${kindOf(made)}`,
    );
  }
  return { numbers: checkedNumbers(set, both.numbers, where), targets: checkedTargets(targets, both.targets, where) };
}

function checkedNumbers(set: NumberSet, sample: unknown, where: string): SampleNumbers {
  const size = sizeOf(set);
  if (!isNumbers(sample) || sample.length !== size) {
    throw new SpikeloomError(
      `${where} must be a Float32Array or a Uint8Array of ${size} numbers, but its function gave ${listText(sample)}`,
    );
  }
  const wrong = firstWrong(sample, set.binary ?? false);
  if (wrong < 0) return sample;
  throw new SpikeloomError(
    `${numbersRule(set.binary ?? false)}, but number ${wrong} of ${where} is ${sample[wrong]}, as its function made it`,
  );
}

function checkedTargets({ shape }: Targets, given: unknown, where: string): Float32Array {
  const size = targetSize(shape);
  if (!isList(given) || given.length !== size) {
    throw new SpikeloomError(
      `the targets of ${where} must be an array of ${size} numbers, but its function gave ${listText(given)}`,
    );
  }
  const wrong = wrongTarget(given);
  if (!wrong) return given instanceof Float32Array ? given : Float32Array.from(given as ArrayLike<number>);
  throw new SpikeloomError(
    `targets are finite numbers in f32, but number ${wrong.at} of those of ${where} is ${wrong.found}, as its function made it`,
  );
}

/** A value for messages; of a list also its length. */
const listText = (value: unknown): string =>
  ArrayBuffer.isView(value) && isList(value) ? `a ${kindOf(value)} of ${value.length}` : kindOf(value);

/** A sample's numbers, and its target where it has one. */
interface Sample {
  numbers: SampleNumbers;
  targets?: Float32Array;
}

/** The samples of a set, by their index. */
function samplesOf(set: NumberSet): (index: number, signal?: AbortSignal) => Sample | Promise<Sample> {
  const { numbers, targets } = set;
  const rows = <A extends SampleNumbers>(all: A, index: number) => {
    const size = all.length / set.labels.length;
    return all.subarray(index * size, (index + 1) * size) as A;
  };
  const target = (index: number) => (targets?.numbers ? { targets: rows(targets.numbers, index) } : {});
  if (typeof numbers !== 'function') return (index) => ({ numbers: rows(numbers, index), ...target(index) });
  return async (index, signal) => ({ ...(await madeBy(numbers, set, index, signal)), ...target(index) });
}

/** Where a sample goes in a batch: number b of B, with T time steps. */
interface Place {
  b: number;
  batch: number;
  steps: number;
}

/** Puts a sample's numbers [T,...] at its place in a batch [T,B,...]. */
function put(batched: SampleNumbers, sample: SampleNumbers, { b, batch, steps }: Place): void {
  const frame = sample.length / steps;
  for (let t = 0; t < steps; t++) batched.set(sample.subarray(t * frame, (t + 1) * frame), (t * batch + b) * frame);
}

/**
 * Makes batches [B,C,H,W] or [T,B,C,H,W] of a set's numbers as they are; as bytes where that is wanted and the set
 * holds bytes. With their classes [B], or their targets [B,...] or [T,B,...].
 * @throws SpikeloomError for an augmentation: there is none for numbers
 */
export function numberBatches({ set, augment, asBytes = false }: BatchSource<NumberSet>): BatchMaker {
  if (augment !== 'none') {
    throw new SpikeloomError(
      `samples of numbers are not augmented, but '${set.name}' is to be by '${augment}'; use augment 'none' and change the numbers yourself`,
    );
  }
  const { numbers, steps = 1 } = set;
  const shape = set.targets?.shape;
  const sampleOf = samplesOf(set);
  return async ({ indices, memory, signal }) => {
    const batch = indices.length;
    const isBytes = asBytes && numbers instanceof Uint8Array;
    const length = batch * sizeOf(set);
    const images = isBytes ? arrayIn(Uint8Array, length, memory) : arrayIn(Float32Array, length, memory);
    const targets = shape && arrayIn(Float32Array, batch * targetSize(shape), undefined);
    for (const [b, index] of indices.entries()) {
      signal?.throwIfAborted(); // nobody waits for this batch
      const sample = await sampleOf(index, signal);
      put(images, sample.numbers, { b, batch, steps });
      if (targets) put(targets, sample.targets!, { b, batch, steps: targetSteps(shape) ?? 1 });
    }
    const wanted = targets
      ? { labels: new Int32Array(), targets }
      : { labels: Int32Array.from(indices, (index) => set.labels[index]!) };
    return { images, ...wanted, ...(isBytes ? { unit: 1 } : {}) };
  };
}
