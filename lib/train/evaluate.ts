// Accuracy, loss and firing rates of a network on an image set.
import { noGrad, SpikeloomError, scope } from '../core/index.ts';
import type { ImageSet } from '../data/image-set.ts';
import { type Loader, loader } from '../data/loader.ts';
import type { Net } from '../nn/index.ts';
import { accuracyCount } from '../ops/accuracy-count.ts';
import { checkOutput, LOSS_DEFAULTS, type LossSettings, lossOf } from './trainer-loss.ts';
import { readNumbers, type StepNumbers, upload } from './trainer-step.ts';

export interface Evaluation {
  /** Share of the images classified right, 0 to 1. */
  accuracy: number;
  /** Mean over the images, without label smoothing. */
  loss: number;
  /** Mean over all neurons: spikes / (T images neurons), 0 to 1; 0 for a network without neurons. */
  firingRate: number;
  /** The same for every neuron layer, by its path. */
  firingRates: Record<string, number>;
  images: number;
  seconds: number;
}

export interface EvaluateOptions {
  /** Images at a time. Default 128. */
  batch?: number;
  /** Default 'ce'. */
  loss?: LossSettings['kind'];
  /** Threads that prepare batches; 0: the calling thread. Default 1. */
  workers?: number;
  /** Ends the evaluation early. */
  signal?: AbortSignal | undefined;
}

/** Batches on their way at a time: the device has work while the host reads. */
const AHEAD = 2;

interface Reading extends StepNumbers {
  images: number;
  /** Spikes per neuron layer. */
  spikes: { name: string; neurons: number; count: number }[];
}

type Images = AsyncIterable<Parameters<typeof upload>[0]>;

function queueBatch(net: Net, batch: Parameters<typeof upload>[0], kind: LossSettings['kind']): Promise<Reading> {
  const images = batch.labels.length;
  let numbers: Promise<StepNumbers> | undefined;
  noGrad(() =>
    scope(() => {
      const { images: x, labels } = upload(batch, net.dtype, net.device);
      const { loss, logits } = lossOf({ kind, smoothing: 0 }, net.forward(x), labels);
      numbers = readNumbers(loss, accuracyCount(logits, labels));
    }),
  );
  const counts = net.firing.map(async ({ name, neurons, spikes }) => {
    return { name, neurons, count: await spikes.item() };
  });
  const reading = Promise.all([numbers!, Promise.all(counts)]).then(([n, spikes]) => ({ ...n, images, spikes }));
  reading.catch(() => {}); // awaited later
  return reading;
}

async function* readings(net: Net, batches: Images, kind: LossSettings['kind']): AsyncGenerator<Reading> {
  const queue: Promise<Reading>[] = [];
  for await (const batch of batches) {
    queue.push(queueBatch(net, batch, kind));
    if (queue.length > AHEAD) yield await queue.shift()!;
  }
  for (const reading of queue) yield await reading;
}

/** The evaluation over a loader's images, or undefined when the signal ended it. The net is left in the mode it was in. */
export async function evaluateOver(
  net: Net,
  source: Loader,
  { loss: kind = 'ce', signal }: Pick<EvaluateOptions, 'loss' | 'signal'> = {},
): Promise<Evaluation | undefined> {
  const started = performance.now();
  const before = { training: net.training, trackFiring: net.trackFiring };
  const sum = { loss: 0, correct: 0, images: 0 };
  const layers = new Map<string, { spikes: number; neurons: number }>();
  net.eval();
  net.trackFiring = true;
  try {
    for await (const { loss, correct, images, spikes } of readings(net, source.epoch(0), kind)) {
      sum.loss += loss * images;
      sum.correct += correct;
      sum.images += images;
      for (const { name, neurons, count } of spikes) {
        layers.set(name, { spikes: (layers.get(name)?.spikes ?? 0) + count, neurons });
      }
      if (signal?.aborted) return undefined;
    }
  } finally {
    net.training = before.training;
    net.trackFiring = before.trackFiring;
  }
  const chances = sum.images * net.plan.steps; // a neuron may spike once per time step of an image
  const [spikes, neurons] = [...layers.values()].reduce((t, l) => [t[0]! + l.spikes, t[1]! + l.neurons], [0, 0]);
  const rates = [...layers].map(([name, l]) => [name, l.spikes / (chances * l.neurons)] as const);
  return {
    accuracy: sum.correct / sum.images,
    loss: sum.loss / sum.images,
    firingRate: neurons === 0 ? 0 : spikes! / (chances * neurons!),
    firingRates: Object.fromEntries(rates),
    images: sum.images,
    seconds: (performance.now() - started) / 1000,
  };
}

/**
 * Accuracy, loss and firing rates of a network on images in file order, without augmentation, with the running statistics.
 * @throws SpikeloomError where network and images do not fit together, and when the signal ends it
 * @example const { accuracy, firingRate } = await evaluate(net, fashionMnist('datasets/fashion-mnist-small').test);
 */
export async function evaluate(net: Net, set: ImageSet, options: EvaluateOptions = {}): Promise<Evaluation> {
  const { batch = 128, loss = LOSS_DEFAULTS.kind, workers = 1, signal } = options;
  checkOutput({ kind: loss }, net.plan, set.classes.length);
  await using source = loader(set, { batch, workers });
  const result = await evaluateOver(net, source, { loss, signal });
  if (result) return result;
  throw new SpikeloomError('the evaluation was ended by its signal');
}
