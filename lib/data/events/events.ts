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
