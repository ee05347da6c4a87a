// Row-major positions of tensors on the host, for the twins of ops that move elements.
import { type HostTensor, host } from './op-table.ts';

/** The index of every axis of the element at a row-major position. */
export function indexOf(shape: readonly number[], position: number): number[] {
  const index = new Array<number>(shape.length);
  for (let axis = shape.length - 1, rest = position; axis >= 0; axis--) {
    index[axis] = rest % shape[axis]!;
    rest = Math.floor(rest / shape[axis]!);
  }
  return index;
}

/** The other way. */
export const positionOf = (shape: readonly number[], index: readonly number[]): number =>
  index.reduce((at, i, axis) => at * shape[axis]! + i, 0);

/** A tensor of another shape, whose elements come from the places that `source` names, undefined for none. */
export function moved(
  x: HostTensor,
  shape: readonly number[],
  source: (index: number[]) => readonly number[] | undefined,
): HostTensor {
  const size = shape.reduce((n, d) => n * d, 1);
  const data = Array.from({ length: size }, (_, i) => {
    const from = source(indexOf(shape, i));
    return from ? x.data[positionOf(x.shape, from)]! : 0;
  });
  return host(shape, data, x.kind);
}
