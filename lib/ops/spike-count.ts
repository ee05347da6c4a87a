import { nativeOp, type Tensor } from '../core/index.ts';

const forward = nativeOp<'count'>('spikeCount');

/**
 * How many elements of a spike tensor fire: f64[1], exact, on the device. Divided by the tensor's size it is the firing
 * rate. There is no gradient.
 */
export function spikeCount(x: Tensor): Tensor {
  return forward.run({ x }).count;
}
