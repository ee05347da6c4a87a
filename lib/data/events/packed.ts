// A recording as bytes for the cache: events in order, each as
//
//     its time since the one before, in microseconds: zigzag (0, -1, 1, -2, ...), LEB128 (7 bits a byte, low first)
//     its address, in ceil((xBits + yBits + 1) / 8) bytes, low ones first: polarity, then column, then row
//
// with xBits and yBits as many as the sensor's largest column and row need: 3 to 4 bytes an event where the file has 5
// to 8.
import { SpikeloomError } from '../../core/errors.ts';
import type { Events } from './events.ts';
import type { SensorSize } from './formats.ts';

/** A packed recording and what is kept beside its bytes. */
export interface PackedRecording {
  bytes: Uint8Array;
  count: number;
  /** Time of the first event, and the latest one, in microseconds. */
  first: number;
  last: number;
}

/** Times lie within 71 years around 0, so that a difference is exact. */
const TIME_LIMIT = 2 ** 51;

const bitsFor = (size: number): number => 32 - Math.clz32(size - 1);

function addressOf({ width, height }: SensorSize): { xBits: number; yBits: number; bytes: number } {
  const [xBits, yBits] = [bitsFor(width), bitsFor(height)];
  return { xBits, yBits, bytes: (xBits + yBits + 8) >> 3 };
}

/** The fewest bytes of an event. */
export const leastBytes = (sensor: SensorSize): number => 1 + addressOf(sensor).bytes;

/** Appends a whole number >= 0 in 7 bits a byte; returns the offset after it. */
function writeVarint(bytes: Uint8Array, at: number, value: number): number {
  let rest = value;
  let next = at;
  while (rest >= 128) {
    bytes[next++] = (rest % 128) | 128;
    rest = Math.floor(rest / 128);
  }
  bytes[next++] = rest;
  return next;
}

/**
 * Packs a recording. Times are rounded to whole microseconds.
 * @param room memory for the result, used where it is large enough
 * @throws SpikeloomError where an event lies outside of the sensor or a time is out of range
 */
export function packRecording(events: Events, sensor: SensorSize, room = new Uint8Array(0)): PackedRecording {
  const { count, x, y, p, t } = events;
  const { xBits, bytes: wide } = addressOf(sensor);
  const most = count * (8 + wide);
  const bytes = room.length >= most ? room : new Uint8Array(most);
  const first = count > 0 ? Math.round(t[0]!) : 0;
  let [at, before, last] = [0, first, first];
  for (let i = 0; i < count; i++) {
    const time = Math.round(t[i]!);
    if (!(Math.abs(time) < TIME_LIMIT)) {
      throw new SpikeloomError(`event ${i} has the time ${t[i]}: times are microseconds below 2^51`);
    }
    if (x[i]! >= sensor.width || y[i]! >= sensor.height) {
      const size = `${sensor.width}x${sensor.height}`;
      throw new SpikeloomError(`event ${i} lies at column ${x[i]}, row ${y[i]}, outside of a sensor of ${size}`);
    }
    const step = time - before;
    before = time;
    if (time > last) last = time;
    at = writeVarint(bytes, at, step >= 0 ? 2 * step : -2 * step - 1);
    const address = (((y[i]! << xBits) | x[i]!) << 1) | (p[i]! & 1);
    for (let k = 0; k < wide; k++) bytes[at++] = address >>> (8 * k);
  }
  return { bytes: bytes.subarray(0, at), count, first, last };
}

/**
 * A zigzag number that needs more than one byte, from `at` on: [step, offset after it]; an offset of -1 where it never
 * ends.
 */
function longStep(bytes: Uint8Array, at: number): [number, number] {
  let value = 0;
  let scale = 1;
  for (let next = at; next < at + 8; scale *= 128) {
    const byte = bytes[next++] ?? 255;
    value += (byte & 127) * scale;
    if (byte < 128) return [value % 2 === 0 ? value / 2 : -(value + 1) / 2, next];
  }
  return [0, -1];
}

/** Where {@link unpackRecording} writes. */
export interface UnpackTarget {
  /** Takes the events as numbers of packEvent(), from `start` on. */
  events: Int32Array;
  start: number;
  /** Takes `start` plus the bounds of the slices, from `boundsStart` on. */
  bounds: Int32Array;
  boundsStart: number;
}

/**
 * Unpacks a recording, and cuts it into slices that end at `edges` (see sliceEdges(); without edges, bounds are left
 * alone). What lies past the last edge is not unpacked.
 * @returns whether the bytes were those of `count` events
 */
export function unpackRecording(
  { bytes, count, first }: Omit<PackedRecording, 'last'>,
  sensor: SensorSize,
  edges: Float64Array,
  { events, start, bounds, boundsStart }: UnpackTarget,
): boolean {
  const { xBits, yBits, bytes: wide } = addressOf(sensor);
  const [columns, rows] = [(1 << xBits) - 1, (1 << yBits) - 1];
  const slices = edges.length;
  if (slices > 0) bounds.fill(start + count, boundsStart, boundsStart + slices + 1)[boundsStart] = start;
  let [at, time, slice] = [0, first, 0];
  let edge = slices > 0 ? edges[0]! : Number.POSITIVE_INFINITY;
  for (let i = start; i < start + count; i++) {
    const byte = bytes[at]!;
    if (byte < 128) {
      time += (byte >>> 1) ^ -(byte & 1);
      at++;
    } else {
      const [step, next] = longStep(bytes, at);
      if (next < 0) return false;
      time += step;
      at = next;
    }
    let address = bytes[at]! | (bytes[at + 1]! << 8);
    if (wide > 2) address |= (bytes[at + 2]! << 16) | (wide > 3 ? bytes[at + 3]! << 24 : 0);
    else if (wide === 1) address &= 255;
    at += wide;
    while (time >= edge) {
      bounds[boundsStart + ++slice] = i;
      if (slice === slices) return true;
      edge = edges[slice]!;
    }
    events[i] = ((address & 1) << 30) | (((address >>> (1 + xBits)) & rows) << 15) | ((address >>> 1) & columns);
  }
  return at === bytes.length;
}
