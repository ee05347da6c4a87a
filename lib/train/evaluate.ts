// Accuracy, loss and firing rates of a network on an image set.
import { noGradInTurns, runToEnd, SpikeloomError, scope, type Tensor } from '../core/index.ts';
import { needSignal } from '../core/need-signal.ts';
import { needOptions } from '../core/options.ts';
import { type AnySet, type ClassSet, needSet } from '../data/batch.ts';
import type { BatchFeed } from '../data/loader.ts';
import type { TargetSet } from '../data/numbers/number-set.ts';
import type { FiringCount, Net } from '../nn/index.ts';
import { needNet } from '../nn/net.ts';
import type { Accuracy } from './checkpoint.ts';
import { checkOutput, type Loss, type LossOption, type LossSettings, lossFrom, testLossOf } from './loss.ts';
import { feedsOf, type Residence } from './residence.ts';
import { type AnyBatch, type DeviceBatch, upload } from './step-inputs.ts';
import type { TargetLossSettings } from './target-loss.ts';
import {
  forwardPass,
  RecordedSteps,
  readNumbers,
  type StepNumbers,
  type StepOf,
  type StepTensors,
} from './training-step.ts';

export interface Evaluation<A extends Accuracy = number> {
  /** Share of the images classified right, 0 to 1; null where samples have targets. */
  accuracy: A;
  /** Mean over the images, without label smoothing. */
  loss: number;
  /** Mean over all neurons: spikes / (T images neurons), 0 to 1; 0 for a network without neurons. */
  firingRate: number;
  /** The same for every neuron layer, by its path. */
  firingRates: Record<string, number>;
  images: number;
  /** Samples that could not be read and were replaced by others, where the set allows it (broken: 'skip'). */
  skipped: number;
  seconds: number;
}

export interface EvaluateOptions {
  /** Images at a time. Default 128. */
  batch?: number;
  /** A name, settings or a function of your own, as for train(). Default 'ce'; where samples have targets 'mse'. */
  loss?: LossSettings['kind'] | TargetLossSettings['kind'] | LossOption;
  /** Threads that prepare batches; 0: the calling thread. Default 1. Images in memory need none. */
  workers?: number;
  /** Whether the images are kept on the network's device, see {@link Residence}. Default 'auto'. */
  resident?: Residence;
  /** Ends the evaluation early. */
  signal?: AbortSignal | undefined;
}

const KNOWN: Record<keyof EvaluateOptions, true> = {
  ...({ batch: true, loss: true, workers: true, resident: true, signal: true } as const),
};

/** Batches queued at a time: the device has work while the host reads. */
const AHEAD = 2;

interface Reading extends StepNumbers {
  images: number;
  skipped: number;
  /** Spikes per neuron layer. */
  spikes: { name: string; neurons: number; count: number }[];
}

interface Pass extends StepTensors {
  firing: { name: string; neurons: number; spikes: Tensor }[];
}

function* evaluationPass(net: Net, batch: DeviceBatch, loss: Loss): Generator<void, Pass, void> {
  yield;
  const kept: FiringCount[] = [];
  try {
    const numbers = yield* forwardPass(net, batch, loss, { training: false, firing: kept });
    return { ...numbers, firing: kept.map((layer) => ({ ...layer, spikes: layer.spikes.alias(layer.spikes.shape) })) };
  } finally {
    for (const { spikes } of kept) spikes.dispose();
  }
}

/** The forward passes of an evaluation, recorded; call by call where layers are watched as they run (net.onLayer). */
export class EvaluationSteps implements Disposable {
  readonly #net: Net;
  readonly #pass: StepOf<Pass>;
  readonly #recorded: RecordedSteps<Pass>;
  readonly #record: boolean;

  /** @param loss of the training, if there was one: label smoothing is left out */
  constructor(net: Net, { loss: ofTraining, record }: { loss: Loss; record: boolean }) {
    const loss = testLossOf(ofTraining);
    this.#net = net;
    this.#record = record;
    this.#pass = (batch) => noGradInTurns(evaluationPass(net, batch, loss));
    this.#recorded = new RecordedSteps(net, this.#pass);
  }

  /** Queues a pass; `reading` is the promise of its numbers. */
  async queue(batch: AnyBatch): Promise<{ reading: Promise<Reading> }> {
    const { onLayer, dtype, device } = this.#net;
    if (!this.#record || onLayer) return scope(() => read(runToEnd(this.#pass(upload(batch, dtype, device))), batch));
    const step = await this.#recorded.load(batch);
    step.replay();
    return read(step.result, batch);
  }

  [Symbol.dispose](): void {
    this.#recorded.dispose();
  }
}

/** Queues the reads; in an object, since neither a scope nor an async function returns a promise. */
function read({ firing, ...numbers }: Pass, { size, skipped = [] }: AnyBatch): { reading: Promise<Reading> } {
  const counts = firing.map(async ({ name, neurons, spikes }) => ({ name, neurons, count: await spikes.item() }));
  const reading = Promise.all([readNumbers(numbers), Promise.all(counts)]).then(([sums, spikes]) => {
    return { ...sums, images: size, skipped: skipped.length, spikes };
  });
  reading.catch(() => {}); // awaited later
  return { reading };
}

async function* readings(steps: EvaluationSteps, batches: AsyncIterable<AnyBatch>): AsyncGenerator<Reading> {
  const queue: Promise<Reading>[] = [];
  for await (const batch of batches) {
    queue.push((await steps.queue(batch)).reading);
    batch.release?.(); // it was copied when it was queued
    if (queue.length > AHEAD) yield await queue.shift()!;
  }
  for (const reading of queue) yield await reading;
}

/** The evaluation over all images of a loader, or undefined when the signal ended it. */
export async function evaluateOver(
  net: Net,
  source: BatchFeed<AnyBatch>,
  steps: EvaluationSteps,
  signal?: AbortSignal,
): Promise<Evaluation<Accuracy> | undefined> {
  const started = performance.now();
  const sum = { loss: 0, correct: undefined as number | undefined, images: 0, skipped: 0 };
  const layers = new Map<string, { spikes: number; neurons: number }>();
  for await (const { loss, correct, images, skipped, spikes } of readings(steps, source.epoch(0, { signal }))) {
    sum.loss += loss * images;
    if (correct !== undefined) sum.correct = (sum.correct ?? 0) + correct;
    sum.images += images;
    sum.skipped += skipped;
    for (const { name, neurons, count } of spikes) {
      layers.set(name, { spikes: (layers.get(name)?.spikes ?? 0) + count, neurons });
    }
    if (signal?.aborted) return undefined;
  }
  if (signal?.aborted) return undefined; // before the first batch
  const chances = sum.images * net.plan.steps; // a neuron may spike once per time step of an image
  const [spikes, neurons] = [...layers.values()].reduce((t, l) => [t[0]! + l.spikes, t[1]! + l.neurons], [0, 0]);
  const rates = [...layers].map(([name, l]) => [name, l.spikes / (chances * l.neurons)] as const);
  return {
    accuracy: sum.correct === undefined ? null : sum.correct / sum.images,
    loss: sum.loss / sum.images,
    firingRate: neurons === 0 ? 0 : spikes! / (chances * neurons!),
    firingRates: Object.fromEntries(rates),
    images: sum.images,
    skipped: sum.skipped,
    seconds: (performance.now() - started) / 1000,
  };
}

/** Loss and firing rates on samples with targets in place of classes; the accuracy is null. */
export function evaluate(net: Net, set: TargetSet, options?: EvaluateOptions): Promise<Evaluation<null>>;
/**
 * Accuracy, loss and firing rates of a network on a data set in file order, without augmentation, with the running
 * statistics.
 * @throws SpikeloomError where network and images do not fit together, and when the signal ends it
 * @example const { accuracy, firingRate } = await evaluate(net, fashionMnist('datasets/fashion-mnist-small').test);
 */
export function evaluate(net: Net, set: ClassSet, options?: EvaluateOptions): Promise<Evaluation>;
/** The same of a set of either kind: its accuracy is null where samples have targets. */
export function evaluate(net: Net, set: AnySet, options?: EvaluateOptions): Promise<Evaluation<Accuracy>>;
export async function evaluate(net: Net, set: AnySet, options: EvaluateOptions = {}): Promise<Evaluation<Accuracy>> {
  needNet('evaluate()', net);
  needSet(set);
  needOptions('evaluate()', options, KNOWN);
  const { batch = 128, loss: given, workers = 1, resident = 'auto', signal } = options;
  needSignal('evaluate()', signal);
  const settings = typeof given === 'string' ? ({ kind: given } as LossOption) : given;
  const loss = lossFrom('evaluate()', settings, set.targets !== undefined);
  checkOutput(loss, net.plan, set);
  const { source } = feedsOf(resident, net, { source: [set, { batch, workers }] }).feeds;
  using steps = new EvaluationSteps(net, { loss, record: true });
  try {
    const result = await evaluateOver(net, source, steps, signal);
    if (result) return result;
  } finally {
    await source.close();
  }
  throw new SpikeloomError('the evaluation was ended by its signal');
}
