import { describe, nativeOp, needTensors, record, SpikeloomError, type Tensor } from '../core/index.ts';
import { reshape } from './reshape.ts';

const images = nativeOp<'y'>('mixImages');
const labels = nativeOp<'target'>('mixLabels');

/**
 * A batch mixed with itself in reversed order, r(b) = B - 1 - b:
 *
 *     y[b] = x[r(b)] within the box, else keep x[b] + (1 - keep) x[r(b)]
 *
 * mixup (Zhang et al., arXiv 1710.09412) has an empty box; CutMix (Yun et al., arXiv 1905.04899) keep = 1.
 *
 * @param x images [B,C,H,W] or frames [T,B,C,H,W], real
 * @param mix (keep, share, top, left, bottom, right) of x's type, [6]; the box in pixels, its bottom row and right
 * column left out
 * @returns of x's shape; gx = the same mix of gy
 * @throws SpikeloomError for other shapes
 */
export function mixImages(x: Tensor, mix: Tensor): Tensor {
  needTensors('mixImages', { x });
  if (x.shape.length !== 4 && x.shape.length !== 5) {
    throw new SpikeloomError(`mixImages: takes images [B,C,H,W] or frames [T,B,C,H,W], not ${describe(x)}`);
  }
  const { y } = images.run({ x, mix });
  record([y], [x], ([gy]) => [images.run({ x: gy, mix }).y]);
  return y;
}

/**
 * The targets of such a batch, as weights for every class:
 * `target[b,k] = share [k = labels[b]] + (1 - share) [k = labels[r(b)]]`.
 * @param set classes, i32 [B]
 * @param mix as for {@link mixImages}
 * @param classes K
 * @returns real [B,K], mix's type, for crossEntropy() and bceWithLogits()
 * @throws SpikeloomError at the next read for a label outside of 0..K-1
 */
export function mixLabels(set: Tensor, mix: Tensor, classes: number): Tensor {
  return labels.run({ labels: set, mix }, {}, { dims: { K: classes } }).target;
}

/**
 * Targets of such a batch, mixed as mixup has its images: y[b] = share x[b] + (1 - share) x[r(b)].
 * @param x real [B,K] or [B,C,H,W], with time steps [T,B,K] or [T,B,C,H,W]
 * @param mix as for {@link mixImages}, of mixup: with an empty box
 * @returns of x's shape
 */
export function mixTargets(x: Tensor, mix: Tensor): Tensor {
  const isFlat = x.shape.length < 4;
  using pixels = x.alias(isFlat ? [...x.shape, 1, 1] : x.shape);
  const y = mixImages(pixels, mix);
  return isFlat ? reshape(y, x.shape) : y;
}
