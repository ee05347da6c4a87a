// Frames as bytes, where they hold few events: a quarter of what real numbers take on their way to a device.
import type { FrameShape } from './event-set.ts';

/** How often an axis is divided: its middle pixel stays where that is odd, else the mean of the middle two. */
function axisUnit(from: number, to: number): number | undefined {
  if (from % to !== 0) return undefined;
  return (from / to) % 2 === 1 ? 1 : 1 / 2;
}

/**
 * What every number of a set's frames is a whole multiple of; undefined where it is not known (they are normalized, or
 * brought to a size whose pixels do not lie between two others of the sensor).
 * @param size H and W of the frames
 */
export function frameUnit({ window, normalise }: FrameShape, size: readonly [number, number]): number | undefined {
  const [down, across] = [axisUnit(window[0], size[0]), axisUnit(window[1], size[1])];
  return normalise || down === undefined || across === undefined ? undefined : down * across;
}

/** Fills `bytes` with frames in multiples of `unit`; false where one of them does not fit a byte. */
export function frameBytes(frames: Float32Array, unit: number, bytes: Uint8Array): boolean {
  const factor = 1 / unit;
  for (let i = 0; i < frames.length; i++) {
    bytes[i] = frames[i]! * factor;
    if (bytes[i]! * unit !== frames[i]) return false;
  }
  return true;
}
