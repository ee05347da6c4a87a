import { forBackward, nativeOp, needsGrad, needTensors, record, SpikeloomError, type Tensor } from '../core/index.ts';

const forward = nativeOp<'F'>('fstaMap');
const gradient = nativeOp<'gS' | 'gw'>('fstaMapGrad');

/** @throws SpikeloomError that names the first of the filters that are not [O,C,k,k] with odd k */
export function checkSquare(op: string, filters: Record<string, Tensor | undefined>): void {
  for (const [name, w] of Object.entries(filters)) {
    if (!w) continue;
    needTensors(op, { [name]: w });
    const [, , height, width] = w.shape;
    if (w.shape.length !== 4 || height !== width || height! % 2 === 0) {
      throw new SpikeloomError(
        `${op}: '${name}' holds square filters of odd size [O,C,k,k], not [${w.shape.join(',')}]`,
      );
    }
  }
}

/**
 * The learned mix of a map's frequencies: F = w (*) (basis (*) S), with zero padding that keeps H and W in both
 * convolutions.
 *
 * It is computed without the maps between: both convolutions together are one with (k+q-1) x (k+q-1) weights for every
 * way in which the border cuts w off. Equal to the two convolutions up to rounding.
 *
 * @param S [B,1,H,W]
 * @param basis [K,1,k,k], k odd; constant
 * @param w [O,K,q,q], q odd
 * @returns F [B,O,H,W]
 * @throws SpikeloomError for filters that are not square and odd, and for a basis that wants a gradient
 */
export function fstaMap(S: Tensor, basis: Tensor, w: Tensor): Tensor {
  checkSquare('fstaMap', { basis, w });
  if (needsGrad(basis)) {
    throw new SpikeloomError(
      "fstaMap: 'basis' is constant, but it requires a gradient; train 'w' instead, or convolve twice with conv2d()",
    );
  }
  const { F } = forward.run({ S, basis, w });
  record([F], [S, w], ([gF], needs) => {
    // A call for each: nobody waits for gw but the optimizer, so a device may make it beside what follows gS.
    const given = { gF, S: forBackward(S), basis, w };
    return [
      needs[0] ? gradient.run(given, {}, { want: ['gS'] }).gS : undefined,
      needs[1] ? gradient.run(given, {}, { want: ['gw'] }).gw : undefined,
    ];
  });
  return F;
}
