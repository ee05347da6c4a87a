// The two convolutions of FSTA's frequency map as one, against the two in naive loops.
import { fstaMap } from '../../lib/ops/fsta-map.ts';
import { correlate } from '../support/correlate.ts';
import { noise, type OpTable } from '../support/op-table.ts';

/** Images, maps, filters, rows, columns, size of the basis, size of w. */
type Sizes = readonly [B: number, O: number, K: number, H: number, W: number, k: number, q: number];

const sizes: readonly Sizes[] = [
  [1, 1, 1, 1, 1, 1, 1],
  [2, 1, 9, 1, 1, 3, 7],
  [3, 1, 49, 2, 2, 7, 7],
  [32, 3, 9, 4, 4, 3, 7],
  [33, 1, 5, 5, 3, 7, 7],
  [5, 2, 3, 6, 7, 7, 5],
  [2, 1, 4, 8, 8, 7, 7],
  [1, 3, 2, 1, 33, 7, 3],
  [17, 2, 3, 13, 9, 5, 7],
  [2, 1, 2, 11, 14, 9, 3],
  [9, 1, 3, 29, 31, 7, 7],
  [3, 2, 2, 7, 40, 7, 5],
  [2, 1, 2, 17, 19, 17, 15],
  [1, 1, 2, 100, 70, 3, 5],
];

export const map: OpTable = {
  name: 'fstaMap out of kernels',
  natives: ['fstaKernels', 'fstaMap', 'fstaMapGradW'],
  cases: sizes.map(([B, O, K, H, W, k, q]) => ({
    name: `S [${B},1,${H},${W}], basis [${K},1,${k},${k}], w [${O},${K},${q},${q}]`,
    inputs: () => ({ S: noise([B, 1, H, W], 1), basis: noise([K, 1, k, k], 2), w: noise([O, K, q, q], 3) }),
  })),
  run: ({ S, basis, w }) => [fstaMap(S!, basis!, w!)],
  twin: ({ S, basis, w }) => [correlate(correlate(S!, basis!), w!)],
  gradients: ['S', 'w'],
};
