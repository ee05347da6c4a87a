import { nativeOp, needsGrad, type RealType, record, type Tensor } from '../core/index.ts';

const forward = nativeOp<'y'>('toReal');

export interface ToRealOptions {
  /** Type of the result (default f32). */
  real?: RealType;
}

/** Spikes as numbers, 1 where x fires, else 0, or bf16 as f32; any shape. The gradient passes through unchanged. */
export function toReal(x: Tensor, options: ToRealOptions = {}): Tensor {
  const { y } = forward.run({ x }, {}, options);
  record([y], [x], ([gy]) => [gy]);
  return y;
}

/** x itself, for what reads it in bf16 after an op that knows f32 only: a gradient that arrives as bf16 is passed on as f32. */
export function realGradient(x: Tensor): Tensor {
  if (!needsGrad(x)) return x;
  const y = x.alias(x.shape);
  record([y], [x], ([gy]) => [gy!.dtype === 'bf16' ? forward.run({ x: gy! }).y : gy]);
  return y;
}
