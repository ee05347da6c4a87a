// Recordings of event cameras against what two independent programs say is in them: a writer of small files from the
// published formats (test/golden/events/write.py) and other readers on genuine recordings
// (test/golden/events/genuine.py).

import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { SpikeloomError } from '../../lib/core/errors.ts';
import type { SensorSize } from '../../lib/data/events/formats.ts';
import { decodeEvents, type EventOptions, type Events, readEvents, streamEvents } from '../../lib/data/index.ts';
import { dataErrorOf } from '../support/failure.ts';
import { testFolder } from '../support/image-sets.ts';
import { realData } from '../support/real-data.ts';

const golden = (name: string): string => fileURLToPath(new URL(`../golden/events/${name}`, import.meta.url));

interface Expected {
  width: number;
  height: number;
  count: number;
  x: number[];
  y: number[];
  p: number[];
  t: number[];
}

const parse = (name: string) => JSON.parse(readFileSync(golden(name), 'utf8'));
const AEDAT4 = parse('aedat4.json') as Expected;
const EXPECTED: Record<string, Expected> = {
  ...parse('expected.json'),
  'none.aedat4': AEDAT4,
  'lz4.aedat4': AEDAT4,
  'zstd.aedat4': AEDAT4,
};

const plain = (events: Events): Expected => ({
  width: events.width,
  height: events.height,
  count: events.count,
  x: [...events.x],
  y: [...events.y],
  p: [...events.p],
  t: [...events.t],
});

async function streamed(file: string, options: EventOptions & { chunk?: number }): Promise<Expected> {
  const all: Expected = { width: 0, height: 0, count: 0, x: [], y: [], p: [], t: [] };
  for await (const block of streamEvents(file, options)) {
    expect(block.count).to.be.within(1, options.chunk!);
    all.width = block.width;
    all.height = block.height;
    all.count += block.count;
    for (const name of ['x', 'y', 'p', 't'] as const) all[name].push(...block[name]);
  }
  return all;
}

describe('recordings of event cameras', () => {
  const folder = testFolder();

  for (const [name, expected] of Object.entries(EXPECTED)) {
    it(`${name}: every event as its writer wrote it, whole, from memory and in blocks`, async () => {
      expect(plain(readEvents(golden(name)))).to.deep.equal(expected);
      expect(plain(decodeEvents(readFileSync(golden(name)), { file: name }))).to.deep.equal(expected);
      for (const chunk of [12, 37, 4096]) expect(await streamed(golden(name), { chunk })).to.deep.equal(expected);
    });
  }

  it('CIFAR10-DVS is AEDAT 2.0 with columns and rows in each other’s place', () => {
    const [seen, upright] = [
      readEvents(golden('dvs128.aedat')),
      readEvents(golden('dvs128.aedat'), { format: 'cifar10-dvs' }),
    ];
    expect([...upright.x]).to.deep.equal([...seen.y]);
    expect([...upright.y]).to.deep.equal([...seen.x]);
    expect([...upright.t]).to.deep.equal([...seen.t]);
  });

  it('the format is told by content before the name, and a name that says nothing needs it given', () => {
    const copy = folder.path('copy.bin');
    writeFileSync(copy, readFileSync(golden('evt3.raw')));
    expect(readEvents(copy).count).to.equal(EXPECTED['evt3.raw']!.count);
    const bytes = readFileSync(golden('nmnist.bs2'));
    expect(dataErrorOf(() => decodeEvents(bytes, { file: 'events' })).message).to.match(/give the format/);
    expect(decodeEvents(bytes, { format: 'nmnist' }).count).to.equal(EXPECTED['nmnist.bs2']!.count);
  });

  it('an event outside of the sensor is an error that names its byte', () => {
    const bytes = readFileSync(golden('nmnist.bs2'));
    bytes[5 * 9 + 1] = 34;
    const error = dataErrorOf(() => decodeEvents(bytes, { file: 'a.bin' }));
    expect(error.offset).to.equal(45);
    expect(error.message).to.match(/^a\.bin at byte 45: .*row 34, outside of a sensor of 34x34/);
    expect(decodeEvents(bytes, { file: 'a.bin', size: { width: 34, height: 35 } }).count).to.equal(150);
    const asSets = { file: 'a.bin', size: [35, 34] as unknown as SensorSize };
    expect(() => decodeEvents(bytes, asSets)).to.throw(
      SpikeloomError,
      /^the options of size are an object of width, height, not /,
    );
  });

  it('a file that is cut off is an error at its end, unless what is there is asked for', async () => {
    for (const [name, { count }] of Object.entries(EXPECTED).filter(([name]) => !name.endsWith('.aedat4'))) {
      const cut = folder.path(name);
      const bytes = readFileSync(golden(name));
      writeFileSync(cut, bytes);
      truncateSync(cut, bytes.length - 1);
      for (const body of [() => readEvents(cut), () => decodeEvents(bytes.subarray(0, -1), { file: name })]) {
        const error = dataErrorOf(body);
        expect(error.message).to.include('cut off');
        expect(error.offset).to.equal(bytes.length - 1);
      }
      const kept = readEvents(cut, { truncated: 'keep' });
      expect(kept.count).to.be.within(count - 8, count);
      expect([...kept.t]).to.deep.equal(EXPECTED[name]!.t.slice(0, kept.count));
      let message = '';
      await streamed(cut, { chunk: 50 }).catch((error) => (message = String(error)));
      expect(message).to.include('cut off');
    }
  });

  it('AEDAT 4.0: cut off within a packet or between two, damaged in its header, in a packet, in its compression', () => {
    for (const name of ['none.aedat4', 'lz4.aedat4', 'zstd.aedat4']) {
      const bytes = readFileSync(golden(name));
      // The header, and behind it packets: i32 stream, i32 size, and so many bytes.
      const starts = [18 + bytes.readUInt32LE(14)];
      for (let i = 0; i < 4; i++) starts.push(starts.at(-1)! + 8 + bytes.readInt32LE(starts.at(-1)! + 4));
      for (const length of [starts[2]!, starts[2]! + 9]) {
        const error = dataErrorOf(() => decodeEvents(bytes.subarray(0, length)));
        expect(error.message).to.include('cut off');
        expect(error.offset).to.equal(length);
        const kept = decodeEvents(bytes.subarray(0, length), { truncated: 'keep' });
        expect(plain(kept).t).to.deep.equal(AEDAT4.t.slice(0, kept.count));
        expect(kept.count).to.be.within(1, AEDAT4.count - 1);
      }
      const first = starts.find((at) => bytes.readInt32LE(at) === 0)!;
      for (const [at, value] of [
        [first, -1],
        [first + 4, -1],
        [first + 4, 2 ** 30],
        [first + 8, 0x7f7f7f7f],
      ] as const) {
        const copy = Buffer.from(bytes);
        copy.writeInt32LE(value, at);
        // the size in front is not needed
        if (at === first + 8 && name === 'none.aedat4') copy.writeInt32LE(value, at + 4);
        expect(dataErrorOf(() => decodeEvents(copy, { file: name })).offset, `${name}: ${value} at ${at}`).to.equal(
          first,
        );
      }
      const copy = Buffer.from(bytes);
      copy.writeUInt32LE(2 ** 31, 14);
      expect(dataErrorOf(() => decodeEvents(copy)).message).to.match(/header of AEDAT 4\.0 ends within/);
    }
  });

  it('an empty N-MNIST file is an empty recording; missing files and folders are errors', () => {
    expect(decodeEvents(new Uint8Array(0), { format: 'nmnist' }).count).to.equal(0);
    expect(dataErrorOf(() => readEvents(folder.path('none.bin'))).message).to.include('cannot be read');
    expect(dataErrorOf(() => readEvents(folder.path())).message).to.match(/regular file|EISDIR/);
  });

  it('headers: other versions, other sensors, other types and lines without end are refused', () => {
    const of = (text: string, file = 'a'): string =>
      dataErrorOf(() => decodeEvents(Buffer.from(text, 'latin1'), { file })).message;
    expect(of('#!AER-DAT1.0\r\n')).to.match(/this is AEDAT 1\.0/);
    expect(of('#!AER-DAT2.0\r\n# AEChip: eu.seebetter.ini.chips.davis.Davis346red\r\n')).to.match(/Davis346red/);
    expect(of('#!AER-DAT3.1\r\n#Format: RAW\r\n')).to.match(/END-HEADER/);
    expect(of('#!AER-DAT3.1\r\n#Format: SerializedTS\r\n#!END-HEADER\r\n')).to.match(/SerializedTS/);
    expect(of(`#!AER-DAT2.0\r\n#${'x'.repeat(2 ** 21)}`)).to.match(/header ends within/);
    expect(of('% Data file containing CD events\n\x0e\x08')).to.match(/type 14/);
    expect(of('% Data file containing CD events\n')).to.match(/cut off/);
    expect(of('% Date 2020\n')).to.match(/names no format that can be read/);
    expect(of('\x89HDF\r\n')).to.match(/HDF5/);
  });

  it('AEDAT 3.1: headers of packets that cannot be are errors at their byte', () => {
    const bytes = readFileSync(golden('gesture.aedat'));
    const start = bytes.indexOf('#!END-HEADER') + 14;
    const damaged = (at: number, value: number) => {
      const copy = Buffer.from(bytes);
      copy.writeInt32LE(value, start + at);
      return dataErrorOf(() => decodeEvents(copy)).offset;
    };
    for (const [at, value] of [
      [4, 16],
      [4, 0],
      [8, 0],
      [12, -1],
      [16, -1],
      [20, 1000],
      [24, 1000],
    ] as const) {
      expect(damaged(at, value), `${value} at ${at}`).to.equal(start);
    }
  });
});

describe('genuine recordings', () => {
  const digests = JSON.parse(readFileSync(golden('genuine.json'), 'utf8')) as Record<
    string,
    { count: number; sha256: string; options?: EventOptions }
  >;

  /** SHA-256 over x and y (u16), p (u8) and t (f64), each little-endian, one after the other. */
  function digest(events: Events): string {
    const hash = createHash('sha256');
    for (const { buffer, byteOffset, byteLength } of [events.x, events.y, events.p, events.t])
      hash.update(Buffer.from(buffer, byteOffset, byteLength));
    return hash.digest('hex');
  }

  it('are read as other readers read them, event by event', function () {
    const root = realData('events');
    if (root === undefined) return this.skip();
    const files = new Map(
      readdirSync(root, { recursive: true, encoding: 'utf8' }).map((file) => [basename(file), join(root, file)]),
    );
    for (const [name, { count, sha256, options }] of Object.entries(digests)) {
      const events = readEvents(files.get(name)!, options);
      expect([name, events.count, digest(events)]).to.deep.equal([name, count, sha256]);
    }
  });

  it('N-MNIST: 1,100 recordings of .bs2 hold 4,133,231 + 385,596 events, all within 34x34', function () {
    const root = realData('nmnist');
    if (root === undefined) return this.skip();
    const folder = join(root, 'nmnist-bs2');
    const count = (list: string): number =>
      readFileSync(join(folder, list), 'utf8')
        .trim()
        .split('\n')
        .slice(1) // the names of the columns
        .reduce((sum, line) => sum + readEvents(join(folder, `${line.split(/\s+/)[0]}.bs2`)).count, 0);
    expect([count('train1K.txt'), count('test100.txt')]).to.deep.equal([4_133_231, 385_596]);
  });
});
