import { describe, nativeOp, needTensors, type RealType, record, SpikeloomError, type Tensor } from '../core/index.ts';
import { needOptions } from '../core/options.ts';
import { reshape } from './reshape.ts';
import { toReal } from './to-real.ts';

const sum = nativeOp<'y'>('sumOverTime');
const repeat = nativeOp<'y'>('repeatOverTime');

export interface MeanOverTimeOptions {
  /** Type of the mean of spikes (default f32). */
  real?: RealType;
}

/**
 * y = (sum over t of x[t]) / T, added in the order of time; gx[t] = gy / T.
 *
 * @param x [T, ...], real or spikes, two axes or more
 * @returns [...]
 */
export function meanOverTime(x: Tensor, options: MeanOverTimeOptions = {}): Tensor {
  needTensors('meanOverTime', { x });
  needOptions('meanOverTime', options, { real: true });
  if (x.shape.length < 2)
    throw new SpikeloomError(`meanOverTime: takes [T, ...] with two axes or more, not ${describe(x)}`);
  if (x.dtype === 'spike') return meanOverTime(toReal(x, options));
  const [T, ...rest] = x.shape as [number, ...number[]];
  using flat = x.alias([T, x.size / T]);
  using total = sum.run({ x: flat }, { divisor: T }, { calledAs: 'meanOverTime' }).y;
  using step = total.alias([1, ...rest]);
  const y = reshape(step, rest);
  record([y], [x], ([gy]) => {
    const flatGrad = reshape(gy!, [1, ...rest]).alias([gy!.size]);
    return [repeat.run({ x: flatGrad }, { divisor: T }, { dims: { T } }).y.alias(x.shape)];
  });
  return y;
}
