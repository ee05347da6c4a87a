import { nativeOp, needsGrad, record, type Tensor } from '../core/index.ts';
import { needOptions } from '../core/options.ts';
import { POOL_OPTIONS, type PoolOptions, poolWindow } from './pool-window.ts';

const forward = nativeOp<'y' | 'index'>('maxPool2d');
const gradient = nativeOp<'gx'>('maxPool2dGrad');
const gradientOfSpikes = nativeOp<'gx'>('spikeMaxPool2dGrad');

export interface MaxPool2dOptions extends PoolOptions {
  /** 'bf16': the gradient of spikes is stored as bf16. */
  precision?: 'bf16' | undefined;
}

/**
 * y[p,q] = largest x in the window that starts at row p*stride - padding, column q*stride - padding (PyTorch's
 * max_pool2d); padding never wins. Of equal pixels the first one, row by row, gets the whole gradient.
 *
 * @param x [T,B,C,H,W], real, bf16 or spikes
 * @returns [T,B,C,P,Q] of the type of x: spikes stay spikes; the sizes: pooledSize() in pool-window.ts
 * @throws SpikeloomError for a kernel or stride below 1, padding over half of the kernel, or no room for a window
 */
export function maxPool2d(x: Tensor, options: MaxPool2dOptions): Tensor {
  needOptions('maxPool2d', options, { ...POOL_OPTIONS, precision: true });
  const { attributes, dims, inputDims } = poolWindow('maxPool2d', x, options);
  const isSpikes = x.dtype === 'spike';
  const want = needsGrad(x) && !isSpikes ? (['index'] as const) : [];
  const { y, index } = forward.run({ x }, attributes, { dims, types: { y: x.dtype }, want });
  record([y], [x], ([gy]) => {
    if (!isSpikes) return [gradient.run({ gy, index }, attributes, { dims: inputDims, types: { gx: x.dtype } }).gx];
    const types = { gx: options.precision ?? (gy!.dtype === 'f64' ? 'f64' : 'f32') } as const;
    return [gradientOfSpikes.run({ gy, x }, attributes, { types }).gx];
  });
  return y;
}
