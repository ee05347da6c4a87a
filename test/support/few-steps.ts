// Some steps of training of a small FSTA-SNN, and all that they leave, for comparisons of devices.
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { deserialize } from 'node:v8';
import type { HostArray } from '../../lib/core/index.ts';
import { loader } from '../../lib/data/loader.ts';
import { model } from '../../lib/nn/index.ts';
import { type OptimizerFactory, sgd } from '../../lib/optim/index.ts';
import { LOSS_DEFAULTS } from '../../lib/train/loss.ts';
import { TrainingSteps } from '../../lib/train/training-step.ts';
import { randomSet } from './image-sets.ts';

export interface Way {
  dtype?: 'f32' | 'f64';
  precision?: 'fp32' | 'bf16';
  fused?: boolean;
  record?: boolean;
  optimizer?: OptimizerFactory;
  recompute?: boolean;
}

export interface Outcome {
  losses: number[];
  correct: number[];
  /** Parameters and running statistics, after each step. */
  tensors: Map<string, HostArray>[];
}

export const data = { train: randomSet('cifar10', [12, 3, 8, 8]), test: randomSet('cifar10', [5, 3, 8, 8]) };
export const STEPS = 3;

export const netOn = (on: string, { dtype = 'f32', precision = 'fp32', recompute = false }: Way) =>
  model('fsta-resnet8')({
    ...{ steps: 2, channels: 3, size: [8, 8], classes: 4, width: 5, basis: 3, seed: 3 },
    ...{ dtype, precision, recompute, device: on },
  });

/** Trains for STEPS steps. */
export async function trained(on: string, way: Way): Promise<Outcome> {
  const { fused = true, record = true, optimizer: factory = sgd({ lr: 0.05, momentum: 0.9, nesterov: true }) } = way;
  using net = netOn(on, way);
  net.fused = fused;
  net.train();
  const optimizer = factory(net.parameters());
  const outcome: Outcome = { losses: [], correct: [], tensors: [] };
  await using source = loader(data.train, { batch: 4, seed: 1, shuffle: true, workers: 0 });
  try {
    using steps = new TrainingSteps(net, optimizer, { loss: { ...LOSS_DEFAULTS, smoothing: 0.1 }, record });
    for await (const batch of source.epoch(0)) {
      optimizer.lr = 0.05 / (1 + batch.index);
      for (const { loss, correct } of await (await steps.queue(batch)).done) {
        outcome.losses.push(loss);
        outcome.correct.push(correct);
      }
      const now = new Map<string, HostArray>();
      for (const { name, tensor } of [...net.parameters(), ...net.buffers()]) now.set(name, await tensor.array());
      outcome.tensors.push(now);
    }
  } finally {
    optimizer.dispose();
  }
  return outcome;
}

/** `trained` on the CPU at level baseline, in a process of its own: there weights in bf16 are what they are on CUDA. */
export async function trainedAtBaseline(way: Omit<Way, 'optimizer'>): Promise<Outcome> {
  const code = `
    import { serialize } from 'node:v8';
    import { trained } from ${JSON.stringify(import.meta.url)};
    process.stdout.write(serialize(await trained('cpu', ${JSON.stringify(way)})));`;
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ['--import', 'tsx', '--input-type=module', '-e', code],
    { encoding: 'buffer', env: { ...process.env, SPIKELOOM_CPU: 'baseline' }, maxBuffer: 2 ** 26, timeout: 120_000 },
  );
  return deserialize(stdout);
}
