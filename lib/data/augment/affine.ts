// The affine maps of augmentations, with Pillow's numbers.
import type { AffineMap } from '../../ops/image-program.ts';

/** x' = x + factor y */
export const shearX = (factor: number): AffineMap => [1, factor, 0, 0, 1, 0];
/** y' = y + factor x */
export const shearY = (factor: number): AffineMap => [1, 0, 0, factor, 1, 0];
/** Moves to the left and up, in pixels. */
export const translate = (x: number, y: number): AffineMap => [1, 0, x, 0, 1, y];

const rounded = (x: number): number => Number(x.toFixed(15));

/** Counter-clockwise around the center of an image of H x W, as Image.rotate: with 15 decimals. */
export function rotate(degrees: number, [H, W]: readonly [number, number]): AffineMap {
  const angle = -((((degrees % 360) + 360) % 360) * (Math.PI / 180));
  const [a, b, d, e] = [Math.cos(angle), Math.sin(angle), -Math.sin(angle), Math.cos(angle)].map(rounded) as [
    number,
    number,
    number,
    number,
  ];
  const [x, y] = [W / 2, H / 2];
  return [a, b, a * -x + b * -y + x, d, e, d * -x + e * -y + y];
}
