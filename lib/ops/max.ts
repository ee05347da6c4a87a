import { describe, empty, nativeOp, needTensors, noGrad, record, SpikeloomError, type Tensor } from '../core/index.ts';
import { needOptions } from '../core/options.ts';
import { needAxis } from './axis.ts';
import { combined } from './broadcast.ts';
import { permute } from './permute.ts';
import { reshape } from './reshape.ts';
import { foldedShapes, summedTo } from './sum.ts';

const natives = { max: nativeOp<never>('max'), argmax: nativeOp<'y'>('argmax'), div: nativeOp<'z'>('div') };

export interface MaxOptions {
  /** The axes to look along, which the result is without; from the end where negative, -1 the last one. Default: all. */
  axes?: readonly number[];
}

/**
 * The largest of all elements, [1], or along axes, which the result is without ([1] where none is left); NaN where one
 * of them is. gy is shared out evenly among the elements that are as large, as PyTorch's amax() does.
 *
 * @param x real, any shape; of spikes, made numbers by toReal(), it is whether any fires
 * @throws SpikeloomError for other types and for axes that x does not have
 * @example const x = ops.sub(logits, ops.reshape(ops.max(logits, { axes: [-1] }), [B, 1])); // nothing above 0
 */
export function max(x: Tensor, options: MaxOptions = {}): Tensor {
  needTensors('max', { x });
  needOptions('max', options, { axes: true });
  const [kept, rest] = foldedShapes('max', x, options.axes);
  using whole = empty(kept, x.dtype, x.device);
  natives.max.run({ x, y: whole });
  const y = noGrad(() => reshape(whole, rest));
  record([y], [x], ([gy]) => {
    const isLargest = combined('equal', x, reshape(y, kept));
    const shares = natives.div.run({ x: reshape(gy!, kept), y: summedTo(isLargest, kept) }).z;
    return [combined('mul', isLargest, shares)];
  });
  return y;
}

export interface ArgmaxOptions {
  /** The axis to look along, which the result is without; from the end where negative. Default: -1, the last one. */
  axis?: number;
}

/**
 * The place of the largest number along an axis, which the result is without ([1] where none is left): the first where
 * several are equal, that of a NaN where there is one. It has no gradient.
 *
 * @param x real, up to four axes
 * @returns i32
 * @throws SpikeloomError for other types and shapes
 * @example ops.argmax(logits); // [B,K] to [B]: the class of every sample
 */
export function argmax(x: Tensor, options: ArgmaxOptions = {}): Tensor {
  needTensors('argmax', { x });
  needOptions('argmax', options, { axis: true });
  const axis = needAxis('argmax', x, options.axis ?? -1);
  if (x.shape.length > 4)
    throw new SpikeloomError(`argmax: takes up to four axes, not ${describe(x)}; reshape() makes fewer of them`);
  if (x.dtype !== 'f32' && x.dtype !== 'f64') throw new SpikeloomError(`argmax: 'x' is real, not ${x.dtype}`);
  const K = x.shape[axis]!;
  const others = [...x.shape.keys()].filter((one) => one !== axis);
  using last = axis === others.length ? x.alias(x.shape) : noGrad(() => permute(x, [...others, axis]));
  using rows = noGrad(() => reshape(last, [x.size / K, K]));
  using places = natives.argmax.run({ x: rows }).y;
  return places.alias(x.shape.length === 1 ? [1] : others.map((one) => x.shape[one]!));
}
