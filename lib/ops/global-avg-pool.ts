import { nativeOp, type RealType, record, type Tensor } from '../core/index.ts';
import { needOptions } from '../core/options.ts';

const forward = nativeOp<'y'>('globalAvgPool');
const gradient = nativeOp<'gx'>('globalAvgPoolGrad');

export interface GlobalAvgPoolOptions {
  /** Type of the means of spikes (default f32). */
  real?: RealType;
}

/**
 * y[t,b,c] = mean over h, w of x[t,b,c,h,w]; gx = gy / (H W) at every pixel.
 *
 * @param x [T,B,C,H,W], real or spikes
 * @returns [T,B,C], real
 */
export function globalAvgPool(x: Tensor, options: GlobalAvgPoolOptions = {}): Tensor {
  needOptions('globalAvgPool', options, { real: true });
  const { y } = forward.run({ x }, {}, options);
  record([y], [x], ([gy]) => {
    const [H, W] = x.shape.slice(-2) as [number, number];
    return [gradient.run({ gy }, {}, { dims: { H, W } }).gx];
  });
  return y;
}
