import { SpikeloomError } from '../core/index.ts';
import { kindOf, needArguments } from '../core/options.ts';

/**
 * Which filters of a basis: all of them, or indices k·v + u (u the vertical frequency), one or a list in the order
 * wanted.
 */
export type FilterChoice = 'all' | number | readonly number[];

/**
 * c(u) cos(pi (i + 1/2) u / k), c(0) = sqrt(1/k), else sqrt(2/k): row u of the orthonormal DCT-II of size k.
 * The angle is reduced in whole numbers first, so that what is 0 or equal by symmetry is exactly so.
 */
function wave(k: number, u: number, i: number): number {
  if (u === 0) return Math.sqrt(1 / k);
  let phase = ((2 * i + 1) * u) % (4 * k); // in units of pi / 2k
  if (phase > 2 * k) phase = 4 * k - phase;
  const sign = phase > k ? -1 : 1;
  if (phase > k) phase = 2 * k - phase;
  return phase === k ? 0 : sign * Math.sqrt(2 / k) * Math.cos((Math.PI * phase) / (2 * k));
}

function chosenFilters(k: number, filters: FilterChoice): number[] {
  if (filters === 'all') return Array.from({ length: k * k }, (_, index) => index);
  if (typeof filters !== 'number') needArguments("dctBasis (or 'all', or one number)", 'an array', { filters });
  const list = typeof filters === 'number' ? [filters] : [...filters];
  if (list.length === 0) throw new SpikeloomError('dctBasis: at least one filter is needed, the list is empty');
  for (const [at, index] of list.entries()) {
    if (!Number.isSafeInteger(index) || index < 0 || index >= k * k) {
      throw new SpikeloomError(
        `dctBasis: a ${k}x${k} basis has the filters 0 to ${k * k - 1}, there is no filter ${kindOf(index)}`,
      );
    }
    if (list.indexOf(index) !== at)
      throw new SpikeloomError(`dctBasis: filter ${index} is named twice; name each filter once`);
  }
  return list;
}

/**
 * The filters of the orthonormal two-dimensional DCT-II of size k x k, without the rounding of printed tables:
 *
 *     D[i,j] = c(u) c(v) cos(pi (i + 1/2) u / k) cos(pi (j + 1/2) v / k),   c(0) = sqrt(1/k), else sqrt(2/k)
 *
 * Filter k·v + u has the vertical frequency u (along rows, i) and the horizontal frequency v (along columns, j).
 *
 * @param k odd; FSTA's recipes use 7 and 3
 * @returns [F,1,k,k] in row-major order, for F chosen filters: the weights of a convolution with padding (k - 1) / 2
 * @throws SpikeloomError for an even k, or a filter that does not exist or is named twice
 * @see Yu et al., FSTA-SNN, AAAI 2025 (arXiv 2501.14744), the full-band spatial attention
 */
export function dctBasis(k: number, filters: FilterChoice = 'all'): Float64Array {
  if (!Number.isSafeInteger(k) || k < 1)
    throw new SpikeloomError(`dctBasis: the size is a whole number of at least 1, not ${kindOf(k)}`);
  if (k % 2 === 0) {
    throw new SpikeloomError(
      `dctBasis: the size ${k} is even; an even basis does not keep the size of the map (the filtered map would be one pixel short), use an odd size such as 7 or 3`,
    );
  }
  const chosen = chosenFilters(k, filters);
  const basis = new Float64Array(chosen.length * k * k);
  chosen.forEach((index, f) => {
    const u = index % k;
    const v = Math.floor(index / k);
    for (let i = 0; i < k; i++) for (let j = 0; j < k; j++) basis[(f * k + i) * k + j] = wave(k, u, i) * wave(k, v, j);
  });
  return basis;
}
