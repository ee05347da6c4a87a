// Tensors in bf16 for tests, rounded here and not by what is under test.
import { device, type Tensor, tensor } from '../../lib/core/index.ts';
import type { HostTensor } from './op-table.ts';

/** The bits of the nearest bf16 of each number, ties to even. */
export function bf16Words(data: Float64Array): Uint16Array {
  const bits = new Uint32Array(new Float32Array(data).buffer);
  const words = new Uint16Array(bits.length);
  for (let i = 0; i < bits.length; i++) words[i] = (bits[i]! + 0x7fff + ((bits[i]! >>> 16) & 1)) >>> 16;
  return words;
}

export function fromBf16(words: ArrayLike<number>): Float64Array {
  const bits = new Uint32Array(words.length);
  for (let i = 0; i < bits.length; i++) bits[i] = words[i]! << 16;
  return new Float64Array(new Float32Array(bits.buffer));
}

/** The same numbers, each the nearest bf16. */
export const rounded = (t: HostTensor): HostTensor => ({ ...t, data: fromBf16(bf16Words(t.data)) });

export const bf16Tensor = ({ data, shape }: Pick<HostTensor, 'data' | 'shape'>, on: string): Tensor =>
  tensor(bf16Words(data), { shape, dtype: 'bf16', device: device(on) });

/** The numbers of a tensor, also of one in bf16. */
export const values = async (t: Tensor): Promise<Float64Array> =>
  t.dtype === 'bf16' ? fromBf16(await t.array()) : new Float64Array(await t.array());
