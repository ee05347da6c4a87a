import { meanOverTime } from '../../lib/ops/mean-over-time.ts';
import { repeatOverTime } from '../../lib/ops/repeat-over-time.ts';
import { type HostTensor, host, noise, type OpTable, spikes } from '../support/op-table.ts';

const shapes = [
  [1, 1],
  [4, 7],
  [3, 2, 10],
  [1, 5, 3],
  [3, 5, 2, 7],
  [4, 2, 3, 5, 3],
  [1, 2, 33, 3, 2],
  [2, 3, 2, 2, 3, 5],
  [3, 9000],
];

function mean({ shape, data }: HostTensor): HostTensor {
  const [T, ...rest] = shape as [number, ...number[]];
  const n = data.length / T;
  return host(
    rest,
    Float64Array.from({ length: n }, (_, i) => {
      let sum = 0;
      for (let t = 0; t < T; t++) sum += data[t * n + i]!;
      return sum / T;
    }),
  );
}

export const table: OpTable = {
  name: 'meanOverTime',
  natives: ['sumOverTime', 'repeatOverTime'],
  cases: [
    ...shapes.map((shape) => ({ name: `[${shape}]`, inputs: () => ({ x: noise(shape) }) })),
    ...[1, 31, 32, 33, 64].map((c) => ({
      name: `spikes, ${c} channels, f32 by default`,
      inputs: () => ({ x: spikes([4, 1, c, 3, 2], 0.4) }),
    })),
    { name: 'spikes to f64', inputs: () => ({ x: spikes([3, 2, 33, 3], 0.4) }), options: { real: 'f64' } },
  ],
  run: ({ x }, options) => [meanOverTime(x!, options)],
  twin: ({ x }) => [mean(x!)],
  gradients: ['x'],
};
export const repeat: OpTable = {
  name: 'repeatOverTime',
  natives: ['sumOverTime', 'repeatOverTime'],
  cases: [1, 4].flatMap((steps) =>
    [
      [1, 1],
      [1, 2, 3],
      [1, 3, 5, 2],
      [1, 2, 33, 3, 5],
      [1, 9000],
    ].map((shape) => ({
      name: `[${shape}] to ${steps}`,
      inputs: () => ({ x: noise(shape) }),
      options: { steps },
    })),
  ),
  run: ({ x }, { steps }) => [repeatOverTime(x!, steps as number)],
  twin: ({ x }, { steps }) => [
    host([steps as number, ...x!.shape.slice(1)], Array.from({ length: steps as number }, () => [...x!.data]).flat()),
  ],
  gradients: ['x'],
};
