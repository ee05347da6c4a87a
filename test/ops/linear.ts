import { linear } from '../../lib/ops/linear.ts';
import { host, noise, type OpCase, type OpTable, spikes } from '../support/op-table.ts';

const item = (x: number[], outputs: number, bias: boolean, rate?: number): OpCase => ({
  name: `${rate === undefined ? '' : `spikes at ${rate}, `}[${x}] to ${outputs}${bias ? ' with bias' : ''}`,
  inputs: () => ({
    x: rate === undefined ? noise(x) : spikes(x, rate),
    w: noise([outputs, x.at(-1)!], 2),
    ...(bias ? { b: noise([outputs], 3) } : {}),
  }),
});

export const table: OpTable = {
  name: 'linear',
  natives: ['linear', 'linearGradX', 'linearGradW'],
  cases: [
    item([1], 1, true),
    item([1, 1, 1], 1, false),
    item([7], 3, true),
    item([5, 33], 10, true),
    item([3, 2, 64], 4, false),
    item([2, 3, 131], 9, true),
    item([40, 70], 61, true),
    item([150, 9], 130, true),
    ...[1, 31, 32, 33, 64].map((features) => item([2, 3, features], 5, true, 0.4)),
    item([2, 33], 6, false, 0),
    item([2, 33], 6, true, 1),
  ],
  run: ({ x, w, b }) => [linear(x!, w!, b)],
  twin: ({ x, w, b }) => {
    const [O, F] = w!.shape as [number, number];
    const rows = x!.data.length / F;
    const y = Array.from({ length: rows * O }, (_, at) => {
      const [n, o] = [Math.floor(at / O), at % O];
      let sum = b ? b.data[o]! : 0;
      for (let f = 0; f < F; f++) sum += w!.data[o * F + f]! * x!.data[n * F + f]!;
      return sum;
    });
    return [host([...x!.shape.slice(0, -1), O], y)];
  },
  gradients: ['x', 'w', 'b'],
};
