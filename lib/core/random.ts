import { hostArray } from './dtype.ts';
import { SpikeloomError } from './errors.ts';
import { kindOf } from './options.ts';
import { runToEnd } from './turns.ts';

/**
 * Counter-based random numbers: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011).
 *
 * A block of four 32-bit words is a pure function of a 128-bit counter and a 64-bit key:
 *
 *     counter = (block, stream[0], stream[1], stream[2])      missing stream words are 0
 *     key     = (seed mod 2^32, floor(seed / 2^32))
 *
 * so a draw depends on nothing but its name (seed, stream, position): not on threads, batches or what was drawn before.
 */

const MULTIPLIER_0 = 0xd2511f53;
const MULTIPLIER_1 = 0xcd9e8d57;
const WEYL_0 = 0x9e3779b9;
const WEYL_1 = 0xbb67ae85;
const ROUNDS = 10;
const TWO_32 = 2 ** 32;

/** First stream word of every use inside the library, so that no two uses share a stream. */
export const STREAM = { shuffle: 1, augment: 2, dropout: 3, mix: 4, mirror: 5, init: 0x696e6974 } as const;

/** Upper 32 bits of the 64-bit product of two unsigned 32-bit integers, by 16-bit halves. */
function mulHigh(a: number, b: number): number {
  const aLow = a & 0xffff;
  const aHigh = a >>> 16;
  const bLow = b & 0xffff;
  const bHigh = b >>> 16;
  const middle = aHigh * bLow + ((aLow * bLow) >>> 16);
  const carry = (middle & 0xffff) + aLow * bHigh;
  return (aHigh * bHigh + (middle >>> 16) + (carry >>> 16)) >>> 0;
}

/**
 * One Philox4x32-10 block.
 * @param counter four uint32 words
 * @param key two uint32 words
 * @param out where the four uint32 words go; may be `counter` itself
 */
export function philoxBlock(counter: Uint32Array, key: Uint32Array, out = new Uint32Array(4)): Uint32Array {
  let c0 = counter[0]!;
  let c1 = counter[1]!;
  let c2 = counter[2]!;
  let c3 = counter[3]!;
  let k0 = key[0]!;
  let k1 = key[1]!;
  for (let round = 0; round < ROUNDS; round++) {
    const high0 = mulHigh(MULTIPLIER_0, c0);
    const high1 = mulHigh(MULTIPLIER_1, c2);
    const low0 = Math.imul(MULTIPLIER_0, c0);
    const low1 = Math.imul(MULTIPLIER_1, c2);
    c0 = (high1 ^ c1 ^ k0) >>> 0;
    c1 = low1 >>> 0;
    c2 = (high0 ^ c3 ^ k1) >>> 0;
    c3 = low0 >>> 0;
    k0 = (k0 + WEYL_0) >>> 0;
    k1 = (k1 + WEYL_1) >>> 0;
  }
  out[0] = c0;
  out[1] = c1;
  out[2] = c2;
  out[3] = c3;
  return out;
}

/** Of a permutation between two turns. */
const SWAPS = 2 ** 12;

/** Numbers that are written between two turns. */
const FILLED = 2 ** 18;

/** 0..n-1, in turns. */
export function* indicesInTurns(n: number): Generator<void, Int32Array, void> {
  const indices = hostArray('i32', n) as Int32Array;
  for (let from = 0; from < n; from += FILLED) {
    for (let i = from; i < Math.min(n, from + FILLED); i++) indices[i] = i;
    yield;
  }
  return indices;
}

/** A stream of draws; made by {@link philox}. Two streams with equal arguments give equal draws. */
export class Philox {
  readonly #key: Uint32Array;
  readonly #counter: Uint32Array;
  readonly #words = new Uint32Array(4);
  #used = 4;
  #exhausted = false;
  /** The second value of a pair, or NaN; in an array, since V8 allocates every real number that a field is given. */
  readonly #spare = Float64Array.of(Number.NaN);

  constructor(key: Uint32Array, counter: Uint32Array) {
    this.#key = key;
    this.#counter = counter;
  }

  /** Restarts as the stream with another third word: cheaper than opening it by {@link philox}. */
  reopen(third: number): void {
    checkWord(third);
    this.#counter[0] = 0;
    this.#counter[3] = third;
    this.#used = 4;
    this.#exhausted = false;
    this.#spare[0] = Number.NaN;
  }

  /** Uniform on the integers [0, 2^32). One word. */
  uint32(): number {
    if (this.#used === 4) this.#refill();
    return this.#words[this.#used++]!;
  }

  /** Uniform on [0, 1) with 53 random bits: (27 high bits of one word, 26 high bits of the next) / 2^53. Two words. */
  uniform(): number {
    const high = this.uint32() >>> 5;
    const low = this.uint32() >>> 6;
    return (high * 2 ** 26 + low) / 2 ** 53;
  }

  /**
   * Standard normal by Box-Muller from two uniforms: r = sqrt(-2 ln(1 - u1)), returns r cos(2 pi u2), then r sin(2 pi
   * u2). The second value of a pair is kept for the next call. Four words a pair.
   */
  normal(): number {
    const spare = this.#spare[0]!;
    if (!Number.isNaN(spare)) {
      this.#spare[0] = Number.NaN;
      return spare;
    }
    const radius = Math.sqrt(-2 * Math.log(1 - this.uniform()));
    const angle = 2 * Math.PI * this.uniform();
    this.#spare[0] = radius * Math.sin(angle);
    return radius * Math.cos(angle);
  }

  /**
   * Fills an array with normals times `scale`, those that as many calls of normal() would give: without the garbage that
   * numbers make which one function returns to another.
   */
  fillNormal(values: Float32Array | Float64Array, scale: number): void {
    if (!(values instanceof Float32Array || values instanceof Float64Array) || !Number.isFinite(scale)) {
      throw new SpikeloomError(
        `fillNormal(values, scale) fills an array of floats by a finite scale, not ${kindOf(values)} by ${kindOf(scale)}`,
      );
    }
    let at = 0;
    if (values.length > 0 && !Number.isNaN(this.#spare[0])) values[at++] = scale * this.normal();
    for (; at + 1 < values.length; at += 2) {
      const radius = Math.sqrt(-2 * Math.log(1 - this.uniform()));
      const angle = 2 * Math.PI * this.uniform();
      values[at] = scale * (radius * Math.cos(angle));
      values[at + 1] = scale * (radius * Math.sin(angle));
    }
    if (at < values.length) values[at] = scale * this.normal();
  }

  /**
   * Uniform on the integers [0, n), 1 <= n <= 2^32, without bias: words in the incomplete last run of n are redrawn.
   */
  below(n: number): number {
    if (!Number.isInteger(n) || n < 1 || n > TWO_32) {
      throw new SpikeloomError(`below(n) needs an integer n from 1 to 2^32, but got ${kindOf(n)}`);
    }
    const limit = TWO_32 - (TWO_32 % n);
    let word = this.uint32();
    while (word >= limit) word = this.uint32();
    return word % n;
  }

  /**
   * A uniformly drawn permutation of 0..n-1 (Fisher-Yates from the end), n <= 2^26: that many take ten seconds, in
   * which nothing else runs; {@link permutationInTurns} gives the event loop its turn.
   * @throws OutOfMemoryError where there is no room for it
   */
  permutation(n: number): Int32Array {
    return runToEnd(this.permutationInTurns(n));
  }

  /** permutation() as a generator that yields every half millisecond or so. */
  *permutationInTurns(n: number): Generator<void, Int32Array, void> {
    if (!Number.isInteger(n) || n < 0 || n > 2 ** 26) {
      throw new SpikeloomError(`permutation(n) needs an integer n from 0 to 2^26, but got ${kindOf(n)}`);
    }
    const order = yield* indicesInTurns(n);
    for (let end = n; end > 1; end -= SWAPS) {
      this.#swapDown(order, end, Math.max(1, end - SWAPS));
      yield;
    }
    return order;
  }

  /** Exchanges each place from end - 1 down to `to` with one at or before it. */
  #swapDown(order: Int32Array, end: number, to: number): void {
    for (let i = end - 1; i >= to; i--) {
      const j = this.below(i + 1);
      const kept = order[i]!;
      order[i] = order[j]!;
      order[j] = kept;
    }
  }

  #refill(): void {
    if (this.#exhausted) {
      throw new SpikeloomError(
        'this random stream has given all its 2^34 words: use another stream word for further draws',
      );
    }
    philoxBlock(this.#counter, this.#key, this.#words);
    this.#counter[0]! += 1;
    this.#exhausted = this.#counter[0] === 0;
    this.#used = 0;
  }
}

function checkWord(word: number): void {
  if (!Number.isInteger(word) || word < 0 || word >= TWO_32) {
    throw new SpikeloomError(`a stream word is an integer from 0 to 2^32 - 1, but got ${kindOf(word)}`);
  }
}

/**
 * Opens the stream named by a seed and up to three words.
 * @param seed integer from 0 to 2^53 - 1
 * @param stream up to three integers from 0 to 2^32 - 1; by custom the first is one of {@link STREAM}
 * @example philox(3407, STREAM.shuffle, epoch).permutation(60000)
 */
export function philox(seed: number, ...stream: number[]): Philox {
  if (!Number.isSafeInteger(seed) || seed < 0) {
    throw new SpikeloomError(`a seed is an integer from 0 to 2^53 - 1, but got ${kindOf(seed)}`);
  }
  if (stream.length > 3) {
    throw new SpikeloomError(`a random stream is named by at most 3 words, but got ${stream.length}`);
  }
  for (const word of stream) checkWord(word);
  const counter = new Uint32Array(4);
  counter.set(stream, 1);
  return new Philox(new Uint32Array([seed, Math.floor(seed / TWO_32)]), counter);
}
