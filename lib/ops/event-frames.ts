import { nativeOp, needTensors, type RealType, SpikeloomError, type Tensor } from '../core/index.ts';
import { contentOf, kindOf, needOptions } from '../core/options.ts';

const op = nativeOp<'y'>('eventFrames');

/** How the events of a slice become a frame. */
export interface FrameOptions {
  /** H and W of the sensor's part that is counted, in pixels. */
  window: readonly [number, number];
  /** Row and column of its first pixel (default: 0, 0). Where it reaches beyond the sensor there are no events. */
  corner?: readonly [number, number];
  /** H and W of the frame (default: the window's). */
  size?: readonly [number, number];
  /** Counts are at most this; 1 makes binary frames, 0 (the default) does not limit them. */
  clip?: number;
  /** Divide a frame by its largest count. */
  normalise?: boolean;
  /** Type of the frames (default f32). */
  dtype?: RealType;
}

const KNOWN: Record<keyof FrameOptions, true> = {
  ...({ window: true, corner: true, size: true, clip: true, normalise: true, dtype: true } as const),
};

/** Most rows and columns of a window and of a frame. */
const LARGEST = 4096;

function check(name: string, pair: readonly [number, number], least: number): void {
  const isSize = (value: number) => Number.isInteger(value) && value >= least && value <= LARGEST;
  if (Array.isArray(pair) && pair.length === 2 && pair.every(isSize)) return;
  throw new SpikeloomError(`eventFrames: ${name} is two integers from ${least} to ${LARGEST}, not ${contentOf(pair)}`);
}

/** @internal Of an event that is packed. */
export const LARGEST_COORDINATE = 32767;

/**
 * An event as the number that {@link eventFrames} takes: column, row (0..32767) and polarity (0 darker, 1 brighter).
 */
export const packEvent = (x: number, y: number, p: number): number => (p << 30) | (y << 15) | x;

/**
 * Frames of events, a channel per polarity (0 darker, 1 brighter):
 *
 *     n[t,b,p,i,j] = events between bounds[b,t] and bounds[b,t+1] with polarity p at row top + i, column left + j
 *     m = min(n, clip),   divided by the frame's largest m where `normalise`
 *     y[t,b,p] = m[t,b,p] resized to `size`: bilinear as PyTorch's interpolate(align_corners=False), without smoothing
 *
 * Counts are whole numbers, so the frames are the same bits on every device and for any number of threads.
 *
 * @param events i32 [E], each from {@link packEvent}; negative numbers are skipped
 * @param bounds i32 [B,T+1]: where the slices of each recording begin and end among the events. Bounds that lie outside
 * of the events or fall make an empty slice
 * @returns real [T,B,2,H,W]
 * @throws SpikeloomError where a size, the clip or the bounds are out of range
 * @example eventFrames(tensor(events, { dtype: 'i32' }), bounds, { window: [128, 128], size: [64, 64] })
 */
export function eventFrames(events: Tensor, bounds: Tensor, options: FrameOptions): Tensor {
  needTensors('eventFrames', { events, bounds });
  needOptions('eventFrames', options, KNOWN);
  const { window, corner = [0, 0], size = window, clip = 0, normalise = false, dtype = 'f32' } = options;
  check('window', window, 1);
  check('corner', corner, -LARGEST);
  check('size', size, 1);
  if (!Number.isInteger(clip) || clip < 0 || clip >= 2 ** 31) {
    throw new SpikeloomError(`eventFrames: clip is an integer from 0 to ${2 ** 31 - 1}, not ${kindOf(clip)}`);
  }
  const slices = (bounds.shape[1] ?? 0) - 1;
  if (slices < 1) throw new SpikeloomError('eventFrames: bounds are [B,T+1] with a T of 1 or more');
  const attributes = { top: corner[0], left: corner[1], rows: window[0], columns: window[1], clip, normalise };
  return op.run({ events, bounds }, attributes, { dims: { T: slices, H: size[0], W: size[1] }, real: dtype }).y;
}
