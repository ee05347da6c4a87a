import { nativeOp, needsGrad, type RealType, record, type Tensor } from '../core/index.ts';
import { needOptions } from '../core/options.ts';

const forward = nativeOp<'y'>('toReal');

const toBf16 = nativeOp<'y'>('toBf16');

const convert = nativeOp<'y'>('convert');

/** @internal Real or bf16 as numbers of a real type, without a gradient. */
export function inReal(x: Tensor, real: RealType): Tensor {
  if (x.dtype === real) return x;
  return x.dtype === 'bf16' ? forward.run({ x }, {}, { real }).y : convert.run({ x }, {}, { types: { y: real } }).y;
}

/** @internal bf16 as f32, real numbers as they are, without a gradient. */
export const inF32 = (x: Tensor): Tensor => (x.dtype === 'bf16' ? inReal(x, 'f32') : x);

/** @internal f32 as bf16, without a gradient. */
export const inBf16 = (x: Tensor): Tensor => toBf16.run({ x }).y;

export interface ToRealOptions {
  /** Type of the result (default f32). */
  real?: RealType;
}

/**
 * Spikes as numbers, 1 where x fires, else 0, or bf16 as f32; any shape. The gradient passes through unchanged, but that
 * of bf16 is rounded to it, and neurons get that of their spikes in their own type.
 */
export function toReal(x: Tensor, options: ToRealOptions = {}): Tensor {
  needOptions('toReal', options, { real: true });
  const { y } = forward.run({ x }, {}, options);
  const isBf16 = x.dtype === 'bf16';
  record([y], [x], ([gy]) => [isBf16 ? inBf16(inReal(gy!, 'f32')) : gy], [0]);
  return y;
}

const bytes = nativeOp<'y'>('bytesToReal');

/**
 * Bytes as numbers, y = unit x: what crosses to a device as small whole numbers, four times smaller than f32. Exact
 * where the unit is a power of two.
 *
 * @param x u8, any shape
 * @param options.unit finite; default 1
 * @returns real, of x's shape
 * @example bytesToReal(tensor(Uint8Array.of(0, 3, 255), { dtype: 'u8' }), { unit: 1 / 4 }) // 0, 0.75, 63.75
 */
export function bytesToReal(x: Tensor, options: ToRealOptions & { unit?: number } = {}): Tensor {
  needOptions('bytesToReal', options, { unit: true, real: true });
  const { unit = 1, real = 'f32' } = options;
  return bytes.run({ x }, { unit }, { real }).y;
}

/**
 * x itself, for what reads it in bf16 after an op that knows f32 only: a gradient that arrives as bf16 is passed on as
 * f32.
 */
export function realGradient(x: Tensor): Tensor {
  if (!needsGrad(x)) return x;
  const y = x.alias(x.shape);
  record([y], [x], ([gy]) => [inF32(gy!)], [0]);
  return y;
}
