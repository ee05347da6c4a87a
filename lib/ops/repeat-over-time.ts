import { describe, nativeOp, needTensors, record, SpikeloomError, type Tensor } from '../core/index.ts';
import { kindOf } from '../core/options.ts';

const repeat = nativeOp<'y'>('repeatOverTime');
const sum = nativeOp<'y'>('sumOverTime');

/**
 * y[t] = x[0] for 0 <= t < steps; gx = sum over t of gy[t], added in the order of time.
 *
 * @param x [1, ...], real
 * @param steps T, at least 1
 * @returns [T, ...]
 */
export function repeatOverTime(x: Tensor, steps: number): Tensor {
  needTensors('repeatOverTime', { x });
  const [first, ...rest] = x.shape;
  if (first !== 1)
    throw new SpikeloomError(
      `repeatOverTime: takes [1, ...], one time step, not ${describe(x)}; add the axis with reshape()`,
    );
  if (!Number.isSafeInteger(steps) || steps < 1) {
    throw new SpikeloomError(
      `repeatOverTime: the number of time steps is a whole number from 1 on, not ${kindOf(steps)}`,
    );
  }
  using flat = x.alias([x.size]);
  using all = repeat.run({ x: flat }, { divisor: 1 }, { dims: { T: steps } }).y;
  const y = all.alias([steps, ...rest]);
  record([y], [x], ([gy]) => {
    const flatGrad = gy!.alias([steps, x.size]);
    return [sum.run({ x: flatGrad }, { divisor: 1 }).y.alias(x.shape)];
  });
  return y;
}
