import { permute } from '../../lib/ops/permute.ts';
import { type HostTensor, noise, type OpCase, type OpTable, spikes } from '../support/op-table.ts';
import { moved } from '../support/places.ts';

type Order = [shape: number[], axes: number[]];

const real: Order[] = [
  [[1], [0]],
  [[7], [-1]],
  [
    [5, 31],
    [0, 1],
  ],
  [
    [5, 31],
    [1, 0],
  ],
  [
    [48, 33],
    [-1, 0],
  ],
  [
    [150, 270],
    [1, 0],
  ],
  [
    [3, 17, 33],
    [1, 0, 2],
  ],
  [
    [3, 17, 33],
    [0, 2, 1],
  ],
  [
    [3, 17, 33],
    [2, 0, 1],
  ],
  [
    [3, 17, 1],
    [2, 1, 0],
  ],
  [
    [2, 33, 5, 7],
    [0, 2, 3, 1],
  ],
  [
    [2, 33, 5, 7],
    [0, 2, 1, 3],
  ],
  [
    [2, 33, 5, 7],
    [3, 2, 1, 0],
  ],
  [
    [3, 2, 33, 5, 7],
    [1, 0, 2, 3, 4],
  ],
  [
    [3, 2, 33, 5, 7],
    [0, 1, 3, 4, 2],
  ],
  [
    [3, 2, 33, 5, 7],
    [0, 1, 2, 4, 3],
  ],
  [
    [3, 1, 33, 1, 7],
    [4, 1, 0, 3, 2],
  ],
  [
    [2, 3, 4, 2, 3, 2],
    [5, 3, 1, 0, 2, 4],
  ],
  [
    [2, 3, 4, 2, 3, 2],
    [1, 0, 2, 3, 5, 4],
  ],
  [
    [4, 2, 3, 1, 3],
    [0, 3, 1, 2, 4],
  ],
];
const packed: Order[] = [1, 31, 32, 33, 64].flatMap((c): Order[] => [
  [
    [3, 5, c],
    [1, 0, 2],
  ],
  [
    [3, 35, c],
    [0, 2, 1],
  ],
  [
    [c, 40],
    [1, 0],
  ],
  [
    [2, 3, c, 3, 5],
    [1, 0, 2, 4, 3],
  ],
  [
    [2, 3, c, 3, 5],
    [0, 1, 3, 2, 4],
  ],
  [
    [2, 3, c, 3, 5],
    [2, 4, 1, 0, 3],
  ],
]);

const item = (made: (shape: number[]) => HostTensor, [shape, axes]: Order, kind = ''): OpCase => ({
  name: `${kind}[${shape}] by [${axes}]`,
  inputs: () => ({ x: made(shape) }),
  options: { axes },
});

export const table: OpTable = {
  name: 'permute',
  natives: ['permute'],
  cases: [
    ...real.map((order) => item(noise, order)),
    ...packed.map((order) => item((shape) => spikes(shape, 0.4), order, 'spikes ')),
    item(
      (shape) => spikes(shape, 0),
      [
        [3, 40, 33],
        [0, 2, 1],
      ],
      'silent ',
    ),
    item(
      (shape) => spikes(shape, 1),
      [
        [3, 40, 33],
        [0, 2, 1],
      ],
      'all firing ',
    ),
    item(
      (shape) => ({ ...spikes(shape, 0.5), kind: 'u8' }),
      [
        [20, 37],
        [1, 0],
      ],
      'bytes ',
    ),
    item(
      (shape) => ({ ...spikes(shape, 0.5), kind: 'i32' }),
      [
        [2, 20, 37],
        [2, 1, 0],
      ],
      'whole numbers ',
    ),
  ],
  run: ({ x }, { axes }) => [permute(x!, axes as number[])],
  twin: ({ x }, { axes }) => {
    const order = (axes as number[]).map((axis) => (axis < 0 ? axis + x!.shape.length : axis));
    const shape = order.map((axis) => x!.shape[axis]!);
    return [moved(x!, shape, (index) => x!.shape.map((_, axis) => index[order.indexOf(axis)]!))];
  },
  gradients: ['x'],
};
