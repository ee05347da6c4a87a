// Graceful stopping: the first signal asks, the second ends the process immediately. A terminal that is closed may send
// SIGHUP more than once, and nobody means it: only the first one counts.
import { constants } from 'node:os';
import { isatty } from 'node:tty';
import { CLEAR_LINE, redraws } from '../core/terminal.ts';
import { writeError } from './output.ts';

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** Node.js aborts at its end where a terminal is gone whose mode it would restore. This ends it as a hangup does. */
export function endWithTerminal(): void {
  const terminals = [0, 1, 2].filter(isatty);
  process.on('exit', () => {
    if (terminals.some((fd) => !isatty(fd))) process.kill(process.pid, 'SIGHUP');
  });
}

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
    const isHangup = name === 'SIGHUP';
    if (status !== undefined) {
      if (isHangup) return;
      stop();
      process.kill(process.pid, name); // nobody listens any more, so this ends the process as if nobody ever had
      return;
    }
    status = 128 + constants.signals[name];
    if (redraws(process.stderr)) process.stderr.write(CLEAR_LINE); // over what is drawn there
    writeError(`${name}: ${work}; ${isHangup ? 'SIGTERM' : 'once more'} ends it at once`);
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
