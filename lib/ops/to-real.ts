import { nativeOp, type RealType, record, type Tensor } from '../core/index.ts';

const forward = nativeOp<'y'>('toReal');

export interface ToRealOptions {
  /** Type of the result (default f32). */
  real?: RealType;
}

/** Spikes as numbers: y = 1 where x fires, else 0; any shape. The gradient passes through unchanged. */
export function toReal(x: Tensor, options: ToRealOptions = {}): Tensor {
  const { y } = forward.run({ x }, {}, options);
  record([y], [x], ([gy]) => [gy]);
  return y;
}
