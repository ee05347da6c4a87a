import { dctBasis } from '../../lib/ops/dct.ts';

/**
 * The 7x7 filters, held by this module: their copy on a device lives as long, so that no test counts handles while it
 * goes.
 */
export const heldBasis = dctBasis(7);
