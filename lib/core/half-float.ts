// Conversions between float32 values and the bits of 16-bit floats, in place of the Float16Array that Node 20 lacks.
// Widening is exact; narrowing rounds to nearest, ties to even, and keeps infinities, NaN and signed zeros.

const scratch = new Float32Array(1);
const scratchBits = new Uint32Array(scratch.buffer);

/** bfloat16: 1 sign, 8 exponent and 7 fraction bits: the upper half of a float32. */
export function bf16ToF32(bits: Uint16Array, out: Float32Array): void {
  const outBits = new Uint32Array(out.buffer, out.byteOffset, out.length);
  for (let i = 0; i < bits.length; i++) outBits[i] = bits[i]! << 16;
}

/** IEEE binary16: 1 sign, 5 exponent and 10 fraction bits; an all-zero exponent holds multiples of 2^-24. */
export function f16ToF32(bits: Uint16Array, out: Float32Array): void {
  const outBits = new Uint32Array(out.buffer, out.byteOffset, out.length);
  for (let i = 0; i < bits.length; i++) {
    const half = bits[i]!;
    const exponent = (half >>> 10) & 31;
    const fraction = half & 1023;
    const sign = (half & 0x8000) << 16;
    if (exponent === 0) out[i] = (sign === 0 ? 1 : -1) * fraction * 2 ** -24;
    else outBits[i] = sign | ((exponent === 31 ? 255 : exponent + 112) << 23) | (fraction << 13);
  }
}

/** One float32 value as bfloat16 bits. */
export function bf16Bits(value: number): number {
  scratch[0] = value;
  const bits = scratchBits[0]!;
  if (Number.isNaN(value)) return (bits >>> 16) | 0x40; // stays a NaN when its low bits are dropped
  return ((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16) & 0xffff;
}

/** One float32 value as binary16 bits; magnitudes of 65520 and more become infinite. */
export function f16Bits(value: number): number {
  scratch[0] = value;
  const bits = scratchBits[0]!;
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = Math.abs(scratch[0]!);
  if (Number.isNaN(value)) return sign | 0x7e00;
  if (magnitude >= 65520) return sign | 0x7c00;
  if (magnitude < 2 ** -14) return sign | roundHalfEven(magnitude * 2 ** 24);
  const shifted = (bits & 0x7fffffff) - (112 << 23);
  return sign | ((shifted + 0xfff + ((shifted >>> 13) & 1)) >>> 13);
}

/**
 * The nearest whole number of one that is not negative; of two equally near the even one, as IEEE 754 and Python round.
 */
export function roundHalfEven(value: number): number {
  const low = Math.floor(value);
  const rest = value - low;
  return rest > 0.5 || (rest === 0.5 && low % 2 === 1) ? low + 1 : low;
}
