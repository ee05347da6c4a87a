import { nativeOp, type RealType, record, type Tensor } from '../core/index.ts';
import { provideSums } from '../core/tape.ts';

const forward = nativeOp<'z'>('add');
const fill = nativeOp<'y'>('fill');

export interface AddOptions {
  /** Type of the sum of two spike tensors (default f32); otherwise the sum has the type of the real one. */
  real?: RealType;
}

/**
 * z = x + y, element by element, a spike counting as 1. Both gradients are gz, for spikes as well.
 *
 * @param x real or spikes, any shape
 * @param y real or spikes, the same shape
 * @throws SpikeloomError when the shapes or the real types differ
 */
export function add(x: Tensor, y: Tensor, options: AddOptions = {}): Tensor {
  const { z } = forward.run({ x, y }, {}, options);
  record([z], [x, y], ([gz]) => [gz, gz]);
  return z;
}

provideSums({
  add: (a, b) => forward.run({ x: a, y: b }).z,
  one: (like) => fill.run({ x: like }, { value: 1 }).y,
});
