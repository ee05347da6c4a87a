import { nativeOp, needTensors, type RealType, SpikeloomError, type Tensor } from '../core/index.ts';
import { kindOf, needOptions } from '../core/options.ts';

const forward = nativeOp<'y'>('oneHot');

export interface OneHotOptions {
  /** K, how many classes there are. */
  classes: number;
  /** Type of the result (default f32). */
  real?: RealType;
}

/**
 * Labels as a weight for every class: y[b,k] = 1 where k is the label of b, else 0. There is no gradient.
 *
 * @param labels classes, i32 [B]
 * @returns [B,K]
 * @throws SpikeloomError for other labels; at the next read for one outside of 0..K-1
 */
export function oneHot(labels: Tensor, options: OneHotOptions): Tensor {
  needTensors('oneHot', { labels });
  needOptions('oneHot', options, { classes: true, real: true });
  const { classes, real = 'f32' } = options;
  if (!Number.isSafeInteger(classes) || classes < 1)
    throw new SpikeloomError(`oneHot: classes is a whole number from 1 on, not ${kindOf(classes)}`);
  return forward.run({ labels }, {}, { dims: { K: classes }, real }).y;
}
