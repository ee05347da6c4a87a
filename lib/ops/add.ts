import { nativeOp, needTensors, type RealType, record, SpikeloomError, type Tensor } from '../core/index.ts';
import { needOptions } from '../core/options.ts';
import { isRecordedOn, noteMade } from '../core/step.ts';
import { provideSums } from '../core/tape.ts';
import { onZeros } from '../core/tensor.ts';
import { areAlike, combined, foldedTo } from './broadcast.ts';
import { inReal } from './to-real.ts';

const forward = nativeOp<'z'>('add');
const fill = nativeOp<'y'>('fill');
const zero = nativeOp<never>('zero');

export interface AddOptions {
  /**
   * Type of the sum of two spike tensors (default f32); otherwise the sum has the type of the real one, or bf16 without
   * one.
   */
  real?: RealType;
}

function sum(x: Tensor, y: Tensor, options: AddOptions = {}): Tensor {
  const types = [x.dtype, y.dtype];
  const real = types.find((type) => type === 'f32' || type === 'f64') as RealType | undefined;
  if (real === 'f64' && types.includes('bf16'))
    throw new SpikeloomError('add: bf16 goes with f32, not with f64; make the f64 tensor f32');
  const z = real ?? (types.includes('bf16') ? 'bf16' : (options.real ?? 'f32'));
  return forward.run({ x, y }, {}, { ...options, types: { z } }).z;
}

/**
 * z = x + y, element by element, a spike counting as 1. Both gradients are gz, for spikes as well, added along the axes
 * in which x or y was repeated.
 *
 * @param x real, bf16 or spikes, any shape
 * @param y real, bf16 or spikes, the same shape; of two real tensors also one that goes with it as in PyTorch: counted
 * from the end, axes agree or one of them has length 1 and is repeated
 * @throws SpikeloomError when the shapes or the real types do not fit
 * @example ops.add(x, bias); // [T,B,F] and [F]
 */
export function add(x: Tensor, y: Tensor, options: AddOptions = {}): Tensor {
  needTensors('add', { x, y });
  needOptions('add', options, { real: true });
  const alike = areAlike(x, y);
  const z = alike ? sum(x, y, options) : combined('add', x, y);
  record(
    [z],
    [x, y],
    ([gz], [needX, needY]) =>
      alike ? [gz, gz] : [needX ? foldedTo(gz!, x) : undefined, needY ? foldedTo(gz!, y) : undefined],
    [0, 1],
  );
  return z;
}

onZeros((y) => {
  if (!isRecordedOn(y.device)) return false;
  zero.run({ y });
  noteMade(y);
  return true;
});

provideSums({
  add: sum,
  inReal,
  one: (like) => fill.run({ x: like }, { value: 1 }).y,
});
