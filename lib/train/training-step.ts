// Training steps: upload, forward, loss, backward, update; recorded once per kind of batch and then replayed.
import { setImmediate as nextTurn } from 'node:timers/promises';
import {
  backward,
  backwardInTurns,
  describe,
  leavesOf,
  type RecordedStep,
  recordStepInTurns,
  runToEnd,
  SpikeloomError,
  scope,
  type Tensor,
} from '../core/index.ts';
import type { Net, PassOptions } from '../nn/index.ts';
import { accuracyCount } from '../ops/accuracy-count.ts';
import { mixLabels, mixTargets } from '../ops/mix.ts';
import { needFinite } from '../ops/need-finite.ts';
import { Optimizer } from '../optim/index.ts';
import { type Loss, lossOf, lossOfTargets } from './loss.ts';
import { type AnyBatch, type DeviceBatch, inputKind, inputsFor, type StepInputs, upload } from './step-inputs.ts';
import { type LoggedStep, StepLog } from './step-log.ts';

/** The numbers of a batch, read as soon as the device has them. */
export interface StepNumbers {
  /** Mean over the batch. */
  loss: number;
  /** How many were classified right; undefined where samples have targets. */
  correct: number | undefined;
}

/** What the numbers are read from. */
export interface StepTensors {
  loss: Tensor;
  correct?: Tensor;
}

/** Queues the reads at once, so the tensors may be freed or overwritten as soon as this has returned its promise. */
export function readNumbers({ loss, correct }: StepTensors): Promise<StepNumbers> {
  const reads = Promise.all([loss.item(), correct?.item()]).then(([l, c]) => ({ loss: l, correct: c }));
  reads.catch(() => {}); // it is awaited later, and a failure must not end the process before that
  return reads;
}

/** The forward pass of a batch, in turns; one of training, unless the options say otherwise. */
export function* forwardPass(
  net: Net,
  { images, labels, mix }: DeviceBatch,
  lossKind: Loss,
  options: PassOptions = { training: true },
): Generator<void, StepTensors, void> {
  const output = yield* net.forwardInTurns(images, options);
  if (labels.dtype !== 'i32') {
    const targets = mix ? mixTargets(labels, mix) : labels;
    return { loss: lossOfTargets(lossKind, output, targets, net.dtype) };
  }
  const weights = mix ? mixLabels(labels, mix, output.shape.at(-1)!) : labels;
  const { loss, logits } = lossOf(lossKind, output, weights, net.dtype);
  return { loss, correct: accuracyCount(logits, labels) };
}

/**
 * Queues forward and backward pass of a batch call by call, whatever the loss; the gradients lie in the parameters
 * afterwards.
 */
export function queueGradients(net: Net, batch: AnyBatch, loss: Loss): Promise<StepNumbers> {
  let numbers: Promise<StepNumbers> | undefined;
  scope(() => {
    const tensors = runToEnd(forwardPass(net, upload(batch, net.dtype, net.device), loss));
    numbers = readNumbers(tensors);
    backward(tensors.loss);
  });
  return numbers!;
}

/** What is recorded for a batch; where it yields, the event loop gets a turn. */
export type StepOf<R> = (batch: DeviceBatch) => Generator<void, R, void>;

/** Frees the gradients of all parameters, those that no optimizer consumed. */
export function freeGradients(net: Net): void {
  for (const { tensor } of net.parameters()) tensor.freeGrad();
}

/**
 * Refuses a loss that was computed from parameters which the step gave a gradient and nobody used, those of a loss or a
 * layer of the user's own: they would collect those of all steps.
 */
function refuseForgotten(leaves: Iterable<Tensor>): void {
  const forgotten = [...leaves].filter(({ grad }) => grad !== undefined);
  for (const tensor of forgotten) tensor.freeGrad();
  const [first] = forgotten;
  if (!first) return;
  throw new SpikeloomError(
    `what a loss or a layer of your own learns is a parameter that the optimizer has, but ${describe(first)}, which the loss was computed from, is none of these; a layer says it in 'parameters'; a loss's goes to the optimizer, as in Object.assign((all) => base([...all, { name: 'mine', tensor }]), { settings: base.settings }); or keep it fixed: tensor.requiresGrad = false, or noGrad()`,
  );
}

/**
 * A training step: forward pass, backward pass, update, which is left out where the loss is not finite (see
 * needFinite()). No parameter has a gradient afterwards.
 * @throws SpikeloomError where a loss or a layer of the user's own learns what the optimizer has not
 * @param log notes the numbers, those of such a loss, too; behind it every update is left out
 */
export function trainingStep(net: Net, optimizer: Optimizer, loss: Loss, log?: StepLog): StepOf<StepTensors> {
  return function* (batch) {
    yield;
    const tensors = yield* forwardPass(net, batch, loss);
    log?.note(tensors);
    needFinite(tensors.loss, log?.found);
    const leaves = leavesOf(tensors.loss);
    yield* backwardInTurns(tensors.loss);
    yield;
    if (optimizer.step === Optimizer.prototype.step) yield* optimizer.stepInTurns();
    else optimizer.step(); // of the user's own
    freeGradients(net);
    refuseForgotten(leaves);
    return tensors;
  };
}

/** Which parameters of a network are trained and which are frozen. */
const trainedOf = (net: Net): string =>
  net
    .parameters()
    .map(({ tensor }) => Number(tensor.requiresGrad))
    .join('');

/**
 * Steps that are recorded once for every kind of batch that comes from a loader (its size; bytes or not), and replayed
 * from then on; anew once parameters were frozen or trained again.
 */
export class RecordedSteps<R> implements Disposable {
  readonly #net: Net;
  readonly #body: StepOf<R>;
  readonly #made = new Map<string, { inputs: StepInputs; step: RecordedStep<R> }>();
  /** {@link trainedOf} of what was recorded. */
  #trained: string;

  constructor(net: Net, body: StepOf<R>) {
    this.#net = net;
    this.#body = body;
    this.#trained = trainedOf(net);
  }

  /** The step for a batch of this shape, with the batch written to the device. Wait for it before the next load(). */
  async load(batch: AnyBatch): Promise<RecordedStep<R>> {
    const trained = trainedOf(this.#net);
    if (trained !== this.#trained) this.dispose();
    this.#trained = trained;
    const { inputs, step } = this.#made.get(inputKind(batch)) ?? (await this.#record(batch));
    inputs.write(batch);
    return step;
  }

  async #record(batch: AnyBatch) {
    const { dtype, device } = this.#net;
    const inputs = inputsFor(batch, dtype, device);
    try {
      await nextTurn(); // what came before the first step took one
      const made = { inputs, step: await recordStepInTurns(device, () => this.#body(inputs.read())) };
      this.#made.set(inputKind(batch), made);
      return made;
    } catch (error) {
      inputs[Symbol.dispose]();
      throw error;
    }
  }

  /** Frees what was recorded; later steps are recorded again. */
  dispose(): void {
    for (const { inputs, step } of this.#made.values()) {
      step.dispose();
      inputs[Symbol.dispose]();
    }
    this.#made.clear();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

const nothing = (): void => {};

/** A step that was queued. */
export interface QueuedStep<B = AnyBatch> {
  batch: B;
  /** The net's count of passes before it. */
  passes: number;
  /**
   * Resolves when the step is done: with the numbers of all steps that were not read before, or with none where it is
   * not yet time to read.
   * @throws NotFiniteError (by the promise) for a loss that is not finite: nothing is updated by it then, nor by any
   * step behind it
   */
  done: Promise<LoggedStep[]>;
}

export interface StepsOptions {
  loss: Loss;
  /** Whether steps are recorded and replayed; else every call is queued each time. */
  record: boolean;
  /** The numbers are read once in so many steps, 1 to MOST_LOGGED. Default 1. */
  logEvery?: number;
}

/**
 * The training steps of a network, recorded; where layers are watched as they run (net.onLayer), the calls are queued
 * one by one. The bits are the same.
 */
export class TrainingSteps implements Disposable {
  readonly #net: Net;
  readonly #loss: Loss;
  readonly #body: StepOf<StepTensors>;
  readonly #recorded: RecordedSteps<StepTensors>;
  readonly #record: boolean;
  readonly #log: StepLog;
  /** Resolves when the step that was queued last is done, or has failed. */
  #ended: Promise<void> = Promise.resolve();

  constructor(net: Net, optimizer: Optimizer, { loss, record, logEvery = 1 }: StepsOptions) {
    this.#net = net;
    this.#loss = loss;
    this.#record = record;
    this.#log = new StepLog(logEvery, net.dtype, net.device);
    this.#body = trainingStep(net, optimizer, loss, this.#log);
    this.#recorded = new RecordedSteps(net, this.#body);
  }

  /** Queues a whole step. It need not be waited for before the next one is queued. */
  async queue(batch: AnyBatch): Promise<QueuedStep> {
    const { passes, dtype, device, onLayer } = this.#net;
    if (this.#record && !onLayer) (await this.#recorded.load(batch)).replay();
    else {
      await this.#ended; // a failure of the step before must not be told, and with that be over, amid these calls
      scope(() => void runToEnd(this.#body(upload(batch, dtype, device))));
    }
    this.#log.queued(batch);
    const done = this.#log.isFull ? this.#log.read() : device.finish().then(() => []);
    this.#ended = done.then(nothing, nothing); // it is awaited later, and a failure must not end the process before that
    return { batch, passes, done };
  }

  /** The numbers of the steps queued so far that were not read yet. */
  rest(): Promise<LoggedStep[]> {
    return this.#log.read();
  }

  /**
   * The first step under way whose loss is not finite, once one of them failed for that. A GPU runs ahead of its reads,
   * so the step in front may have been told of the loss of the one behind.
   * @param queued all steps that were not waited for, the one that failed among them
   */
  async firstNotFinite(queued: readonly QueuedStep[]): Promise<LoggedStep | undefined> {
    const ends = await Promise.allSettled(queued.map(({ done }) => done));
    const read = ends.flatMap((end) => (end.status === 'fulfilled' ? end.value : []));
    const bad = [...read, ...(await this.rest())].filter(({ loss }) => !Number.isFinite(loss));
    return bad.sort((a, b) => a.index - b.index)[0];
  }

  /**
   * Queues the passes of a step once more, call by call, with the same masks of dropout and no update: the gradients
   * lie in the parameters afterwards. The recorded steps are freed before.
   */
  repeat({ batch, passes }: QueuedStep): Promise<StepNumbers> {
    this.dispose();
    freeGradients(this.#net);
    this.#net.passes = passes;
    return queueGradients(this.#net, batch, this.#loss);
  }

  /** Frees what was recorded; later steps are recorded again. */
  dispose(): void {
    this.#recorded.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
    this.#log[Symbol.dispose]();
  }
}
