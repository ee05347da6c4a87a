// How far computed numbers are from expected ones.

/** One output or gradient of a fixture. */
export interface Comparison {
  name: string;
  /**
   * |computed - expected| / |expected| over all elements (Euclidean norms); |computed - expected| where expected counts
   * as 0.
   */
  error: number;
  /** Whether `error` is the absolute one. */
  absolute: boolean;
  ok: boolean;
}

type Numbers = ArrayLike<number>;

export interface CompareOptions {
  /** Elements that cannot be compared. */
  skip?: (index: number) => boolean;
  /** Expected numbers of this norm or less count as 0. Default 0. */
  negligible?: number;
}

/** NaN on either side never passes. */
export function compare(
  name: string,
  computed: Numbers,
  expected: Numbers,
  tolerance: number,
  { skip = () => false, negligible = 0 }: CompareOptions = {},
): Comparison {
  let difference = 0;
  let size = 0;
  for (let i = 0; i < expected.length; i++) {
    if (skip(i)) continue;
    difference = Math.hypot(difference, computed[i]! - expected[i]!);
    size = Math.hypot(size, expected[i]!);
  }
  const absolute = size <= negligible;
  const error = computed.length === expected.length ? (absolute ? difference : difference / size) : Number.NaN;
  return { name, error, absolute, ok: error <= tolerance };
}

/**
 * What is no more than rounding beside the gradients of the whole network: some are 0 in exact arithmetic (such as that
 * of a weight on channel means behind batch norm, for a batch of one), and two programs that round differently agree on
 * no digit of them.
 */
export function negligibleBeside(gradients: Iterable<Numbers>): number {
  let size = 0;
  for (const gradient of gradients) {
    for (let i = 0; i < gradient.length; i++) size = Math.hypot(size, gradient[i]!);
  }
  return Number.EPSILON * size;
}

/** Sets of numbers that must be the same one by one; the error is the share of those that differ. */
export function compareExactly(name: string, differing: number, count: number): Comparison {
  return { name, error: differing / count, absolute: true, ok: differing === 0 };
}
