import { forBackward, nativeOp, needsGrad, needTensors, record, SpikeloomError, type Tensor } from '../core/index.ts';

const kernels = nativeOp<'E'>('fstaKernels');
const map = nativeOp<'y'>('fstaMap');
const weightGradient = nativeOp<'gw'>('fstaMapGradW');

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

/** F of x = S, or, `back`, gS of x = gF. */
function mapOf(x: Tensor, basis: Tensor, w: Tensor, back: boolean): Tensor {
  const [, , height, width] = x.shape as [number, number, number, number];
  const [O, , q] = w.shape as [number, number, number];
  const k = basis.shape[2]!;
  const outer = back ? k : q;
  const numbers = (pixels: number) => Math.min(pixels, outer) * (q + k - 1); // of each class of rows, or columns
  const dims = { Y: numbers(height), X: numbers(width) };
  using E = kernels.run({ basis, w }, { height, width, back }, { dims }).E;
  return map.run({ x, E }, { outer }, { dims: { J: back ? 1 : O } }).y;
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
  needTensors('fstaMap', { S });
  if (S.shape.length !== 4 || S.shape[1] !== 1) {
    throw new SpikeloomError(`fstaMap: 'S' is one map for each image, [B,1,H,W], not [${S.shape.join(',')}]`);
  }
  const F = mapOf(S, basis, w, false);
  record([F], [S, w], ([gF], needs) => [
    needs[0] ? mapOf(gF!, basis, w, true) : undefined,
    needs[1] ? weightGradient.run({ gF, S: forBackward(S), basis }, {}, { dims: { q: w.shape[2]! } }).gw : undefined,
  ]);
  return F;
}
