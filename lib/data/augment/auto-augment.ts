// AutoAugment's policy for CIFAR-10 (Cubuk et al., "AutoAugment: Learning Augmentation Policies from Data", CVPR 2019,
// appendix), with the operations as the PyTorch port that spiking networks are trained with has them
// (DeepVoltaire/AutoAugment).
import { needArguments } from '../../core/options.ts';
import type { Philox } from '../../core/random.ts';
import type { AffineMap, ImageChange, Resample } from '../../ops/image-program.ts';
import { rotate, shearX, shearY, translate } from './affine.ts';

type Size = readonly [H: number, W: number];

/** An operation with its probability and its magnitude, 0 to 9. */
type Step = readonly [name: keyof typeof OPERATIONS, probability: number, magnitude: number];

/** 25 pairs of operations; an image gets one pair, each of which with its probability. */
export const CIFAR10_POLICY: readonly (readonly [Step, Step])[] = [
  [
    ['invert', 0.1, 7],
    ['contrast', 0.2, 6],
  ],
  [
    ['rotate', 0.7, 2],
    ['translateX', 0.3, 9],
  ],
  [
    ['sharpness', 0.8, 1],
    ['sharpness', 0.9, 3],
  ],
  [
    ['shearY', 0.5, 8],
    ['translateY', 0.7, 9],
  ],
  [
    ['autoContrast', 0.5, 8],
    ['equalize', 0.9, 2],
  ],
  [
    ['shearY', 0.2, 7],
    ['posterize', 0.3, 7],
  ],
  [
    ['color', 0.4, 3],
    ['brightness', 0.6, 7],
  ],
  [
    ['sharpness', 0.3, 9],
    ['brightness', 0.7, 9],
  ],
  [
    ['equalize', 0.6, 5],
    ['equalize', 0.5, 1],
  ],
  [
    ['contrast', 0.6, 7],
    ['sharpness', 0.6, 5],
  ],
  [
    ['color', 0.7, 7],
    ['translateX', 0.5, 8],
  ],
  [
    ['equalize', 0.3, 7],
    ['autoContrast', 0.4, 8],
  ],
  [
    ['translateY', 0.4, 3],
    ['sharpness', 0.2, 6],
  ],
  [
    ['brightness', 0.9, 6],
    ['color', 0.2, 8],
  ],
  [
    ['solarize', 0.5, 2],
    ['invert', 0, 3],
  ],
  [
    ['equalize', 0.2, 0],
    ['autoContrast', 0.6, 0],
  ],
  [
    ['equalize', 0.2, 8],
    ['equalize', 0.6, 4],
  ],
  [
    ['color', 0.9, 9],
    ['equalize', 0.6, 6],
  ],
  [
    ['autoContrast', 0.8, 4],
    ['solarize', 0.2, 8],
  ],
  [
    ['brightness', 0.1, 3],
    ['color', 0.7, 0],
  ],
  [
    ['solarize', 0.4, 5],
    ['autoContrast', 0.9, 3],
  ],
  [
    ['translateY', 0.9, 9],
    ['translateY', 0.7, 9],
  ],
  [
    ['autoContrast', 0.9, 2],
    ['solarize', 0.8, 3],
  ],
  [
    ['equalize', 0.8, 8],
    ['invert', 0.1, 3],
  ],
  [
    ['translateY', 0.7, 9],
    ['autoContrast', 0.9, 1],
  ],
];

/** What comes from outside of the image. */
const GREY = [128, 128, 128];

const moved = (map: AffineMap, resample: Resample = 'nearest'): ImageChange => ({
  kind: 'affine',
  map,
  resample,
  fill: GREY,
});

/** The value of a magnitude on a range of ten. */
const on = (from: number, to: number, magnitude: number): number => from + magnitude * ((to - from) / 9);

/** Magnitudes to changes. `sign` is 1 or -1, each half of the time; rotations are counter-clockwise, as in the port. */
const OPERATIONS = {
  shearX: (m: number, sign: number) => moved(shearX(sign * on(0, 0.3, m)), 'bicubic'),
  shearY: (m: number, sign: number) => moved(shearY(sign * on(0, 0.3, m)), 'bicubic'),
  translateX: (m: number, sign: number, [, W]: Size) => moved(translate(sign * on(0, 150 / 331, m) * W, 0)),
  translateY: (m: number, sign: number, [H]: Size) => moved(translate(0, sign * on(0, 150 / 331, m) * H)),
  rotate: (m: number, _: number, size: Size) => moved(rotate(on(0, 30, m), size)),
  color: (m: number, sign: number): ImageChange => ({ kind: 'color', factor: 1 + sign * on(0, 0.9, m) }),
  contrast: (m: number, sign: number): ImageChange => ({ kind: 'contrast', factor: 1 + sign * on(0, 0.9, m) }),
  brightness: (m: number, sign: number): ImageChange => ({ kind: 'brightness', factor: 1 + sign * on(0, 0.9, m) }),
  sharpness: (m: number, sign: number): ImageChange => ({ kind: 'sharpness', factor: 1 + sign * on(0, 0.9, m) }),
  posterize: (m: number): ImageChange => ({ kind: 'posterize', bits: Math.round(on(8, 4, m)) }),
  solarize: (m: number): ImageChange => ({ kind: 'solarize', threshold: on(256, 0, m) }),
  autoContrast: (): ImageChange => ({ kind: 'autoContrast' }),
  equalize: (): ImageChange => ({ kind: 'equalize' }),
  invert: (): ImageChange => ({ kind: 'invert' }),
} as const;

/** What a step of the policy does with an image of H x W. */
export const stepChange = ([name, , magnitude]: Step, sign: number, size: Size): ImageChange =>
  OPERATIONS[name](magnitude, sign, size);

/** The most changes that {@link autoAugmentCifar10} draws. */
export const AUTO_AUGMENT_CHANGES = 2;

/** Draws the changes that AutoAugment's CIFAR-10 policy makes of an image of H x W. */
export function autoAugmentCifar10(draws: Philox, size: Size): ImageChange[] {
  needArguments('autoAugmentCifar10() with draws of philox()', 'a function', { below: draws?.below });
  needArguments('autoAugmentCifar10()', 'an array', { size });
  const changes: ImageChange[] = [];
  for (const step of CIFAR10_POLICY[draws.below(CIFAR10_POLICY.length)]!) {
    if (draws.uniform() >= step[1]) continue;
    changes.push(stepChange(step, draws.below(2) === 1 ? 1 : -1, size));
  }
  return changes;
}
