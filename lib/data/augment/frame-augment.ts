// Augmentation of frames: what CIFAR10-DVS is trained with.
import { SpikeloomError } from '../../core/errors.ts';
import { type Philox, philox, STREAM } from '../../core/random.ts';
import type { BatchJob } from '../sample-set.ts';
import type { AugmentName } from './augment.ts';

/** What is done to the frames of a sample, the same to all of them. Angles in radians, shifts and boxes in pixels. */
export type FrameChange =
  | { kind: 'identity' }
  | { kind: 'shear'; angle: number }
  | { kind: 'translate'; x: number; y: number }
  | { kind: 'rotate'; angle: number }
  | { kind: 'erase'; top: number; left: number; side: number };

/** T, H and W of frames [T,B,2,H,W]. */
export interface FrameGeometry {
  steps: number;
  height: number;
  width: number;
}

const SHEAR = 0.3;
const SHIFT = 5;
const ROTATION = Math.PI / 6;
const ERASED = [0.001, 0.11] as const;
/** Magnitudes lie on a grid of this many points from -1 to 1. */
const POINTS = 31;

/**
 * Draws what happens to a sample: one of identity, shear along x by up to 0.3 rad, a shift along x or y by up to 5
 * pixels (towards 0 in whole ones), a rotation by up to 30 degrees, and a square of 0.001 to 0.11 of the area set to 0;
 * equally likely, magnitudes on 31 points.
 */
export function drawChange(draws: Philox, { height, width }: Pick<FrameGeometry, 'height' | 'width'>): FrameChange {
  const kind = draws.below(6);
  const part = (2 * draws.below(POINTS)) / (POINTS - 1) - 1;
  const shift = Math.trunc(part * SHIFT) + 0; // not -0
  if (kind === 1) return { kind: 'shear', angle: part * SHEAR };
  if (kind === 2) return { kind: 'translate', x: shift, y: 0 };
  if (kind === 3) return { kind: 'translate', x: 0, y: shift };
  if (kind === 4) return { kind: 'rotate', angle: part * ROTATION };
  if (kind === 0) return { kind: 'identity' };
  const area = (ERASED[0] + draws.uniform() * (ERASED[1] - ERASED[0])) * height * width;
  const side = Math.round(Math.sqrt(area));
  if (side >= height || side >= width) return { kind: 'identity' };
  return { kind: 'erase', top: draws.below(height - side + 1), left: draws.below(width - side + 1), side };
}

/**
 * [a, b, c, d, e, f] of what maps output pixels to their place in the input, both measured from the centre:
 * x' = a x + b y + c and y' = d x + e y + f.
 */
function inverseMap(change: FrameChange): [number, number, number, number, number, number] {
  if (change.kind === 'shear') return [1, Math.tan(change.angle), 0, 0, 1, 0];
  if (change.kind === 'translate') return [1, 0, -change.x, 0, 1, -change.y];
  if (change.kind !== 'rotate') return [1, 0, 0, 0, 1, 0];
  const [cos, sin] = [Math.cos(change.angle), Math.sin(change.angle)];
  return [cos, -sin, 0, sin, cos, 0];
}

/**
 * For every pixel of a changed frame [H,W] the pixel of the frame before that it shows (the nearest one), or -1 for 0.
 * Rotations by positive angles are counter-clockwise; a shear by angle moves row y, from the center down, by -y
 * tan(angle).
 */
export function sourcePixels(change: FrameChange, height: number, width: number): Int32Array {
  const [a, b, c, d, e, f] = inverseMap(change);
  const [middleX, middleY] = [(width - 1) / 2, (height - 1) / 2];
  const pixels = new Int32Array(height * width);
  for (let row = 0, at = 0; row < height; row++) {
    for (let column = 0; column < width; column++, at++) {
      const [x, y] = [column - middleX, row - middleY];
      const [fromX, fromY] = [Math.round(a * x + b * y + c + middleX), Math.round(d * x + e * y + f + middleY)];
      const isInside = fromX >= 0 && fromX < width && fromY >= 0 && fromY < height;
      pixels[at] = isInside ? fromY * width + fromX : -1;
    }
  }
  if (change.kind !== 'erase') return pixels;
  for (let row = change.top; row < change.top + change.side; row++) {
    pixels.fill(-1, row * width + change.left, row * width + change.left + change.side);
  }
  return pixels;
}

/** Replaces every plane of sample b of frames [T,B,2,H,W] by its pixels at `pixels`. */
function gather(frames: Float32Array, geometry: FrameGeometry, batch: number, b: number, pixels: Int32Array): void {
  const size = geometry.height * geometry.width;
  const before = new Float32Array(size);
  for (let plane = 0; plane < 2 * geometry.steps; plane++) {
    const start = (((plane >> 1) * batch + b) * 2 + (plane & 1)) * size;
    before.set(frames.subarray(start, start + size));
    for (let i = 0; i < size; i++) frames[start + i] = pixels[i]! < 0 ? 0 : before[pixels[i]!]!;
  }
}

function mirrored(pixels: Int32Array, width: number): Int32Array {
  return pixels.map((pixel) => (pixel < 0 ? -1 : pixel - (pixel % width) + (width - 1 - (pixel % width))));
}

/** Changes the frames of a batch in place. */
export type FrameAugmenter = (frames: Float32Array, job: BatchJob) => void;

/**
 * The augmentation of CIFAR10-DVS ('published'): with probability 1/2 the whole batch is mirrored, then every sample is
 * changed as {@link drawChange} says. The mirroring is a pure function of (seed, epoch, batch), the change of (seed,
 * epoch, sample).
 * @throws SpikeloomError for an augmentation that is not defined for the set
 */
export function frameAugmenter(
  set: FrameGeometry & { name: string },
  augment: AugmentName,
  seed: number,
): FrameAugmenter {
  if (augment === 'none' || (augment === 'published' && set.name === 'dvs128-gesture')) return () => {};
  if (augment !== 'published' || set.name !== 'cifar10-dvs') {
    throw new SpikeloomError(
      `frames of '${set.name}' have no augmentation '${augment}': 'published' is defined for cifar10-dvs and for dvs128-gesture, where it does nothing; use augment 'none'`,
    );
  }
  return (frames, { epoch, batch, indices }) => {
    const isMirrored = philox(seed, STREAM.mirror, epoch, batch).below(2) === 1;
    const draws = philox(seed, STREAM.augment, epoch, 0);
    for (const [b, index] of indices.entries()) {
      draws.reopen(index);
      const change = drawChange(draws, set);
      if (change.kind === 'identity' && !isMirrored) continue;
      const pixels = sourcePixels(change, set.height, set.width);
      gather(frames, set, indices.length, b, isMirrored ? mirrored(pixels, set.width) : pixels);
    }
  };
}
