/**
 * Every error that Spikeloom raises on purpose: bad input, a bad file, a bad option.
 * The message says the rule, the fact and the remedy. `cause` holds the system's own error where there is one.
 */
export class SpikeloomError extends Error {
  override name = 'SpikeloomError';
}

/** A device has not enough memory for what was asked. */
export class OutOfMemoryError extends SpikeloomError {}

/** A native error as one of ours. */
export function nativeError(message: string, cause?: unknown): SpikeloomError {
  const Kind = /\bout of memory\b/.test(message) ? OutOfMemoryError : SpikeloomError;
  return new Kind(message, { cause });
}
