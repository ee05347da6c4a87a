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
import { kindOf, needOptions } from '../core/options.ts';
import { bindInputs } from '../core/signature.ts';

const forward = nativeOp<'y'>('linear');
const gradX = nativeOp<'gx'>('linearGradX');
const gradW = nativeOp<'gw' | 'gb'>('linearGradW');

/** In bf16 features are pictures of one pixel, which rest alike, and weights are kernels of one. */
const pixels = {
  forward: nativeOp<'y'>('conv2d'),
  gradX: nativeOp<'gx'>('conv2dGradX'),
  gradW: nativeOp<'gw' | 'gb'>('conv2dGradW'),
};
const EACH = { sh: 1, sw: 1, ph: 0, pw: 0 };
const asPixels = (t: Tensor): Tensor => t.alias([t.size / t.shape.at(-1)!, t.shape.at(-1)!, 1, 1]);

export interface LinearOptions {
  /**
   * 'bf16' (with weights in f32): y is stored as bf16; x, weights and y's gradient are rounded to it as factors, all sums
   * are f32, and so are the gradients. Default: everything in the weights' type.
   */
  precision?: 'bf16' | undefined;
}

/**
 * y[n,o] = sum over f of w[o,f] x[n,f] (+ b[o]).
 *
 * @param x [..., F], real or spikes, up to three axes
 * @param w [O, F]
 * @param b [O]
 * @returns [..., O] of the weights' type, or bf16: see `precision`
 * @throws SpikeloomError when the sizes or types do not fit, or x has more than three axes
 */
export function linear(x: Tensor, w: Tensor, b?: Tensor, options: LinearOptions = {}): Tensor {
  needTensors('linear', { x, w });
  needOptions('linear', options, { precision: true });
  if (x.shape.length > 3)
    throw new SpikeloomError(
      `linear: takes features [..., F] of up to three axes, not ${describe(x)}; flatten it with reshape()`,
    );
  if (options.precision !== undefined) return rounded(x, w, b, options.precision);
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

function rounded(x: Tensor, w: Tensor, b: Tensor | undefined, precision: 'bf16'): Tensor {
  bindInputs(forward.signature, { x, w, b });
  if (precision !== 'bf16')
    throw new SpikeloomError(`linear: precision is 'bf16' or left out, not ${kindOf(precision)}`);
  if (w.dtype !== 'f32')
    throw new SpikeloomError(`linear: precision 'bf16' rounds weights in f32, not in ${w.dtype}; make the weights f32`);
  using pictures = asPixels(x);
  using kernel = asPixels(w);
  const made = { dims: { P: 1, Q: 1 }, types: { y: precision } };
  using picture = pixels.forward.run({ x: pictures, w: kernel, bias: b }, EACH, made).y;
  const y = picture.alias([...x.shape.slice(0, -1), w.shape[0]!]);
  const backward: Backward = ([gy], [needX, needW, needB]) => {
    const g = asPixels(gy!);
    const made = { dims: { H: 1, W: 1 }, types: { gx: 'f32' as const } };
    const gx = needX ? pixels.gradX.run({ gy: g, w: asPixels(w) }, EACH, made).gx.alias(x.shape) : undefined;
    if (!needW && !needB) return [gx];
    const want = needB ? ['gb'] : [];
    const { gw, gb } = pixels.gradW.run({ gy: g, x: asPixels(x) }, EACH, { dims: { kh: 1, kw: 1 }, want, real: 'f32' });
    return [gx, gw.alias(w.shape), gb];
  };
  record([y], [x, w, b], backward, [2]);
  return y;
}
