// The container of AEDAT 4.0 (iniVation, DV): a FlatBuffers header with an XML description of the streams, then packets
// of one stream each, compressed as a whole. The events of a packet are decoded natively (native/events/aedat4.cpp).
import { DataError } from '../files.ts';
import { CompressionError, unpackLz4, unpackZstd } from './compression.ts';
import { type EventBlock, type EventFeed, FlatFeed } from './decoder.ts';
import type { Recording, SensorSize } from './formats.ts';

const MAGIC = '#!AER-DAT4.0\r\n';
/** Larger packets are refused, compressed and not; the recorders write some hundred kilobytes. */
const MAX_PACKET = 2 ** 26;
const PACKET_HEADER = 8;
const EVENT_BYTES = 16;

/** What the header says about the packets. */
export interface Packets {
  /** 0 none, 1 and 2 LZ4, 3 and 4 Zstandard. */
  compression: number;
  /** The stream whose events are read. */
  stream: number;
  /** Where the packets end and their table begins; undefined where the recording was never closed. */
  end: number | undefined;
}

/** Reads little-endian FlatBuffers; DataView answers any offset outside of the buffer with a RangeError. */
class Table {
  readonly #view: DataView;
  readonly #at: number;

  /** The root of a buffer with its size in front. */
  constructor(bytes: Uint8Array) {
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#at = 4 + this.#view.getUint32(4, true);
  }

  /** Where a field lies; 0 where it has its default. */
  #field(index: number): number {
    const vtable = this.#at - this.#view.getInt32(this.#at, true);
    if (4 + 2 * index >= this.#view.getUint16(vtable, true)) return 0;
    const offset = this.#view.getUint16(vtable + 4 + 2 * index, true);
    return offset === 0 ? 0 : this.#at + offset;
  }

  i32(index: number, otherwise: number): number {
    const at = this.#field(index);
    return at === 0 ? otherwise : this.#view.getInt32(at, true);
  }

  i64(index: number, otherwise: number): number {
    const at = this.#field(index);
    return at === 0 ? otherwise : Number(this.#view.getBigInt64(at, true));
  }

  /** The bytes of a vector whose elements have `size` bytes. */
  vector(index: number, size: number): Uint8Array {
    const at = this.#field(index);
    if (at === 0) return new Uint8Array(0);
    const start = at + this.#view.getUint32(at, true);
    const length = size * this.#view.getUint32(start, true);
    if (start + 4 + length > this.#view.byteLength) throw new RangeError('a vector ends behind its buffer');
    return new Uint8Array(this.#view.buffer, this.#view.byteOffset + start + 4, length);
  }
}

/**
 * Attributes by their path of nodes: 'outInfo/0/typeIdentifier'. Long names and values are ignored, which bounds the
 * time.
 */
function attributes(xml: string): Map<string, string> {
  const found = new Map<string, string>();
  const nodes: string[] = [];
  const token =
    /<node name="([^"<>]{0,200})"[^<>]{0,1000}>|<(\/)node>|<attr key="([^"<>]{0,200})"[^<>]{0,200}>([^<>]{0,1000})<\/attr>/g;
  for (const [text, node, close, key, value] of xml.matchAll(token)) {
    if (close) nodes.pop();
    else if (key !== undefined) found.set([...nodes.slice(0, 8), key].join('/'), value!.trim());
    else if (node !== undefined && !text.endsWith('/>')) nodes.push(node);
  }
  return found;
}

/**
 * Reads the header.
 * @returns where the packets begin, what they are, and the sensor of the first stream of events
 */
export function openAedat4(head: Uint8Array, file: string): Partial<SensorSize> & { start: number; packets: Packets } {
  if (Buffer.from(head.subarray(0, MAGIC.length)).toString('latin1') !== MAGIC) {
    throw new DataError(file, "a recording of AEDAT 4.0 begins with '#!AER-DAT4.0', but this one does not", {
      offset: 0,
    });
  }
  const view = new DataView(head.buffer, head.byteOffset, head.byteLength);
  const size = head.length < MAGIC.length + 4 ? Number.POSITIVE_INFINITY : view.getUint32(MAGIC.length, true);
  const start = MAGIC.length + 4 + size;
  if (start > head.length) {
    const rule = `the header of AEDAT 4.0 ends within the file and its first ${2 ** 20} bytes, but this one does not`;
    throw new DataError(file, rule, { offset: MAGIC.length });
  }
  let compression = 0;
  let end = -1;
  let found: Map<string, string>;
  try {
    const table = new Table(head.subarray(MAGIC.length, start));
    compression = table.i32(0, 0);
    end = table.i64(1, -1);
    found = attributes(Buffer.from(table.vector(2, 1)).toString('utf8'));
  } catch (cause) {
    throw new DataError(file, `the header of AEDAT 4.0 is damaged (${(cause as Error).message})`, {
      offset: MAGIC.length,
      cause,
    });
  }
  if (compression < 0 || compression > 4) {
    throw new DataError(file, `AEDAT 4.0 has compressions 0 to 4, but this recording has ${compression}`, {
      offset: MAGIC.length,
    });
  }
  if (end > 0 && end < start) {
    throw new DataError(file, `packets lie before their table, but the header puts the table at byte ${end}`, {
      offset: MAGIC.length,
    });
  }
  const streams = [...found]
    .filter(([path, type]) => /^outInfo\/\d{1,9}\/typeIdentifier$/.test(path) && type === 'EVTS')
    .map(([path]) => Number(path.split('/')[1]));
  if (streams.length === 0)
    throw new DataError(file, 'this recording has no stream of events', { offset: MAGIC.length });
  const stream = Math.min(...streams);
  const side = (name: string): number => Number(found.get(`outInfo/${stream}/info/${name}`) ?? 0);
  const packets = { compression, stream, end: end > 0 ? end : undefined };
  return { start, width: side('sizeX'), height: side('sizeY'), packets };
}

export class Aedat4Feed implements EventFeed {
  readonly #file: string;
  readonly #packets: Packets;
  readonly #events: FlatFeed;
  /** Memory of the last packet that was unpacked. */
  #room = new Uint8Array(0);
  /** How far the packets were read. */
  #at: number;

  constructor(recording: Recording, packets: Packets, file: string) {
    this.#file = file;
    this.#packets = packets;
    this.#events = new FlatFeed(recording, file, { inPackets: true });
    this.#at = recording.start;
  }

  complete(): boolean {
    return this.#packets.end === undefined || this.#at >= this.#packets.end;
  }

  *push(bytes: Uint8Array, offset: number, block: EventBlock): Generator<number, number> {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const end = Math.min(bytes.length, (this.#packets.end ?? Number.POSITIVE_INFINITY) - offset);
    let at = 0;
    while (end - at >= PACKET_HEADER) {
      const stream = view.getInt32(at, true);
      const size = view.getInt32(at + 4, true);
      if (stream < 0 || size < 0 || size > MAX_PACKET) {
        const rule = `a packet names its stream and has 0 to ${MAX_PACKET} bytes`;
        throw new DataError(this.#file, `${rule}, but this one is of stream ${stream} and has ${size}`, {
          offset: offset + at,
        });
      }
      if (end - at < PACKET_HEADER + size) break;
      const body = bytes.subarray(at + PACKET_HEADER, at + PACKET_HEADER + size);
      const next = at + PACKET_HEADER + size;
      if (stream === this.#packets.stream) {
        const steps = this.#events.push(this.#open(body, offset + at), offset + at, block);
        while (!steps.next().done) yield next;
      }
      at = next;
    }
    this.#at = offset + at;
    // After the packets comes their table.
    return this.complete() && this.#packets.end !== undefined ? bytes.length : at;
  }

  /** The events of a packet as they lie in it. */
  #open(body: Uint8Array, offset: number): Uint8Array {
    try {
      return new Table(this.#unpack(body)).vector(0, EVENT_BYTES);
    } catch (cause) {
      if (!(cause instanceof CompressionError) && !(cause instanceof RangeError)) throw cause;
      throw new DataError(this.#file, `the packet that begins here is damaged: ${cause.message}`, { offset, cause });
    }
  }

  #unpack(body: Uint8Array): Uint8Array {
    const { compression } = this.#packets;
    if (compression === 0) return body;
    if (compression > 2) return unpackZstd(body, MAX_PACKET);
    const bytes = unpackLz4(body, this.#room, MAX_PACKET);
    this.#room = new Uint8Array(bytes.buffer);
    return bytes;
  }
}
