import { philox, STREAM } from '../core/random.ts';
import type { Init } from './layer.ts';

/** FNV-1a, 32 bits. */
export function hashName(text: string): number {
  let hash = 0x811c9dc5;
  for (const byte of Buffer.from(text)) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  return hash;
}

/**
 * Fills in the start values of a parameter. They depend on seed and name alone, so adding or removing a layer does not
 * change those of the others, and are equal in f32 and f64 up to rounding.
 */
export function fillInitial(values: Float32Array | Float64Array, name: string, init: Init, seed: number): void {
  if ('constant' in init) {
    values.fill(init.constant);
    return;
  }
  const random = philox(seed, STREAM.init, hashName(name), hashName(`${name}\0`));
  if ('std' in init) random.fillNormal(values, init.std);
  else for (let i = 0; i < values.length; i++) values[i] = init.bound * (2 * random.uniform() - 1);
}
