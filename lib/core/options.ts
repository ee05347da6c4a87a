import { SpikeloomError } from './errors.ts';

/**
 * Refuses an option that there is not, which a slip of the pen would leave without effect, and what is not an object of
 * options at all.
 * @throws SpikeloomError with the options that there are
 */
export function needOptions(of: string, options: object, known: readonly string[]): void {
  if (typeof options !== 'object' || options === null) {
    throw new SpikeloomError(`the options of ${of} are an object of ${known.join(', ')}, not ${String(options)}`);
  }
  const unknown = Object.keys(options).filter((key) => !known.includes(key));
  if (unknown.length > 0) {
    throw new SpikeloomError(`${of} has no option ${unknown.join(', ')}; it has ${known.join(', ')}`);
  }
}
