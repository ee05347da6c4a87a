// Graceful stopping: the first signal asks, the second ends the process immediately.
import { constants } from 'node:os';
import { CLEAR_LINE, redraws } from '../core/terminal.ts';
import { writeError } from './output.ts';

const SIGNALS = ['SIGINT', 'SIGTERM'] as const;

export interface Stopping extends Disposable {
  readonly signal: AbortSignal;
  /** 128 + number of the signal that came; undefined when none did. */
  readonly status: number | undefined;
}

/** Listens until disposed. @param work what the first signal leaves time for */
export function listenForStop(work = 'finishing this step and saving'): Stopping {
  const controller = new AbortController();
  let status: number | undefined;
  const onSignal = (name: NodeJS.Signals): void => {
    if (status !== undefined) {
      stop();
      process.kill(process.pid, name); // nobody listens any more, so this ends the process as if nobody ever had
      return;
    }
    status = 128 + constants.signals[name];
    if (redraws(process.stderr)) process.stderr.write(CLEAR_LINE); // over what is drawn there
    writeError(`${name}: ${work}; once more ends it at once`);
    controller.abort();
  };
  const stop = (): void => {
    for (const name of SIGNALS) process.removeListener(name, onSignal);
  };
  for (const name of SIGNALS) process.on(name, onSignal);
  return {
    signal: controller.signal,
    get status() {
      return status;
    },
    [Symbol.dispose]: stop,
  };
}
