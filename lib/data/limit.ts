import { SpikeloomError } from '../core/errors.ts';
import { kindOf } from '../core/options.ts';
import { type AnySet, needSet } from './batch.ts';
import { checkImageSet } from './images/image-set.ts';

/**
 * A part of a data set, as a view of the same memory: of images the first `n` in file order, of other sets `n` that are
 * evenly spread over each class, in file order. All where the set holds fewer.
 * @throws SpikeloomError unless n is a positive integer
 */
export function limit<S extends AnySet>(set: S, n: number): S {
  needSet(set);
  if (set.kind === 'images') checkImageSet(set);
  if (!Number.isInteger(n) || n < 1) {
    throw new SpikeloomError(`limit(set, n) needs a positive integer n, but got ${kindOf(n)}`);
  }
  if (n >= set.count) return set;
  if (set.kind === 'images') {
    const size = set.channels * set.height * set.width;
    return { ...set, count: n, images: set.images.subarray(0, n * size), labels: set.labels.subarray(0, n) };
  }
  const { labels } = set;
  const used = set.chosen ?? Int32Array.from({ length: set.count }, (_, at) => at);
  const byClass = Array.from(used.keys()).sort((a, b) => labels[used[a]!]! - labels[used[b]!]!);
  const taken = Array.from({ length: n }, (_, i) => byClass[Math.floor(((i + 0.5) * set.count) / n)]!);
  const chosen = new Int32Array(new SharedArrayBuffer(4 * n));
  chosen.set(taken.sort((a, b) => a - b).map((at) => used[at]!));
  return { ...set, count: n, chosen };
}
