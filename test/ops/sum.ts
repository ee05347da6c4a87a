import { expand, mean, sum } from '../../lib/ops/sum.ts';
import { type HostTensor, host, noise, type OpCase, type OpTable, spikes } from '../support/op-table.ts';

/** The row-major position in `to` of what lies at `position` in `from`; axes of length 1 in `to` have one place. */
function placeIn(to: readonly number[], from: readonly number[], position: number): number {
  let rest = position;
  let at = 0;
  let step = 1;
  for (let axis = from.length - 1; axis >= 0; axis--) {
    if (to[axis] !== 1) at += (rest % from[axis]!) * step;
    step *= to[axis]!;
    rest = Math.floor(rest / from[axis]!);
  }
  return at;
}

function summed({ shape, data }: HostTensor, axes: unknown, isMean: boolean): HostTensor {
  const over = ((axes as number[] | undefined) ?? shape.map((_, axis) => axis)).map((axis) =>
    axis < 0 ? axis + shape.length : axis,
  );
  const kept = shape.map((size, axis) => (over.includes(axis) ? 1 : size));
  const out = new Float64Array(kept.reduce((n, size) => n * size, 1));
  data.forEach((v, i) => {
    out[placeIn(kept, shape, i)]! += v;
  });
  const rest = shape.filter((_, axis) => !over.includes(axis));
  return host(rest.length > 0 ? rest : [1], isMean ? out.map((v) => (v * out.length) / data.length) : out);
}

/** Shapes and the axes to add along. */
const real: [number[], number[] | undefined][] = [
  [[1], undefined],
  [[1], [0]],
  [[7], undefined],
  [[5, 31], [0]],
  [[5, 31], [1]],
  [
    [5, 31],
    [0, 1],
  ],
  [[3, 33, 10], [-1]],
  [
    [3, 33, 10],
    [0, -1],
  ],
  [[3, 33, 10], [1]],
  [[2, 3, 5, 7], [1]],
  [
    [2, 3, 5, 7],
    [2, 3],
  ],
  [
    [2, 3, 5, 7],
    [0, 3],
  ],
  [[3, 2, 33, 5, 7], undefined],
  [[3, 2, 33, 5, 7], [0]],
  [[3, 2, 33, 5, 7], [2]],
  [[3, 2, 33, 5, 7], [3]],
  [
    [3, 2, 33, 5, 7],
    [-2, -1],
  ],
  [
    [3, 2, 33, 5, 7],
    [4, 0],
  ],
  [
    [3, 2, 33, 5, 7],
    [0, 1, 3, 4],
  ],
  [
    [2, 3, 4, 2, 3, 2],
    [0, 2, 4],
  ],
  [
    [2, 3, 4, 2, 3, 2],
    [1, 3, 5],
  ],
  [
    [2, 1, 3, 1, 1],
    [1, 3],
  ],
  [[1, 1, 1, 1], [2]],
];
const large: typeof real = [
  [[40000], undefined], // in parts
  [[40001, 3], [0]],
  [[3, 40001], [1]],
  [[2, 1100], [0]], // more than a block of columns
  [
    [70, 1, 9, 8, 8],
    [0, 3, 4],
  ],
];
const packed = [1, 31, 32, 33, 64].flatMap((c): [number[], number[] | undefined][] => [
  [[2, 3, c, 3, 5], undefined],
  [[2, 3, c, 3, 5], [2]],
  [[2, 3, c, 3, 5], [0]],
  [
    [2, 3, c, 3, 5],
    [0, 2],
  ],
  [
    [2, 3, c, 3, 5],
    [0, 1, 3, 4],
  ],
  [
    [2, 3, c, 3, 5],
    [1, 2, 3, 4],
  ],
  [[4, 2, c], [0]],
  [[4, 2, c], [-1]],
]);

const named = ([shape, axes]: (typeof real)[number]) => `[${shape}] along ${axes ? `[${axes}]` : 'all'}`;
const cases: OpCase[] = [
  ...[...real, ...large].map((item) => ({
    name: named(item),
    inputs: () => ({ x: noise(item[0]) }),
    options: { axes: item[1] },
  })),
  ...packed.map((item) => ({
    name: `spikes, ${named(item)}`,
    inputs: () => ({ x: spikes(item[0], 0.4) }),
    options: { axes: item[1] },
  })),
  { name: 'silent', inputs: () => ({ x: spikes([1, 2, 33, 3, 3], 0) }), options: { axes: [0, 2] } },
  { name: 'all firing', inputs: () => ({ x: spikes([1, 2, 33, 3, 3], 1) }), options: { axes: [2] } },
  { name: 'words in parts', inputs: () => ({ x: spikes([40000, 1], 0.3) }), options: {} },
  { name: 'spikes in parts', inputs: () => ({ x: spikes([40, 1, 33, 6, 5], 0.3) }), options: { axes: [0, 3, 4] } },
];

export const sumTable: OpTable = {
  name: 'sum',
  natives: ['sum', 'expand'],
  cases,
  run: ({ x }, options) => [sum(x!, options)],
  twin: ({ x }, { axes }) => [summed(x!, axes, false)],
  gradients: ['x'],
};

export const meanTable: OpTable = {
  name: 'mean',
  natives: ['sum', 'expand'],
  cases,
  run: ({ x }, options) => [mean(x!, { real: 'f64', ...options })],
  twin: ({ x }, { axes }) => [summed(x!, axes, true)],
  gradients: ['x'],
};

const expanded: [number[], number[]][] = [
  [[1], [1]],
  [[1], [7]],
  [[1], [40000]],
  [[31], [5, 31]],
  [
    [5, 1],
    [5, 31],
  ],
  [
    [1, 31],
    [5, 31],
  ],
  [
    [3, 33, 1],
    [3, 33, 10],
  ],
  [
    [3, 1, 10],
    [3, 33, 10],
  ],
  [[4], [2, 3, 5, 4]],
  [
    [3, 1, 1],
    [2, 3, 5, 4],
  ],
  [
    [5, 4],
    [2, 1, 3, 5, 4],
  ],
  [
    [3, 2, 33, 1, 1],
    [3, 2, 33, 5, 7],
  ],
  [
    [1, 2, 33, 5, 7],
    [3, 2, 33, 5, 7],
  ],
  [
    [3, 2, 1, 5, 7],
    [3, 2, 33, 5, 7],
  ],
  [
    [1, 1, 33, 1, 1],
    [3, 2, 33, 5, 7],
  ],
  [
    [1, 3, 1, 2, 1, 2],
    [2, 3, 4, 2, 3, 2],
  ],
  [
    [70, 1, 1, 1],
    [70, 9, 40, 8],
  ],
  [
    [3, 2, 5],
    [3, 2, 5],
  ],
];

export const expandTable: OpTable = {
  name: 'expand',
  natives: ['sum', 'expand'],
  cases: expanded.map(([from, to]) => ({
    name: `[${from}] to [${to}]`,
    inputs: () => ({ x: noise(from) }),
    options: { to },
  })),
  run: ({ x }, { to }) => [expand(x!, to as number[])],
  twin: ({ x }, { to }) => {
    const shape = to as number[];
    const from = [...new Array<number>(shape.length - x!.shape.length).fill(1), ...x!.shape];
    const size = shape.reduce((n, d) => n * d, 1);
    return [
      host(
        shape,
        Array.from({ length: size }, (_, i) => x!.data[placeIn(from, shape, i)]!),
      ),
    ];
  },
  gradients: ['x'],
};
