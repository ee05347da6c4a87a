import { backward, nativeOp } from '../../lib/core/index.ts';
import { add } from '../../lib/ops/add.ts';
import { slice } from '../../lib/ops/slice.ts';
import { host, noise, type OpCase, type OpTable, spikes } from '../support/op-table.ts';

const channelCounts = [1, 31, 32, 33, 64];
const shapeOf = (c: number) => [2, 1, c, 3, 5];

const cases: OpCase[] = [
  { name: '[1]', inputs: () => ({ x: noise([1]), y: noise([1], 2) }) },
  { name: 'real and real', inputs: () => ({ x: noise([3, 2, 33, 5, 7]), y: noise([3, 2, 33, 5, 7], 2) }) },
  { name: 'more than one task', inputs: () => ({ x: noise([40000]), y: noise([40000], 2) }) },
  ...channelCounts.flatMap((c) => [
    { name: `spikes and real, ${c} channels`, inputs: () => ({ x: spikes(shapeOf(c), 0.4), y: noise(shapeOf(c), 2) }) },
    { name: `real and spikes, ${c} channels`, inputs: () => ({ x: noise(shapeOf(c)), y: spikes(shapeOf(c), 0.4, 2) }) },
  ]),
  { name: 'silent and real', inputs: () => ({ x: spikes(shapeOf(33), 0), y: noise(shapeOf(33), 2) }) },
  { name: 'all firing and real', inputs: () => ({ x: spikes(shapeOf(33), 1), y: noise(shapeOf(33), 2) }) },
  {
    name: 'spikes, several tasks',
    inputs: () => ({ x: spikes([1, 1, 33, 23, 23], 0.3), y: noise([1, 1, 33, 23, 23]) }),
  },
];

export const table: OpTable = {
  name: 'add',
  natives: ['add'],
  cases,
  run: ({ x, y }) => [add(x!, y!)],
  twin: ({ x, y }) => [
    host(
      x!.shape,
      x!.data.map((v, i) => v + y!.data[i]!),
    ),
  ],
  gradients: ['x', 'y'],
};

export const ofSpikes: OpTable = {
  name: 'add of two spike tensors',
  natives: ['add'],
  cases: channelCounts.map((c) => ({
    name: `${c} channels`,
    inputs: () => ({ x: spikes([1, 2, c, 4, 3], 0.5), y: spikes([1, 2, c, 4, 3], 0.5, 2) }),
  })),
  run: ({ x, y }) => [add(x!, y!)],
  twin: table.twin,
};

/** x + x, so that its gradient is a sum that the tape makes. */
export const twice: OpTable = {
  name: 'add of a tensor to itself',
  natives: ['add'],
  cases: [{ name: '[3,5]', inputs: () => ({ x: noise([3, 5]) }) }],
  run: ({ x }) => [add(x!, x!)],
  twin: ({ x }) => [
    host(
      x!.shape,
      x!.data.map((v) => 2 * v),
    ),
  ],
  gradients: ['x'],
};

/** backward() without a gradient to start with: it starts at 1. */
export const start: OpTable = {
  name: 'the 1 that backward starts with',
  natives: ['fill'],
  cases: [
    { name: 'one', inputs: () => ({ x: noise([1]) }), options: { value: 1 } },
    { name: 'many', inputs: () => ({ x: noise([3, 40, 7, 5]) }), options: { value: -2.5 } },
  ],
  run({ x }, { value }) {
    x!.requiresGrad = x!.size === 1;
    if (x!.size === 1) backward(add(x!, x!));
    const { y } = nativeOp<'y'>('fill').run({ x: x! }, { value: value as number });
    return x!.grad ? [y, x!.grad.alias(x!.shape)] : [y];
  },
  twin: ({ x }, { value }) => [
    host(
      x!.shape,
      x!.data.map(() => value as number),
    ),
    ...(x!.data.length === 1 ? [host(x!.shape, [2])] : []),
  ],
};

const zero = nativeOp<never>('zero');

/** As zeros() in a recorded step. */
export const zeroed: OpTable = {
  name: 'zero',
  natives: ['zero'],
  cases: [
    ...[[1], [3, 33], [2, 1, 33, 3, 5], [40001]].flatMap((shape) =>
      (['real', 'i32', 'u8'] as const).map((kind) => ({
        name: `[${shape}] of ${kind}`,
        inputs: () => ({ x: { ...noise(shape), data: noise(shape).data.map(() => 3), kind } }),
      })),
    ),
    ...channelCounts.map((c) => ({ name: `spikes, ${c} channels`, inputs: () => ({ x: spikes(shapeOf(c), 1) }) })),
  ],
  run({ x }) {
    const y = slice(x!, { axis: 0 }); // a copy
    zero.run({ y });
    return [y];
  },
  twin: ({ x }) => [{ ...x!, data: x!.data.map(() => 0) }],
};
