import { philox } from '../../lib/core/random.ts';
import { dropout } from '../../lib/ops/dropout.ts';
import { type HostInputs, host, noise, type OpCase, type OpTable, spikes } from '../support/op-table.ts';

interface Options {
  p: number;
  seed: number;
  real?: 'f64';
}

const DROPOUT_STREAM = 3;

function twin({ x, counter }: HostInputs, { p, seed }: Options) {
  const shape = x!.shape;
  const axis = shape.length >= 4 ? shape.length - 3 : shape.length - 1;
  const C = shape[axis]!;
  const inner = shape.slice(axis + 1).reduce((n, d) => n * d, 1);
  const perStep = x!.data.length / shape[0]!;
  const words = [counter!.data[0]!, counter!.data[1] ?? 0].map((word) => word >>> 0);
  const draws = philox(seed, DROPOUT_STREAM, ...words);
  const atRest = Array.from({ length: perStep }, () => (draws.uint32() < p * 2 ** 32 ? 0 : 1 / (1 - p)));
  const y = x!.data.map((v, i) => {
    const position = i % perStep;
    const pixel = Math.floor(position / (C * inner)) * inner + (position % inner);
    return v * atRest[pixel * C + (Math.floor(position / inner) % C)]!;
  });
  return [host(shape, y)];
}

const item = (shape: number[], p: number, seed: number, counter: number[], rate?: number): OpCase => ({
  name: `${rate === undefined ? '' : `spikes at ${rate}, `}[${shape}], p ${p}, seed ${seed}, counter ${counter}`,
  inputs: () => ({
    x: rate === undefined ? noise(shape) : spikes(shape, rate),
    counter: host([counter.length], counter, 'i32'),
  }),
  options: { p, seed, ...(rate === undefined ? {} : { real: 'f64' }) },
});

export const table: OpTable = {
  name: 'dropout',
  natives: ['dropout'],
  cases: [
    item([1, 1], 0.5, 0, [0]),
    item([3, 10], 0.5, 3407, [0, 0]),
    item([2, 3, 7], 0.25, 1, [5, 0]),
    item([2, 3, 5, 3], 0.3, 2, [-1, -2]),
    item([4, 2, 33, 3, 5], 0.1, 2 ** 53 - 1, [7, 1]),
    item([2, 1, 5, 31, 29], 0.5, 11, [1, 0]),
    item([1, 1, 5000, 1, 1], 0.5, 11, [1, 0]),
    item([2, 1, 3, 2, 2], 0, 1, [0, 0]),
    ...[1, 31, 32, 33, 64].map((c) => item([2, 1, c, 3, 5], 0.4, 9, [3, 0], 0.5)),
    item([1, 2, 33, 2, 3], 0.5, 9, [3, 0], 0),
    item([1, 2, 33, 2, 3], 0.5, 9, [3, 0], 1),
  ],
  run: ({ x, counter }, options) => [dropout(x!, counter!, options as unknown as Options)],
  twin: (inputs, options) => twin(inputs, options as unknown as Options),
  gradients: ['x'],
};
