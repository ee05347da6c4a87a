// Training: epochs of steps, evaluated, saved, resumable to the bit.

import { contentHash } from '../core/content-hash.ts';
import { NotFiniteError, SpikeloomError } from '../core/errors.ts';
import { drawMix } from '../data/augment/mix.ts';
import type { AnySplits, ClassSplits, TargetSplits } from '../data/batch.ts';
import type { BatchFeed } from '../data/loader.ts';
import { type Net, saveWeights } from '../nn/index.ts';
import type { Optimizer } from '../optim/index.ts';
import { makeOptimizer } from '../optim/optimizer.ts';
import {
  type Accuracy,
  type Best,
  type Course,
  frozenOf,
  isBetter,
  type Position,
  readState,
  type Snapshot,
  snapshot,
  startPosition,
  weightIn,
  weightsIn,
  writeState,
} from './checkpoint.ts';
import { describeContents } from './data-description.ts';
import { allFinite, divergence } from './divergence.ts';
import { type Evaluation, EvaluationSteps, evaluateOver } from './evaluate.ts';
import { explainFailure } from './failure.ts';
import { tryTestLoss } from './loss.ts';
import { type TrainingMemory, trainingMemory } from './memory.ts';
import { Progress } from './progress.ts';
import { ReportKeeper } from './report.ts';
import { type Feeds, feedsOf } from './residence.ts';
import { checkFresh, openFiles, type RunFiles } from './run-files.ts';
import { runPaths } from './run-folder.ts';
import type { AnyBatch, PlannedBatch } from './step-inputs.ts';
import type { LoggedStep } from './step-log.ts';
import { checkData, courseOf, type EpochReport, type Filled, filled, type TrainOptions } from './train-options.ts';
import { freeGradients, type QueuedStep, TrainingSteps } from './training-step.ts';

const shareOf = ({ all, waiting }: { all: number; waiting: number }): number => (all === 0 ? 0 : waiting / all);

/**
 * Steps queued after the one that is waited for: the device always has work, and stops soon where the run is to stop.
 */
const AHEAD = 1;

/** Networks that a run is training: two at once would undo each other's updates. */
const inTraining = new WeakSet<Net>();

/** A training run: iterate over it to make it go. One iteration, one run. */
export class Run<A extends Accuracy = number> implements AsyncIterable<EpochReport<A>> {
  /** Whether the signal ended the run before its last epoch. */
  interrupted = false;
  /** @internal Called before the first step, once nothing speaks against it: the state to go on from fits. */
  onStart: (() => void) | undefined;
  readonly #net: Net;
  readonly #options: Filled;
  readonly #feeds: Feeds<keyof AnySplits>;
  #course: Course;
  #files: RunFiles | undefined;
  readonly #out: string | undefined;
  readonly #resume: boolean;
  readonly #wanted: TrainOptions['progress'];
  /** Of the training steps in this process: of the whole run, and of this epoch. */
  readonly #seconds = { all: 0, waiting: 0 };
  readonly #epochSeconds = { all: 0, waiting: 0 };
  #position = startPosition();
  /** Images of this epoch that another process has seen. */
  #imagesBefore = 0;
  #progress: Progress | undefined;
  #copies: Snapshot | undefined;
  #started = false;

  /** @internal use train() */
  constructor(net: Net, options: TrainOptions) {
    this.#net = net;
    this.#options = filled(net, options);
    checkData(net, this.#options);
    const { data, batch, seed, augment, workers, resident, dropLast } = this.#options;
    this.#feeds = feedsOf(resident, net, {
      train: [data.train, { batch, seed, augment, workers, dropLast, shuffle: true }],
      test: [data.test, { batch, workers }],
    });
    this.#course = courseOf(net, this.#options);
    this.#resume = options.resume ?? false;
    this.#wanted = options.progress;
    if (options.run) {
      checkFresh(options.run.paths, this.#resume);
      this.#files = options.run;
    } else if (options.out !== undefined) {
      checkFresh(runPaths(options.out), this.#resume);
      this.#out = options.out;
    } else if (this.#resume) {
      throw new SpikeloomError('a run is resumed from its files: give the folder (out) or the run');
    }
  }

  /** The best epoch so far; null before the first. */
  get best(): Best<A> | null {
    return this.#position.best as Best<A> | null;
  }

  /** What the run takes of the device's memory, by the plan of its training step. */
  memory(): TrainingMemory {
    const { optimizer, loss } = this.#options;
    const { dataBytes } = this.#feeds;
    const { size: batch, ...kind } = this.#fullBatch;
    return trainingMemory(this.#net, { batch, ...kind, optimizer, loss, dataBytes });
  }

  /** Whether samples have targets in place of classes. */
  get #hasTargets(): boolean {
    return this.#options.data.train.targets !== undefined;
  }

  get #fullBatch(): PlannedBatch {
    const { batch, data, mix } = this.#options;
    const { count, steps, binary, unit, targets } = data.train;
    return { size: Math.min(batch, count), steps, binary, unit, mix: mix !== undefined, targets: targets?.shape };
  }

  /** The part of the training time in this process that was spent waiting for data, 0 to 1; evaluation left out. */
  get waitShare(): number {
    return shareOf(this.#seconds);
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<EpochReport<A>, void, void> {
    if (this.#started) throw new SpikeloomError('a run is iterated over once; train() makes another one');
    if (inTraining.has(this.#net))
      throw new SpikeloomError(
        'another run is training this network: wait for its end, or stop it (signal, or leaving its loop)',
      );
    this.#started = true;
    const { epochs, signal } = this.#options;
    const { train: source, test } = this.#feeds.feeds;
    const { data, batch, loss, record, logEvery } = this.#options;
    let optimizer: Optimizer | undefined;
    let keeper: ReportKeeper | undefined;
    inTraining.add(this.#net);
    try {
      optimizer = makeOptimizer('train()', this.#options.optimizer, this.#net.parameters());
      using steps = new TrainingSteps(this.#net, optimizer, { loss, record, logEvery });
      using evaluation = new EvaluationSteps(this.#net, { loss, record });
      const isRecorded = record && !this.#net.onLayer;
      const { count, targets } = data.test;
      tryTestLoss(loss, this.#net, { count, batch, record: isRecorded, targets: targets?.shape });
      if ((this.#out !== undefined || this.#files) && !(await this.#noteContents())) {
        this.interrupted = true;
        return;
      }
      if (this.#out !== undefined) this.#files = openFiles(this.#out, this.#net, this.#course, this.#resume);
      keeper = this.#files && new ReportKeeper(this.#files.paths.folder, (text) => this.#progress?.note(text));
      await this.#restore(optimizer, source.batches);
      this.onStart?.();
      this.#openProgress(source.batches);
      while (this.#position.epoch < epochs) {
        const done = (await this.#trainEpoch(source, optimizer, steps)) && (await this.#evaluate(test, evaluation));
        if (!done) {
          this.interrupted = true;
          await this.#save(optimizer);
          return;
        }
        const report = await this.#finishEpoch(done, optimizer);
        await keeper?.epochOver();
        yield report as EpochReport<A>;
        if (signal?.aborted && this.#position.epoch < epochs) {
          this.interrupted = true;
          return;
        }
      }
    } catch (error) {
      if (optimizer === undefined) throw error;
      const needs = { net: this.#net, optimizer, loss, batch: this.#fullBatch };
      throw explainFailure(error, needs, this.#files && { paths: this.#files.paths, epochs: this.#position.epoch });
    } finally {
      inTraining.delete(this.#net);
      await keeper?.close();
      if (!(this.#wanted instanceof Progress)) this.#progress?.close();
      freeGradients(this.#net);
      optimizer?.dispose();
      this.#files?.metrics.close();
      await Promise.all([source.close(), test.close()]);
    }
  }

  /** Notes the hashes of data that lies in memory alone. @returns false when the signal ended it */
  async #noteContents(): Promise<boolean> {
    const { data, signal } = this.#options;
    const described = await describeContents(data, signal);
    if (described) this.#course = { ...this.#course, data: described };
    return described !== undefined;
  }

  /** Starts a new run, with a first state so that it can always be resumed, or continues from the saved state. */
  async #restore(optimizer: Optimizer, batches: number): Promise<void> {
    if (!this.#files) return;
    const { paths, metrics } = this.#files;
    if (!this.#resume) return this.#save(optimizer);
    const { epochs, data, batch, dropLast, schedule, optimizer: factory } = this.#options;
    const images = dropLast ? batches * batch : data.train.count;
    const lrAt = (epoch: number) => schedule.lrAt(epoch, factory.settings.lr);
    const whole = { epochs, batches, images, lrAt };
    this.#position = readState(paths.state, this.#net, optimizer, this.#course, whole);
    this.#imagesBefore = this.#position.images;
    metrics.rewind(this.#position.metricsBytes);
  }

  /** The rest of the steps of the current epoch. @returns false when the signal ended it */
  async #trainEpoch(source: BatchFeed<AnyBatch>, optimizer: Optimizer, steps: TrainingSteps): Promise<boolean> {
    const { schedule, optimizer: factory, signal } = this.#options;
    const position = this.#position;
    optimizer.lr = schedule.lrAt(position.epoch, factory.settings.lr);
    if (signal?.aborted) return false;
    position.rates[position.epoch] = optimizer.lr;
    if (position.batch === source.batches) return true;
    const stopwatch = this.#stopwatch(source);
    const queued: QueuedStep[] = [];
    let last: AnyBatch | undefined;
    let { images } = position;
    const settle = async () => {
      const numbers = await queued[0]!.done.catch((e) => this.#explain(e, queued, source, optimizer, steps));
      last?.release?.();
      last = queued.shift()!.batch;
      images += last.size;
      position.skipped += last.skipped?.length ?? 0;
      stopwatch();
      this.#count(numbers);
      this.#showStep(last.index + 1, images);
    };
    for await (const batch of source.epoch(position.epoch, { startBatch: position.batch, signal })) {
      queued.push(await steps.queue(this.#mixed(batch)));
      if (queued.length > AHEAD) await settle();
      if (signal?.aborted) break;
    }
    while (queued.length > 0) await settle();
    this.#count(await steps.rest());
    if (signal?.aborted) return false;
    await this.#net.device.finish();
    stopwatch();
    if (!last || (await allFinite(this.#net))) {
      last?.release?.();
      return true;
    }
    const fact = `epoch ${position.epoch + 1}: parameters and running statistics must stay finite, but are not at its end`;
    throw await divergence(this.#net, last, fact, optimizer.lr);
  }

  #mixed(batch: AnyBatch): AnyBatch {
    const { mix, seed } = this.#options;
    if (!mix) return batch;
    const { height, width } = this.#net.plan.input;
    const place = { seed, epoch: this.#position.epoch, batch: batch.index, height, width };
    return { ...batch, mix: drawMix(mix, place) };
  }

  /** Every call adds the time since the one before. */
  #stopwatch(source: BatchFeed<AnyBatch>): () => void {
    const last = { at: performance.now(), waited: source.waitMs };
    return () => {
      const now = { at: performance.now(), waited: source.waitMs };
      const seconds = (now.at - last.at) / 1000;
      const waiting = (now.waited - last.waited) / 1000;
      this.#position.seconds += seconds;
      for (const sum of [this.#seconds, this.#epochSeconds]) {
        sum.all += seconds;
        sum.waiting += waiting;
      }
      Object.assign(last, now);
    };
  }

  /** Adds the numbers of steps in their order. */
  #count(steps: readonly LoggedStep[]): void {
    const position = this.#position;
    for (const { index, size, loss, correct } of steps) {
      position.lossSum += loss * size;
      position.correct += correct;
      position.images += size;
      position.batch = index + 1;
    }
  }

  /** Throws what became of the steps under way; of a loss that is not finite says where it was. */
  async #explain(
    error: unknown,
    queued: readonly QueuedStep[],
    source: BatchFeed<AnyBatch>,
    optimizer: Optimizer,
    steps: TrainingSteps,
  ): Promise<never> {
    if (!(error instanceof NotFiniteError)) throw error;
    const bad = await steps.firstNotFinite(queued);
    const step = queued.find(({ batch }) => batch.index === bad?.index) ?? queued[0]!;
    const where = `epoch ${this.#position.epoch + 1}, step ${step.batch.index + 1} of ${source.batches}`;
    const fact = `${where}: the loss must be a finite number, but is ${bad?.loss ?? error.number}`;
    await steps.repeat(step); // where gradients can be looked at
    throw await divergence(this.#net, step.batch, fact, optimizer.lr);
  }

  #evaluate(test: BatchFeed<AnyBatch>, steps: EvaluationSteps): Promise<Evaluation<Accuracy> | undefined> {
    return evaluateOver(this.#net, test, steps, this.#options.signal);
  }

  async #finishEpoch(evaluation: Evaluation<Accuracy>, optimizer: Optimizer): Promise<EpochReport<Accuracy>> {
    const { epoch, best, ...sums } = this.#position;
    if (!Number.isFinite(evaluation.loss)) {
      throw new SpikeloomError(
        `epoch ${epoch + 1}: the test loss must be a finite number, but is ${evaluation.loss}; lower the learning rate (${optimizer.lr} here)`,
      );
    }
    const { accuracy, loss: testLoss } = evaluation;
    const report: EpochReport<Accuracy> = {
      epoch,
      loss: sums.lossSum / sums.images,
      accuracy,
      trainAccuracy: this.#hasTargets ? null : sums.correct / sums.images,
      testLoss,
      firingRate: evaluation.firingRate,
      firingRates: evaluation.firingRates,
      lr: optimizer.lr,
      imagesPerSecond: sums.images / sums.seconds,
      waitShare: shareOf(this.#epochSeconds),
      seconds: sums.seconds + evaluation.seconds,
      skipped: sums.skipped + evaluation.skipped,
      best: isBetter({ epoch, accuracy, testLoss }, best),
    };
    await this.#record(report, optimizer);
    this.#progress?.epoch({ ...report, accuracy: report.trainAccuracy, testAccuracy: report.accuracy });
    return report;
  }

  /**
   * Weights, then metrics, then the state: whatever a crash leaves undone, resuming from the former state does again.
   */
  async #record(report: EpochReport<Accuracy>, optimizer: Optimizer): Promise<void> {
    const { epoch, accuracy, testLoss } = report;
    const { rates, best: former } = this.#position;
    const result = accuracy === null ? { accuracy, testLoss } : { accuracy };
    const best = report.best ? { epoch, ...result } : former;
    const next = { ...startPosition(), epoch: epoch + 1, best, rates };
    if (this.#files) {
      const { paths, metrics } = this.#files;
      const tensors = await this.#snapshot(optimizer);
      const hash = await contentHash(weightsIn(this.#net, tensors));
      const [key, value] = accuracy === null ? ['test_loss', testLoss] : ['accuracy', accuracy];
      const metadata = { epoch: String(epoch), [key]: String(value), ...hash };
      const copyOf = (name: string) => weightIn(tensors, name);
      if (report.best) await saveWeights(this.#net, paths.best, metadata, copyOf);
      await saveWeights(this.#net, paths.last, metadata, copyOf);
      metrics.append(Object.fromEntries(Object.entries(report).filter(([, value]) => value !== null)));
      next.metricsBytes = metrics.checkpoint();
      await this.#write(paths.state, tensors, next, optimizer);
    }
    this.#position = next;
    Object.assign(this.#epochSeconds, { all: 0, waiting: 0 });
    this.#imagesBefore = 0;
  }

  async #save(optimizer: Optimizer): Promise<void> {
    if (!this.#files) return;
    const tensors = await this.#snapshot(optimizer);
    await this.#write(this.#files.paths.state, tensors, this.#position, optimizer);
  }

  /** In the same memory every time: large arrays that come and go keep the garbage collector busy. */
  async #snapshot(optimizer: Optimizer): Promise<Snapshot> {
    this.#copies = await snapshot(this.#net, optimizer, this.#copies);
    return this.#copies;
  }

  #write(path: string, tensors: Snapshot, position: Position, optimizer: Optimizer): Promise<void> {
    const counts = { passes: this.#net.passes, steps: optimizer.stepCount };
    return writeState(path, tensors, {
      position,
      course: this.#course,
      counts,
      frozen: frozenOf(this.#net, optimizer),
    });
  }

  #openProgress(steps: number): void {
    const wanted = this.#wanted;
    if (!wanted) return;
    const { epoch: startEpoch, batch: startStep } = this.#position;
    const own = { epochs: this.#options.epochs, steps, startEpoch, startStep };
    this.#progress = wanted instanceof Progress ? wanted : new Progress({ ...own, ...(wanted === true ? {} : wanted) });
  }

  /** Loss and accuracy are those of the steps whose numbers were read. */
  #showStep(step: number, done: number): void {
    const { epoch, images: read, lossSum, correct } = this.#position;
    const images = done - this.#imagesBefore;
    const accuracy = this.#hasTargets ? null : correct / read;
    const means = read > 0 ? { loss: lossSum / read, accuracy } : {};
    this.#progress?.step({ epoch, step, images, ...means });
  }
}

/**
 * Trains a network on samples with targets in place of classes, a regression; by the mean squared error, unless there is
 * another loss. All else is as with classes, but for the accuracy, which is null; the best epoch has the lowest test loss.
 * @example
 * const half = (chosen) => numberSet({ name: 'tones', numbers, shape: [8, 1, 1], targets, targetShape: [1], chosen });
 * const run = train(net, { data: { train: half(first800), test: half(last200) }, epochs: 9 });
 * for await (const epoch of run) console.log(epoch.testLoss);
 */
export function train(net: Net, options: TrainOptions & { data: TargetSplits }): Run<null>;
/**
 * Trains a network on images and evaluates it after every epoch. Nothing happens before the run is iterated over. With
 * a folder, the best and the last weights, one line of metrics per epoch, and the state are kept there; a run that was
 * interrupted, even within an epoch, continues from its state to the same bits as one that was not.
 * @throws SpikeloomError at once for options, data and network that do not fit together; while iterating, for a loss
 * that is not finite
 * @example
 * const data = fashionMnist('datasets/fashion-mnist-small');
 * const run = train(net, { data, epochs: 3, batch: 64, optimizer: sgd({ lr: 0.1, momentum: 0.9 }) });
 * for await (const epoch of run) console.log(epoch.accuracy, epoch.firingRate);
 */
export function train(net: Net, options: TrainOptions & { data: ClassSplits }): Run;
/** The same with data of either kind: accuracies are null where samples have targets. */
export function train(net: Net, options: TrainOptions): Run<Accuracy>;
export function train(net: Net, options: TrainOptions): Run<Accuracy> {
  return new Run(net, options);
}
