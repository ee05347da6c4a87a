import type { RealType } from '../core/index.ts';
import { philox, STREAM } from '../core/random.ts';
import { type Init, product } from './layer.ts';

/** FNV-1a, 32 bits. */
export function hashName(text: string): number {
  let hash = 0x811c9dc5;
  for (const byte of Buffer.from(text)) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  return hash;
}

/**
 * Start values of a parameter. They depend on seed and name alone, so a layer more or less leaves the others' as they are,
 * and are equal in f32 and f64 up to rounding.
 */
export function initialValues(
  name: string,
  shape: readonly number[],
  init: Init,
  seed: number,
  dtype: RealType,
): Float32Array | Float64Array {
  const values = new (dtype === 'f64' ? Float64Array : Float32Array)(product(shape));
  if ('constant' in init) return values.fill(init.constant);
  const random = philox(seed, STREAM.init, hashName(name), hashName(`${name}\0`));
  if ('std' in init) for (let i = 0; i < values.length; i++) values[i] = init.std * random.normal();
  else for (let i = 0; i < values.length; i++) values[i] = init.bound * (2 * random.uniform() - 1);
  return values;
}
