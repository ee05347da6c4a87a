import { logSoftmax, softmax } from '../../lib/ops/softmax.ts';
import { type HostTensor, host, noise, type OpTable } from '../support/op-table.ts';

function logShares({ shape, data }: HostTensor): Float64Array {
  const K = shape.at(-1)!;
  const out = new Float64Array(data.length);
  for (let first = 0; first < data.length; first += K) {
    const row = data.subarray(first, first + K);
    const top = Math.max(...row);
    const logSum = top + Math.log(row.reduce((sum, v) => sum + Math.exp(v - top), 0));
    row.forEach((v, k) => {
      out[first + k] = v - logSum;
    });
  }
  return out;
}

const shapes = [
  [1, 1],
  [1, 2],
  [5, 31],
  [7, 32],
  [33, 33],
  [130, 3],
  [1, 3, 5],
  [4, 7, 10],
  [3, 300],
  [2, 3, 1100],
];
const cases = [
  ...shapes.map((shape) => ({ name: `[${shape}]`, inputs: () => ({ x: noise(shape, 3, 4) }) })),
  { name: 'numbers of hundreds', inputs: () => ({ x: noise([3, 5], 2, 400) }) },
  { name: 'equal numbers', inputs: () => ({ x: host([2, 3], [0, 0, 0, 5, 5, 5]) }) },
];

export const softmaxTable: OpTable = {
  name: 'softmax',
  natives: ['softmax', 'softmaxGrad'],
  cases,
  run: ({ x }) => [softmax(x!)],
  twin: ({ x }) => [host(x!.shape, logShares(x!).map(Math.exp))],
  gradients: ['x'],
};

export const logSoftmaxTable: OpTable = {
  name: 'logSoftmax',
  natives: ['softmax', 'softmaxGrad'],
  cases,
  run: ({ x }) => [logSoftmax(x!)],
  twin: ({ x }) => [host(x!.shape, logShares(x!))],
  gradients: ['x'],
};
