import { SpikeloomError } from '../../core/errors.ts';
import { contentOf, kindOf, needOptions } from '../../core/options.ts';
import { isShared, labelsInMemory, sharedLabels } from '../images/image-set.ts';
import type { SampleSet, Targets } from '../sample-set.ts';
import { isTargetShape, TARGET_SHAPES, targetSize, wrongTarget } from './targets.ts';

/** The numbers of samples: reals, or counts from 0 to 255, which take a quarter of the memory. */
export type SampleNumbers = Float32Array | Uint8Array;

export interface SampleRequest {
  /** Aborted when nobody waits for the sample any more. undefined where the run or loop has no signal. */
  signal: AbortSignal | undefined;
}

/** A sample with its target, where a function makes both. */
export interface SampleWithTargets {
  numbers: SampleNumbers;
  /** As many finite numbers as the set's targetShape has. */
  targets: ArrayLike<number>;
}

/** What a {@link SampleMaker} makes. */
export type MadeSample = SampleNumbers | SampleWithTargets;

/**
 * Makes one sample [C,H,W] or [T,C,H,W], by its index among the labels or targets; with its target where the set was
 * given none.
 */
export type SampleMaker = (index: number, request: SampleRequest) => MadeSample | Promise<MadeSample>;

/**
 * Samples of plain numbers with their classes or targets, in shared memory, so that loader threads read them without a
 * copy; or made one by one by a function.
 */
export interface NumberSet extends SampleSet {
  kind: 'numbers';
  /** [N,C,H,W] or, where samples have time steps, [N,T,C,H,W]. */
  numbers: Float32Array<SharedArrayBuffer> | Uint8Array<SharedArrayBuffer> | SampleMaker;
}

/** Samples of plain numbers with classes. */
export interface ClassNumberSet extends NumberSet {
  targets?: undefined;
}

/** Samples of plain numbers with targets in place of classes: those of a regression. */
export interface TargetSet extends NumberSet {
  targets: Targets;
}

type SharedNumbers = Exclude<NumberSet['numbers'], SampleMaker>;

export interface NumberSetInit {
  /** Short name: runs on sets of different names are not compared. */
  name: string;
  /**
   * One sample after the other, in row-major order of their shape. Or a function that makes a sample by its index, for
   * data larger than memory: it is called in the calling thread (workers: 0), for one sample after the other. It gets
   * the signal that ends the run, too, as in (index, { signal }) => readSample(index, signal).
   */
  numbers: SampleNumbers | SampleMaker;
  /** Of a sample: [C,H,W], shown at every time step, or [T,C,H,W]. F plain features are [F,1,1]. */
  shape: readonly number[];
  /** Class of every sample, 0..classes-1. */
  labels?: ArrayLike<number> | undefined;
  /** Names of the classes, or how many there are. */
  classes?: readonly string[] | number | undefined;
  /**
   * In place of labels and classes, for a regression: finite numbers, one sample's after the other, kept as f32. Left
   * out where the function in `numbers` makes them, too, as in (index) => ({ numbers: spikes(index), targets: [0.5] }).
   */
  targets?: ArrayLike<number> | undefined;
  /** Of a sample's target: [K] or [C,H,W], with time steps [T,K] or [T,C,H,W]. */
  targetShape?: readonly number[] | undefined;
  /** How many samples there are, where a function makes them with their targets. */
  count?: number | undefined;
  /**
   * Whether samples [T,C,H,W] are spikes, 0 and 1 alone: a network gets them as such, a bit each. Default false.
   */
  binary?: boolean | undefined;
  /** Which samples are in use, by index, so that two sets may share their numbers. Default: all. */
  chosen?: ArrayLike<number> | undefined;
}

const KNOWN: Record<keyof NumberSetInit, true> = {
  ...({ name: true, numbers: true, shape: true, labels: true, classes: true, binary: true, chosen: true } as const),
  ...({ targets: true, targetShape: true, count: true } as const),
};

/** Of which an epoch draws an order (Philox.permutation()). */
const MOST_SAMPLES = 2 ** 26;

/** As define() has it. */
const MOST_CLASSES = 2 ** 20;

/** Whether a value is an array that numbers of samples may lie in. */
export const isNumbers = (value: unknown): value is SampleNumbers =>
  value instanceof Float32Array || value instanceof Uint8Array;

export const isList = (value: unknown): value is ArrayLike<unknown> =>
  typeof value === 'object' && value !== null && Number.isSafeInteger((value as { length?: unknown }).length);

/** Numbers of a sample: T C H W. */
export const sizeOf = ({ steps = 1, channels, height, width }: SampleSet): number => steps * channels * height * width;

/** The first number that samples may not hold: one that is not finite or, of spikes, neither 0 nor 1; else -1. */
export function firstWrong(numbers: SampleNumbers, binary: boolean): number {
  if (!binary && numbers instanceof Uint8Array) return -1;
  for (let i = 0; i < numbers.length; i++) {
    const value = numbers[i]!;
    if (binary ? value !== 0 && value !== 1 : !Number.isFinite(value)) return i;
  }
  return -1;
}

/** What a set's numbers are, for messages. */
export const numbersRule = (binary: boolean): string =>
  binary ? 'the numbers of spikes (binary: true) are 0 and 1' : 'the numbers of samples are finite';

function fail(text: string): never {
  throw new SpikeloomError(`numberSet(): ${text}`);
}

/** Refuses what is not as its type says. */
function checkParts(init: NumberSetInit): void {
  const { name, numbers, shape, labels, targets, binary, chosen } = init;
  if (typeof name !== 'string' || name === '') fail(`name is a text, not ${kindOf(name)}`);
  if (typeof numbers !== 'function' && !isNumbers(numbers))
    fail(
      `numbers are a Float32Array or a Uint8Array, one sample after the other, or a function that makes a sample, not ${kindOf(numbers)}`,
    );
  const isShape = Array.isArray(shape) && (shape.length === 3 || shape.length === 4);
  if (!isShape || !shape.every((size) => Number.isSafeInteger(size) && size >= 1))
    fail(`shape is that of a sample, [C,H,W] or [T,C,H,W], not ${contentOf(shape)}; F features are [F,1,1]`);
  if (hasTargets(init)) checkTargets(init);
  else checkClasses(init);
  const whole = { ...(labels !== undefined && { labels }), ...(chosen !== undefined && { chosen }) };
  for (const [key, list] of Object.entries({ ...whole, ...(targets !== undefined && { targets }) }))
    if (!isList(list)) fail(`${key} is an array of ${key === 'targets' ? '' : 'whole '}numbers, not ${kindOf(list)}`);
    else if (key in whole && list.length > MOST_SAMPLES) tooMany(key, list.length);
    else if (list.length === 0 && key !== 'chosen') fail(`a set has at least one sample, but ${key} are empty`);
  if (binary !== undefined && typeof binary !== 'boolean') fail(`binary is true or false, not ${kindOf(binary)}`);
  if (binary && shape.length === 3)
    fail('binary samples have time steps, [T,C,H,W]; an image [C,H,W] is shown at every step as numbers');
}

const tooMany = (what: string, found: number): never =>
  fail(`${what} are ${MOST_SAMPLES} at most, but there are ${found}; make several sets of them`);

const hasTargets = ({ targets, targetShape, count }: NumberSetInit): boolean =>
  [targets, targetShape, count].some((part) => part !== undefined);

function checkClasses({ labels, classes }: NumberSetInit): void {
  if (labels === undefined && classes === undefined)
    fail('samples have classes (labels, classes) or targets (targets, targetShape), but there are neither');
  const counted = typeof classes === 'number' && Number.isSafeInteger(classes) && classes >= 1;
  const named = Array.isArray(classes) && classes.length > 0 && classes.every((one) => typeof one === 'string');
  if (!(counted && classes <= MOST_CLASSES) && !named)
    fail(`classes are their names, or a count from 1 to ${MOST_CLASSES}, not ${contentOf(classes)}`);
  if (labels === undefined) fail('labels is an array of whole numbers, not undefined');
}

function checkTargets({ numbers, labels, classes, targets, targetShape, count }: NumberSetInit): void {
  if (labels !== undefined || classes !== undefined)
    fail(
      'samples have classes (labels, classes) or targets (targets, targetShape, count), but there are parts of both; leave one out',
    );
  if (!isTargetShape(targetShape))
    fail(`targetShape is that of a sample's target, ${TARGET_SHAPES}, not ${contentOf(targetShape)}`);
  if (targets !== undefined) {
    if (count !== undefined) fail('targets say how many samples there are; leave count out');
    return;
  }
  if (typeof numbers !== 'function')
    fail('targets are an array of numbers, one sample after the other; only a function in numbers can make them');
  if (!Number.isSafeInteger(count) || count! < 1)
    fail(`count says how many samples with targets the function can make, 1 or more, not ${kindOf(count)}`);
}

/** N, samples in all. @throws SpikeloomError for a part of a target at the end of them, and for too many */
function samplesIn({ labels, targets, targetShape, count }: NumberSetInit): number {
  if (labels) return labels.length;
  const size = targetSize(targetShape!);
  const samples = targets ? targets.length / size : count!;
  if (!Number.isInteger(samples))
    fail(`targets [${targetShape!.join(',')}] are ${size} numbers a sample, but there are ${targets!.length} in all`);
  return samples > MOST_SAMPLES ? tooMany('samples', samples) : samples;
}

function checkNumbers(numbers: SampleNumbers, size: number, init: NumberSetInit): void {
  const { shape, labels, binary = false } = init;
  const samples = samplesIn(init);
  if (numbers.length !== size * samples) {
    const wanted = labels ? 'labels' : `targets [${init.targetShape!.join(',')}]`;
    const fact = `${samples} ${wanted} and samples [${shape.join(',')}] need ${size * samples} numbers`;
    fail(`${fact}, but there are ${numbers.length}`);
  }
  const wrong = firstWrong(numbers, binary);
  if (wrong < 0) return;
  const place = `number ${wrong % size} of sample ${Math.floor(wrong / size)}`;
  fail(`${numbersRule(binary)}, but ${place} is ${numbers[wrong]}; replace it, or leave that sample out`);
}

/** Copies of arrays that sets were made of: another set of the same array has the same copy. */
const copies = new WeakMap<SampleNumbers, WeakRef<SharedNumbers>>();

/** Compared at once, in bytes: a Buffer may have no more than 2^32. */
const PIECE = 2 ** 30;

/** Whether two arrays of one kind hold the same bytes. */
function isSame(a: SampleNumbers, b: SampleNumbers): boolean {
  if (a.length !== b.length) return false;
  const piece = ({ buffer, byteOffset, byteLength }: SampleNumbers, at: number) =>
    Buffer.from(buffer as ArrayBuffer, byteOffset + at, Math.min(PIECE, byteLength - at));
  for (let at = 0; at < a.byteLength; at += PIECE) if (!piece(a, at).equals(piece(b, at))) return false;
  return true;
}

function inSharedMemory(numbers: SampleNumbers): SharedNumbers {
  if (isShared(numbers)) return numbers as SharedNumbers;
  const former = copies.get(numbers)?.deref();
  if (former && isSame(former, numbers)) return former; // it was not changed in between
  const memory = new SharedArrayBuffer(numbers.byteLength);
  const shared = numbers instanceof Uint8Array ? new Uint8Array(memory) : new Float32Array(memory);
  shared.set(numbers);
  copies.set(numbers, new WeakRef(shared));
  return shared;
}

/** @throws SpikeloomError for a target that is not finite */
function targetsInMemory({ targets, targetShape }: NumberSetInit): Targets {
  const shape = [...targetShape!];
  if (targets === undefined) return { shape };
  const wrong = wrongTarget(targets);
  if (wrong) {
    const size = targetSize(shape);
    const place = `number ${wrong.at % size} of sample ${Math.floor(wrong.at / size)}`;
    fail(`targets are finite numbers in f32, but ${place} is ${wrong.found}; replace it, or leave that sample out`);
  }
  const numbers = targets instanceof Float32Array ? targets : Float32Array.from(targets);
  return { shape, numbers: inSharedMemory(numbers) as Float32Array<SharedArrayBuffer> };
}

function chosenInMemory(chosen: ArrayLike<number>, count: number): Int32Array<SharedArrayBuffer> {
  for (let at = 0; at < chosen.length; at++) {
    const index = chosen[at]!;
    if (Number.isInteger(index) && index >= 0 && index < count) continue;
    fail(`chosen are indices of samples, 0 to ${count - 1}, but number ${at} is ${kindOf(index)}`);
  }
  if (chosen.length === 0) fail('at least one sample is in use, but chosen is empty');
  const shared = sharedLabels(chosen.length);
  shared.set(chosen);
  return shared;
}

/**
 * Makes a data set of your own numbers with targets in place of classes, for a regression.
 * @example // two numbers for each of 1000 samples of 64 features
 * const targets = new Float32Array(1000 * 2);
 * const train = numberSet({ name: 'spectra', numbers, shape: [64, 1, 1], targets, targetShape: [2] });
 */
export function numberSet(init: NumberSetInit & { targetShape: readonly number[] }): TargetSet;
/**
 * Makes a data set of your own numbers with classes, for loader(), train() and evaluate(), which get them as they are. They are
 * copied only where they do not lie in shared memory yet, once for all sets of the same array, and are not to be changed
 * while the set is in use.
 * @throws SpikeloomError for sizes, classes or targets that do not fit together, and for numbers that are not finite
 * @example
 * const numbers = new Float32Array(1000 * 64); // 1000 samples of 64 features
 * const train = numberSet({ name: 'spectra', numbers, shape: [64, 1, 1], labels, classes: ['quiet', 'loud'] });
 */
export function numberSet(
  init: NumberSetInit & { targets?: undefined; targetShape?: undefined; count?: undefined },
): ClassNumberSet;
/** Makes a data set of your own numbers, with classes or targets as the options say. */
export function numberSet(init: NumberSetInit): NumberSet;
export function numberSet(init: NumberSetInit): NumberSet {
  needOptions('numberSet()', init, KNOWN);
  checkParts(init);
  const { name, numbers, shape, labels, classes = [], binary, chosen } = init;
  const [width, height, channels, steps] = [...shape].reverse() as [number, number, number, number?];
  const size = shape.reduce((all, one) => all * one, 1);
  if (typeof numbers !== 'function') checkNumbers(numbers, size, init);
  const names = typeof classes === 'number' ? Array.from({ length: classes }, (_, i) => String(i)) : [...classes];
  const samples = samplesIn(init);
  const set: NumberSet = {
    ...{ kind: 'numbers', name, channels, height, width, classes: names, count: chosen?.length ?? samples },
    ...(steps === undefined ? {} : { steps }),
    ...(binary ? { binary } : {}),
    ...(numbers instanceof Uint8Array ? { unit: 1 } : {}),
    ...(chosen === undefined ? {} : { chosen: chosenInMemory(chosen, samples) }),
    ...(labels ? {} : { targets: targetsInMemory(init) }),
    numbers: typeof numbers === 'function' ? numbers : inSharedMemory(numbers),
    labels: labels ? labelsInMemory('numberSet()', 'sample', labels, names.length) : sharedLabels(samples),
  };
  checkNumberSet(set);
  return set;
}

/** Checks that the parts of a set fit together; its numbers are not looked at. @throws SpikeloomError */
export function checkNumberSet(set: NumberSet): void {
  const refuse = (text: string): never => {
    throw new SpikeloomError(`number set '${set.name}': ${text}`);
  };
  const { count, steps = 1, channels, height, width, numbers, labels, chosen, classes, targets } = set;
  for (const [key, value] of Object.entries({ count, steps, channels, height, width })) {
    if (!Number.isInteger(value) || value < 1) refuse(`${key} must be a positive integer, but is ${kindOf(value)}`);
  }
  const isMade = typeof numbers === 'function';
  const arrays = [labels, ...(chosen ? [chosen] : []), ...(isMade ? [] : [numbers])];
  if (targets && !(isMade && targets.numbers === undefined)) arrays.push(targets.numbers!);
  if (!arrays.every((array) => ArrayBuffer.isView(array) && isShared(array)))
    refuse('numbers, labels, targets and chosen must lie in shared memory; numberSet(...) copies them into it');
  if (!isMade && numbers.length !== labels.length * sizeOf(set))
    refuse(`${labels.length} samples need ${labels.length * sizeOf(set)} numbers, but there are ${numbers.length}`);
  if (count !== (chosen ?? labels).length) refuse(`${count} samples are in use, not ${(chosen ?? labels).length}`);
  const absent = chosen?.findIndex((i) => i < 0 || i >= labels.length) ?? -1;
  if (absent >= 0) refuse(`there is no sample ${chosen![absent]} among ${labels.length}`);
  if (targets) checkTargetSizes(targets, labels.length, refuse);
  const bad = targets ? -1 : labels.findIndex((label) => label < 0 || label >= classes.length);
  if (bad >= 0) refuse(`label ${labels[bad]} of sample ${bad} is outside 0..${classes.length - 1}`);
}

function checkTargetSizes({ shape, numbers }: Targets, samples: number, refuse: (text: string) => never): void {
  if (!isTargetShape(shape)) refuse(`the shape of targets is ${TARGET_SHAPES}, not ${contentOf(shape)}`);
  const wanted = samples * targetSize(shape);
  if (numbers && !(numbers instanceof Float32Array && numbers.length === wanted))
    refuse(
      `targets [${shape.join(',')}] of ${samples} samples are ${wanted} numbers in f32, but there are ${numbers.length}`,
    );
}
