import { describe, nativeOp, needTensors, type RealType, record, SpikeloomError, type Tensor } from '../core/index.ts';
import { kindOf, needOptions } from '../core/options.ts';

const forward = nativeOp<'y'>('dropout');

export interface DropoutOptions {
  /** Probability that an element is dropped, from 0 to below 1. */
  p: number;
  /** Names the sequence of masks, an integer from 0 to 2^53 - 1; every layer has its own. */
  seed: number;
  /** Type of the result where x is spikes (default f32). */
  real?: RealType;
}

/**
 * y[t] = x[t] m / (1 - p), m being 0 with probability p, else 1: one mask for all time steps; gx[t] = gy[t] m / (1 - p)
 * with m drawn again. Element e of a time step, counted with the channels last, takes draw e of
 * philox(seed, 3, counter[0], counter[1]) of lib/core/random.ts and is dropped where it is below p 2^32.
 *
 * @param x [T, ...], real or spikes, two axes or more
 * @param counter i32[1] or i32[2] on the device (low and high word): number of the pass. It must not change until the
 * gradient is computed
 * @throws SpikeloomError for p, a seed or a counter out of range
 */
export function dropout(x: Tensor, counter: Tensor, options: DropoutOptions): Tensor {
  needTensors('dropout', { x, counter });
  needOptions('dropout', options, { p: true, seed: true, real: true });
  const { p, seed, real } = options;
  if (!Number.isFinite(p) || p < 0 || p >= 1)
    throw new SpikeloomError(`dropout: p is a probability from 0 to below 1, not ${kindOf(p)}`);
  if (!Number.isSafeInteger(seed) || seed < 0)
    throw new SpikeloomError(`dropout: a seed is an integer from 0 to 2^53 - 1, not ${kindOf(seed)}`);
  if (x.shape.length < 2) throw new SpikeloomError(`dropout: takes [T, ...] with two axes or more, not ${describe(x)}`);
  if (counter.size > 2)
    throw new SpikeloomError(`dropout: the counter is one or two words, i32[1] or i32[2], not ${describe(counter)}`);
  const { y } = forward.run({ x, counter }, { p, seed }, { real });
  record([y], [x], ([gy]) => [forward.run({ x: gy, counter }, { p, seed }).y]);
  return y;
}
