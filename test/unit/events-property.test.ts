// Recordings that nobody wrote: cut anywhere, bits flipped, bytes drawn at random. Each is read or refused with a DataError; pieces never matter.

import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import fc from 'fast-check';
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
          Buffer.from(found.t.buffer).equals(Buffer.from(whole.t.buffer, 0, 8 * found.count)),
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

  it('LZ4 and Zstandard that promise much take no more memory than a packet may have', () => {
    // An LZ4 match of 64 MiB and more from some hundred kilobytes; a Zstandard window of 2 GiB; a row of repeated bytes.
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

  it('bits flipped: read or refused', async function () {
    this.timeout(120_000);
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
