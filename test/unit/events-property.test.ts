// Recordings that nobody wrote: cut anywhere, bits flipped, bytes drawn at random. Each is read or refused with a
// DataError; pieces never matter.

import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import fc from 'fast-check';
import { CompressionError, unpackLz4 } from '../../lib/data/events/compression.ts';
import { EventBlock, FlatFeed, LEAST_ROOM } from '../../lib/data/events/decoder.ts';
import { openRecording } from '../../lib/data/events/formats.ts';
import {
  DataError,
  decodeEvents,
  EVENT_FORMATS,
  type EventFormat,
  type Events,
  readHdf5Events,
  readShd,
  streamEvents,
} from '../../lib/data/index.ts';
import { testFolder } from '../support/image-sets.ts';

const golden = (name: string): Buffer =>
  readFileSync(fileURLToPath(new URL(`../golden/events/${name}`, import.meta.url)));

const SAMPLES: [name: string, format: EventFormat][] = [
  ['nmnist.bs2', 'nmnist'],
  ['dvs128.aedat', 'aedat2'],
  ['gesture.aedat', 'aedat3'],
  ['none.aedat4', 'aedat4'],
  ['lz4.aedat4', 'aedat4'],
  ['zstd.aedat4', 'aedat4'],
  ['cars.dat', 'dat'],
  ['evt2.raw', 'evt2'],
  ['evt3.raw', 'evt3'],
];

/** The events, or the error, which must be a DataError that names the file and a byte in it. */
function outcome(bytes: Uint8Array, format: EventFormat, truncated?: 'keep'): Events | DataError {
  try {
    const events = decodeEvents(bytes, { format, file: 'sample', truncated });
    for (let i = 0; i < events.count; i++) {
      if (events.x[i]! >= events.width || events.y[i]! >= events.height || events.p[i]! > 1)
        throw new Error('an event outside');
    }
    return events;
  } catch (error) {
    expect(error, String((error as Error).stack)).to.be.instanceOf(DataError);
    const { message, offset } = error as DataError;
    expect(message).to.match(/^sample/);
    if (offset !== undefined) expect(offset).to.be.within(0, bytes.length);
    return error as DataError;
  }
}

interface Lz4Block {
  stored: boolean;
  sequences: { literals: Uint8Array; distance: number; more: number }[];
}

/** A length in four bits, and the bytes that it goes on in. */
function lz4Length(length: number): [nibble: number, rest: number[]] {
  if (length < 15) return [length, []];
  const over = length - 15;
  return [15, [...Array(Math.floor(over / 255)).fill(255), over % 255]];
}

/** An LZ4 frame of the literals and matches that are asked for, and what it holds. */
function lz4Frame(blocks: readonly Lz4Block[], sums: boolean): { frame: Uint8Array; data: number[] } {
  const sum = sums ? [1, 2, 3, 4] : []; // not compared
  const data: number[] = [];
  const frame = [0x04, 0x22, 0x4d, 0x18, sums ? 0b01010100 : 0b01000000, 0x70, 0];
  for (const { stored, sequences } of blocks) {
    const bytes: number[] = [];
    for (const { literals, distance, more } of sequences) {
      data.push(...literals);
      if (stored) bytes.push(...literals);
      if (stored || data.length === 0) continue;
      const back = 1 + (distance % data.length);
      const [[first, rest], [second, others]] = [lz4Length(literals.length), lz4Length(more)];
      bytes.push((first << 4) | second, ...rest, ...literals, back & 255, back >> 8, ...others);
      for (let i = 0; i < more + 4; i++) data.push(data[data.length - back]!);
    }
    if (!stored) bytes.push(0x10, 7); // a block ends in literals
    if (!stored) data.push(7);
    if (bytes.length === 0) continue; // a size of 0 would end the frame
    frame.push(bytes.length & 255, bytes.length >> 8, 0, stored ? 0x80 : 0, ...bytes, ...sum);
  }
  return { frame: Uint8Array.from([...frame, 0, 0, 0, 0, ...sum]), data };
}

describe('recordings that nobody wrote', () => {
  for (const [name, format] of SAMPLES) {
    const bytes = golden(name);
    const whole = decodeEvents(bytes, { format });

    it(`${name}: cut at every byte, it is an error or a beginning of the whole`, () => {
      for (let length = 0; length < bytes.length; length++) {
        const found = outcome(bytes.subarray(0, length), format);
        if (found instanceof DataError) continue;
        expect(found.count).to.be.at.most(whole.count);
        expect(
          Buffer.from(found.t.buffer, 0, found.t.byteLength).equals(Buffer.from(whole.t.buffer, 0, 8 * found.count)),
          `${length} bytes`,
        ).to.equal(true);
      }
    });

    it(`${name}: with bits flipped it is read or refused`, () => {
      const flips = fc.array(fc.nat(8 * bytes.length - 1), { minLength: 1, maxLength: 6 });
      fc.assert(
        fc.property(flips, fc.constantFrom(undefined, 'keep' as const), (places, truncated) => {
          const copy = Uint8Array.from(bytes);
          for (const place of places) copy[place >> 3]! ^= 1 << (place & 7);
          outcome(copy, format, truncated);
        }),
        { numRuns: 400, seed: 1 },
      );
    });
  }

  it('bytes drawn at random are read or refused, in every format, with and without a header', () => {
    const head = (format: EventFormat): Uint8Array => {
      const sample = SAMPLES.find(([, each]) => each === format);
      return sample
        ? golden(sample[0]).subarray(0, openRecording(golden(sample[0]), 'a', { format }).start)
        : new Uint8Array(0);
    };
    fc.assert(
      fc.property(
        fc.constantFrom(...EVENT_FORMATS),
        fc.boolean(),
        fc.uint8Array({ maxLength: 300 }),
        (format, headed, data) => {
          outcome(headed ? Buffer.concat([head(format), data]) : data, format);
        },
      ),
      { numRuns: 3000, seed: 2 },
    );
  });

  it('pieces of any size give the events of the whole', () => {
    const flat = SAMPLES.filter(([, format]) => format !== 'aedat4');
    const pieces = fc.array(fc.integer({ min: 1, max: 90 }), { minLength: 1, maxLength: 20 });
    fc.assert(
      fc.property(
        fc.constantFrom(...flat),
        pieces,
        fc.integer({ min: LEAST_ROOM, max: 40 }),
        ([name, format], sizes, room) => {
          const bytes = golden(name);
          const recording = openRecording(bytes, name, { format });
          const feed = new FlatFeed(recording, name);
          const block = new EventBlock(room);
          let [at, end] = [recording.start, recording.start];
          for (let i = 0; end < bytes.length; i++) {
            end = Math.min(bytes.length, end + sizes[i % sizes.length]!);
            const steps = feed.push(bytes.subarray(at, end), at, block);
            let step = steps.next();
            for (; !step.done; step = steps.next()) block.grow();
            at += step.value;
          }
          expect(at).to.equal(bytes.length);
          expect(block.take(recording)).to.deep.equal(decodeEvents(bytes, { format }));
        },
      ),
      { numRuns: 300, seed: 3 },
    );
  });

  it('a stream gives the same blocks whatever their size', async () => {
    const folder = fileURLToPath(new URL('../golden/events/', import.meta.url));
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...SAMPLES),
        fc.integer({ min: LEAST_ROOM, max: 500 }),
        async ([name, format], chunk) => {
          const times: number[] = [];
          for await (const { t } of streamEvents(folder + name, { format, chunk })) times.push(...t);
          expect(times).to.deep.equal([...decodeEvents(golden(name), { format }).t]);
        },
      ),
      { numRuns: 60, seed: 4 },
    );
  });

  it('LZ4: literals and matches of every distance and length, stored blocks, checksums', () => {
    const lengths = fc.oneof(fc.integer({ min: 0, max: 40 }), fc.integer({ min: 250, max: 560 }));
    const sequence = fc.record({ literals: fc.uint8Array({ maxLength: 300 }), distance: fc.nat(600), more: lengths });
    const block = fc.record({ stored: fc.boolean(), sequences: fc.array(sequence, { maxLength: 6 }) });
    fc.assert(
      fc.property(fc.array(block, { maxLength: 4 }), fc.boolean(), fc.nat(2000), (blocks, sums, room) => {
        const { frame, data } = lz4Frame(blocks, sums);
        const unpack = (capacity: number): Uint8Array => unpackLz4(frame, new Uint8Array(capacity), 2 ** 20);
        expect(Buffer.from(unpack(room)).equals(Buffer.from(data))).to.equal(true);
        expect(Buffer.from(unpack(data.length)).equals(Buffer.from(data))).to.equal(true);
        expect(() => unpackLz4(frame.subarray(0, -1), new Uint8Array(room), 2 ** 20)).to.throw(
          CompressionError,
          'cut off',
        );
        if (data.length > 0) expect(() => unpackLz4(frame, new Uint8Array(0), data.length - 1)).to.throw('are refused');
      }),
      { numRuns: 500, seed: 5 },
    );
  });

  it('LZ4 and Zstandard that promise much take no more memory than a packet may have', () => {
    // An LZ4 match of 64 MiB and more from some hundred kilobytes; a Zstandard window of 2 GiB; a row of repeated
    // bytes.
    const lz4 = Buffer.concat([
      Buffer.from([0x04, 0x22, 0x4d, 0x18, 0x60, 0x70, 0, 0, 0, 0, 0, 0x1f, 65, 1, 0]),
      Buffer.alloc(300_000, 255),
      Buffer.from([0, 0, 0, 0, 0]),
    ]);
    lz4.writeUInt32LE(lz4.length - 11 - 4, 7);
    const window = Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0, 21 << 3, 1, 0, 0]);
    const repeated = Buffer.concat([
      Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0, 0]),
      ...Array(600).fill(Buffer.from([2, 0, 16, 65])),
      Buffer.from([1, 0, 0]),
    ]);
    for (const [name, body] of [
      ['lz4.aedat4', lz4],
      ['zstd.aedat4', window],
      ['zstd.aedat4', repeated],
    ] as const) {
      const bytes = golden(name);
      const start = 18 + bytes.readUInt32LE(14);
      // The header says where the packets end: that they have no end yet.
      const table = Array.from({ length: start - 8 }, (_, at) => at).find((at) => {
        const place = bytes.readBigInt64LE(at);
        return place > start && place < bytes.length;
      })!;
      bytes.writeBigInt64LE(-1n, table);
      const packet = Buffer.alloc(8);
      packet.writeInt32LE(body.length, 4);
      const error = outcome(Buffer.concat([bytes.subarray(0, start), packet, body]), 'aedat4');
      expect((error as DataError).message).to.match(/packets above 67108864 bytes are refused/);
    }
  });
});

describe('HDF5 files that nobody wrote', () => {
  const folder = testFolder();

  it('bits flipped: read or refused', async () => {
    let files = 0;
    const samples = { 'shd.h5': golden('shd.h5'), 'events.h5': golden('events.h5') };
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom('shd.h5' as const, 'events.h5' as const),
        fc.array(fc.nat(70_000), { minLength: 1, maxLength: 5 }),
        async (name, places) => {
          const copy = Uint8Array.from(samples[name]);
          // Lists that are damaged themselves make the library print that it gives up: their lengths are left alone.
          for (const place of places) copy[(place >> 3) % Math.min(copy.length, 4096)]! ^= 1 << (place & 7);
          const file = folder.path(`${files++}.h5`);
          writeFileSync(file, copy);
          try {
            if (name === 'shd.h5') for await (const { events } of readShd(file)) expect(events.width).to.equal(700);
            else await readHdf5Events(file, 'CD/events', { width: 34, height: 34 });
          } catch (error) {
            expect(error, String((error as Error).stack)).to.be.instanceOf(DataError);
          }
        },
      ),
      { numRuns: 150, seed: 5 },
    );
  });
});
