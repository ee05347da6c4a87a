// Axes as callers name them: from 0 on, or from the end where negative, -1 the last one.
import { describe, SpikeloomError, type Tensor } from '../core/index.ts';
import { contentOf, kindOf } from '../core/options.ts';

const isAxis = (axis: unknown, rank: number): boolean =>
  Number.isSafeInteger(axis) && (axis as number) >= -rank && (axis as number) < rank;

const counted = (axis: number, rank: number): number => (axis < 0 ? axis + rank : axis);

/** One axis of x, counted from 0. @throws SpikeloomError for one that x does not have */
export function needAxis(name: string, x: Tensor, axis: unknown): number {
  const rank = x.shape.length;
  if (!isAxis(axis, rank)) {
    throw new SpikeloomError(
      `${name}: the axis is a whole number from ${-rank} to ${rank - 1} for ${describe(x)}, not ${kindOf(axis)}`,
    );
  }
  return counted(axis as number, rank);
}

/** Several axes of x, counted from 0. @throws SpikeloomError for others than x has, and for one that is named twice */
export function needAxes(name: string, x: Tensor, axes: unknown, remedy: string): number[] {
  const rank = x.shape.length;
  if (!Array.isArray(axes) || axes.length === 0 || !axes.every((axis) => isAxis(axis, rank))) {
    throw new SpikeloomError(
      `${name}: axes are one or more whole numbers from ${-rank} to ${rank - 1} for ${describe(x)}, not ${contentOf(axes)}; ${remedy}`,
    );
  }
  const numbers = (axes as number[]).map((axis) => counted(axis, rank));
  if (new Set(numbers).size !== numbers.length)
    throw new SpikeloomError(`${name}: axes ${contentOf(axes)} of ${describe(x)} name one of them twice`);
  return numbers;
}
