import type { RealType } from '../../lib/core/index.ts';
import { conv2d, define, globalAvgPool, lif, linear, meanOverTime, type Net, norm } from '../../lib/nn/index.ts';

const tiny = define('tiny', ({ classes }) => [
  conv2d(4, { kernel: 3, stride: 2, padding: 1 }),
  norm(),
  lif(),
  globalAvgPool(),
  linear(classes),
  meanOverTime(),
]);

/** A small network for images [3,9,7] of 4 classes unless others are given, on a device. */
export const tinyNet = (
  on: string,
  dtype: RealType = 'f32',
  images: { size: [number, number]; classes: number } = { size: [9, 7], classes: 4 },
): Net => tiny({ steps: 2, channels: 3, ...images, seed: 3, dtype, device: on });
