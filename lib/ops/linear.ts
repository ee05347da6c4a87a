import {
  type Backward,
  describe,
  nativeOp,
  needTensors,
  type RealType,
  record,
  SpikeloomError,
  type Tensor,
} from '../core/index.ts';

const forward = nativeOp<'y'>('linear');
const gradX = nativeOp<'gx'>('linearGradX');
const gradW = nativeOp<'gw' | 'gb'>('linearGradW');

/**
 * y[n,o] = sum over f of w[o,f] x[n,f] (+ b[o]).
 *
 * @param x [..., F], real or spikes, up to three axes
 * @param w [O, F]
 * @param b [O]
 * @returns [..., O] of the weights' type
 * @throws SpikeloomError when the sizes or types do not fit, or x has more than three axes
 */
export function linear(x: Tensor, w: Tensor, b?: Tensor): Tensor {
  needTensors('linear', { x, w });
  if (x.shape.length > 3)
    throw new SpikeloomError(
      `linear: takes features [..., F] of up to three axes, not ${describe(x)}; flatten it with reshape()`,
    );
  const { y } = forward.run({ x, w, b });
  const backward: Backward = ([gy], [needX, needW, needB]) => {
    const gx = needX ? gradX.run({ gy, w }).gx : undefined;
    if (!needW && !needB) return [gx];
    const { gw, gb } = gradW.run({ gy, x }, {}, { want: needB ? ['gb'] : [], real: w.dtype as RealType });
    return [gx, gw, gb];
  };
  record([y], [x, w, b], backward, [2]);
  return y;
}
