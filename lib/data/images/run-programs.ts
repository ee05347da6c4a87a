import { readInto, scope, tensor } from '../../core/tensor.ts';
import { takeImages } from '../../ops/take-images.ts';
import { normaliseTable } from '../augment/augment.ts';
import { loaderDevice } from '../loader-device.ts';
import type { ImageSet } from './image-set.ts';

/**
 * Fills `out` [B,C,H,W] with pixels that are augmented by their programs and normalized, on the thread's
 * {@link loaderDevice}.
 * @param words [B,L], see encodePrograms()
 */
export async function runPrograms(
  { channels, height, width, mean, std }: Pick<ImageSet, 'channels' | 'height' | 'width' | 'mean' | 'std'>,
  pixels: Uint8Array<ArrayBuffer>,
  words: Int32Array<ArrayBuffer>,
  out: Float32Array<ArrayBuffer>,
): Promise<void> {
  const cpu = loaderDevice();
  const row = channels * height * width;
  const batch = pixels.length / row;
  using made = scope(() => {
    const images = tensor(pixels, { shape: [batch, row], dtype: 'u8', device: cpu });
    const table = tensor(normaliseTable(mean, std), { shape: [channels, 256], device: cpu });
    const programs = tensor(words, { shape: [batch, words.length / batch], device: cpu });
    return takeImages({ images, table, size: [height, width] }, programs);
  });
  await readInto(made, out);
}
