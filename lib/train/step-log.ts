// The numbers of training steps are collected on the device and read together.
import { type Device, keep, type RealType, type Tensor, zeros } from '../core/index.ts';
import { logMetrics } from '../ops/log-metrics.ts';
import type { StepNumbers, StepTensors } from './training-step.ts';

/** The most steps between two reads: their numbers fit the 4 KiB that a device returns without being waited for. */
export const MOST_LOGGED = 200;

/** Rows for steps that were queued behind a read before it failed. */
const BEHIND = 2;

/** Which step: the number of its batch in the epoch, and its images. */
export interface StepName {
  index: number;
  size: number;
}

/** `correct` is 0 where samples have targets. */
export type LoggedStep = StepName & StepNumbers & { correct: number };

/** On a GPU a read costs the device a pause between two steps, on the CPU it costs nothing. */
export const usualLogEvery = (device: Device): number => (device.memory() === undefined ? 1 : 10);

/** Losses and counts of the steps that were not read yet, and the first loss that was not finite. */
export class StepLog implements Disposable {
  /** [1], see needFinite(): from such a loss on no step with this log updates anything. */
  readonly found: Tensor;
  readonly #every: number;
  readonly #rows: number;
  readonly #tensors;
  /** The count of steps that classify nothing. */
  readonly #none: Tensor;
  #noted = 0;
  #unread: (StepName & { row: number })[] = [];

  /** @param every steps between two reads */
  constructor(every: number, dtype: RealType, device: Device) {
    this.#every = every;
    this.#rows = every + BEHIND;
    this.found = keep(zeros([1], dtype, device));
    this.#tensors = { log: keep(zeros([this.#rows, 2], dtype, device)), next: keep(zeros([1], 'i32', device)) };
    this.#none = keep(zeros([1], 'i32', device));
  }

  /** Whether it is time to read. */
  get isFull(): boolean {
    return this.#unread.length >= this.#every;
  }

  /** Notes the numbers of a step. Called while the step is recorded, or queued. */
  note({ loss, correct = this.#none }: StepTensors): void {
    logMetrics(this.#tensors, { loss, correct });
  }

  /** Says which step was queued, with its note(). */
  queued({ index, size }: StepName): void {
    this.#unread.push({ index, size, row: this.#noted++ % this.#rows });
  }

  /**
   * The numbers of the steps queued so far that were not read yet, in their order. Queues the read at once: what comes
   * behind does not change them. A read that fails leaves them to the next one.
   */
  async read(): Promise<LoggedStep[]> {
    const steps = this.#unread.splice(0);
    if (steps.length === 0) return [];
    try {
      const log = await this.#tensors.log.array();
      return steps.map(({ row, ...step }) => ({ ...step, loss: log[2 * row]!, correct: log[2 * row + 1]! }));
    } catch (error) {
      this.#unread.unshift(...steps);
      throw error;
    }
  }

  [Symbol.dispose](): void {
    this.found.dispose();
    this.#tensors.log.dispose();
    this.#tensors.next.dispose();
    this.#none.dispose();
  }
}
