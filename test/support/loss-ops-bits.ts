// The bits of the ops that losses are made of, at the level of this process.
import { createHash } from 'node:crypto';
import { backward, scope, type Tensor } from '../../lib/core/index.ts';
import * as ops from '../../lib/ops/index.ts';
import { bytesOf, noise, spikes, toDevice } from './op-table.ts';

const picture = [3, 2, 37, 5, 7];
const calls: Record<string, (x: Tensor, y: Tensor) => Tensor> = {
  exp: ops.exp,
  log: (x) => ops.log(ops.shift(x, 3)),
  sqrt: (x) => ops.sqrt(ops.shift(x, 3)),
  abs: ops.abs,
  tanh: ops.tanh,
  pow: (x) => ops.pow(ops.shift(x, 3), 1.5),
  sub: ops.sub,
  div: ops.div,
  sum: (x) => ops.sum(x),
  'sum of pixels': (x) => ops.sum(x, { axes: [3, 4] }),
  'sum of channels': (x) => ops.sum(x, { axes: [2] }),
  'mean over batches': (x) => ops.mean(x, { axes: [0, 1, 3, 4] }),
  expand: (x) => ops.expand(x, [2, ...picture]),
  softmax: (x) => ops.softmax(ops.reshape(x, [210, 37])),
  logSoftmax: (x) => ops.logSoftmax(ops.reshape(x, [210, 37])),
};

/** A hash of values and gradients for every op in both types. */
export async function lossOpsBits(): Promise<Record<string, string>> {
  const hashes: Record<string, string> = {};
  for (const real of ['f32', 'f64'] as const) {
    for (const [name, call] of Object.entries(calls)) {
      const given = [noise(picture), noise(picture, 2)].map((host) => toDevice(host, real, 'cpu'));
      for (const t of given) t.requiresGrad = true;
      const out = scope(() => {
        const y = call(given[0]!, given[1]!);
        backward(y, toDevice(noise(y.shape, 3), real, 'cpu'));
        return y;
      });
      const hash = createHash('sha256');
      for (const t of [out, ...given.flatMap(({ grad }) => grad ?? [])]) hash.update(await bytesOf(t));
      hashes[`${name}, ${real}`] = hash.digest('hex');
      for (const t of [out, ...given]) t.dispose();
    }
  }
  const s = toDevice(spikes(picture, 0.3), 'f32', 'cpu');
  const rates = scope(() => ops.mean(s, { axes: [1, 3] }));
  hashes.spikes = (await bytesOf(rates)).toString('hex');
  for (const t of [s, rates]) t.dispose();
  return hashes;
}
