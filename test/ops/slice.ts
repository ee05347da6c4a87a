import type { RealType } from '../../lib/core/index.ts';
import { concat, slice } from '../../lib/ops/slice.ts';
import { toReal } from '../../lib/ops/to-real.ts';
import { type HostTensor, host, noise, type OpCase, type OpTable, spikes } from '../support/op-table.ts';
import { moved } from '../support/places.ts';

type Part = [shape: number[], axis: number, from?: number, to?: number];

const real: Part[] = [
  [[1], 0],
  [[7], 0, 2, 5],
  [[40000], 0, 1, -1],
  [[5, 31], 0, -2],
  [[5, 31], 1, 0, 30],
  [[5, 32], -1, 16, 24],
  [[3, 2, 33], 1, 1],
  [[2, 3, 5, 7], 1, 1, 3],
  [[2, 3, 5, 7], 2, -4, -1],
  [[4, 2, 33, 5, 7], 0, 1, 2],
  [[4, 2, 33, 5, 7], 2, 8, 32],
  [[4, 2, 33, 5, 7], 4, 3],
  [[2, 3, 4, 2, 3, 2], 3, 1],
  [[2, 3, 4, 2, 3, 2], 5, 0, 1],
  [[2, 2, 64, 15, 12], 1, 1], // rows in several pieces
];
const packed: Part[] = [1, 31, 32, 33, 64, 97].flatMap((c): Part[] => [
  [[3, 2, c], 0, 1],
  [[3, 2, c], 1, 0, 1],
  [[2, 3, c, 3, 5], 1, 1],
  [[2, 3, c, 3, 5], 3, 1, 2],
  [[2, 3, c, 3, 5], 2, Math.floor(c / 3), c],
  [[2, 3, c], -1, Math.floor(c / 2), Math.floor(c / 2) + 1],
  [[2, 3, c], 2, 0, Math.ceil(c / 2)],
]);

const from = (begin = 0, size = 0) => (begin < 0 ? begin + size : begin);
const part = (made: (shape: number[]) => HostTensor, [shape, axis, begin, end]: Part): OpCase => ({
  name: `[${shape}] ${axis}: ${begin ?? ''}..${end ?? ''}`,
  inputs: () => ({ x: made(shape) }),
  options: { axis, ...(begin === undefined ? {} : { from: begin }), ...(end === undefined ? {} : { to: end }) },
});

export const sliceTable: OpTable = {
  name: 'slice',
  natives: ['slice', 'place'],
  cases: [
    ...real.map((item) => part(noise, item)),
    ...packed.map((item) => part((shape) => spikes(shape, 0.4), item)),
    part((shape) => spikes(shape, 0), [[2, 70], 1, 3, 40]),
    part((shape) => spikes(shape, 1), [[2, 70], 1, 3, 40]),
    part(
      (shape) => ({ ...noise(shape), data: noise(shape).data.map((v) => Math.round(9 * v)), kind: 'i32' }),
      [[3, 5], 1, 2],
    ),
    part((shape) => host(shape, [9, 8, 7, 6, 5, 4], 'u8'), [[2, 3], 1, 1]),
  ],
  run: ({ x }, options) => [slice(x!, options as never)],
  twin: ({ x }, options) => {
    const at = from(options.axis as number, x!.shape.length);
    const size = x!.shape[at]!;
    const begin = from(options.from as number | undefined, size);
    const end = from((options.to as number | undefined) ?? size, size);
    const shape = x!.shape.map((n, axis) => (axis === at ? end - begin : n));
    return [moved(x!, shape, (index) => index.map((i, axis) => (axis === at ? i + begin : i)))];
  },
  gradients: ['x'],
};

/** Every step by itself, used twice: the gradients add up in one tensor. */
export const stepsTable: OpTable = {
  name: 'slice, step by step',
  natives: ['slice', 'place', 'addPart'],
  cases: [
    { name: '[4,2,33]', inputs: () => ({ x: noise([4, 2, 33]) }), options: { axis: 0 } },
    { name: '[2,3,5,7]', inputs: () => ({ x: noise([2, 3, 5, 7]) }), options: { axis: 3 } },
    { name: 'spikes [3,2,33]', inputs: () => ({ x: spikes([3, 2, 33], 0.4) }), options: { axis: 0 } },
  ],
  run: ({ x }, { axis }) => {
    const size = x!.shape[axis as number]!;
    const steps = Array.from({ length: size }, (_, i) => slice(x!, { axis: axis as number, from: i, to: i + 1 }));
    return [concat([...steps.reverse(), slice(x!, { axis: axis as number, from: -1 })], { axis: axis as number })];
  },
  twin: ({ x }, { axis }) => {
    const size = x!.shape[axis as number]!;
    const shape = x!.shape.map((n, at) => (at === axis ? n + 1 : n));
    const backward = (i: number) => (i === size ? size - 1 : size - 1 - i);
    return [moved(x!, shape, (index) => index.map((i, at) => (at === axis ? backward(i) : i)))];
  },
  gradients: ['x'],
};

type Joined = [shapes: number[][], axis: number];
const joined: Joined[] = [
  [[[3]], 0],
  [[[3], [1], [4]], 0],
  [
    [
      [2, 31],
      [5, 31],
    ],
    0,
  ],
  [
    [
      [5, 8],
      [5, 16],
      [5, 1],
    ],
    -1,
  ],
  [
    [
      [2, 3, 5, 7],
      [2, 4, 5, 7],
    ],
    1,
  ],
  [
    [
      [2, 3, 5, 7],
      [2, 3, 2, 7],
    ],
    2,
  ],
  [
    [
      [1, 2, 33, 5, 7],
      [3, 2, 33, 5, 7],
    ],
    0,
  ],
  [
    [
      [2, 1, 33, 5, 7],
      [2, 1, 1, 5, 7],
    ],
    2,
  ],
  [
    [
      [2, 3, 4, 2, 3, 2],
      [2, 3, 4, 2, 1, 2],
    ],
    4,
  ],
];
const joinedSpikes: Joined[] = [
  ...[1, 31, 32, 33].flatMap((c): Joined[] => [
    [
      [
        [2, c],
        [1, c],
      ],
      0,
    ],
    [
      [
        [2, c],
        [2, 1],
        [2, 70],
        [2, c],
      ],
      1,
    ],
    [
      [
        [2, 2, c, 3, 3],
        [2, 2, 5, 3, 3],
      ],
      2,
    ],
  ]),
  [new Array<number[]>(40).fill([2, 3]), 1], // many in a word
];
const names = ['a', 'b', 'c', 'd'];
const join = (made: (shape: number[], seed: number) => HostTensor, [shapes, axis]: Joined, kind = ''): OpCase => ({
  name: `${kind}${shapes
    .map((shape) => `[${shape}]`)
    .slice(0, 4)
    .join(' ')} along ${axis}`,
  inputs: () => Object.fromEntries(shapes.map((shape, i) => [names[i] ?? `x${i}`, made(shape, i + 1)])),
  options: { axis },
});

export const concatTable: OpTable = {
  name: 'concat',
  natives: ['slice', 'place'],
  cases: [
    ...joined.map((item) => join(noise, item)),
    ...joinedSpikes.map((item) => join((shape, seed) => spikes(shape, 0.4, seed), item, 'spikes ')),
    join(
      (shape) => spikes(shape, 1),
      [
        [
          [2, 5],
          [2, 30],
        ],
        1,
      ],
      'all firing ',
    ),
  ],
  run: (inputs, options) => {
    const all = Object.values(inputs);
    const type = all.find((x) => x.dtype !== 'spike')?.dtype as RealType | undefined; // of a spike gradient's check
    const alike = all.map((x) => (x.dtype === 'spike' && type ? toReal(x, { real: type }) : x));
    return [concat(alike, options as never)];
  },
  twin: (inputs, { axis }) => {
    const all = Object.values(inputs);
    const at = from(axis as number, all[0]!.shape.length);
    const place = all.flatMap((x, which) => Array.from({ length: x.shape[at]! }, (_, i) => [which, i] as const));
    const shape = all[0]!.shape.map((n, k) => (k === at ? place.length : n));
    const parts = all.map((x, which) =>
      moved(x, shape, (index) =>
        place[index[at]!]![0] === which ? index.map((i, k) => (k === at ? place[i]![1] : i)) : undefined,
      ),
    );
    return [
      host(
        shape,
        parts[0]!.data.map((_, i) => parts.reduce((sum, p) => sum + p.data[i]!, 0)),
        all[0]!.kind,
      ),
    ];
  },
  gradients: names,
};
