/**
 * Every error that Spikeloom raises on purpose: bad input, a bad file, a bad option.
 * The message says the rule, the fact and the remedy. `cause` holds the system's own error where there is one.
 */
export class SpikeloomError extends Error {
  override name = 'SpikeloomError';
}
