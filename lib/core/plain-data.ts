import { SpikeloomError } from './errors.ts';
import { kindOf } from './options.ts';

/** Whether it is made by {} or Object.create(null): what else is an object has more to it than its keys. */
function isPlain(value: object): boolean {
  const above = Object.getPrototypeOf(value);
  return above === null || Object.getPrototypeOf(above) === null;
}

function copied(of: string, at: string, value: unknown, within: readonly object[]): unknown {
  if (value === null || typeof value === 'string' || typeof value === 'boolean' || Number.isFinite(value)) return value;
  const isList = Array.isArray(value);
  if (typeof value !== 'object' || !(isList || isPlain(value))) {
    throw new SpikeloomError(
      `${of} are plain data (finite numbers, texts, booleans, null, lists, objects), but ${at} is ${kindOf(value)}; write it as a text, or leave it out`,
    );
  }
  if (within.includes(value)) throw new SpikeloomError(`${of} are plain data, but ${at} holds itself; leave that out`);
  const inner = [...within, value];
  if (isList) return Array.from(value, (item, i) => copied(of, `${at}[${i}]`, item, inner));
  const given = Object.entries(value).filter(([, item]) => item !== undefined);
  return Object.fromEntries(given.map(([key, item]) => [key, copied(of, `${at}.${key}`, item, inner)]));
}

/** A copy of lists and plain objects, at any depth; whatever else lies in them is left to who checks them. */
export function copyOfPlain(value: unknown, within: readonly object[] = []): unknown {
  if (typeof value !== 'object' || value === null || within.includes(value)) return value;
  const inner = [...within, value];
  if (Array.isArray(value)) return Array.from(value, (item) => copyOfPlain(item, inner));
  if (!isPlain(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, copyOfPlain(item, inner)]));
}

/**
 * A copy of data that JSON holds as it is; a key that is undefined counts as not given.
 * @param of what the data is, for the message
 * @param at its name there
 * @throws SpikeloomError that names the first value that is none
 */
export const plainData = <V>(of: string, at: string, value: V): V => copied(of, at, value, []) as V;
