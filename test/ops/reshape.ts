import { reshape } from '../../lib/ops/reshape.ts';
import { host, noise, type OpTable, spikes } from '../support/op-table.ts';

const real: [number[], number[]][] = [
  [[1], []],
  [[6], [2, 3]],
  [[2, 3, 4], [24]],
  [
    [2, 3, 4],
    [6, -1],
  ],
  [
    [2, 3, 5, 7],
    [1, 2, 3, 5, 7],
  ],
  [
    [1, 2, 3, 5, 7],
    [2, 3, 5, 7],
  ],
  [
    [4, 2, 3, 5, 2],
    [8, 3, 5, 2],
  ],
  [
    [2, 1, 33, 1, 1],
    [2, 1, 33],
  ],
  [
    [2, 3, 1, 4, 5],
    [2, 3, 20],
  ],
  [
    [2, 2, 3, 4, 5],
    [2, 2, 60],
  ],
  [
    [2, 60],
    [2, 3, 4, 5],
  ],
  [
    [2, 2, 6, 2, 3],
    [2, 2, 4, 3, 3],
  ],
  [
    [3, 5, 7],
    [5, 3, 7, 1],
  ],
  [
    [2, 3, 4, 5],
    [4, 3, 2, 5],
  ],
];

const packed: [number[], number[]][] = [
  ...[1, 31, 32, 33, 64].flatMap((c): [number[], number[]][] => [
    [
      [2, 1, c, 3, 2],
      [2, c, 3, 2],
    ],
    [
      [2, 1, c, 3, 2],
      [2, 1, c * 6],
    ],
    [
      [2, 3, c],
      [6, c, 1, 1],
    ],
    [
      [2, 3, c],
      [2, 3 * c],
    ],
  ]),
  [
    [2, 1, 3, 5, 7],
    [2, 1, 105],
  ],
  ...[1, 32, 33, 70].map((c): [number[], number[]] => [
    [2, 3, c * 15],
    [2, 3, c, 5, 3],
  ]),
];

export const table: OpTable = {
  name: 'reshape',
  natives: ['reorder'],
  cases: [
    ...real.map(([from, to]) => ({
      name: `[${from}] to [${to}]`,
      inputs: () => ({ x: noise(from) }),
      options: { to },
    })),
    ...packed.map(([from, to]) => ({
      name: `spikes [${from}] to [${to}]`,
      inputs: () => ({ x: spikes(from, 0.4) }),
      options: { to },
    })),
    { name: 'silent', inputs: () => ({ x: spikes([1, 2, 33, 3, 3], 0) }), options: { to: [2, 297] } },
    { name: 'all firing', inputs: () => ({ x: spikes([1, 2, 33, 3, 3], 1) }), options: { to: [2, 297] } },
  ],
  run: ({ x }, { to }) => [reshape(x!, to as number[])],
  twin: ({ x }, { to }) => {
    const shape = to as number[];
    const known = shape.filter((d) => d > 0).reduce((n, d) => n * d, 1);
    return [
      host(
        shape.map((d) => (d < 0 ? x!.data.length / known : d)),
        x!.data,
        x!.kind,
      ),
    ];
  },
  gradients: ['x'],
};
