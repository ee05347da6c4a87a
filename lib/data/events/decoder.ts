// Bytes of a recording to events by the native decoders: blocks to decode into, and the feed that keeps the state
// between pieces.
import { native } from '../../core/native.ts';
import { DataError } from '../files.ts';
import type { Events } from './events.ts';
import type { Recording, SensorSize } from './formats.ts';

/** The most events that one word of a format holds: with this much room a decoder always makes progress. */
export const LEAST_ROOM = 12;

/** A block that is filled to this share keeps its memory; copying out of it would not pay. */
const NEARLY_FULL = 7 / 8;

/** Arrays that events are appended to. */
export class EventBlock {
  count = 0;
  x!: Uint16Array<ArrayBuffer>;
  y!: Uint16Array<ArrayBuffer>;
  p!: Uint8Array<ArrayBuffer>;
  t!: Float64Array<ArrayBuffer>;

  constructor(capacity: number) {
    this.renew(capacity);
  }

  /** New arrays without events. */
  renew(capacity: number): void {
    this.count = 0;
    this.x = new Uint16Array(capacity);
    this.y = new Uint16Array(capacity);
    this.p = new Uint8Array(capacity);
    this.t = new Float64Array(capacity);
    for (const array of [this.x, this.y, this.p, this.t]) native().useLargePages(array);
  }

  /** Room for as many as are expected, and for half as many more in any case. */
  grow(expected = 0): void {
    const { count, x, y, p, t } = this;
    this.renew(Math.max(Math.ceil(1.5 * x.length), x.length + LEAST_ROOM, expected));
    this.count = count;
    this.x.set(x);
    this.y.set(y);
    this.p.set(p);
    this.t.set(t);
  }

  /** The events; where little room is left, in the memory that they were decoded into. */
  take({ width, height }: SensorSize): Events {
    const { count, x, y, p, t } = this;
    const cut = count < x.length * NEARLY_FULL ? 'slice' : 'subarray';
    return { width, height, count, x: x[cut](0, count), y: y[cut](0, count), p: p[cut](0, count), t: t[cut](0, count) };
  }
}

/** Takes the bytes of a recording in pieces; what it leaves over must begin the next piece. */
export interface EventFeed {
  /**
   * Decodes bytes that lie at `offset` of the file into the block. Yields where the block has no room, with about how
   * many bytes were used: continue when it has.
   * @returns the bytes that were used
   */
  push(bytes: Uint8Array, offset: number, block: EventBlock): Generator<number, number>;
  /** Whether the recording may end here, with nothing left over. */
  complete(): boolean;
}

const STATE_BYTES = 48;
const FULL = 1;
const OUTSIDE = 2;
const MALFORMED = 3;

/** A format whose events lie uncompressed in the file. */
export class FlatFeed implements EventFeed {
  #state = new Uint8Array(STATE_BYTES);
  #due = 0;
  readonly #recording: Recording;
  readonly #file: string;
  readonly #inPackets: boolean;

  /** @param inPackets whether bytes come from unpacked packets, so that errors name the place of their packet */
  constructor(recording: Recording, file: string, { inPackets = false } = {}) {
    this.#recording = recording;
    this.#file = file;
    this.#inPackets = inPackets;
  }

  complete(): boolean {
    return this.#due === 0;
  }

  *push(bytes: Uint8Array, offset: number, block: EventBlock): Generator<number, number> {
    let used = 0;
    while (this.#step(bytes, used, offset, block, (more) => (used += more)) === FULL) yield used;
    return used;
  }

  #step(bytes: Uint8Array, from: number, offset: number, block: EventBlock, use: (bytes: number) => void): number {
    const { decoder, width, height, turned } = this.#recording;
    const { count } = block;
    const [x, y] = [block.x.subarray(count), block.y.subarray(count)];
    const [columns, rows, w, h] = turned ? [y, x, height, width] : [x, y, width, height];
    const [stop, used, events, atX, atY, due, problem] = native().decodeEvents(
      decoder,
      this.#state,
      bytes.subarray(from),
      w,
      h,
      columns,
      rows,
      block.p.subarray(count),
      block.t.subarray(count),
    );
    use(used);
    block.count += events;
    this.#due = due;
    const at = { offset: this.#inPackets ? offset : offset + from + used };
    if (stop === OUTSIDE) {
      const [column, row] = turned ? [atY, atX] : [atX, atY];
      const rule = `an event here lies at column ${column}, row ${row}, outside of a sensor of ${width}x${height}`;
      throw new DataError(this.#file, `${rule}: the file is damaged or of another format, or needs another size`, at);
    }
    if (stop === MALFORMED) throw new DataError(this.#file, `${problem}: the file is damaged or of another format`, at);
    return stop;
  }
}
