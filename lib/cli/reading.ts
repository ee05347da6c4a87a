// Commands that read a data set: recordings of an event set may have to be read into its cache file first, which can
// take hours.
import { EXIT } from './exit.ts';
import { writeJson, writeText } from './output.ts';
import { listenForStop } from './signals.ts';
import { Transfer } from './transfer.ts';

export interface Reading {
  /** Takes how many recordings were read, of how many, and shows it on stderr. */
  onProgress: (done: number, of: number) => void;
  close(): void;
}

export function showReading(): Reading {
  const shown = new Transfer('reading the recordings', { unit: (amount) => amount.toFixed(0) });
  return {
    onProgress: (done, of) => {
      if (done < of) shown.update(done, of);
      else shown.close();
    },
    close: () => shown.close(),
  };
}

/**
 * Runs work that reads data and leaves nothing to go on from.
 * @returns undefined where a signal ended it; that is said then, and the exit status is set
 */
export async function readStoppably<R>(
  json: boolean | undefined,
  work: (options: Pick<Reading, 'onProgress'> & { signal: AbortSignal }) => Promise<R>,
): Promise<R | undefined> {
  using stopping = listenForStop('ending this');
  const { onProgress, close } = showReading();
  try {
    return await work({ onProgress, signal: stopping.signal });
  } catch (error) {
    if (!stopping.signal.aborted) throw error;
  } finally {
    close();
  }
  if (json) writeJson({ event: 'interrupted' });
  else writeText('interrupted: the same command begins again');
  process.exitCode = stopping.status ?? EXIT.failure;
  return undefined;
}
