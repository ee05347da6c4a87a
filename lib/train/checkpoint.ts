// The state of a run in one safetensors file: everything that an exact continuation needs.
import { setImmediate } from 'node:timers/promises';
import { z } from 'zod';
import { checkContent, contentHash } from '../core/content-hash.ts';
import { hostArray } from '../core/dtype.ts';
import { SpikeloomError } from '../core/errors.ts';
import type { HostArray, Tensor } from '../core/index.ts';
import {
  openSafetensors,
  type SafetensorsDtype,
  type SafetensorsFile,
  type SafetensorsTensor,
  writeSafetensors,
} from '../core/safetensors.ts';
import { readInto } from '../core/tensor.ts';
import { type Net, releasedNames } from '../nn/index.ts';
import { type NamedParameter, Optimizer } from '../optim/index.ts';

const FORMAT = 'spikeloom-state';
const VERSION = '1';

const count = z.int().min(0);
const bestSchema = (epochs: number) => {
  const epoch = count.max(epochs - 1);
  const ofClasses = z.strictObject({ epoch, accuracy: z.number().min(0).max(1) });
  return z.union([ofClasses, z.strictObject({ epoch, accuracy: z.null(), testLoss: z.number() })]);
};
const positionSchema = ({ epochs, batches, images }: Whole) =>
  z
    .strictObject({
      epoch: count.max(epochs),
      batch: count.max(batches),
      lossSum: z.number(),
      correct: count,
      images: count.max(images),
      skipped: count.default(0), // states of older versions have neither it nor the rates
      seconds: z.number().min(0),
      best: bestSchema(epochs).nullable(),
      metricsBytes: count,
      rates: z.array(z.number().nullable()).max(epochs).default([]),
    })
    .refine(({ correct, images: seen }) => correct <= seen);

/** What a run has in all: no position lies beyond. */
export interface Whole {
  epochs: number;
  /** Batches and images of an epoch. */
  batches: number;
  images: number;
  /** The learning rate of an epoch. */
  lrAt(epoch: number): number;
}

/** A share of samples classified right, 0 to 1; null where samples have targets in place of classes. */
export type Accuracy = number | null;

/** The first epoch of the highest test accuracy or, where samples have targets, of the lowest test loss. */
export interface Best<A extends Accuracy = number> {
  /** From 0. */
  epoch: number;
  accuracy: A;
  /** Where samples have targets. */
  testLoss?: number;
}

/** Whether an epoch is better than the best one before. */
export function isBetter({ accuracy, testLoss }: Required<Best<Accuracy>>, best: Best<Accuracy> | null): boolean {
  if (best === null) return true;
  return accuracy === null ? testLoss < best.testLoss! : accuracy > best.accuracy!;
}

/** How far a run has got. */
export interface Position {
  /** Epoch to continue with, from 0. */
  epoch: number;
  /** Batch to continue with; where it is the number of batches, the epoch's evaluation comes next. */
  batch: number;
  /** Sums over the images of this epoch so far. */
  lossSum: number;
  correct: number;
  images: number;
  /** Samples of this epoch so far that could not be read and were replaced. */
  skipped: number;
  /** Time spent training in this epoch. */
  seconds: number;
  best: Best<Accuracy> | null;
  /** Length of the metrics file. */
  metricsBytes: number;
  /** The learning rate of every epoch that has begun; null where an older version trained it. */
  rates: (number | null)[];
}

export const startPosition = (): Position => ({
  epoch: 0,
  batch: 0,
  lossSum: 0,
  correct: 0,
  images: 0,
  skipped: 0,
  seconds: 0,
  best: null,
  metricsBytes: 0,
  rates: [],
});

/** What determines the numbers of a run, as plain data: a run continues only under the settings it began with. */
export type Course = Readonly<Record<string, unknown>>;

const DTYPES: Partial<Record<Tensor['dtype'], SafetensorsDtype>> = { f32: 'F32', f64: 'F64', i32: 'I32' };

/** What an optimizer updates beside the net's parameters. */
function besides(net: Net, optimizer: Optimizer): NamedParameter[] {
  const own = net.parameters();
  return Optimizer.updatedBy(optimizer).filter(({ tensor }) => !own.some((known) => known.tensor === tensor));
}

/** Every tensor that training changes, by its name in the file. */
function tensorsOf(net: Net, optimizer: Optimizer): [name: string, tensor: Tensor][] {
  const own = [...net.parameters(), ...net.buffers()];
  return [
    ...own.map(({ name, tensor }): [string, Tensor] => [`net.${name}`, tensor]),
    ...besides(net, optimizer).map(({ name, tensor }): [string, Tensor] => [`beside.${name}`, tensor]),
    ...Object.entries(optimizer.state()).map(([name, tensor]): [string, Tensor] => [`optimizer.${name}`, tensor]),
  ];
}

/** A state in host memory, known to be finite. */
export type Snapshot = Record<string, SafetensorsTensor>;

/** Looks at an array a piece at a time, and lets the event loop turn in between. */
async function onlyFinite(array: HostArray): Promise<boolean> {
  const piece = 2 ** 14; // in a loop that is still interpreted about a millisecond
  for (let begin = 0; begin < array.length; begin += piece) {
    const end = Math.min(array.length, begin + piece);
    for (let i = begin; i < end; i++) if (!Number.isFinite(array[i])) return false;
    if (end < array.length) await setImmediate();
  }
  return true;
}

/**
 * Copies everything that training changes. Waits for queued work.
 * @param former a snapshot of the same net that is no longer needed: its arrays are reused
 * @throws SpikeloomError that names the first tensor with a number that is not finite: such a state is not worth
 * keeping
 */
export async function snapshot(net: Net, optimizer: Optimizer, former?: Snapshot): Promise<Snapshot> {
  const held = tensorsOf(net, optimizer);
  const arrays: HostArray[] = [];
  for (const [name, tensor] of held) {
    const room =
      (former?.[name]?.data as HostArray | undefined) ?? hostArray(tensor.dtype, tensor.size, { shared: true });
    const array = await readInto(tensor, room);
    arrays.push(array);
    if (await onlyFinite(array)) continue;
    throw new SpikeloomError(
      `a run keeps finite numbers only, but '${name}' holds others; nothing was overwritten. Lower the learning rate or clip the gradient's norm`,
    );
  }
  const named = held.map(([name, { dtype, shape }], i) => [
    name,
    { dtype: DTYPES[dtype]!, shape, data: arrays[i] as SafetensorsTensor['data'] },
  ]);
  return Object.fromEntries(named);
}

/** The weights as a file has them: by their names in the released checkpoints. */
export const weightsIn = (net: Net, tensors: Snapshot): Record<string, HostArray> =>
  Object.fromEntries([...releasedNames(net.plan)].map(([name, released]) => [released, weightIn(tensors, name)]));

/** The numbers of a net's parameter or buffer. */
export const weightIn = (tensors: Snapshot, name: string): HostArray => tensors[`net.${name}`]!.data as HostArray;

/** Names of the parameters that are not trained: frozen ones, and those that the optimizer has not. */
export function frozenOf(net: Net, optimizer: Optimizer): string[] {
  const updated = Optimizer.updatedBy(optimizer);
  const isTrained = ({ tensor }: NamedParameter) =>
    tensor.requiresGrad && updated.some((known) => known.tensor === tensor);
  return [...net.parameters(), ...besides(net, optimizer)].filter((one) => !isTrained(one)).map(({ name }) => name);
}

/** A state without its tensors. `passes` are the net's, `steps` the optimizer's, `frozen` is frozenOf() both. */
export interface Progressed {
  position: Position;
  course: Course;
  counts: { passes: number; steps: number };
  frozen: string[];
}

/** Writes a state atomically. @throws SpikeloomError when it cannot be written; the former state is still there then */
export async function writeState(
  path: string,
  tensors: Snapshot,
  { position, course, counts, frozen }: Progressed,
): Promise<void> {
  const arrays = Object.entries(tensors).map(([name, { data }]) => [name, data as HostArray]);
  await writeSafetensors(path, tensors, {
    ...(await contentHash(Object.fromEntries(arrays))),
    format: FORMAT,
    version: VERSION,
    position: JSON.stringify(position),
    course: JSON.stringify(course),
    counts: JSON.stringify(counts),
    frozen: JSON.stringify(frozen),
  });
}

const REMEDY = "Restore the file from a copy, or start a new run; this run's weights lie in files of their own";

/**
 * Puts a saved state into a network and an optimizer.
 * @returns where to continue
 * @throws SpikeloomError for a damaged file, another network, optimizer or course; nothing is changed then
 */
export function readState(path: string, net: Net, optimizer: Optimizer, course: Course, whole: Whole): Position {
  const file = openSafetensors(path);
  try {
    const { format, version } = file.metadata;
    if (format !== FORMAT || version !== VERSION) {
      throw new SpikeloomError(
        `${path}: a state has format ${FORMAT} ${VERSION}, but this file is ${format ? `${format} ${version}` : 'none'}`,
      );
    }
    checkCourse(path, parsed(file, 'course', z.record(z.string(), z.unknown())), course);
    checkContent(file, REMEDY);
    const position = parsed(file, 'position', positionSchema(whole));
    checkRates(path, position.rates, whole);
    checkFrozen(file, position, frozenOf(net, optimizer));
    const { passes, steps } = parsed(file, 'counts', z.strictObject({ passes: count, steps: count }));
    const held = tensorsOf(net, optimizer);
    checkTaken(file, new Set(held.map(([name]) => name)));
    const arrays = held.map(([name, tensor]) => readTensor(file, name, tensor));
    const moments: Record<string, HostArray> = {};
    held.forEach(([name, tensor], i) => {
      if (name.startsWith('optimizer.')) moments[name.slice('optimizer.'.length)] = arrays[i]!;
      else tensor.set(arrays[i]!);
    });
    optimizer.load(moments, steps);
    net.passes = passes;
    return position;
  } finally {
    file.close();
  }
}

function readTensor(file: SafetensorsFile, name: string, tensor: Tensor): HostArray {
  const entry = file.entries.get(name);
  const wanted = `${DTYPES[tensor.dtype]}[${tensor.shape}]`;
  const found = entry && `${entry.dtype}[${entry.shape}]`;
  if (found !== wanted) {
    throw new SpikeloomError(
      `${file.path}: '${name}' must be ${wanted}, but is ${found ?? 'missing'}; this is the state of another network or optimizer`,
    );
  }
  return file.read(name) as HostArray;
}

function parsed<S extends z.ZodType>(file: SafetensorsFile, key: string, schema: S): z.output<S> {
  let value: unknown;
  try {
    value = JSON.parse(file.metadata[key] ?? '');
  } catch {
    value = undefined;
  }
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  throw new SpikeloomError(`${file.path}: the state's '${key}' is damaged. ${REMEDY}`);
}

const inOrder = (keyed: Course): Course =>
  Object.fromEntries(Object.entries(keyed).sort(([a], [b]) => (a < b ? -1 : 1)));

/** As JSON, but the same whatever the order in which keys were written. */
const textOf = (value: unknown): string | undefined =>
  JSON.stringify(value, (_, inner) => (hasKeys(inner) ? inOrder(inner) : inner));

/** The keys of values that differ. */
const differing = (a: Course, b: Course): string[] =>
  [...new Set([...Object.keys(a), ...Object.keys(b)])].filter((key) => textOf(a[key]) !== textOf(b[key]));

function checkCourse(path: string, saved: Course, given: Course): void {
  const plain = JSON.parse(JSON.stringify(given)) as Course;
  // states of older versions do not say how samples were presented
  const different = differing(saved, plain).filter((key) => key !== 'samples' || key in saved);
  if (different.length === 0) return;
  const lines = different.map((key) => {
    const [before, now] = apart(saved[key], plain[key]);
    return `  ${key}: ${shown(before)} then, ${shown(now)} now`;
  });
  throw new SpikeloomError(
    `${path}: a run goes on under the settings it began with, but these differ:\n${lines.join('\n')}\nRestore them or start a new run`,
  );
}

/** A cosine of another version of Node.js may differ in its last bits. */
const isSameRate = (a: number, b: number): boolean => Math.abs(a - b) <= 1e-6 * Math.abs(a);

/** A schedule of the user's own may have the same settings and another function. */
function checkRates(path: string, rates: Position['rates'], { lrAt }: Whole): void {
  const epoch = rates.findIndex((rate, i) => rate !== null && !isSameRate(rate, lrAt(i)));
  if (epoch < 0) return;
  throw new SpikeloomError(
    `${path}: a run goes on under the schedule it began with, but the learning rate of epoch ${epoch + 1} was ${rates[epoch]} then and is ${lrAt(epoch)} now. Restore the schedule's lrAt() or start a new run`,
  );
}

/**
 * Within an epoch the parameters that are trained stay the same; where one begins they may change, as between two epochs
 * of a run that was not stopped. States of older versions do not say what was frozen.
 */
function checkFrozen(file: SafetensorsFile, { batch }: Position, now: readonly string[]): void {
  if (batch === 0 || !('frozen' in file.metadata)) return;
  const then = parsed(file, 'frozen', z.array(z.string()));
  const [thawed, frozen] = [then.filter((name) => !now.includes(name)), now.filter((name) => !then.includes(name))];
  const name = thawed[0] ?? frozen[0];
  if (name === undefined) return;
  const [before, after] = thawed.length > 0 ? ['frozen', 'trained'] : ['trained', 'frozen'];
  throw new SpikeloomError(
    `${file.path}: an epoch goes on with the parameters that were trained when its state was saved, but '${name}' was ${before} then and is ${after} now; see to its tensor.requiresGrad and to what the optimizer gets before`,
  );
}

/** Refuses a state with tensors that nobody takes. */
function checkTaken(file: SafetensorsFile, held: ReadonlySet<string>): void {
  const left = file.names.find((name) => !held.has(name));
  if (left === undefined) return;
  throw new SpikeloomError(
    `${file.path}: the state has '${left}', which this network and optimizer have not; it is the state of others`,
  );
}

const hasKeys = (value: unknown): value is Course => typeof value === 'object' && value !== null;

/** Two objects, or two lists of as many objects, such as layers; lists of numbers are shown whole. */
const isComparable = (a: object, b: object): boolean =>
  Array.isArray(a) && Array.isArray(b)
    ? a.length === b.length && a.every(hasKeys) && b.every(hasKeys)
    : Array.isArray(a) === Array.isArray(b);

/** Two values without what is the same in both, so that a short text has what differs. */
function apart(a: unknown, b: unknown): [unknown, unknown] {
  const keys = hasKeys(a) && hasKeys(b) && isComparable(a, b) ? differing(a, b) : [];
  if (keys.length === 0) return [a, b];
  const parts = keys.map((key) => [key, ...apart((a as Course)[key], (b as Course)[key])] as const);
  return [
    Object.fromEntries(parts.map(([key, before]) => [key, before])),
    Object.fromEntries(parts.map(([key, , now]) => [key, now])),
  ];
}

function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? 'nothing';
  return text.length > 100 ? `${text.slice(0, 97)}...` : text;
}
