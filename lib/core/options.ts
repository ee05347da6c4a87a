import { SpikeloomError } from './errors.ts';

/**
 * Refuses unknown options: a misspelled one would have no effect, and nobody would notice. Refuses anything but an
 * object, too.
 * @param of what the options are of, for the message
 * @throws SpikeloomError that names the unknown options and the known ones
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
