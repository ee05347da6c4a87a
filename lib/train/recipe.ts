import { existsSync, readFileSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { inspect } from 'node:util';
import { type Document, isNode, LineCounter, parse, parseDocument, stringify } from 'yaml';
import { SpikeloomError } from '../core/errors.ts';
import { nearestKey } from '../core/nearest-key.ts';
import { needArguments } from '../core/options.ts';
import { orShipped, shippedFile, shippedRecipes } from '../core/shipped.ts';
import { usualAttention } from '../nn/zoo.ts';
import {
  ALIASES,
  NEURON_KEYS,
  NEURON_KIND,
  SETTING_GROUPS,
  SETTING_KEYS,
  type SettingKey,
  type Settings,
  settingsSchema,
} from './settings.ts';

/** Recipes are short; more than this is not a recipe. */
export const MAX_RECIPE_BYTES = 256 * 1024;

/** How often the aliases of a recipe may be followed in all; more is an attempt to fill the memory. */
const MAX_ALIASES = 100;

const MAX_PROBLEMS = 10;

/** How many recipes may build on each other. */
const MAX_BASES = 8;

/** The place of a path of keys in the input, for messages: a file and its line. */
type Locate = (path: readonly string[]) => string;

interface Found {
  values: Map<string, unknown>;
  origins: Map<string, string>;
  problems: string[];
}

/**
 * Reads a recipe (YAML 1.2) and applies `key=value` overrides; of two for one key the later wins. A recipe that begins
 * with `extends: FILE` (a path relative to its own folder) takes the keys that it does not set from that file.
 * The package's own recipes are found from any folder. Where the kind of neuron is another one than in that file, keys
 * that only the file's kind has are dropped.
 * @throws SpikeloomError with file and line for a syntax error, and one line for each unknown key or wrong value
 */
export function loadRecipe(file: string, overrides: readonly string[] = []): Settings {
  needArguments('loadRecipe()', 'a text', { file });
  const found = orShipped(file);
  return parseRecipe(readRecipe(found), found, overrides);
}

/** {@link loadRecipe} for a text in memory; `file` is only named in messages. */
export function parseRecipe(text: string, file: string, overrides: readonly string[] = []): Settings {
  return resolved(layersOf(text, file), overrides);
}

/** Values as written, and their places. */
interface Layer {
  value: unknown;
  locate: Locate;
}

/** A recipe's values, after those of the recipes that it extends. */
function layersOf(text: string, file: string, above: readonly string[] = []): Layer[] {
  const own = parseYaml(text, file);
  if (!isRecord(own.value) || !Object.hasOwn(own.value, 'extends')) return [own];
  const { extends: base, ...value } = own.value;
  const place = own.locate(['extends']);
  if (typeof base !== 'string' || base === '') {
    throw new SpikeloomError(`${place}: 'extends' is the path of another recipe, but it is ${brief(base)}`);
  }
  const beside = resolve(dirname(file), base);
  const path = existsSync(beside) ? beside : (shippedFile(base) ?? beside);
  const chain = [...above, resolve(file)];
  if (chain.includes(path)) throw new SpikeloomError(`${place}: ${base} extends this recipe itself; break the circle`);
  if (chain.length > MAX_BASES) throw new SpikeloomError(`${place}: at most ${MAX_BASES} recipes build on each other`);
  return [...layersOf(readRecipe(path), path, chain), { value, locate: own.locate }];
}

/**
 * Settings made by hand: fills in the defaults of a plain object with the keys of a recipe, which it leaves alone, and
 * checks every key. A value that is undefined counts as not given. Of settings it makes the same settings again.
 * @param overrides `key=value`, in place of the object's
 * @param locate names the place of a key in messages
 * @throws SpikeloomError that lists what is wrong and what exists
 * @example
 * const settings = resolveSettings({
 *   epochs: 5,
 *   model: { name: 'fsta-resnet20', width: 16 },
 *   data: { name: 'mnist', root: 'datasets/mnist' },
 *   optimizer: { lr: 0.05 },
 * });
 * const { best } = await trainRecipe(settings);
 */
export function resolveSettings(
  input: unknown,
  overrides: readonly string[] = [],
  locate: Locate = () => 'settings',
): Settings {
  return resolved([{ value: input, locate }], overrides);
}

/** Settings out of layers of values, the later ones winning. */
function resolved(layers: readonly Layer[], overrides: readonly string[]): Settings {
  needArguments('a recipe', 'an array', { overrides });
  const found = nothingFound();
  const { locate } = layers.at(-1)!;
  for (const { value, locate: at } of layers) {
    if (!isRecord(value)) throw new SpikeloomError(notAGroup([], value, at));
    const own = nothingFound();
    flatten(value, [], at, own);
    addLayer(own, found);
  }
  const own = nothingFound();
  for (const override of overrides) applyOverride(override, own);
  addLayer(own, found);
  addAttention(found);
  const result = settingsSchema.safeParse(nest(found.values));
  const wrong = new Set(result.error?.issues.map(({ path }) => leafOf(path)));
  for (const key of wrong) found.problems.push(wrongValue(key, found, locate));
  if (result.data) found.problems.push(...keysOfOthers(result.data, found));
  if (found.problems.length > 0) throw new SpikeloomError(report(found.problems));
  return result.data!;
}

const nothingFound = (): Found => ({ values: new Map(), origins: new Map(), problems: [] });

/**
 * Adds what a recipe or the command line says to what it builds on. Inherited keys of the neuron that another kind does not
 * have are dropped: whoever names that kind did not write them.
 */
function addLayer(own: Found, found: Found): void {
  const kind = own.values.get(NEURON_KIND) as string | undefined;
  if (kind !== undefined && kind !== found.values.get(NEURON_KIND))
    for (const [key, kinds] of Object.entries(NEURON_KEYS)) if (!kinds.includes(kind)) found.values.delete(key);
  for (const [key, value] of own.values) found.values.set(key, value);
  for (const [key, origin] of own.origins) found.origins.set(key, origin);
  found.problems.push(...own.problems);
}

/** The network's usual attention where none is given: settings say which one it was. */
function addAttention({ values }: Found): void {
  const key = 'model.attention';
  if (values.get(key) === undefined) values.set(key, usualAttention(values.get('model.name')));
}

/** The settings as a recipe that resolves to the same settings again. */
export function formatSettings(settings: Settings): string {
  return stringify(settings, { lineWidth: 0 });
}

function readRecipe(file: string): string {
  try {
    const stat = statSync(file);
    if (!stat.isFile()) throw new SpikeloomError(`${file}: a recipe is a YAML file, not a folder or device`);
    if (stat.size > MAX_RECIPE_BYTES) {
      throw new SpikeloomError(`${file}: a recipe has ${MAX_RECIPE_BYTES} bytes at most, but this has ${stat.size}`);
    }
    return new TextDecoder('utf-8', { fatal: true }).decode(readFileSync(file));
  } catch (error) {
    if (error instanceof SpikeloomError) throw error;
    const isLost = (error as NodeJS.ErrnoException).code === 'ENOENT';
    const remedy = isLost ? `. These recipes ship: ${shippedRecipes().join(', ')}` : '';
    throw new SpikeloomError(`cannot read the recipe ${file}: ${(error as Error).message}${remedy}`, { cause: error });
  }
}

function parseYaml(text: string, file: string): Layer {
  const lines = new LineCounter();
  const at = (offset: number) => `${file}:${lines.linePos(offset).line}`;
  try {
    const document = parseDocument(text, {
      lineCounter: lines,
      prettyErrors: false,
      schema: 'core',
      logLevel: 'error',
    });
    const [first] = [...document.errors, ...document.warnings];
    if (first !== undefined) throw new SpikeloomError(`${at(first.pos[0])}: ${syntaxProblem(first.message)}`);
    const value = document.toJS({ maxAliasCount: MAX_ALIASES });
    return { value, locate: (path) => locateNode(document, path, file, at) };
  } catch (error) {
    if (error instanceof SpikeloomError) throw error;
    const what = yamlProblem(error as Error);
    throw new SpikeloomError(`${file}: cannot read this YAML: ${what}`, { cause: error });
  }
}

function yamlProblem(error: Error): string {
  if (error instanceof RangeError) return 'it is nested too deeply';
  if (/alias count/.test(error.message))
    return `aliases (*name) stand for ${MAX_ALIASES} values at most; write them out`;
  return error.message;
}

function locateNode(document: Document, path: readonly string[], file: string, at: (offset: number) => string): string {
  const node = document.getIn(path, true);
  return isNode(node) && node.range ? at(node.range[0]) : file;
}

function syntaxProblem(message: string): string {
  if (/call stack/.test(message)) return 'this YAML is nested too deeply';
  return `this is not valid YAML: ${message.replace(/; please use.*/, '')}`;
}

/** Collects the values of known keys from nested objects; only known keys are ever copied. */
function flatten(group: Record<string, unknown>, path: readonly string[], locate: Locate, found: Found): void {
  for (const [name, value] of Object.entries(group)) {
    const inner = [...path, name];
    const key = inner.join('.');
    const known = SETTING_GROUPS.get(path.join('.'))!.includes(name);
    if (!known) found.problems.push(`${locate(inner)}: ${unknownKey(key, path.join('.'))}`);
    else if (SETTING_KEYS.has(key)) {
      found.values.set(key, value);
      found.origins.set(key, locate(inner));
    } else if (isRecord(value)) flatten(value, inner, locate, found);
    else if (value !== undefined) found.problems.push(notAGroup(inner, value, locate));
  }
}

function notAGroup(path: readonly string[], value: unknown, locate: Locate): string {
  const what = path.length === 0 ? 'settings are' : `'${path.join('.')}' is`;
  const fact = value === null || value === undefined ? 'nothing' : brief(value);
  return `${locate(path)}: ${what} a group of keys (${namesOf(path.join('.'))}), but it is ${fact}`;
}

function applyOverride(override: string, found: Found): void {
  const split = typeof override === 'string' ? override.indexOf('=') : -1;
  if (split < 1) {
    found.problems.push(`command line: settings are given as key=value, but this is ${brief(override)}`);
    return;
  }
  const given = override.slice(0, split).trim();
  const known = SETTING_KEYS.get(Object.hasOwn(ALIASES, given) ? ALIASES[given]! : given);
  if (known !== undefined) {
    found.values.set(known.key, overrideValue(known, override.slice(split + 1)));
    found.origins.set(known.key, 'command line');
  } else if (SETTING_GROUPS.has(given)) {
    found.problems.push(`command line: '${given}' is a group; give one of its keys: ${namesOf(given)}`);
  } else {
    const parent = given.slice(0, Math.max(0, given.lastIndexOf('.')));
    found.problems.push(`command line: ${unknownKey(given, SETTING_GROUPS.has(parent) ? parent : '')}`);
  }
}

/** The text itself for keys that take text (`a=b`, 007), else what YAML reads in it: numbers, true, [32, 32]. */
function overrideValue({ schema }: SettingKey, text: string): unknown {
  if (schema.safeParse(text).success) return text;
  try {
    return parse(text, { schema: 'core', logLevel: 'error', maxAliasCount: 0 });
  } catch {
    return text;
  }
}

function nest(values: ReadonlyMap<string, unknown>): Record<string, unknown> {
  const made = new Map<string, Record<string, unknown>>();
  for (const group of SETTING_GROUPS.keys()) {
    const own: Record<string, unknown> = {};
    made.set(group, own);
    if (group !== '') parentOf(made, group)[lastName(group)] = own;
  }
  for (const [key, value] of values) parentOf(made, key)[lastName(key)] = value;
  return made.get('')!;
}

function parentOf(made: ReadonlyMap<string, Record<string, unknown>>, key: string): Record<string, unknown> {
  return made.get(key.slice(0, Math.max(0, key.lastIndexOf('.'))))!;
}

function lastName(key: string): string {
  return key.slice(key.lastIndexOf('.') + 1);
}

/** The known key that a path of the schema's report lies in: a part of a list counts for the list. */
function leafOf(path: readonly PropertyKey[]): string {
  for (let length = path.length; length > 0; length--) {
    const key = path.slice(0, length).join('.');
    if (SETTING_KEYS.has(key)) return key;
  }
  return path.join('.');
}

function wrongValue(key: string, { values, origins }: Found, locate: Locate): string {
  const { type, description } = SETTING_KEYS.get(key)!;
  if (!values.has(key)) return `${locate([])}: '${key}' (${description}) is missing; it must be ${type}`;
  return `${origins.get(key)}: '${key}' (${description}) must be ${type}, but it is ${brief(values.get(key))}`;
}

/** Keys that the settings' kind of neuron does not have. */
function keysOfOthers({ model: { neuron } }: Settings, { values, origins }: Found): string[] {
  return Object.entries(NEURON_KEYS)
    .filter(([key, kinds]) => values.get(key) !== undefined && !kinds.includes(neuron.kind))
    .map(([key, kinds]) => {
      const wanted = `'${key}' goes with model.neuron.kind ${kinds.join(' or ')}`;
      return `${origins.get(key)}: ${wanted}, but the kind is ${neuron.kind}; leave it out`;
    });
}

function unknownKey(key: string, group: string): string {
  const shown = brief(key);
  if (Object.hasOwn(ALIASES, key))
    return `${shown} is a short form for the command line; write ${nested(ALIASES[key]!)}`;
  if (SETTING_KEYS.has(key)) return `there is no key ${shown} with a dot in it; write ${nested(key)}`;
  const near = nearestKey(key, [...SETTING_KEYS.keys(), ...Object.keys(ALIASES)]);
  const hint = near === undefined ? '.' : `; did you mean '${near}'?`;
  const where = group === '' ? 'The keys are' : `The keys of '${group}' are`;
  return `there is no key ${shown}${hint} ${where} ${namesOf(group)}`;
}

/** `a.b` as YAML writes it on one line. */
function nested(key: string): string {
  const [last, ...groups] = key.split('.').reverse();
  return groups.reduce((inner, group) => `${group}: { ${inner} }`, `${last}: ...`);
}

function namesOf(group: string): string {
  const names = SETTING_GROUPS.get(group)!;
  return names
    .map((name) => (SETTING_GROUPS.has(group === '' ? name : `${group}.${name}`) ? `${name}.*` : name))
    .join(', ');
}

function report(problems: readonly string[]): string {
  const shown = problems.slice(0, MAX_PROBLEMS);
  if (problems.length > shown.length) shown.push(`and ${problems.length - shown.length} more`);
  return shown.join('\n');
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function brief(value: unknown): string {
  const text = inspect(value, {
    depth: 1,
    breakLength: Number.POSITIVE_INFINITY,
    maxArrayLength: 6,
    maxStringLength: 60,
  });
  return text.length <= 120 ? text : `${text.slice(0, 117)}...`;
}
