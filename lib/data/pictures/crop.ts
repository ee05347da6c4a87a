import { roundHalfEven } from '../../core/half-float.ts';
import type { Philox } from '../../core/random.ts';
import type { ImageFiles } from './image-files.ts';

/** Part of a picture, in its pixels. */
export interface Box {
  left: number;
  top: number;
  width: number;
  height: number;
}

/** Draws before the middle is taken instead. */
const TRIES = 10;

/**
 * A random crop (Szegedy et al., "Going deeper with convolutions", 2015, as torchvision draws it): a share of the area
 * uniform in `scale`, a ratio width / height whose logarithm is uniform in `ratio`, then a place; up to ten draws until
 * it fits, else the largest middle part whose ratio is allowed.
 */
export function randomCrop(
  width: number,
  height: number,
  { scale, ratio }: Pick<ImageFiles, 'scale' | 'ratio'>,
  draws: Philox,
): Box {
  const [least, most] = [Math.log(ratio[0]), Math.log(ratio[1])];
  for (let i = 0; i < TRIES; i++) {
    const area = width * height * (scale[0] + (scale[1] - scale[0]) * draws.uniform());
    const shape = Math.exp(least + (most - least) * draws.uniform());
    const [w, h] = [Math.round(Math.sqrt(area * shape)), Math.round(Math.sqrt(area / shape))];
    if (w < 1 || h < 1 || w > width || h > height) continue;
    return { top: draws.below(height - h + 1), left: draws.below(width - w + 1), width: w, height: h };
  }
  const w = Math.max(1, Math.min(width, Math.round(height * ratio[1])));
  const h = Math.max(1, Math.min(height, Math.round(width / ratio[0])));
  return { left: Math.floor((width - w) / 2), top: Math.floor((height - h) / 2), width: w, height: h };
}

/** Arguments of the native renderer: the box, its scaled size, and the window of that; see native/images/window.h. */
export function cropWindow(set: ImageFiles, box: Box, flip: boolean): Float64Array {
  const { left, top, width, height } = box;
  const cubic = set.interpolation === 'bicubic' ? 1 : 0;
  return Float64Array.of(
    left,
    top,
    width,
    height,
    set.width,
    set.height,
    0,
    0,
    set.width,
    set.height,
    flip ? 1 : 0,
    cubic,
  );
}

/** The whole picture scaled until its short side has `resize` pixels, and the middle of that. */
export function centreWindow(set: ImageFiles, width: number, height: number): Float64Array {
  const long = (side: number, short: number) => Math.floor((set.resize * side) / short);
  const [wide, high] = width <= height ? [set.resize, long(height, width)] : [long(width, height), set.resize];
  // as Python rounds in torchvision's CenterCrop
  const middle = (all: number, part: number) => roundHalfEven((all - part) / 2);
  const corner = [middle(wide, set.width), middle(high, set.height)] as const;
  const cubic = set.interpolation === 'bicubic' ? 1 : 0;
  return Float64Array.of(0, 0, width, height, wide, high, ...corner, set.width, set.height, 0, cubic);
}
