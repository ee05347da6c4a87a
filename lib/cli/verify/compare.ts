// How far computed numbers are from expected ones.

/** One output or gradient of a fixture. */
export interface Comparison {
  name: string;
  /** |computed - expected| / |expected| over all elements (Euclidean norms); the plain |computed| where expected is 0. */
  error: number;
  /** Whether `error` is the absolute one. */
  absolute: boolean;
  ok: boolean;
}

type Numbers = ArrayLike<number>;

/** NaN on either side never passes. `skip` leaves out elements that cannot be compared. */
export function compare(
  name: string,
  computed: Numbers,
  expected: Numbers,
  tolerance: number,
  skip: (index: number) => boolean = () => false,
): Comparison {
  let difference = 0;
  let size = 0;
  for (let i = 0; i < expected.length; i++) {
    if (skip(i)) continue;
    difference = Math.hypot(difference, computed[i]! - expected[i]!);
    size = Math.hypot(size, expected[i]!);
  }
  const absolute = size === 0;
  const error = computed.length === expected.length ? (absolute ? difference : difference / size) : Number.NaN;
  return { name, error, absolute, ok: error <= tolerance };
}

/** Sets of numbers that must be the same one by one; the error is the share of those that differ. */
export function compareExactly(name: string, differing: number, count: number): Comparison {
  return { name, error: differing / count, absolute: true, ok: differing === 0 };
}
