import { accuracyCount } from '../../lib/ops/accuracy-count.ts';
import { bceWithLogits } from '../../lib/ops/bce-with-logits.ts';
import { crossEntropy, tetLoss } from '../../lib/ops/cross-entropy.ts';
import { type HostInputs, type HostTensor, host, noise, type OpTable } from '../support/op-table.ts';

/** Labels that take every class in turn, out of order. */
const classes = (B: number, K: number): HostTensor =>
  host(
    [B],
    Array.from({ length: B }, (_, b) => (b * 7 + K - 1) % K),
    'i32',
  );

/** Weights of the classes, each row summing to about 1 (in one row to more). */
function mixture(B: number, K: number): HostTensor {
  const { data } = noise([B, K], 5);
  return host(
    [B, K],
    data.map((v, i) => Math.fround((v * v + 0.1 + (i === 1 ? 1 : 0)) / K)),
  );
}

/** q = (1 - smoothing) target + smoothing / K, [B,K]. */
function targets({ labels }: HostInputs, K: number, smoothing: number): number[][] {
  const { data, kind } = labels!;
  const B = kind === 'i32' ? data.length : data.length / K;
  const target = (b: number, k: number) => (kind === 'i32' ? Number(data[b] === k) : data[b * K + k]!);
  return Array.from({ length: B }, (_, b) =>
    Array.from({ length: K }, (_, k) => target(b, k) * (1 - smoothing) + smoothing / K),
  );
}

function crossEntropyTwin(inputs: HostInputs, options: Record<string, unknown>): HostTensor[] {
  const { shape, data } = inputs.logits!;
  const K = shape.at(-1)!;
  const q = targets(inputs, K, Number(options.smoothing ?? 0));
  const rows = data.length / K;
  let loss = 0;
  for (let row = 0; row < rows; row++) {
    const x = data.slice(row * K, row * K + K);
    const top = Math.max(...x);
    const logSum = top + Math.log(x.reduce((sum, v) => sum + Math.exp(v - top), 0));
    x.forEach((v, k) => {
      loss += q[row % q.length]![k]! * (logSum - v);
    });
  }
  return [host([1], [loss / rows])];
}

const shapes = [
  [1, 2],
  [3, 1],
  [5, 31],
  [7, 32],
  [33, 33],
  [130, 3],
] as const;

export const crossEntropyTable: OpTable = {
  name: 'crossEntropy',
  natives: ['crossEntropy', 'crossEntropyGrad'],
  cases: [
    ...shapes.flatMap(([B, K]) => [
      { name: `[${B},${K}] hard`, inputs: () => ({ logits: noise([B, K], 3, 4), labels: classes(B, K) }) },
      {
        name: `[${B},${K}] soft, smoothed`,
        inputs: () => ({ logits: noise([B, K], 3, 4), labels: mixture(B, K) }),
        options: { smoothing: 0.2 },
      },
    ]),
    {
      name: '[5,7] hard, smoothed',
      inputs: () => ({ logits: noise([5, 7]), labels: classes(5, 7) }),
      options: { smoothing: 0.1 },
    },
    { name: 'logits of hundreds', inputs: () => ({ logits: noise([3, 5], 2, 400), labels: classes(3, 5) }) },
  ],
  run: ({ logits, labels }, options) => [crossEntropy(logits!, labels!, options)],
  twin: crossEntropyTwin,
  gradients: ['logits'],
};

export const tetTable: OpTable = {
  name: 'tetLoss',
  natives: [],
  cases: [
    { name: 'T=1', inputs: () => ({ logits: noise([1, 3, 5]), labels: classes(3, 5) }) },
    {
      name: 'T=3, hard, smoothed',
      inputs: () => ({ logits: noise([3, 7, 5], 4, 3), labels: classes(7, 5) }),
      options: { smoothing: 0.1 },
    },
    { name: 'T=5, soft', inputs: () => ({ logits: noise([5, 2, 33]), labels: mixture(2, 33) }) },
  ],
  run: ({ logits, labels }, options) => [tetLoss(logits!, labels!, options)],
  twin: crossEntropyTwin,
  gradients: ['logits'],
};

export const bceTable: OpTable = {
  name: 'bceWithLogits',
  natives: ['bceWithLogits', 'bceWithLogitsGrad'],
  cases: [
    ...shapes.map(([B, K]) => ({
      name: `[${B},${K}] hard, smoothed`,
      inputs: () => ({ logits: noise([B, K], 3, 4), labels: classes(B, K) }),
      options: { smoothing: 0.1 },
    })),
    { name: '[5,7] hard', inputs: () => ({ logits: noise([5, 7]), labels: classes(5, 7) }) },
    { name: '[5,7] soft', inputs: () => ({ logits: noise([5, 7]), labels: mixture(5, 7) }) },
    { name: 'logits of hundreds', inputs: () => ({ logits: noise([3, 5], 2, 400), labels: classes(3, 5) }) },
  ],
  run: ({ logits, labels }, options) => [bceWithLogits(logits!, labels!, options)],
  twin(inputs, options) {
    const { shape, data } = inputs.logits!;
    const K = shape[1]!;
    const q = targets(inputs, K, Number(options.smoothing ?? 0)).flat();
    const terms = [...data].map((x, i) => Math.max(x, 0) - x * q[i]! + Math.log1p(Math.exp(-Math.abs(x))));
    return [host([1], [terms.reduce((sum, v) => sum + v, 0) / terms.length])];
  },
  gradients: ['logits'],
};

export const correctTable: OpTable = {
  name: 'accuracyCount',
  natives: ['correctCount'],
  cases: [
    ...shapes.map(([B, K]) => ({
      name: `[${B},${K}]`,
      inputs: () => ({ logits: noise([B, K], 3), labels: classes(B, K) }),
    })),
    {
      name: 'equal maxima: only the first counts',
      inputs: () => ({
        logits: host([3, 3], [1, 1, 0, 1, 1, 0, 0, 1, 1]),
        labels: host([3], [0, 1, 1], 'i32'),
      }),
    },
  ],
  run: ({ logits, labels }) => [accuracyCount(logits!, labels!)],
  twin({ logits, labels }) {
    const K = logits!.shape[1]!;
    let correct = 0;
    labels!.data.forEach((label, b) => {
      const row = logits!.data.slice(b * K, b * K + K);
      if (row.indexOf(Math.max(...row)) === label) correct++;
    });
    return [host([1], [correct], 'i32')];
  },
};
