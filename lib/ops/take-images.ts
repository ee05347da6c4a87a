import { nativeOp, SpikeloomError, type Tensor } from '../core/index.ts';

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
 * The images of a batch out of a set on the device, cropped, mirrored and normalised:
 *
 *     x[b,c,y,x'] = table[c, image[c, y + top, x'' + left]],   x'' = W - 1 - x' where mirrored, pixel 0 outside of the image
 *
 * @param picks i32 [B,4], for every image of the batch: index into the set, top, left, mirrored (0 or 1). An index that is none gives a
 * black image
 * @returns real [B,C,H,W], the table's type
 * @throws SpikeloomError where the images' bytes are not C planes of that size
 */
export function takeImages(set: ImageTensors, picks: Tensor): Tensor {
  const { table, size } = set;
  const [H, W] = size;
  const bytes = table.shape[0]! * H * W;
  if (set.images.shape.at(-1) !== bytes) {
    throw new SpikeloomError(
      `takeImages: images of ${table.shape[0]} channels and ${H}x${W} pixels have ${bytes} bytes, but these have ${set.images.shape.at(-1)}`,
    );
  }
  return images.run({ images: set.images, table, picks }, {}, { dims: { H, W } }).x;
}

/**
 * The classes of a batch, y[b] = labels[picks[b, 0]].
 * @param set classes of all images, i32 [N]
 * @param picks i32 [B,4], see {@link takeImages}. An index that is none gives -1, which every loss refuses
 * @returns i32 [B]
 */
export function takeLabels(set: Tensor, picks: Tensor): Tensor {
  return labels.run({ labels: set, picks }).y;
}
