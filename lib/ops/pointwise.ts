// Functions element by element, of one tensor and of two. Edges are PyTorch's: nothing is refused, what has no value is
// NaN or infinite, and a NaN stays one.
import { nativeOp, record, type Tensor } from '../core/index.ts';

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

/**
 * z = x - y, element by element; gx = gz, gy = -gz.
 *
 * @param x real, any shape
 * @param y real, the same shape; {@link expand} gives it to what has axes of length 1
 * @throws SpikeloomError when the shapes or types differ
 */
export function sub(x: Tensor, y: Tensor): Tensor {
  const { z } = natives.sub.run({ x, y });
  record(
    [z],
    [x, y],
    ([gz], [, needY]) => [gz, needY ? natives.scale.run({ x: gz }, { factor: -1 }).y : undefined],
    [0, 1],
  );
  return z;
}

/**
 * z = x / y, element by element; gx = gz / y, gy = -gz z / y. At y = 0 it is infinite, and NaN where x is 0, too.
 *
 * @param x real, any shape
 * @param y real, the same shape; {@link expand} gives it to what has axes of length 1
 * @throws SpikeloomError when the shapes or types differ
 */
export function div(x: Tensor, y: Tensor): Tensor {
  const { z } = natives.div.run({ x, y });
  record(
    [z],
    [x, y],
    ([gz], [needX, needY]) => [
      needX ? natives.div.run({ x: gz, y }).z : undefined,
      needY ? natives.divGradY.run({ gz, y, z }).gy : undefined,
    ],
    [0],
  );
  return z;
}
