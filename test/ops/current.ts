// fire() against the ops it replaces, each of which has a table of its own: forward through a twin in plain TypeScript,
// gradients through the tape. A hard spike has no finite differences, so the gradients are compared with those of the
// composition (test/unit/current).

import { fused, type Layer, layerInputs, layerName } from '../support/current.ts';
import { type HostInputs, type HostTensor, host, type OpTable } from '../support/op-table.ts';
import { fstaTwin } from './fsta.ts';
import { lifTwin } from './lif.ts';

const eps = 1e-5;

/** Normalized y, repeated over the steps, and the running statistics after it. */
function normTwin(y: HostTensor, t: HostInputs, prefix: string, steps: number, training: boolean) {
  const [held, B, C, H, W] = y.shape as [number, number, number, number, number];
  const plane = H * W;
  const x = new Float64Array((y.data.length / held) * steps);
  const means = t[`${prefix}mean`]!.data.slice();
  const variances = t[`${prefix}var`]!.data.slice();
  const at = (i: number, c: number, p: number) => (i * C + c) * plane + p;
  for (let c = 0; c < C; c++) {
    let mean = means[c]!;
    let variance = variances[c]!;
    if (training) {
      const values: number[] = [];
      for (let i = 0; i < held * B; i++) for (let p = 0; p < plane; p++) values.push(y.data[at(i, c, p)]!);
      mean = values.reduce((s, v) => s + v, 0) / values.length;
      variance = values.reduce((s, v) => s + (v - mean) ** 2, 0) / values.length;
      const n = (values.length / held) * steps;
      means[c] = 0.9 * means[c]! + 0.1 * mean;
      variances[c] = 0.9 * variances[c]! + (0.1 * variance * n) / (n - 1);
    }
    for (let i = 0; i < steps * B; i++)
      for (let p = 0; p < plane; p++) {
        const value = y.data[at(i % (held * B), c, p)]!;
        x[at(i, c, p)] =
          ((value - mean) / Math.sqrt(variance + eps)) * t[`${prefix}gamma`]!.data[c]! + t[`${prefix}beta`]!.data[c]!;
      }
  }
  return { x: host([steps, B, C, H, W], x), after: [host([C], means), host([C], variances)] };
}

function twin(t: HostInputs, layer: Layer): HostTensor[] {
  const { steps = 2, training = true } = layer;
  const first = normTwin(t.y!, t, '', steps, training);
  const second = t.y2 && normTwin(t.y2, t, '2', steps, training);
  const added = second?.x ?? t.residual;
  let x = host(
    first.x.shape,
    first.x.data.map((v, i) => v + (added?.data[i] ?? 0)),
  );
  if (layer.fsta) x = fstaTwin({ ...t, x, beta: t.beta_! });
  const inputs: HostInputs = t.logit ? { x, logit: t.logit } : { x };
  return [lifTwin(inputs, layer.neuron ?? {}).s, ...first.after, ...(second?.after ?? [])];
}

const residuals = [undefined, 'spikes', 'numbers', 'second'] as const;

export const layers: Layer[] = [
  ...[31, 32, 33, 64, 65].flatMap((channels) =>
    residuals.map((residual) => ({ channels, ...(residual && { residual }), fsta: true })),
  ),
  ...residuals.map((residual) => ({ channels: 33, ...(residual && { residual }) })),
  ...[1, 3].flatMap((steps) =>
    [true, false].map((gated) => ({ channels: 5, steps, fsta: gated, residual: 'spikes' as const })),
  ),
  ...residuals.map((residual) => ({ channels: 33, steps: 3, held: 1, ...(residual && { residual }), fsta: true })),
  { channels: 17, steps: 2, held: 1 },
  ...residuals.map((residual) => ({ channels: 33, training: false, ...(residual && { residual }), fsta: true })),
  { channels: 7, training: false, held: 1, residual: 'spikes' },
  { channels: 3, fsta: true, hidden: 2, residual: 'spikes', size: [4, 5] },
  { channels: 33, fsta: true, learned: true, residual: 'spikes', steps: 3 },
  { channels: 33, learned: true, neuron: { reset: 'soft', surrogate: 'atan' }, steps: 3 },
  { channels: 9, fsta: true, neuron: { vth: 1.25, threshold: 0.6, decay: 0.6, reset: 'soft' } },
  { channels: 9, fsta: true, neuron: { detachReset: true, surrogate: 'sigmoid', vth: 0.75 } },
  { channels: 9, neuron: { surrogate: 'triangle', threshold: -0.2 }, residual: 'second' },
  { channels: 9, neuron: { surrogate: 'rectangle', temperature: 2 } },
  { channels: 9, neuron: { surrogate: 'fastSigmoid', temperature: 5 } },
  { channels: 9, neuron: { temperature: 3 } },
  { channels: 1, steps: 1, batch: 1, size: [2, 1] },
  { channels: 90, size: [13, 17], fsta: true, residual: 'spikes' },
  { channels: 200, size: [1, 1], fsta: true, residual: 'second', batch: 3 },
  ...residuals.map((residual) => ({ channels: 12, steps: 4, ...(residual && { residual }), fsta: true })),
  { channels: 8, steps: 4, residual: 'spikes', neuron: { detachReset: true, reset: 'soft', surrogate: 'atan' } },
  { channels: 8, steps: 1, residual: 'second', fsta: true },
  { channels: 6, steps: 6, fsta: true, learned: true, residual: 'spikes' },
  { channels: 33, steps: 9, fsta: true, learned: true, residual: 'second', neuron: { vth: 1.25, threshold: 0.6 } },
  { channels: 8, steps: 5, held: 1, fsta: true, residual: 'numbers' },
  { channels: 139, steps: 5, size: [1, 2], fsta: true, learned: true, residual: 'second' },
  { channels: 264, size: [2, 2], fsta: true, residual: 'second' },
  { channels: 40, size: [9, 7], steps: 4, fsta: true, residual: 'spikes' },
];

export const table: OpTable = {
  name: 'fire',
  natives: [
    'channelMoments',
    'normAffine',
    'normAffineEval',
    'currentStats',
    'currentFire',
    'currentFireGrad',
    'currentGrad',
  ],
  cases: layers.map((layer) => ({
    name: layerName(layer),
    inputs: () => layerInputs(layer),
    options: layer as unknown as Record<string, unknown>,
  })),
  run: (inputs, options) => fused(inputs, options as unknown as Layer),
  twin: (inputs, options) => twin(inputs, options as unknown as Layer),
};
