// Batches of plain numbers: gathered, with the time steps in front where samples have them.
import { SpikeloomError } from '../../core/errors.ts';
import { kindOf } from '../../core/options.ts';
import { arrayIn } from '../array-in.ts';
import type { BatchSource } from '../batch.ts';
import type { BatchMaker } from '../sample-set.ts';
import {
  firstWrong,
  isNumbers,
  type NumberSet,
  numbersRule,
  type SampleMaker,
  type SampleNumbers,
  sizeOf,
} from './number-set.ts';

/** What the user's function made for a sample, if it is one. @throws SpikeloomError that names the sample */
async function madeBy(make: SampleMaker, set: NumberSet, index: number, signal?: AbortSignal): Promise<SampleNumbers> {
  const where = `sample ${index} of '${set.name}'`;
  let sample: unknown;
  try {
    sample = await make(index, { signal });
  } catch (error) {
    const what = error instanceof Error ? error.message : kindOf(error);
    throw new SpikeloomError(`${where} could not be made: ${what}`, { cause: error });
  }
  const size = sizeOf(set);
  if (!isNumbers(sample) || sample.length !== size) {
    const found = isNumbers(sample) ? `a ${kindOf(sample)} of ${sample.length}` : kindOf(sample);
    throw new SpikeloomError(
      `${where} must be a Float32Array or a Uint8Array of ${size} numbers, but its function gave ${found}`,
    );
  }
  const wrong = firstWrong(sample, set.binary ?? false);
  if (wrong < 0) return sample;
  throw new SpikeloomError(
    `${numbersRule(set.binary ?? false)}, but number ${wrong} of ${where} is ${sample[wrong]}, as its function made it`,
  );
}

/**
 * Makes batches [B,C,H,W] or [T,B,C,H,W] of a set's numbers as they are; as bytes where that is wanted and the set
 * holds bytes.
 * @throws SpikeloomError for an augmentation: there is none for numbers
 */
export function numberBatches({ set, augment, asBytes = false }: BatchSource<NumberSet>): BatchMaker {
  if (augment !== 'none') {
    throw new SpikeloomError(
      `samples of numbers are not augmented, but '${set.name}' is to be by '${augment}'; use augment 'none' and change the numbers yourself`,
    );
  }
  const { numbers, steps = 1 } = set;
  const size = sizeOf(set);
  const frame = size / steps;
  return async ({ indices, memory, signal }) => {
    const { length } = indices;
    const isBytes = asBytes && numbers instanceof Uint8Array;
    const images = isBytes ? arrayIn(Uint8Array, length * size, memory) : arrayIn(Float32Array, length * size, memory);
    for (const [b, index] of indices.entries()) {
      signal?.throwIfAborted(); // nobody waits for this batch
      const sample =
        typeof numbers === 'function'
          ? await madeBy(numbers, set, index, signal)
          : numbers.subarray(index * size, (index + 1) * size);
      for (let t = 0; t < steps; t++) images.set(sample.subarray(t * frame, (t + 1) * frame), (t * length + b) * frame);
    }
    const labels = Int32Array.from(indices, (index) => set.labels[index]!);
    return { images, labels, ...(isBytes ? { unit: 1 } : {}) };
  };
}
