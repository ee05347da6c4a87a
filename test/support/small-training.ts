// A tiny network and random images to train it on, in seconds.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ClassSplits } from '../../lib/data/batch.ts';
import { type ImageSplits, imageSet } from '../../lib/data/images/image-set.ts';
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
import { train } from '../../lib/train/train.ts';
import type { EpochReport, TrainOptions } from '../../lib/train/train-options.ts';
import { noise } from './op-table.ts';

export const CLASSES = 3;

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

export const data: ImageSplits = { train: images(23, 1), test: images(11, 2) };

export const tiny = define('tiny', ({ classes }) => [
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
export const makeNet = () => tiny({ steps: 2, channels: 3, size: [7, 5], classes: CLASSES, seed: 5 });

export const usual: Omit<Partial<TrainOptions>, 'data'> = {
  batch: 4,
  schedule: cosine({ epochs: 3, minLr: 1e-3 }),
  optimizer: adamw({ lr: 0.02 }),
  augment: 'basic',
  workers: 0,
  seed: 11,
};

type Options = Partial<TrainOptions> & { data?: ClassSplits };

interface Outcome {
  reports: EpochReport[];
  interrupted: boolean;
}

/** Trains to the end, or until it is interrupted; the network is disposed then. */
export async function go(net: Net, options: Options = {}): Promise<Outcome> {
  const run = train(net, { data, ...usual, ...options });
  const reports: EpochReport[] = [];
  for await (const report of run) reports.push(report);
  net.dispose();
  return { reports, interrupted: run.interrupted };
}

/** For the tests of a describe(): a place for a run at each call, removed with all others behind the last test. */
export function newFolders(): () => string {
  let root = '';
  let made = 0;
  before(() => {
    root = mkdtempSync(join(tmpdir(), 'train-'));
  });
  after(() => rmSync(root, { recursive: true }));
  return () => join(root, String(made++));
}
