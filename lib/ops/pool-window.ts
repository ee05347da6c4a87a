// The windows of avgPool2d and maxPool2d: options checked, sizes computed.
import { describe, needTensors, SpikeloomError, type Tensor } from '../core/index.ts';
import { contentOf } from '../core/options.ts';
import { convolvedSize, type Pair, pair } from './conv2d.ts';

export interface PoolOptions {
  /** Size of the window. */
  kernel: Pair;
  /** Distance of neighboring windows (default: the kernel's size). */
  stride?: Pair;
  /** Pixels around the picture, at most half of the kernel (default 0). */
  padding?: Pair;
  /**
   * Let the last window hang over the end, if it starts inside the picture or the padding before it (default false).
   */
  ceilMode?: boolean;
}

/** @internal Their names. */
export const POOL_OPTIONS: Record<keyof PoolOptions, true> = {
  kernel: true,
  stride: true,
  padding: true,
  ceilMode: true,
};

/**
 * Windows along one axis: floor((size + 2 padding - kernel) / stride) + 1; with ceilMode rounded up, less one where the
 * last window would start past the picture and its first padding (as PyTorch does).
 */
export function pooledSize(size: number, kernel: number, stride: number, padding: number, ceilMode: boolean): number {
  if (!ceilMode) return convolvedSize(size, kernel, stride, padding);
  const places = Math.ceil((size + 2 * padding - kernel) / stride) + 1;
  return (places - 1) * stride >= size + padding ? places - 1 : places;
}

const whole = (from: number, ...values: number[]) =>
  values.every((v) => Number.isSafeInteger(v) && v >= from && v < 2 ** 31);

function check(op: string, kernel: readonly number[], stride: readonly number[], padding: readonly number[]): void {
  if (!whole(1, ...kernel) || !whole(1, ...stride) || !whole(0, ...padding)) {
    throw new SpikeloomError(
      `${op}: kernel and stride are whole numbers from 1 on, padding from 0 on; not kernel ${contentOf(kernel)}, stride ${contentOf(stride)}, padding ${contentOf(padding)}`,
    );
  }
  if (padding.some((p, i) => 2 * p > kernel[i]!)) {
    throw new SpikeloomError(
      `${op}: padding ${padding} is more than half of the kernel ${kernel}, so that windows could hold no pixel; make it smaller`,
    );
  }
}

/** Attributes and sizes of a call. @throws SpikeloomError for options no window fits. */
export function poolWindow(op: string, x: Tensor, options: PoolOptions) {
  needTensors(op, { x });
  const kernel = pair(options.kernel);
  const stride = pair(options.stride ?? options.kernel);
  const padding = pair(options.padding ?? 0);
  check(op, kernel, stride, padding);
  if (x.shape.length !== 5)
    throw new SpikeloomError(`${op}: takes [T,B,C,H,W], not ${describe(x)}; add the missing axes with reshape()`);
  const [H, W] = x.shape.slice(-2) as [number, number];
  const [P, Q] = [H, W].map((size, i) =>
    pooledSize(size, kernel[i]!, stride[i]!, padding[i]!, options.ceilMode ?? false),
  ) as [number, number];
  if (P < 1 || Q < 1) {
    throw new SpikeloomError(
      `${op}: a ${kernel.join('x')} window does not fit into ${H}x${W} with padding ${padding}; make the kernel smaller or the input larger`,
    );
  }
  const attributes = { kh: kernel[0], kw: kernel[1], sh: stride[0], sw: stride[1], ph: padding[0], pw: padding[1] };
  return { attributes, dims: { P, Q }, inputDims: { H, W } };
}
