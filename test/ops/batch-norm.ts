import { batchNorm } from '../../lib/ops/batch-norm.ts';
import { type HostInputs, host, noise, type OpCase, type OpTable } from '../support/op-table.ts';

const eps = 1e-5;
const momentum = 0.1;

function twin({ x, gamma, beta, runningMean, runningVar }: HostInputs, { training }: { training: boolean }) {
  const [C, H, W] = x!.shape.slice(-3) as [number, number, number];
  const plane = H * W;
  const N = x!.data.length / (C * plane);
  const n = N * plane;
  const y = x!.data.slice();
  const after = [runningMean!.data.slice(), runningVar!.data.slice()] as const;
  for (let c = 0; c < C; c++) {
    const places: number[] = [];
    for (let k = 0; k < N; k++) for (let p = 0; p < plane; p++) places.push((k * C + c) * plane + p);
    let mean = after[0][c]!;
    let variance = after[1][c]!;
    if (training) {
      mean = places.reduce((s, i) => s + x!.data[i]!, 0) / n;
      variance = places.reduce((s, i) => s + (x!.data[i]! - mean) ** 2, 0) / n;
      after[0][c] = (1 - momentum) * after[0][c]! + momentum * mean;
      after[1][c] = (1 - momentum) * after[1][c]! + (momentum * variance * n) / (n - 1);
    }
    for (const i of places)
      y[i] = ((x!.data[i]! - mean) / Math.sqrt(variance + eps)) * gamma!.data[c]! + beta!.data[c]!;
  }
  return [host(x!.shape, y), host([C], after[0]), host([C], after[1])];
}

function item(name: string, shape: number[], training: boolean, shift = 0): OpCase {
  const C = shape.at(-3)!;
  return {
    name: `${name}, ${training ? 'training' : 'evaluation'}`,
    options: { training },
    inputs: () => ({
      x: host(
        shape,
        noise(shape, 2).data.map((v) => v + shift),
      ),
      gamma: noise([C], 3),
      beta: noise([C], 4),
      runningMean: noise([C], 5),
      runningVar: host(
        [C],
        noise([C], 6).data.map((v) => 0.5 + v * v),
      ),
    }),
  };
}

export const table: OpTable = {
  name: 'batchNorm',
  natives: ['batchNorm', 'batchNormGrad', 'batchNormEval', 'batchNormEvalGrad'],
  cases: [true, false].flatMap((training) => [
    item('one channel', [1, 2, 1, 3, 3], training),
    ...[31, 32, 33].map((c) => item(`${c} channels`, [2, 3, c, 3, 5], training)),
    item('64 channels, 1x1 pictures', [3, 5, 64, 1, 1], training),
    item('several chunks of pixels', [2, 2, 3, 17, 13], training),
    item('more chunks than a block has threads', [1, 1, 1, 257, 257], training),
    item('more channels than a block takes', [1, 1, 264, 2, 3], training),
    item('mean far from zero', [2, 4, 5, 6, 5], training, 10),
  ]),
  run: ({ x, gamma, beta, runningMean, runningVar }, options) => {
    const parts = { gamma: gamma!, beta: beta!, runningMean: runningMean!, runningVar: runningVar! };
    const y = batchNorm(x!, { ...parts, training: options.training as boolean, momentum, eps });
    return [y, runningMean!, runningVar!];
  },
  twin: (inputs, options) => twin(inputs, options as { training: boolean }),
  gradients: ['x', 'gamma', 'beta'],
  tolerance: { f32: 2e-5, difference: 1e-5 },
};
