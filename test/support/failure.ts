import { expect } from 'chai';
import { SpikeloomError } from '../../lib/core/errors.ts';
import { DataError } from '../../lib/data/files.ts';

/** What a promise is rejected with; that it is fulfilled is a failure of the test. */
export async function failure(promise: Promise<unknown>): Promise<Error> {
  try {
    await promise;
  } catch (error) {
    return error as Error;
  }
  throw new Error('nothing was refused');
}

/**
 * The message of the {@link SpikeloomError} that a promise is rejected with; anything else is a failure of the test.
 */
export async function refusal(promise: Promise<unknown>): Promise<string> {
  const error = await failure(promise);
  expect(error, String(error.stack)).to.be.instanceOf(SpikeloomError);
  return error.message;
}

/** The {@link DataError} that is thrown; anything else is a failure of the test. */
export function dataErrorOf(body: () => unknown): DataError {
  try {
    body();
  } catch (error) {
    if (error instanceof DataError) return error;
    throw error;
  }
  throw new Error('nothing was refused');
}

/** The message of the {@link SpikeloomError} that is thrown; anything else is a failure of the test. */
export function messageOf(body: () => unknown): string {
  try {
    body();
  } catch (error) {
    expect(error).to.be.instanceOf(SpikeloomError);
    return (error as Error).message;
  }
  throw new Error('nothing was refused');
}
