// Small recordings in the published formats, by a writer that shares nothing with the readers, and data sets of them as
// folders.
import { createHash } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { CacheSource } from '../../lib/data/events/cache.ts';
import type { Events } from '../../lib/data/events/events.ts';

/** Events all over a sensor, in order of time; the same for the same seed. */
export function someEvents(count: number, width: number, height: number, seed = 1, step = 40): Events {
  let state = seed * 7919 + 1;
  const next = (n: number): number => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return (state >>> 8) % n;
  };
  const made: Events = {
    ...{ width, height, count, x: new Uint16Array(count), y: new Uint16Array(count) },
    ...{ p: new Uint8Array(count), t: new Float64Array(count) },
  };
  let time = 1000 + next(1000);
  for (let i = 0; i < count; i++) {
    made.x[i] = next(width);
    made.y[i] = next(height);
    made.p[i] = next(2);
    time += next(step);
    made.t[i] = time;
  }
  return made;
}

/** Hashes for a cache of no files at all. */
export function someSource(name = 'some'): CacheSource {
  const hash = (of: string): string => createHash('sha256').update(`${name} ${of}`).digest('hex');
  return { listing: hash('listing'), contents: hash('contents'), stamp: hash('stamp') };
}

/** N-MNIST and N-Caltech101: column, row, polarity and 23 bits of time, 5 bytes, big-endian. */
export function fortyBit({ count, x, y, p, t }: Events): Buffer {
  const bytes = Buffer.alloc(5 * count);
  for (let i = 0; i < count; i++) bytes.set([x[i]!, y[i]!, (p[i]! << 7) | (t[i]! >> 16), t[i]! >> 8, t[i]!], 5 * i);
  return bytes;
}

/**
 * AEDAT 2.0 of a DVS128: address (darker, 127 - column, 127 - row from bit 0 on) and time, big-endian, 32 bits each.
 */
export function aedat2({ count, x, y, p, t }: Events): Buffer {
  const events = Buffer.alloc(8 * count);
  for (let i = 0; i < count; i++) {
    events.writeUInt32BE((1 - p[i]!) | ((127 - x[i]!) << 1) | ((127 - y[i]!) << 8), 8 * i);
    events.writeUInt32BE(t[i]!, 8 * i + 4);
  }
  return Buffer.concat([Buffer.from('#!AER-DAT2.0\r\n# This is a raw AE data file\r\n'), events]);
}

/** AEDAT 3.1: packets of polarity events, little-endian, with a header of 28 bytes. */
export function aedat3({ count, x, y, p, t }: Events, perPacket = 100): Buffer {
  const parts = [Buffer.from('#!AER-DAT3.1\r\n#Format: RAW\r\n#Source 1: DVS128\r\n#!END-HEADER\r\n')];
  for (let from = 0; from < count; from += perPacket) {
    const n = Math.min(perPacket, count - from);
    const packet = Buffer.alloc(28 + 8 * n);
    packet.writeUInt16LE(1, 0); // polarity events
    packet.writeUInt16LE(1, 2);
    packet.writeUInt32LE(8, 4); // bytes of an event
    packet.writeUInt32LE(4, 8); // where its time lies
    for (const at of [16, 20, 24]) packet.writeUInt32LE(n, at);
    for (let i = 0; i < n; i++) {
      const e = from + i;
      packet.writeUInt32LE(1 | (p[e]! << 1) | (y[e]! << 2) | (x[e]! << 17), 28 + 8 * i);
      packet.writeInt32LE(t[e]!, 32 + 8 * i);
    }
    parts.push(packet);
  }
  return Buffer.concat(parts);
}

/** Prophesee DAT 2: time, then column (14 bits), row (14) and polarity from bit 28 on, little-endian. */
export function dat({ width, height, count, x, y, p, t }: Events): Buffer {
  const events = Buffer.alloc(8 * count);
  for (let i = 0; i < count; i++) {
    events.writeUInt32LE(t[i]!, 8 * i);
    events.writeUInt32LE((x[i]! | (y[i]! << 14) | (p[i]! << 28)) >>> 0, 8 * i + 4);
  }
  const header = `% Data file containing CD events.\n% Version 2\n% Width ${width}\n% Height ${height}\n`;
  return Buffer.concat([Buffer.from(header), Buffer.of(0x0c, 8), events]);
}

/** Writes files below a folder, which are given by their paths. */
export function writeTree(folder: string, files: Readonly<Record<string, Buffer | string>>): void {
  for (const [path, content] of Object.entries(files)) {
    const file = join(folder, path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, content);
  }
}
