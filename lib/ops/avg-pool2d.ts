import { nativeOp, type RealType, recomputeForBackward, record, type Tensor } from '../core/index.ts';
import { needOptions } from '../core/options.ts';
import { POOL_OPTIONS, type PoolOptions, poolWindow } from './pool-window.ts';

const forward = nativeOp<'y'>('avgPool2d');
const gradient = nativeOp<'gx'>('avgPool2dGrad');

export interface AvgPool2dOptions extends PoolOptions {
  /**
   * Divide by the window's size with its padding, as if zeros were there (default true), else by the pixels it holds.
   */
  countIncludePad?: boolean;
  /** Type of the means of spikes and of bf16 (default f32). */
  real?: RealType;
  /** 'bf16': the means are stored as bf16, and so is the gradient of spikes. */
  precision?: 'bf16' | undefined;
}

/**
 * y[p,q] = mean of x over the window that starts at row p*stride - padding, column q*stride - padding (PyTorch's
 * avg_pool2d). What hangs over the end of the padding (ceilMode) counts neither in the sum nor in the divisor.
 *
 * @param x [T,B,C,H,W], real, bf16 or spikes
 * @returns [T,B,C,P,Q], real or bf16; the sizes: pooledSize() in pool-window.ts
 * @throws SpikeloomError for a kernel or stride below 1, padding over half of the kernel, or no room for a window
 */
export function avgPool2d(x: Tensor, options: AvgPool2dOptions): Tensor {
  needOptions('avgPool2d', options, { ...POOL_OPTIONS, countIncludePad: true, real: true, precision: true });
  const { countIncludePad = true, real = 'f32', precision } = options;
  const { attributes, dims, inputDims } = poolWindow('avgPool2d', x, options);
  const own = x.dtype === 'spike' ? undefined : x.dtype;
  const made = precision ?? (own === 'f32' || own === 'f64' ? own : real);
  const all = { ...attributes, countIncludePad };
  const pooled = () => forward.run({ x }, all, { dims, types: { y: made } }).y;
  const y = pooled();
  record([y], [x], ([gy]) => [
    gradient.run({ gy }, all, {
      dims: inputDims,
      types: { gx: own ?? precision ?? (gy!.dtype === 'f64' ? 'f64' : 'f32') },
    }).gx,
  ]);
  if (x.dtype === 'spike') recomputeForBackward(y, pooled); // bits take less memory than their means
  return y;
}
