// The types of elements, and the typed arrays that hold them in JavaScript.
import { OutOfMemoryError, SpikeloomError } from './errors.ts';
import { bf16Bits } from './half-float.ts';
import { kindOf } from './options.ts';

/** The order is the addon's numbering. */
export const dtypes = ['f32', 'f64', 'bf16', 'u8', 'i32', 'spike'] as const;
export type DType = (typeof dtypes)[number];
/** The types arithmetic is done in. */
export type RealType = 'f32' | 'f64';
export type HostArray = Float32Array | Float64Array | Uint16Array | Uint8Array | Int32Array;

export const hostArrays = {
  f32: Float32Array,
  f64: Float64Array,
  bf16: Uint16Array,
  u8: Uint8Array,
  i32: Int32Array,
  spike: Uint8Array,
} as const;

/** @throws SpikeloomError for a dtype that there is not */
export function needDtype(dtype: DType): void {
  if (!dtypes.includes(dtype)) throw new SpikeloomError(`a dtype is one of ${dtypes.join(', ')}, not ${kindOf(dtype)}`);
}

/**
 * An array of `size` elements. Shared memory is not counted by V8, whose garbage collector large arrays otherwise call.
 * @throws OutOfMemoryError where there is no room
 */
export function hostArray(dtype: DType, size: number, { shared = false } = {}): HostArray {
  const Kind = hostArrays[dtype] as { new (memory: number | SharedArrayBuffer): HostArray; BYTES_PER_ELEMENT: number };
  try {
    return new Kind(shared ? new SharedArrayBuffer(size * Kind.BYTES_PER_ELEMENT) : size);
  } catch (error) {
    throw new OutOfMemoryError(`out of memory: no room for an array of ${size} elements of ${dtype}`, { cause: error });
  }
}

/** What numbers of a type may be, where not all are. */
const HOLDS: Partial<Record<DType, string>> = {
  u8: 'whole numbers from 0 to 255',
  i32: 'whole numbers from -2^31 to 2^31 - 1',
  spike: '0 and 1',
};

/**
 * The numbers in an array of the tensor's kind.
 * @throws SpikeloomError where the type does not hold one of them
 */
export function hostNumbers(data: HostArray | readonly number[], dtype: DType): HostArray {
  const Kind = hostArrays[dtype];
  if (data instanceof Kind) return data; // spikes that are none are refused where they are written
  const made = new Kind(data.length);
  for (let i = 0; i < data.length; i++) {
    const number: unknown = data[i];
    if (typeof number !== 'number') {
      throw new SpikeloomError(
        'a tensor is made of numbers in one flat array; give nested ones flat, with their shape',
      );
    }
    made[i] = dtype === 'bf16' ? bf16Bits(number) : number;
    if (HOLDS[dtype] !== undefined && (made[i] !== number || (dtype === 'spike' && number > 1)))
      refuseNumber(dtype, number, i);
  }
  return made;
}

function refuseNumber(dtype: DType, number: unknown, i: number): never {
  throw new SpikeloomError(`${dtype} holds ${HOLDS[dtype]}, but number ${i} is ${kindOf(number)}`);
}
