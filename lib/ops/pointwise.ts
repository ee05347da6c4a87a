// Functions element by element, of one tensor and of two. Edges are PyTorch's: nothing is refused, what has no value is
// NaN or infinite, and a NaN stays one.
import { nativeOp, needTensors, record, SpikeloomError, type Tensor } from '../core/index.ts';
import { given, kindOf, needOptions } from '../core/options.ts';
import { areAlike, combined, foldedTo } from './broadcast.ts';

const natives = {
  exp: nativeOp<'y'>('exp'),
  log: nativeOp<'y'>('log'),
  sqrt: nativeOp<'y'>('sqrt'),
  sqrtGrad: nativeOp<'gx'>('sqrtGrad'),
  abs: nativeOp<'y'>('abs'),
  absGrad: nativeOp<'gx'>('absGrad'),
  tanh: nativeOp<'y'>('tanh'),
  tanhGrad: nativeOp<'gx'>('tanhGrad'),
  pow: nativeOp<'y'>('pow'),
  powGrad: nativeOp<'gx'>('powGrad'),
  shift: nativeOp<'y'>('shift'),
  clamp: nativeOp<'y'>('clamp'),
  clampGrad: nativeOp<'gx'>('clampGrad'),
  sub: nativeOp<'z'>('sub'),
  div: nativeOp<'z'>('div'),
  divGradY: nativeOp<'gy'>('divGradY'),
  mul: nativeOp<'z'>('mul'),
  scale: nativeOp<'y'>('scale'),
};

/** y = e^x, real, any shape; above 88.7 (f64: 709.7) Infinity. gx = gy y. */
export function exp(x: Tensor): Tensor {
  const { y } = natives.exp.run({ x });
  record([y], [x], ([gy]) => [natives.mul.run({ x: gy, y }).z], [0]);
  return y;
}

/**
 * y = ln x, real, any shape; -Infinity at 0, NaN below. gx = gy / x, infinite at 0 (NaN where gy is 0, too).
 *
 * Of probabilities take {@link logSoftmax} instead, which is finite where they round to 0.
 */
export function log(x: Tensor): Tensor {
  const { y } = natives.log.run({ x });
  record([y], [x], ([gy]) => [natives.div.run({ x: gy, y: x }).z]);
  return y;
}

/** y = the root of x, real, any shape; NaN below 0. gx = gy / (2 y), infinite at 0 (NaN where gy is 0, too). */
export function sqrt(x: Tensor): Tensor {
  const { y } = natives.sqrt.run({ x });
  record([y], [x], ([gy]) => [natives.sqrtGrad.run({ gy, y }).gx], [0]);
  return y;
}

/** y = |x|, real, any shape. gx = gy above 0, -gy below, 0 at 0 and of a NaN. */
export function abs(x: Tensor): Tensor {
  const { y } = natives.abs.run({ x });
  record([y], [x], ([gy]) => [natives.absGrad.run({ gy, x }).gx]);
  return y;
}

/** y = (e^x - e^-x) / (e^x + e^-x), real, any shape; nothing overflows. gx = gy (1 - y^2). */
export function tanh(x: Tensor): Tensor {
  const { y } = natives.tanh.run({ x });
  record([y], [x], ([gy]) => [natives.tanhGrad.run({ gy, y }).gx], [0]);
  return y;
}

/**
 * y = x^exponent, any shape, for a real tensor and a number; NaN below 0 where the exponent is not whole
 * (of -Infinity what C's pow() has).
 * gx = gy exponent x^(exponent - 1): finite at 0 from an exponent of 1 on, 0 everywhere for an exponent of 0.
 *
 * @example const focus = ops.pow(miss, 1.5); // by exp and log it would have a NaN for a gradient at 0
 */
export function pow(x: Tensor, exponent: number): Tensor {
  const { y } = natives.pow.run({ x }, { exponent });
  record([y], [x], ([gy]) => [natives.powGrad.run({ gy, x }, { exponent }).gx]);
  return y;
}

/**
 * y = x + offset, any shape, for a real tensor and a number. gx = gy.
 *
 * @example const miss = ops.shift(ops.scale(p, -1), 1); // 1 - p
 */
export function shift(x: Tensor, offset: number): Tensor {
  const { y } = natives.shift.run({ x }, { offset });
  record([y], [x], ([gy]) => [gy], [0]);
  return y;
}

export interface ClampOptions {
  /** What is less becomes this. Default: -Infinity. */
  min?: number;
  /** What is more becomes this. Default: Infinity. */
  max?: number;
}

/**
 * y = x, but at least `min` and at most `max`; real, any shape. gx = gy where min <= x <= max, else 0. A NaN stays one,
 * and has no gradient.
 *
 * @throws SpikeloomError for limits that are no numbers, and where min is above max
 * @example const p = ops.clamp(probability, { min: 1e-6, max: 1 - 1e-6 });
 */
export function clamp(x: Tensor, options: ClampOptions): Tensor {
  needOptions('clamp', options, { min: true, max: true });
  const limits = { min: Number.NEGATIVE_INFINITY, max: Number.POSITIVE_INFINITY, ...given(options) };
  const { min, max } = limits;
  if (typeof min !== 'number' || typeof max !== 'number' || !(min <= max)) {
    throw new SpikeloomError(
      `clamp: min and max are numbers, min not above max, not ${kindOf(min)} and ${kindOf(max)}`,
    );
  }
  const { y } = natives.clamp.run({ x }, limits);
  record([y], [x], ([gy]) => [natives.clampGrad.run({ gy, x }, limits).gx]);
  return y;
}

/**
 * z = x - y, element by element; gx = gz, gy = -gz, each added along the axes in which x or y was repeated.
 *
 * @param x real, any shape
 * @param y real, the same shape, or one that goes with it as in PyTorch: counted from the end, axes agree or one of them
 * has length 1 and is repeated
 * @throws SpikeloomError when the shapes or types do not fit
 * @example ops.sub(x, ops.reshape(ops.mean(x, { axes: [-1] }), [B, 1])); // rows of mean 0
 */
export function sub(x: Tensor, y: Tensor): Tensor {
  needTensors('sub', { x, y });
  const z = areAlike(x, y) ? natives.sub.run({ x, y }).z : combined('sub', x, y);
  record(
    [z],
    [x, y],
    ([gz], [needX, needY]) => [
      needX ? foldedTo(gz!, x) : undefined,
      needY ? natives.scale.run({ x: foldedTo(gz!, y) }, { factor: -1 }).y : undefined,
    ],
    [0, 1],
  );
  return z;
}

const ratio = (x: Tensor, y: Tensor): Tensor => (areAlike(x, y) ? natives.div.run({ x, y }).z : combined('div', x, y));

/** -gz z / y, added along the axes in which y was repeated. */
function divisorGradient(gz: Tensor, y: Tensor, z: Tensor): Tensor {
  if (areAlike(z, y)) return natives.divGradY.run({ gz, y, z }).gy;
  const sums = foldedTo(natives.mul.run({ x: gz, y: ratio(z, y) }).z, y);
  return natives.scale.run({ x: sums }, { factor: -1 }).y;
}

/**
 * z = x / y, element by element; gx = gz / y, gy = -gz z / y, each added along the axes in which x or y was repeated. At
 * y = 0 it is infinite, and NaN where x is 0, too.
 *
 * @param x real, any shape
 * @param y real, the same shape, or one that goes with it as in PyTorch: counted from the end, axes agree or one of them
 * has length 1 and is repeated
 * @throws SpikeloomError when the shapes or types do not fit
 */
export function div(x: Tensor, y: Tensor): Tensor {
  needTensors('div', { x, y });
  const z = ratio(x, y);
  record(
    [z],
    [x, y],
    ([gz], [needX, needY]) => [
      needX ? foldedTo(ratio(gz!, y), x) : undefined,
      needY ? divisorGradient(gz!, y, z) : undefined,
    ],
    [0],
  );
  return z;
}
