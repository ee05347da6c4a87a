import { SpikeloomError } from './errors.ts';
import { nearestKey } from './nearest-key.ts';

/**
 * Refuses unknown options: a misspelled one would have no effect, and nobody would notice. Refuses anything but an
 * object, too.
 * @param of what the options are of, for the message
 * @param known an object with every option as a key, such as their defaults; the compiler counts them
 * @throws SpikeloomError that names the unknown options, the known ones and what was probably meant
 */
export function needOptions<O extends object>(of: string, options: O, known: Readonly<Record<keyof O, unknown>>): void {
  if (typeof options !== 'object' || options === null || Array.isArray(options) || isPromise(options)) {
    throw new SpikeloomError(
      `the options of ${of} are an object of ${Object.keys(known).join(', ')}, not ${kindOf(options)}`,
    );
  }
  const unknown = Object.keys(options).filter((key) => !Object.hasOwn(known, key));
  if (unknown.length === 0) return;
  const names = Object.keys(known);
  throw new SpikeloomError(
    `${of} has no option ${unknown.join(', ')}; it has ${names.join(', ')}${didYouMean(unknown, names)}`,
  );
}

const hasMethod = (value: unknown, name: string): boolean =>
  typeof (value as Record<string, unknown> | null | undefined)?.[name] === 'function';

export const isPromise = (value: unknown): boolean => hasMethod(value, 'then');

/** Whether a value is a generator, asynchronous ones included. */
export const isGenerator = (value: unknown): boolean => hasMethod(value, 'next');

const isAsync = (value: unknown): boolean => Symbol.asyncIterator in (value as object);

const KINDS = {
  'a text': (value: unknown) => typeof value === 'string',
  'a function': (value: unknown) => typeof value === 'function',
  'an array': (value: unknown) => Array.isArray(value) || ArrayBuffer.isView(value),
  'a generator': (value: unknown) => isGenerator(value) && !isAsync(value),
  'a Map': (value: unknown) => value instanceof Map,
  'an object': (value: unknown) => typeof value === 'object' && value !== null,
};

/**
 * Refuses arguments that are left out or of another kind, for functions that use them before anything checks them.
 * @throws SpikeloomError that names the first such argument
 * @example needArguments('mnist()', 'a text', { root });
 */
export function needArguments(of: string, kind: keyof typeof KINDS, given: Readonly<Record<string, unknown>>): void {
  for (const [name, value] of Object.entries(given)) {
    if (!KINDS[kind](value)) throw new SpikeloomError(`${of}: '${name}' is ${kind}, not ${kindOf(value)}`);
  }
}

/** What a value is, in a word: undefined, Array, 3, "3". Of any value: others, such as symbols, have no text. */
export function kindOf(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.length > 40 ? `${value.slice(0, 40)}...` : value);
  if (typeof value === 'function') return 'a function';
  if (typeof value === 'bigint') return `${value}n`;
  if (typeof value !== 'object' || value === null) return String(value);
  const name: unknown = value.constructor?.name;
  return typeof name === 'string' && name ? name : Object.prototype.toString.call(value).slice(8, -1);
}

/** As {@link kindOf}, but of an array its first elements: [3,"a",Object]. */
export function contentOf(value: unknown): string {
  if (!Array.isArray(value)) return kindOf(value);
  return `[${value.slice(0, 8).map(kindOf).join(',')}${value.length > 8 ? ',...' : ''}]`;
}

/** Whether a table has a value's entry: any value, which may be none that is a key. */
export const isKeyOf = (key: unknown, table: object): boolean => typeof key === 'string' && Object.hasOwn(table, key);

/** A hint for the first unknown key that is near to a known one; empty where none is. */
export function didYouMean(unknown: readonly string[], known: readonly string[]): string {
  const near = unknown.map((key) => nearestKey(key, known)).find((key) => key !== undefined);
  return near === undefined ? '' : `; did you mean '${near}'?`;
}

/** The options that are given: one that is undefined counts as not given. */
export function given<O extends object>(options: O): { [K in keyof O]: Exclude<O[K], undefined> } {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as ReturnType<
    typeof given<O>
  >;
}
