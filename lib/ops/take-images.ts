import { nativeOp, needTensors, SpikeloomError, type Tensor } from '../core/index.ts';
import { needArguments } from '../core/options.ts';
import { HEADER_WORDS } from './image-program.ts';

const images = nativeOp<'x'>('takeImages');
const labels = nativeOp<'y'>('takeLabels');

/** A set of images on a device. */
export interface ImageTensors {
  /** Pixels, u8 [N, C H W]: every image as planes. */
  images: Tensor;
  /** The number that every pixel value stands for, f32 or f64 [C,256]. */
  table: Tensor;
  /** H and W. */
  size: readonly [number, number];
}

/**
 * The images of a batch from a set on the device, each by its program: cropped, mirrored, changed, a hole cut,
 * normalized. As bytes
 *
 *     p[c,y,x'] = image[c, y + top, x'' + left],   x'' = W - 1 - x' where mirrored, 0 outside of the image
 *     p = change(p) for every change in turn, 0 inside of the hole
 *
 * and then x[b,c,y,x'] = table[c, p[c,y,x']].
 *
 * @param programs i32 [B,L], see encodePrograms(). An index outside of the set gives a black image
 * @returns real [B,C,H,W], the table's type
 * @throws SpikeloomError where the images' bytes are not C planes of that size, or programs are too short
 * @example
 * const programs = encodePrograms([{ index: 3, flip: true }, { index: 0 }]);
 * takeImages(set, tensor(programs, { shape: [2, programWords(0)] }));
 */
export function takeImages(set: ImageTensors, programs: Tensor): Tensor {
  needArguments('takeImages', 'an object', { set });
  const { images: pixels, table, size } = set;
  needArguments('takeImages', 'an array', { size });
  needTensors('takeImages', { images: pixels, table, programs });
  const [H, W] = size;
  const bytes = table.shape[0]! * H * W;
  if (pixels.shape.at(-1) !== bytes || bytes === 0) {
    throw new SpikeloomError(
      `takeImages: images of ${table.shape[0]} channels and ${H}x${W} pixels have ${bytes} bytes, but these have ${pixels.shape.at(-1)}`,
    );
  }
  if (programs.shape.at(-1)! < HEADER_WORDS) {
    throw new SpikeloomError(
      `takeImages: a program has ${HEADER_WORDS} words or more, but these have ${programs.shape.at(-1)}`,
    );
  }
  return images.run({ images: pixels, table, programs }, {}, { dims: { H, W } }).x;
}

/**
 * The classes of a batch, y[b] = labels[programs[b, 0]].
 * @param set classes of all images, i32 [N]
 * @param programs i32 [B,L], see {@link takeImages}. An index outside of the set gives -1, which every loss refuses
 * @returns i32 [B]
 */
export function takeLabels(set: Tensor, programs: Tensor): Tensor {
  return labels.run({ labels: set, programs }).y;
}
