import type { Tensor } from '../../lib/core/index.ts';
import { add } from '../../lib/ops/add.ts';
import { mul } from '../../lib/ops/mul.ts';
import { div, sub } from '../../lib/ops/pointwise.ts';
import { type HostTensor, host, noise, type OpTable } from '../support/op-table.ts';
import { indexOf, positionOf } from '../support/places.ts';

const shapes: [x: number[], y: number[]][] = [
  [[5], [1]],
  [[1], [5]],
  [[40000], [1]],
  [[5, 31], [31]],
  [[31], [5, 31]],
  [
    [5, 31],
    [5, 1],
  ],
  [
    [5, 1],
    [1, 31],
  ],
  [
    [3, 33, 10],
    [3, 1, 10],
  ],
  [
    [1, 33, 1],
    [3, 1, 10],
  ],
  [
    [3, 2, 33, 5, 7],
    [1, 1, 33, 1, 1],
  ],
  [
    [3, 2, 33, 5, 7],
    [33, 1, 1],
  ],
  [
    [3, 2, 1, 5, 7],
    [1, 2, 33, 1, 1],
  ],
  [
    [2, 33, 5, 7],
    [3, 1, 1, 5, 7],
  ],
  [
    [3, 2, 33, 5, 7],
    [5, 1],
  ],
  [
    [2, 1, 4, 1, 3, 2],
    [1, 3, 4, 2, 1, 2],
  ],
];

/** Numbers away from 0. */
const divisors = (shape: number[]): HostTensor => {
  const { data } = noise(shape, 2);
  return host(
    shape,
    data.map((v) => Math.fround(v + (v < 0 ? -0.25 : 0.25))),
  );
};

const binary = (
  name: string,
  run: (x: Tensor, y: Tensor) => Tensor,
  twin: (x: number, y: number) => number,
): OpTable => ({
  name: `${name} of different shapes`,
  natives: ['broadcast'],
  cases: shapes.map(([x, y]) => ({ name: `[${x}] and [${y}]`, inputs: () => ({ x: noise(x), y: divisors(y) }) })),
  run: ({ x, y }) => [run(x!, y!)],
  twin: ({ x, y }) => {
    const rank = Math.max(x!.shape.length, y!.shape.length);
    const [a, b] = [x!, y!].map((t) => [...new Array<number>(rank - t.shape.length).fill(1), ...t.shape]);
    const shape = a!.map((size, axis) => Math.max(size, b![axis]!));
    const at = (from: HostTensor, sizes: number[], index: number[]) =>
      from.data[
        positionOf(
          sizes,
          index.map((i, axis) => (sizes[axis] === 1 ? 0 : i)),
        )
      ]!;
    const data = Array.from({ length: shape.reduce((n, d) => n * d, 1) }, (_, i) => {
      const index = indexOf(shape, i);
      return twin(at(x!, a!, index), at(y!, b!, index));
    });
    return [host(shape, data)];
  },
  gradients: ['x', 'y'],
});

export const addTable = binary('add', add, (x, y) => x + y);
export const subTable = binary('sub', sub, (x, y) => x - y);
export const mulTable = binary('mul', mul, (x, y) => x * y);
export const divTable = binary('div', div, (x, y) => x / y);
