import { SpikeloomError } from '../../core/errors.ts';
import { kindOf, needArguments } from '../../core/options.ts';

/** A recording of an event camera in the order of its file, as parallel arrays [N]. */
export interface Events {
  /** Sensor size in pixels. */
  width: number;
  height: number;
  /** N */
  count: number;
  /** Column, 0..width-1. */
  x: Uint16Array;
  /** Row, 0..height-1. */
  y: Uint16Array;
  /** Polarity: 1 brighter, 0 darker. */
  p: Uint8Array;
  /** Time in microseconds, as the file has it. */
  t: Float64Array;
}

/** @internal Refuses what is not a recording, and one that counts more events than its arrays hold. */
export function needEvents(of: string, events: Events): void {
  needArguments(of, 'an object', { events });
  const { count, x, y, p, t } = events;
  needArguments(of, 'an array', { x, y, p, t });
  const held = Math.min(x.length, y.length, p.length, t.length);
  if (!Number.isSafeInteger(count) || count < 0 || count > held) {
    throw new SpikeloomError(`${of}: 'count' is a whole number of events, here up to ${held}, not ${kindOf(count)}`);
  }
}
