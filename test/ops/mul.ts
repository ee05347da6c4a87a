import { mul, scale } from '../../lib/ops/mul.ts';
import { host, noise, type OpTable } from '../support/op-table.ts';

const shapes = [[1], [3, 2, 33, 5, 7], [40000]];

export const table: OpTable = {
  name: 'mul',
  natives: ['mul'],
  cases: shapes.map((shape) => ({ name: `[${shape}]`, inputs: () => ({ x: noise(shape), y: noise(shape, 2) }) })),
  run: ({ x, y }) => [mul(x!, y!)],
  twin: ({ x, y }) => [
    host(
      x!.shape,
      x!.data.map((v, i) => v * y!.data[i]!),
    ),
  ],
  gradients: ['x', 'y'],
};

export const square: OpTable = {
  name: 'mul of a tensor by itself',
  natives: ['mul'],
  cases: [{ name: '[3,5]', inputs: () => ({ x: noise([3, 5]) }) }],
  run: ({ x }) => [mul(x!, x!)],
  twin: ({ x }) => [
    host(
      x!.shape,
      x!.data.map((v) => v * v),
    ),
  ],
  gradients: ['x'],
};

export const byNumber: OpTable = {
  name: 'scale',
  natives: ['scale'],
  cases: shapes.map((shape) => ({
    name: `[${shape}]`,
    inputs: () => ({ x: noise(shape) }),
    options: { factor: -0.75 },
  })),
  run: ({ x }, { factor }) => [scale(x!, factor as number)],
  twin: ({ x }, { factor }) => [
    host(
      x!.shape,
      x!.data.map((v) => v * (factor as number)),
    ),
  ],
  gradients: ['x'],
};
