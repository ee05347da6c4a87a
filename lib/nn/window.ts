import { pooledSize } from '../ops/pool-window.ts';
import type { PlanContext } from './layer.ts';

/** A square window that slides over an image. */
export interface Window {
  kernel: number;
  stride: number;
  padding: number;
  /** Let the last window hang over the end, if it starts inside the image or its left padding. */
  ceilMode?: boolean;
}

/** Places of a window along an axis of `size` pixels, or a refusal where there is none. */
export function windowSize(
  size: number,
  { kernel, stride, padding, ceilMode = false }: Window,
  context: PlanContext,
): number {
  const places = pooledSize(size, kernel, stride, padding, ceilMode);
  if (places < 1) {
    const padded = padding > 0 ? ` (${size + 2 * padding} with padding ${padding} on each side)` : '';
    context.fail(
      `a window of ${kernel} does not fit into ${size} pixels${padded}; use a smaller kernel, fewer strides before it or a larger image`,
    );
  }
  return places;
}
