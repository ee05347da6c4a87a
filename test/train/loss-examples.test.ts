// The losses that docs/training.md shows, run as they stand there, beside twins in plain TypeScript.
import { readFileSync } from 'node:fs';
import { expect } from 'chai';
import { backward, scope, type Tensor, tensor } from '../../lib/core/index.ts';
import * as ops from '../../lib/ops/index.ts';
import type { LossFunction } from '../../lib/train/index.ts';
import { noise } from '../support/op-table.ts';
import { go, makeNet } from '../support/small-training.ts';

const page = readFileSync(new URL('../../docs/training.md', import.meta.url), 'utf8');

/** A function of the page by its name. */
function shown<F>(name: string): F {
  const [text] = new RegExp(`const ${name} = [^]*?\\n};\\n`).exec(page)!;
  return new Function('ops', `${text}\nreturn ${name};`)(ops) as F;
}
const focal = shown<(output: Tensor, labels: Tensor) => Tensor>('focal');
const pinball = shown<(output: Tensor, targets: Tensor) => Tensor>('pinball');
const distilled = shown<(student: Tensor, teacher: Tensor, temperature: number) => Tensor>('distilled');

function softmax(row: Float64Array, temperature = 1): Float64Array {
  const e = row.map((v) => Math.exp((v - Math.max(...row)) / temperature));
  const sum = e.reduce((a, b) => a + b, 0);
  return e.map((v) => v / sum);
}

const [B, K] = [7, 5];
const rowsOf = (data: Float64Array) => Array.from({ length: B }, (_, b) => data.subarray(b * K, b * K + K));
const [logits, others] = [noise([B, K], 3, 4), noise([B, K], 4, 3)];
const classes = Array.from({ length: B }, (_, b) => (b * 3) % K);
const hard = Float64Array.from({ length: B * K }, (_, i) => Number(classes[Math.floor(i / K)] === i % K));
const soft = noise([B, K], 5).data.map((v) => Math.fround(v * v));

function focalTwin(x: Float64Array, target: Float64Array): number {
  let loss = 0;
  rowsOf(x).forEach((row, b) => {
    softmax(row).forEach((p, k) => {
      loss -= target[b * K + k]! * (1 - p) ** 2 * Math.log(p);
    });
  });
  return loss / B;
}

function distilledTwin(student: Float64Array, teacher: Float64Array, temperature: number): number {
  let divergence = 0;
  rowsOf(student).forEach((row, b) => {
    const q = softmax(rowsOf(teacher)[b]!, temperature);
    softmax(row, temperature).forEach((p, k) => {
      divergence += q[k]! * Math.log(q[k]! / p);
    });
  });
  return (divergence / B) * temperature ** 2;
}

/** A loss and its gradient with respect to the logits beside the twin and its differences. */
async function compare(
  real: 'f32' | 'f64',
  loss: (x: Tensor) => Tensor,
  twin: (x: Float64Array) => number,
): Promise<void> {
  const limit = real === 'f64' ? 1e-8 : 1e-5;
  const given = real === 'f64' ? logits.data : Float32Array.from(logits.data);
  const x = tensor(given, { shape: [B, K], dtype: real });
  x.requiresGrad = true;
  const found = scope(() => {
    const made = loss(x);
    backward(made);
    return made;
  });
  expect(found.shape).to.deep.equal([1]);
  expect(await found.item()).to.be.closeTo(twin(logits.data), limit);
  const gradient = await x.grad!.array();
  logits.data.forEach((v, i) => {
    const at = (value: number) => twin(logits.data.map((old, j) => (j === i ? value : old)));
    expect(gradient[i], `gradient ${i}`).to.be.closeTo((at(v + 1e-5) - at(v - 1e-5)) / 2e-5, limit);
  });
  for (const t of [x, found]) t.dispose();
}

describe('losses in docs/training.md', () => {
  it('the focal loss equals its twin, of classes and of weights for every class', async () => {
    using labels = tensor(Int32Array.from(classes));
    await compare(
      'f32',
      (x) => focal(x, labels),
      (x) => focalTwin(x, hard),
    );
    for (const real of ['f32', 'f64'] as const) {
      const data = real === 'f64' ? soft : Float32Array.from(soft);
      using weights = tensor(data, { shape: [B, K], dtype: real });
      await compare(
        real,
        (x) => focal(x, weights),
        (x) => focalTwin(x, soft),
      );
    }
  });

  it('its gradient is finite where a class is certain', async () => {
    const x = tensor([200, 0, 0, 0, 200, 0], { shape: [2, 3] });
    x.requiresGrad = true;
    using labels = tensor(Int32Array.of(0, 0));
    const loss = scope(() => {
      const made = focal(x, labels);
      backward(made);
      return made;
    });
    expect(await loss.item()).to.equal(100);
    expect([...(await x.grad!.array())].map((v) => Number(v) + 0)).to.deep.equal([0, 0, 0, -0.5, 0.5, 0]); // no -0
    for (const t of [x, loss]) t.dispose();
  });

  it('distillation equals its twin, at every temperature', async () => {
    for (const real of ['f32', 'f64'] as const) {
      const data = real === 'f64' ? others.data : Float32Array.from(others.data);
      using teacher = tensor(data, { shape: [B, K], dtype: real });
      for (const temperature of [1, 4])
        await compare(
          real,
          (x) => distilled(x, teacher, temperature),
          (x) => distilledTwin(x, others.data, temperature),
        );
    }
  });

  it('the quantile loss equals its twin', async () => {
    const twin = (x: Float64Array) =>
      x.reduce((sum, y, i) => {
        const miss = others.data[i]! - y;
        return sum + (miss > 0 ? 0.9 * miss : -0.1 * miss);
      }, 0) /
      (B * K);
    using targets = tensor(others.data, { shape: [B, K], dtype: 'f64' });
    await compare('f64', (x) => pinball(x, targets), twin);
  });

  it('the focal loss trains a network, recorded and call by call to the same bits, on mixed batches as well', async () => {
    for (const mix of [undefined, { mixup: 0.4 }]) {
      const run = async (record: boolean) =>
        (await go(makeNet(), { loss: focal as LossFunction, mix, record, epochs: 3 })).reports.map(
          ({ loss, testLoss, accuracy }) => ({ loss, testLoss, accuracy }),
        );
      const reports = await run(true);
      expect(await run(false)).to.deep.equal(reports);
      expect(reports.at(-1)!.loss).to.be.below(reports[0]!.loss);
    }
  });
});
