import { argmax, max } from '../../lib/ops/max.ts';
import { host, noise, type OpCase, type OpTable } from '../support/op-table.ts';
import { indexOf, positionOf } from '../support/places.ts';

const shapes: [number[], number[] | undefined][] = [
  [[1], undefined],
  [[7], [0]],
  [[5, 31], [0]],
  [[5, 31], [-1]],
  [[3, 33, 10], [1]],
  [
    [3, 33, 10],
    [0, -1],
  ],
  [
    [2, 3, 5, 7],
    [2, 3],
  ],
  [[3, 2, 33, 5, 7], undefined],
  [[3, 2, 33, 5, 7], [2]],
  [[3, 2, 33, 5, 7], [0]],
  [
    [3, 2, 33, 5, 7],
    [0, 1, 3, 4],
  ],
  [
    [2, 3, 4, 2, 3, 2],
    [1, 3, 5],
  ],
  [[40000], undefined], // in parts
  [[40001, 3], [0]],
  [[2, 1100], [0]], // more than a block of columns
];

export const maxTable: OpTable = {
  name: 'max',
  natives: ['max', 'broadcast', 'sum'],
  cases: shapes.map(([shape, axes]) => ({
    name: `[${shape}] along ${axes ? `[${axes}]` : 'all'}`,
    inputs: () => ({ x: noise(shape) }),
    options: axes ? { axes } : {},
  })),
  run: ({ x }, options) => [max(x!, options)],
  twin: ({ x }, { axes }) => {
    const { shape } = x!;
    const over = ((axes as number[] | undefined) ?? shape.map((_, axis) => axis)).map((axis) =>
      axis < 0 ? axis + shape.length : axis,
    );
    const kept = shape.map((size, axis) => (over.includes(axis) ? 1 : size));
    const y = new Float64Array(kept.reduce((n, d) => n * d, 1)).fill(Number.NEGATIVE_INFINITY);
    x!.data.forEach((v, i) => {
      const at = positionOf(
        kept,
        indexOf(shape, i).map((k, axis) => (kept[axis] === 1 ? 0 : k)),
      );
      y[at] = Math.max(y[at]!, v);
    });
    const rest = shape.filter((_, axis) => !over.includes(axis));
    return [host(rest.length > 0 ? rest : [1], y)];
  },
  gradients: ['x'],
};

const found = (shape: number[], data?: number[]): OpCase => ({
  name: `[${shape}]${data ? ` of ${data}` : ''}`,
  inputs: () => ({ x: data ? host(shape, data) : noise(shape) }),
});

export const argmaxTable: OpTable = {
  name: 'argmax',
  natives: ['argmax'],
  cases: [
    ...[[1], [7], [5, 1], [5, 31], [3, 2, 33], [2, 3, 5, 70], [2, 3, 4, 9], [1, 40000]].map((shape) => found(shape)),
    found([2, 3], [1, 3, 3, -5, -5, -7]),
    found(
      [1, 70],
      Array.from({ length: 70 }, (_, i) => Number(i === 36 || i === 5)),
    ),
    found([2, 4], [1, Number.NaN, Number.POSITIVE_INFINITY, Number.NaN, -1, -2, Number.NEGATIVE_INFINITY, -1]),
  ],
  run: ({ x }) => [argmax(x!)],
  twin: ({ x }) => {
    const K = x!.shape.at(-1)!;
    const places = Array.from({ length: x!.data.length / K }, (_, row) => {
      const numbers = [...x!.data.subarray(row * K, (row + 1) * K)];
      const nan = numbers.findIndex(Number.isNaN);
      return nan >= 0 ? nan : numbers.indexOf(numbers.reduce((a, b) => Math.max(a, b)));
    });
    return [host(x!.shape.length === 1 ? [1] : x!.shape.slice(0, -1), places, 'i32')];
  },
};
