// What samples may have in place of classes: real numbers, in one shape for all samples.
import { kindOf } from '../../core/options.ts';

/** The shapes that targets may have, for messages. */
export const TARGET_SHAPES = '[K] or [C,H,W], with time steps [T,K] or [T,C,H,W]';

export const isTargetShape = (shape: unknown): shape is readonly number[] =>
  Array.isArray(shape) &&
  shape.length >= 1 &&
  shape.length <= 4 &&
  shape.every((size) => Number.isSafeInteger(size) && size >= 1);

/** T of targets with time steps, which are those of an even number of axes; of others undefined. */
export const targetSteps = (shape: readonly number[]): number | undefined =>
  shape.length % 2 === 0 ? shape[0] : undefined;

/** Numbers of a sample's target. */
export const targetSize = (shape: readonly number[]): number => shape.reduce((all, size) => all * size, 1);

/** The shape of a batch's targets: [B,...], with time steps [T,B,...], as a network gives its output. */
export function targetBatch(shape: readonly number[], batch: number): number[] {
  const steps = targetSteps(shape);
  return steps === undefined ? [batch, ...shape] : [steps, batch, ...shape.slice(1)];
}

/** The first number that is not finite in f32, as targets are, and what is there; undefined where all are. */
export function wrongTarget(numbers: ArrayLike<unknown>): { at: number; found: string } | undefined {
  for (let at = 0; at < numbers.length; at++) {
    const value = numbers[at];
    if (typeof value !== 'number' || !Number.isFinite(Math.fround(value))) return { at, found: kindOf(value) };
  }
  return undefined;
}
