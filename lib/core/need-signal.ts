// Signals that end a training, an evaluation or an epoch of batches.
import { SpikeloomError } from './errors.ts';
import { kindOf } from './options.ts';

/** Refuses what is no AbortSignal: nothing would ever be ended by it. */
export function needSignal(of: string, signal: unknown): void {
  if (signal === undefined) return;
  const { aborted, addEventListener } = (signal ?? {}) as Partial<AbortSignal>;
  if (typeof aborted === 'boolean' && typeof addEventListener === 'function') return;
  throw new SpikeloomError(
    `${of}: signal is an AbortSignal, as in new AbortController().signal, not ${kindOf(signal)}`,
  );
}
