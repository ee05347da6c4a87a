// Tensors in bf16 for tests, rounded here and not by what is under test.
import { device, type Tensor, tensor } from '../../lib/core/index.ts';
import type { HostTensor } from './op-table.ts';

/** The bits of the nearest bf16 of each number, ties to even. */
export const bf16Words = (data: Float64Array): Uint16Array =>
  Uint16Array.from(
    new Uint32Array(Float32Array.from(data).buffer),
    (bits) => (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16,
  );

export const fromBf16 = (words: ArrayLike<number>): Float64Array =>
  Float64Array.from(new Float32Array(Uint32Array.from(words, (word) => word << 16).buffer));

/** The same numbers, each the nearest bf16. */
export const rounded = (t: HostTensor): HostTensor => ({ ...t, data: fromBf16(bf16Words(t.data)) });

export const bf16Tensor = ({ data, shape }: Pick<HostTensor, 'data' | 'shape'>, on: string): Tensor =>
  tensor(bf16Words(data), { shape, dtype: 'bf16', device: device(on) });
