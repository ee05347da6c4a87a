// Training of a tiny network on random images: reports, files, interruption, resuming to the bit.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { device } from '../../lib/core/index.ts';
import { openSafetensors } from '../../lib/core/safetensors.ts';
import { type ImageSplits, imageSet } from '../../lib/data/image-set.ts';
import {
  conv2d,
  define,
  dropout,
  globalAvgPool,
  lif,
  linear,
  meanOverTime,
  type Net,
  norm,
} from '../../lib/nn/index.ts';
import { adamw, cosine } from '../../lib/optim/index.ts';
import { readMetrics } from '../../lib/train/metrics-log.ts';
import { runPaths } from '../../lib/train/run-folder.ts';
import { type EpochReport, type TrainOptions, train } from '../../lib/train/train.ts';
import { noise } from '../support/op-table.ts';

const CLASSES = 3;

/** Random images whose brightness depends on the class. */
function images(count: number, seed: number) {
  const size = 3 * 7 * 5;
  const values = noise([count * size], seed).data;
  const labels = Array.from({ length: count }, (_, i) => i % CLASSES);
  return imageSet({
    name: 'cifar10',
    images: Uint8Array.from(values, (v, i) => 128 + 30 * v + 30 * (labels[Math.floor(i / size)]! - 1)),
    labels,
    ...{
      count,
      channels: 3,
      height: 7,
      width: 5,
      classes: ['a', 'b', 'c'],
      mean: [0.5, 0.5, 0.5],
      std: [0.2, 0.2, 0.2],
    },
  });
}

const data: ImageSplits = { train: images(23, 1), test: images(11, 2) };

const tiny = define('tiny', ({ classes }) => [
  conv2d(5, { kernel: 3, padding: 1 }),
  norm(),
  lif(),
  dropout(0.2),
  conv2d(6, { kernel: 3, padding: 1 }),
  norm(),
  lif(),
  globalAvgPool(),
  linear(classes),
  meanOverTime(),
]);
const makeNet = () => tiny({ steps: 2, channels: 3, size: [7, 5], classes: CLASSES, seed: 5 });

const usual: Partial<TrainOptions> = {
  batch: 4,
  schedule: cosine({ epochs: 3, minLr: 1e-3 }),
  optimizer: adamw({ lr: 0.02 }),
  augment: 'basic',
  workers: 0,
  seed: 11,
};

/** Calls abort() at the end of the n-th training step. */
function abortAfter(net: Net, steps: number): AbortSignal {
  const controller = new AbortController();
  let seen = 0;
  net.onLayer = (path) => {
    if (path === 'mean1' && net.training && ++seen === steps) controller.abort();
  };
  return controller.signal;
}

interface Outcome {
  reports: EpochReport[];
  interrupted: boolean;
}

async function go(net: Net, options: Partial<TrainOptions> = {}): Promise<Outcome> {
  const run = train(net, { data, ...usual, ...options });
  const reports: EpochReport[] = [];
  for await (const report of run) reports.push(report);
  net.dispose();
  return { reports, interrupted: run.interrupted };
}

function weights(folder: string, which: 'best' | 'last' = 'last'): Record<string, Buffer> {
  const file = openSafetensors(runPaths(folder)[which]);
  const found = file.names.map((name) => [name, Buffer.from(file.read(name).buffer)] as const);
  file.close();
  return Object.fromEntries(found);
}

/** What of a report does not depend on the clock. */
const numbers = ({ imagesPerSecond: _a, seconds: _b, ...rest }: Record<string, unknown>) => rest;

describe('train()', function () {
  this.timeout(20_000);
  let root = '';
  let made = 0;
  const folder = () => join(root, String(made++));
  before(() => {
    root = mkdtempSync(join(tmpdir(), 'trainer-'));
  });
  after(() => rmSync(root, { recursive: true }));

  it('lowers the loss, reports every epoch and keeps its files', async () => {
    const out = folder();
    const { reports, interrupted } = await go(makeNet(), { out, epochs: 12, schedule: undefined, augment: 'none' });
    expect(interrupted).to.equal(false);
    expect(reports.map(({ epoch }) => epoch)).to.deep.equal(Array.from({ length: 12 }, (_, i) => i));
    expect(reports.at(-1)!.loss).to.be.below(0.8 * reports[0]!.loss);
    expect(readMetrics(runPaths(out).metrics)).to.deep.equal(reports);
    for (const { firingRate, firingRates, imagesPerSecond } of reports) {
      expect(Object.keys(firingRates)).to.deep.equal(['lif1', 'lif2']);
      expect(firingRate).to.be.closeTo((5 * firingRates.lif1! + 6 * firingRates.lif2!) / 11, 1e-12);
      expect(imagesPerSecond).to.be.above(0);
    }
    const best = reports.reduce((a, b) => (b.accuracy > a.accuracy ? b : a));
    const file = openSafetensors(runPaths(out).best);
    expect(file.metadata).to.include({ epoch: String(best.epoch), accuracy: String(best.accuracy) });
    file.close();
    expect(JSON.parse(readFileSync(join(out, 'environment.json'), 'utf8'))).to.have.property('spikeloom');
  });

  it('gives the same bits twice, and on one or two threads', async () => {
    const outs = [folder(), folder(), folder()];
    const all = [];
    for (const [i, out] of outs.entries()) {
      device().setThreads(i === 0 ? 1 : 2);
      all.push((await go(makeNet(), { out, workers: i })).reports.map((report) => numbers({ ...report })));
    }
    expect(all[1]).to.deep.equal(all[0]);
    expect(all[2]).to.deep.equal(all[0]);
    expect(weights(outs[1]!)).to.deep.equal(weights(outs[0]!));
    expect(weights(outs[2]!)).to.deep.equal(weights(outs[0]!));
  });

  for (const steps of [2, 6, 9]) {
    it(`interrupted in step ${steps} and resumed: the same bits as without`, async () => {
      const [whole, parts] = [folder(), folder()];
      const expected = await go(makeNet(), { out: whole });
      const net = makeNet();
      const first = await go(net, { out: parts, signal: abortAfter(net, steps) });
      expect(first.interrupted).to.equal(true);
      expect(first.reports).to.have.length(steps > 6 ? 1 : 0);
      const second = await go(makeNet(), { out: parts, resume: true });
      expect(second.interrupted).to.equal(false);
      const reports = [...first.reports, ...second.reports].map((report) => numbers({ ...report }));
      expect(reports).to.deep.equal(expected.reports.map((report) => numbers({ ...report })));
      expect(weights(parts)).to.deep.equal(weights(whole));
      expect(weights(parts, 'best')).to.deep.equal(weights(whole, 'best'));
      expect(readMetrics(runPaths(parts).metrics).map(numbers)).to.deep.equal(reports);
    });
  }
});
