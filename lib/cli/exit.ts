// Exit statuses, and what the user reads when something fails.
import { SpikeloomError } from '../core/errors.ts';

export const EXIT = { fine: 0, failure: 1, usage: 2 } as const;

/** The command line asks for what does not exist or cannot be: exit status 2. */
export class UsageError extends SpikeloomError {
  override name = 'UsageError';
}

/** Runs `body`; what it refuses on purpose counts as wrong usage. */
export function asUsage<R>(body: () => R): R {
  try {
    return body();
  } catch (error) {
    if (!(error instanceof SpikeloomError)) throw error;
    throw new UsageError(error.message, { cause: error });
  }
}

/**
 * The message and the exit status of an error. Those thrown on purpose say all in their message, and so do those of the
 * system, such as a folder where a file is written. Anything else is a fault of the program: its message says how to
 * see more.
 */
export function explainError(error: unknown): { message: string; status: number } {
  if (error instanceof SpikeloomError) {
    return { message: error.message, status: error instanceof UsageError ? EXIT.usage : EXIT.failure };
  }
  if (error instanceof Error && 'syscall' in error) return { message: error.message, status: EXIT.failure };
  const { message, stack } = error instanceof Error ? error : new Error(String(error));
  const more = process.env.SPIKELOOM_DEBUG === '1' ? stack : 'Set SPIKELOOM_DEBUG=1 to see where this happened.';
  return { message: `${message}\n${more}`, status: EXIT.failure };
}
