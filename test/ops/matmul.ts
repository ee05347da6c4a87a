import { type MatmulOptions, matmul } from '../../lib/ops/matmul.ts';
import { type HostTensor, host, noise, type OpCase, type OpTable, spikes } from '../support/op-table.ts';
import { positionOf } from '../support/places.ts';

/** Which factors are spikes, and at what rate. */
interface Fired {
  a?: number;
  b?: number;
}

const factor = (shape: number[], seed: number, rate: number | undefined): HostTensor =>
  rate === undefined ? noise(shape, seed) : spikes(shape, rate, seed);

/** [...batch, M, K] by [...batch, K, N], or by [K, N] where b is shared. */
function item(
  batch: number[],
  [M, K, N]: [number, number, number],
  options: MatmulOptions & { shared?: boolean } = {},
  fired: Fired = {},
): OpCase {
  const { shared = false, ...rest } = options;
  const a = [...batch, ...(rest.transposeA ? [K, M] : [M, K])];
  const b = [...(shared ? [] : batch), ...(rest.transposeB ? [N, K] : [K, N])];
  const spiking = Object.entries(fired).map(([name, rate]) => `${name} fires at ${rate}, `);
  return {
    name: `${spiking.join('')}[${a}] by [${b}]${rest.transposeA ? ', a transposed' : ''}${rest.transposeB ? ', b transposed' : ''}`,
    inputs: () => ({ a: factor(a, 1, fired.a), b: factor(b, 2, fired.b) }),
    // as of numbers in f64: its gradients are compared to the last digits
    options: { ...rest, ...(fired.a !== undefined && fired.b !== undefined ? { real: 'f64' } : {}) },
  };
}

const ways: MatmulOptions[] = [{}, { transposeA: true }, { transposeB: true }, { transposeA: true, transposeB: true }];

function twin({ a, b }: Record<string, HostTensor>, options: MatmulOptions): HostTensor {
  const { transposeA = false, transposeB = false } = options;
  const front = a!.shape.slice(0, -2);
  const [M, K] = transposeA ? [...a!.shape.slice(-2)].reverse() : a!.shape.slice(-2);
  const N = transposeB ? b!.shape.at(-2)! : b!.shape.at(-1)!;
  const batches = front.reduce((n, d) => n * d, 1);
  const at = (x: HostTensor, batch: number, r: number, c: number, transposed: boolean): number => {
    const [rows, columns] = x.shape.slice(-2) as [number, number];
    const which = x.shape.length === 2 ? 0 : batch;
    return x.data[positionOf([batches, rows, columns], [which, ...(transposed ? [c, r] : [r, c])])]!;
  };
  const y = Array.from({ length: batches * M! * N }, (_, i) => {
    const [batch, m, n] = [Math.floor(i / (M! * N)), Math.floor(i / N) % M!, i % N];
    let sum = 0;
    for (let k = 0; k < K!; k++) sum += at(a!, batch, m, k, transposeA) * at(b!, batch, k, n, transposeB);
    return sum;
  });
  return host([...front, M!, N], y);
}

export const table: OpTable = {
  name: 'matmul',
  natives: ['matmul'],
  cases: [
    item([], [1, 1, 1]),
    item([], [7, 1, 5]),
    item([], [1, 70, 1]),
    item([3], [1, 5, 40]),
    ...ways.map((way) => item([], [33, 31, 17], way)),
    ...ways.map((way) => item([3], [17, 70, 33], way)),
    ...ways.map((way) => item([2, 3], [5, 9, 4], way)),
    ...ways.map((way) => item([2, 1, 3], [5, 4, 7], way)),
    ...ways.map((way) => item([3, 2], [6, 5, 9], { ...way, shared: true })),
    ...ways.map((way) => item([4], [6, 5, 9], { ...way, shared: true })),
    item([2, 1, 2, 3], [3, 4, 5]),
    item([], [150, 40, 140]), // several blocks
    item([], [20, 600, 9]), // terms in parts
    item([40], [3, 2, 4]), // several batches a task
    item([300], [3, 2, 4], { shared: true }), // a gradient of many terms
    item([40], [30, 20, 40], { shared: true }), // the same in slices
    item([2], [70, 9, 40], { shared: true, transposeA: true }),
    item([], [33, 1000, 20]), // terms in parts and slices
    item([], [9, 1000, 70], {}, { a: 0.3 }),
    ...[1, 2, 3, 5, 6, 7].map((rows) => item([2], [8 + rows, 40, 35])), // rows behind whole tiles
    ...[1, 31, 32, 33, 64].flatMap((k) => [
      item([2], [9, k, 5], {}, { a: 0.4 }),
      item([2], [9, k, k], { transposeB: true }, { a: 0.4, b: 0.3 }),
      item([2], [k, 7, k], { transposeA: true }, { a: 0.3, b: 0.4 }),
      item([2, k], [3, 4, 5], {}, { b: 0.4 }),
    ]),
    item([2, 3], [4, 9, 5], { shared: true }, { b: 0.4 }),
    item([2, 3], [4, 9, 5], { shared: true, transposeB: true }, { a: 0.4, b: 0.4 }),
    item([2], [5, 40, 5], {}, { a: 0 }),
    item([2], [5, 40, 5], { transposeB: true }, { a: 1, b: 1 }),
  ],
  run: ({ a, b }, options) => [matmul(a!, b!, options as MatmulOptions)],
  twin: (inputs, options) => [twin(inputs, options as MatmulOptions)],
  gradients: ['a', 'b'],
};
