// Programs of takeImages(): what is done with an image of a batch, as plain data and as the words that the kernels read
// (native/ops/take_images).

import { SpikeloomError } from '../core/index.ts';
import { isKeyOf, kindOf, needArguments } from '../core/options.ts';

/**
 * Pixel (x, y) of the result comes from (a x + b y + c, d x + e y + f) of the image; the center of the first pixel is
 * (1/2, 1/2).
 */
export type AffineMap = readonly [a: number, b: number, c: number, d: number, e: number, f: number];

export type Resample = 'nearest' | 'bilinear' | 'bicubic';

/**
 * A change of an image's pixels, to the byte as Pillow's Image.transform (affine), ImageEnhance (with a factor, 1: as
 * it is) and ImageOps make it on images of mode L (one channel) and RGB (three).
 */
export type ImageChange =
  /** `fill`: the byte of every channel that comes from outside of the image. */
  | { kind: 'affine'; map: AffineMap; resample: Resample; fill: readonly number[] }
  | { kind: 'color' | 'contrast' | 'brightness' | 'sharpness'; factor: number }
  /** Keeps the first `bits` bits, 0 to 8. */
  | { kind: 'posterize'; bits: number }
  /** Values from `threshold` on become 255 - value. */
  | { kind: 'solarize'; threshold: number }
  /** Adds to values below `threshold`, up to 255. */
  | { kind: 'solarizeAdd'; add: number; threshold: number }
  | { kind: 'invert' | 'autoContrast' | 'equalize' };

/** What is done with one image, in this order. */
export interface ImageProgram {
  /** Of the image in its set. */
  index: number;
  /**
   * Corner of the window, of the image's own size, relative to the image; 0 where none is given. What lies outside is
   * 0.
   */
  top?: number;
  left?: number;
  /** Whether the window is mirrored. */
  flip?: boolean;
  changes?: readonly ImageChange[];
  /**
   * Pixels that become 0: rows from `top` to below `bottom`, columns from `left` to below `right`; clipped at the
   * edges.
   */
  hole?: { top: number; left: number; bottom: number; right: number };
}

/** Words of a program in front of its changes. */
export const HEADER_WORDS = 8;
/** Changes of a program at most. */
const MOST_CHANGES = 1000;
/** Words of a change. */
const CHANGE_WORDS = 16;

/** The words of an affine map and of the other changes. */
const RESAMPLES = { nearest: 1, bilinear: 2, bicubic: 3 } as const;
const KINDS = {
  ...{ color: 4, contrast: 5, brightness: 6, sharpness: 7, posterize: 8, solarize: 9, solarizeAdd: 10 },
  ...{ invert: 11, autoContrast: 12, equalize: 13 },
} as const;

/** Nearest pixels are found in 16.16 fixed point, which ends here. */
const FIXED_LIMIT = 2 ** 15;

const fixed = (x: number): number => Math.floor(x * 65536 + 0.5);

function encodeNearest([a, b, c, d, e, f]: AffineMap, words: Int32Array): void {
  if (b === 0 && d === 0) {
    if (a !== 1 || e !== 1) {
      throw new SpikeloomError(
        `an affine map by nearest pixels either shears, turns or only moves; this one has scales ${a}, ${e}`,
      );
    }
    words.set([65536, 0, Math.floor(c + 0.5) * 65536, 0, 65536, Math.floor(f + 0.5) * 65536]); // whole pixels
    return;
  }
  words.set([fixed(a), fixed(b), fixed(c + a * 0.5 + b * 0.5), fixed(d), fixed(e), fixed(f + d * 0.5 + e * 0.5)]);
}

const float = new Float32Array(1);
const floatBits = new Int32Array(float.buffer);

function numberOf<K extends string>(change: { kind: string } & Record<K, number>, key: K): number {
  const value = change[key];
  if (Number.isFinite(value)) return value;
  throw new SpikeloomError(`a change '${change.kind}' has a finite number as its ${key}, not ${kindOf(value)}`);
}

function encodeChange(change: ImageChange, words: Int32Array): void {
  needArguments('a program', 'an object', { change });
  if (change.kind === 'affine') {
    const { map, resample, fill } = change;
    if (!Array.isArray(map) || map.length !== 6 || !Array.isArray(fill) || !isKeyOf(resample, RESAMPLES)) {
      throw new SpikeloomError(
        `an affine change has a map of six numbers, a resample of ${Object.keys(RESAMPLES).join(', ')}, and a fill`,
      );
    }
    if (!map.every((x) => Math.abs(x) < FIXED_LIMIT)) {
      throw new SpikeloomError(
        `the numbers of an affine map lie within +-${FIXED_LIMIT}, but it is [${map.join(', ')}]`,
      );
    }
    words[0] = RESAMPLES[resample];
    words[1] = fill.slice(0, 4).reduce((all, byte, c) => all | (byte << (8 * c)), 0);
    if (resample === 'nearest') encodeNearest(map, words.subarray(4, 10));
    else words.set(new Int32Array(Float64Array.from(map).buffer), 4);
    return;
  }
  if (!isKeyOf(change.kind, KINDS)) {
    const kinds = ['affine', ...Object.keys(KINDS)].join(', ');
    throw new SpikeloomError(`a change of an image is one of ${kinds}, not ${kindOf(change.kind)}`);
  }
  words[0] = KINDS[change.kind];
  switch (change.kind) {
    case 'color':
    case 'contrast':
    case 'brightness':
    case 'sharpness':
      float[0] = numberOf(change, 'factor');
      words[1] = floatBits[0]!;
      break;
    case 'posterize':
      words[1] = ~(2 ** (8 - numberOf(change, 'bits')) - 1);
      break;
    case 'solarize':
      words[1] = Math.ceil(numberOf(change, 'threshold'));
      break;
    case 'solarizeAdd':
      words.set([numberOf(change, 'add'), numberOf(change, 'threshold')], 1);
  }
}

/** Words of a program with that many changes: L. */
export const programWords = (changes: number): number => HEADER_WORDS + CHANGE_WORDS * changes;

/**
 * Writes a program to all of `words`, which may have room for more changes than it has.
 * @throws SpikeloomError where it has room for fewer, and for a map that has no such program
 */
export function encodeProgram(program: ImageProgram, words: Int32Array): void {
  needArguments('a program', 'an object', { program });
  const { index, top = 0, left = 0, flip = false, changes = [], hole } = program;
  needArguments('a program', 'an array', { changes });
  if (programWords(changes.length) > words.length) {
    throw new SpikeloomError(
      `a program of ${changes.length} changes needs ${programWords(changes.length)} words, not ${words.length}`,
    );
  }
  if (!Number.isSafeInteger(index))
    throw new SpikeloomError(`a program has the index of an image, not ${kindOf(index)}`);
  words.fill(0);
  words.set([index, top, left, Number(flip)]);
  if (hole) words.set([hole.top, hole.left, hole.bottom, hole.right], 4);
  changes.forEach((change, i) => {
    const at = programWords(i);
    encodeChange(change, words.subarray(at, at + CHANGE_WORDS));
  });
}

/**
 * The programs of a batch as numbers for takeImages(), [B,L] with L = {@link programWords} of `changes`.
 * @param changes how many changes a program has at most; default: as many as the longest one here
 * @example encodePrograms([{ index: 3, flip: true, changes: [{ kind: 'invert' }] }])
 */
export function encodePrograms(programs: readonly ImageProgram[], changes?: number): Int32Array<ArrayBuffer> {
  needArguments('encodePrograms', 'an array', { programs });
  const most = changes ?? Math.max(0, ...programs.map((program) => program?.changes?.length ?? 0));
  if (!Number.isInteger(most) || most < 0 || most > MOST_CHANGES)
    throw new SpikeloomError(`a program has 0 to ${MOST_CHANGES} changes, not ${kindOf(most)}`);
  const length = programWords(most);
  const words = new Int32Array(programs.length * length);
  programs.forEach((program, b) => {
    encodeProgram(program, words.subarray(b * length, (b + 1) * length));
  });
  return words;
}
