import { Progress } from '../../lib/train/progress.ts';
import type { TrainOptions } from '../../lib/train/train-options.ts';

/**
 * Options that abort a run when its n-th training step is counted. One more is on its way then, and is finished, unless
 * the epoch has no more.
 */
export function abortAfter(steps: number): Pick<TrainOptions, 'signal' | 'progress'> {
  const controller = new AbortController();
  class Counting extends Progress {
    #seen = 0;
    override step(): void {
      if (++this.#seen === steps) controller.abort();
    }
    override epoch(): void {}
  }
  return { signal: controller.signal, progress: new Counting({ epochs: 1, steps: 1 }) };
}
