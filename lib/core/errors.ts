/**
 * Every error that Spikeloom raises on purpose: bad input, a bad file, a bad option.
 * The message says the rule, the fact and the remedy. `cause` holds the system's own error where there is one.
 */
export class SpikeloomError extends Error {
  override name = 'SpikeloomError';
}

/** A device has not enough memory for what was requested. */
export class OutOfMemoryError extends SpikeloomError {}

/** needFinite() met a number that is not finite. */
export class NotFiniteError extends SpikeloomError {
  /** NaN or an infinity. */
  readonly number: number;

  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    const [, sign, digits] = /(-?)(inf|nan)\b/.exec(message) ?? [];
    this.number = digits === 'inf' ? (sign === '-' ? -Infinity : Infinity) : Number.NaN;
  }
}

/** @internal Numbers of what a step makes were written or read while it is recorded, when there are none. */
export class UnmadeError extends SpikeloomError {}

/** The SpikeloomError for a message of the addon. */
export function nativeError(message: string, cause?: unknown): SpikeloomError {
  if (/\bbad_alloc\b/.test(message)) return new OutOfMemoryError(`out of memory: the system has no more`, { cause });
  if (/\bout of memory\b/.test(message)) return new OutOfMemoryError(message, { cause });
  if (/\bneedFinite: /.test(message)) return new NotFiniteError(message, { cause });
  if (/\brecorded has no memory yet\b/.test(message)) return new UnmadeError(message, { cause });
  return new SpikeloomError(message, { cause });
}
