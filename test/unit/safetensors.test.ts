import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import fc from 'fast-check';
import { SpikeloomError } from '../../lib/core/errors.ts';
import {
  openSafetensors,
  type SafetensorsArray,
  type SafetensorsDtype,
  type SafetensorsTensor,
  writeSafetensors,
} from '../../lib/core/safetensors.ts';
import { failure } from '../support/failure.ts';

type Header = Record<string, unknown>;

/** A file by hand, independent of the writer under test. */
function build(header: Header | string, data: Uint8Array = new Uint8Array(0), length?: bigint): Buffer {
  const text = Buffer.from(typeof header === 'string' ? header : JSON.stringify(header));
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(length ?? BigInt(text.length));
  return Buffer.concat([size, text, data]);
}

const entry = (dtype: unknown, shape: unknown, data_offsets: unknown) => ({ dtype, shape, data_offsets });
const bytesOf = (array: ArrayBufferView) => Buffer.from(array.buffer, array.byteOffset, array.byteLength);

describe('safetensors', () => {
  let folder: string;
  let path: string;
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'spikeloom-safetensors-'));
    path = join(folder, 'file.safetensors');
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  /** Reads everything in a file made of these bytes. */
  function readAll(bytes: Uint8Array, chunkBytes?: number): Map<string, SafetensorsArray> {
    writeFileSync(path, bytes);
    const file = openSafetensors(path, chunkBytes === undefined ? {} : { chunkBytes });
    try {
      return new Map(file.names.map((name) => [name, file.read(name)]));
    } finally {
      file.close();
    }
  }
  const refuse = (bytes: Uint8Array, message: RegExp) =>
    expect(() => readAll(bytes))
      .to.throw(SpikeloomError, message)
      .with.property('message')
      .that.contains(path);

  describe('reading', () => {
    it('reads a file written byte by byte, in any order of the header', () => {
      const data = Buffer.from([0, 0, 128, 63, 0, 0, 0, 192, 255, 255, 255, 255, 255, 255, 255, 255]);
      const tensors = readAll(
        build({ '9': entry('I64', [1], [8, 16]), __metadata__: { k: 'v' }, w: entry('F32', [2, 1], [0, 8]) }, data),
      );
      expect([...tensors.keys()]).to.deep.equal(['w', '9']);
      expect(tensors.get('w')).to.deep.equal(Float32Array.of(1, -2));
      expect(tensors.get('9')).to.deep.equal(BigInt64Array.of(-1n));
      const file = openSafetensors(path);
      expect(file.metadata).to.deep.equal({ k: 'v' });
      expect(file.entries.get('w')).to.deep.equal({ name: 'w', dtype: 'F32', shape: [2, 1], begin: 0, end: 8 });
      file.close();
    });

    it('reads scalars, empty tensors and files without tensors, in chunks of any size', () => {
      expect(readAll(build({})).size).to.equal(0);
      const header = { a: entry('F32', [0, 3], [0, 0]), b: entry('F64', [], [0, 8]), c: entry('U8', [0], [8, 8]) };
      const tensors = readAll(build(header, bytesOf(Float64Array.of(2.5))), 3);
      expect(tensors.get('b')).to.deep.equal(Float64Array.of(2.5));
      expect(tensors.get('a')).to.deep.equal(new Float32Array(0));
    });

    it('keeps odd names apart from object properties', () => {
      const header =
        '{"__proto__":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"toString":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}';
      expect([...readAll(build(header, Uint8Array.of(7, 8)))]).to.deep.equal([
        ['__proto__', Uint8Array.of(7)],
        ['toString', Uint8Array.of(8)],
      ]);
      const file = openSafetensors(path);
      expect(() => file.read('constructor')).to.throw(
        SpikeloomError,
        /no tensor "constructor"; it holds __proto__, toString/,
      );
      file.close();
      expect(() => file.read('toString')).to.throw(SpikeloomError, /closed/);
      file.close();
    });

    it('notices that the file shrank after it was opened', () => {
      writeFileSync(path, build({ w: entry('U8', [100], [0, 100]) }, new Uint8Array(100)));
      const size = readFileSync(path).length;
      const file = openSafetensors(path);
      truncateSync(path, size - 40);
      expect(() => file.read('w')).to.throw(
        SpikeloomError,
        new RegExp(`ends at offset ${size - 40}, within tensor "w"`),
      );
      file.close();
    });
  });

  describe('refusing', () => {
    const one = new Uint8Array(4);
    const cases: [string, Uint8Array, RegExp][] = [
      ['an empty file', new Uint8Array(0), /at least 8 bytes, but this has 0/],
      ['a cut header length', new Uint8Array(7), /at least 8 bytes, but this has 7/],
      ['a header past the end', build('{}', one, 7n), /header length at offset 0 may be 6 at most, but is 7/],
      ['an absurd header length', build('{}', one, 2n ** 64n - 1n), /but is 18446744073709551615/],
      ['JSON that stops', build('{"a":'), /not valid JSON/],
      ['a byte order mark', build('\ufeff{}'), /not valid JSON/],
      [
        'bytes that are not UTF-8',
        Buffer.concat([build('', one, 2n).subarray(0, 8), Buffer.from([0x22, 0xff])]),
        /not valid JSON/,
      ],
      ['deep nesting that stops', build('['.repeat(200_000)), /not valid JSON/],
      ['deep nesting', build(`{"w":${'['.repeat(200_000)}${']'.repeat(200_000)}}`), /nested deeper than 3/],
      ['an array at the top', build('[]'), /not a JSON object/],
      [
        'a duplicate key',
        build(
          '{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"\\u0061" :{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}',
        ),
        /key "a" twice/,
      ],
      [
        'a duplicate field',
        build('{"a":{"dtype":"U8","dtype":"F32","shape":[0],"data_offsets":[0,0]}}'),
        /key "dtype" twice/,
      ],
      ['metadata of numbers', build({ __metadata__: { a: 1 } }), /map strings to strings/],
      ['metadata as a list', build({ __metadata__: [] }), /map strings to strings/],
      ['a tensor that is a number', build({ w: 3 }), /tensor "w" is not described/],
      [
        'an unknown field',
        build({ w: { ...entry('U8', [0], [0, 0]), strides: [1] } }),
        /"w" has the unknown field "strides"/,
      ],
      [
        'an unknown element type',
        build({ w: entry('F12', [1], [0, 4]) }, one),
        /"w" has the element type "F12"; known are F64/,
      ],
      [
        'a type named like an object property',
        build({ w: entry('toString', [1], [0, 4]) }, one),
        /element type "toString"/,
      ],
      ['a missing shape', build({ w: { dtype: 'U8', data_offsets: [0, 4] } }, one), /"w" has the shape undefined/],
      ['a negative size', build({ w: entry('U8', [-4], [0, 4]) }, one), /shape \[-4\]/],
      ['a broken size', build({ w: entry('U8', [1.5], [0, 4]) }, one), /shape \[1.5\]/],
      ['a size as text', build({ w: entry('U8', ['4'], [0, 4]) }, one), /shape \["4"\]/],
      [
        'a product out of range',
        build({ w: entry('U8', [2 ** 30, 2 ** 30, 2 ** 30, 0], [0, 4]) }, one),
        /not a list of sizes in range/,
      ],
      ['offsets of three', build({ w: entry('U8', [4], [0, 4, 4]) }, one), /data offsets \[0,4,4\]/],
      ['negative offsets', build({ w: entry('U8', [4], [-4, 0]) }, one), /data offsets \[-4,0\]/],
      [
        'reversed offsets',
        build({ w: entry('U8', [4], [4, 0]) }, one),
        /bytes 4 to 0 of the data\) does not lie within/,
      ],
      [
        'offsets past the end',
        build({ w: entry('U8', [5], [0, 5]) }, one),
        /bytes 0 to 5 of the data\) does not lie within the data's 4 bytes/,
      ],
      ['sizes that disagree', build({ w: entry('F32', [2], [0, 4]) }, one), /holds 4 bytes but F32\[2\] takes 8/],
      [
        'an overlap',
        build({ a: entry('U8', [3], [0, 3]), b: entry('U8', [2], [2, 4]) }, one),
        /"b" \(bytes 2 to 4 of the data\) overlaps .* ends at 3/,
      ],
      [
        'two tensors on one range',
        build({ a: entry('U8', [4], [0, 4]), b: entry('U8', [4], [0, 4]) }, one),
        /"b" .* overlaps/,
      ],
      [
        'a gap',
        build({ a: entry('U8', [1], [0, 1]), b: entry('U8', [2], [2, 4]) }, one),
        /"b" .* leaves a gap .* ends at 1/,
      ],
      ['bytes before the first', build({ a: entry('U8', [1], [3, 4]) }, one), /"a" .* leaves a gap/],
      [
        'bytes after the last',
        build({ a: entry('U8', [3], [0, 3]) }, one),
        /1 bytes at offset 3 of the data belong to no tensor/,
      ],
      ['data without tensors', build({}, one), /4 bytes at offset 0 of the data belong to no tensor/],
    ];
    for (const [what, bytes, message] of cases) it(what, () => refuse(bytes, message));

    it('a missing file, a folder and a device', () => {
      expect(() => openSafetensors(join(folder, 'none'))).to.throw(SpikeloomError, /cannot open .*none.*ENOENT/);
      mkdirSync(join(folder, 'sub'));
      expect(() => openSafetensors(join(folder, 'sub'))).to.throw(SpikeloomError, /not a folder or device/);
    });

    it('takes a long metadata text full of escapes', () => {
      const text = '"\\\n'.repeat(500_000);
      writeFileSync(path, build({ __metadata__: { text } }));
      const file = openSafetensors(path);
      expect(file.metadata.text === text).to.equal(true);
      file.close();
    });
  });

  describe('writing', () => {
    it('gives the exact bytes of the format, the same for any order of the tensors', async () => {
      const a: SafetensorsTensor = { dtype: 'U8', shape: [3], data: Uint8Array.of(1, 2, 3) };
      const b: SafetensorsTensor = { dtype: 'F32', shape: [1], data: Float32Array.of(1) };
      await writeSafetensors(path, { a, b }, { y: '2', x: '1' });
      const bytes = readFileSync(path);
      const header =
        '{"__metadata__":{"x":"1","y":"2"},"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"U8","shape":[3],"data_offsets":[4,7]}}';
      const padded = header.padEnd(Math.ceil(header.length / 8) * 8, ' ');
      expect(bytes.equals(build(padded, Uint8Array.of(0, 0, 128, 63, 1, 2, 3)))).to.equal(true);
      await writeSafetensors(path, { b, a }, { x: '1', y: '2' });
      expect(readFileSync(path).equals(bytes)).to.equal(true);
      expect(readdirSync(folder).filter((name) => name.endsWith('.tmp'))).to.deep.equal([]);
    });

    it('rounds float32 to the nearest 16-bit float, ties to even', async () => {
      const values = Float32Array.of(
        1,
        1 + 2 ** -11,
        1 + 3 * 2 ** -11,
        65519.996,
        65520,
        -65520,
        2 ** -25,
        3 * 2 ** -25,
        -0,
        2 ** -14 - 2 ** -26,
        Number.NaN,
        -Infinity,
      );
      const brains = Float32Array.of(1 + 2 ** -8, 1 + 3 * 2 ** -8, 3.4e38, -1e-40, Number.NaN);
      await writeSafetensors(path, {
        h: { dtype: 'F16', shape: [12], data: values },
        b: { dtype: 'BF16', shape: [5], data: brains },
      });
      const file = openSafetensors(path);
      const half = [1, 1, 1 + 2 ** -9, 65504, Infinity, -Infinity, 0, 2 ** -23, -0, 2 ** -14, Number.NaN, -Infinity];
      expect([...(file.read('h') as Float32Array)]).to.deep.equal(half);
      const [one, more, huge, tiny, nan] = file.read('b') as Float32Array;
      expect([one, more, huge]).to.deep.equal([1, 1 + 2 ** -6, Infinity]);
      expect(tiny).to.be.closeTo(-1e-40, 2 ** -134);
      expect(nan).to.be.NaN;
      file.close();
    });

    it('refuses tensors that contradict themselves and leaves no file', async () => {
      const target = join(folder, 'refused.safetensors');
      const refusal = async (name: string, dtype: string, shape: number[], data: SafetensorsArray): Promise<string> => {
        const tensors = { [name]: { dtype: dtype as SafetensorsDtype, shape, data } };
        const error = await failure(writeSafetensors(target, tensors));
        expect(error).to.be.instanceOf(SpikeloomError);
        return error.message;
      };
      expect(await refusal('w', 'F32', [3], new Float32Array(2))).to.match(
        /"w": the shape \[3\] has 3 elements, the data 2/,
      );
      expect(await refusal('w', 'F32', [1], new Float64Array(1))).to.match(
        /F32 takes a Float32Array, not a Float64Array/,
      );
      expect(await refusal('w', 'F8', [1], new Uint8Array(1))).to.match(/element types are F64/);
      expect(await refusal('w', 'U8', [-1], new Uint8Array(1))).to.match(/no valid number of elements/);
      expect(await refusal('__metadata__', 'U8', [1], new Uint8Array(1))).to.match(/reserved/);
      expect(await refusal('\ud800', 'U8', [1], new Uint8Array(1))).to.match(/surrogate/);
      const metadata = { n: 1 as unknown as string };
      expect((await failure(writeSafetensors(target, {}, metadata))).message).to.match(/"n" is a number/);
      expect(readdirSync(folder)).not.to.contain('refused.safetensors');
    });

    it('writes a view of a larger buffer, not the whole buffer', async () => {
      const data = Float32Array.of(9, 1, 2, 9).subarray(1, 3);
      await writeSafetensors(path, { w: { dtype: 'F32', shape: [2], data } });
      expect(readAll(readFileSync(path)).get('w')).to.deep.equal(Float32Array.of(1, 2));
    });
  });

  describe('properties', () => {
    const values: Record<
      SafetensorsDtype,
      [width: number, make: (bytes: Uint8Array<ArrayBuffer>) => SafetensorsArray]
    > = {
      F64: [8, (b) => new Float64Array(b.buffer)],
      I64: [8, (b) => new BigInt64Array(b.buffer)],
      U64: [8, (b) => new BigUint64Array(b.buffer)],
      F32: [4, (b) => new Float32Array(b.buffer)],
      I32: [4, (b) => new Int32Array(b.buffer)],
      U32: [4, (b) => new Uint32Array(b.buffer)],
      BF16: [2, (b) => Float32Array.from(new Uint16Array(b.buffer), (x) => (x & 255) / 8)],
      F16: [2, (b) => Float32Array.from(new Uint16Array(b.buffer), (x) => (x & 1023) / 8)],
      I16: [2, (b) => new Int16Array(b.buffer)],
      U16: [2, (b) => new Uint16Array(b.buffer)],
      I8: [1, (b) => new Int8Array(b.buffer)],
      U8: [1, (b) => b],
      BOOL: [1, (b) => b.map((x) => x & 1)],
    };
    const dtypes = Object.keys(values) as SafetensorsDtype[];
    const tensor = fc
      .tuple(fc.constantFrom(...dtypes), fc.array(fc.nat(4), { maxLength: 4 }))
      .chain(([dtype, shape]) => {
        const [width, make] = values[dtype];
        const length = width * shape.reduce((a, b) => a * b, 1);
        const bytes = fc.uint8Array({ minLength: length, maxLength: length });
        return bytes.map((b) => ({ dtype, shape, data: make(Uint8Array.from(b)) }));
      });
    const contents = fc.tuple(
      fc.dictionary(
        fc.string({ unit: 'binary', minLength: 1 }).filter((name) => name !== '__metadata__'),
        tensor,
        { maxKeys: 6 },
      ),
      fc.dictionary(fc.string({ unit: 'binary' }), fc.string({ unit: 'binary' }), { maxKeys: 4 }),
    );

    it('what is written is read back, bit by bit', async () => {
      await fc.assert(
        fc.asyncProperty(contents, fc.integer({ min: 1, max: 64 }), async ([tensors, metadata], chunkBytes) => {
          await writeSafetensors(path, tensors, metadata);
          expect(readFileSync(path).readBigUInt64LE() % 8n).to.equal(0n);
          const file = openSafetensors(path, { chunkBytes });
          expect(Object.entries(file.metadata).sort()).to.deep.equal(Object.entries(metadata).sort());
          expect([...file.names].sort()).to.deep.equal(Object.keys(tensors).sort());
          for (const [name, { dtype, shape, data }] of Object.entries(tensors)) {
            expect(file.entries.get(name)).to.deep.include({ dtype, shape });
            expect(bytesOf(file.read(name)).equals(bytesOf(data))).to.equal(true);
          }
          file.close();
        }),
        { numRuns: 100 },
      );
    });

    const survives = (bytes: Uint8Array) => {
      try {
        for (const array of readAll(bytes).values()) expect(array.byteLength).to.be.at.most(2 * bytes.length);
      } catch (error) {
        expect(error).to.be.instanceOf(SpikeloomError);
      }
    };

    it('random bytes are refused, never a crash', () => {
      fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), survives), { numRuns: 200 });
      fc.assert(
        fc.property(fc.json(), fc.uint8Array({ maxLength: 16 }), (json, data) => survives(build(json, data))),
        { numRuns: 200 },
      );
    });

    it('damaged copies of a valid file are read or refused, never a crash or an allocation beyond the file', () => {
      const valid = build(
        {
          __metadata__: { a: 'b' },
          w: entry('F32', [3, 2], [0, 24]),
          'layer.bias': entry('BF16', [4], [24, 32]),
          n: entry('I64', [], [32, 40]),
        },
        Uint8Array.from({ length: 40 }, (_, i) => i),
      );
      const damage = fc.record({
        at: fc.nat(valid.length - 1),
        remove: fc.nat(6),
        insert: fc.oneof(
          fc.uint8Array({ maxLength: 6 }),
          fc.constantFrom('0', '9', '-', ',', '[', ']', '"', '{', '}', 'e9').map((text) => Buffer.from(text)),
        ),
      });
      fc.assert(
        fc.property(fc.array(damage, { minLength: 1, maxLength: 3 }), (damages) => {
          let bytes: Uint8Array = valid;
          for (const { at, remove, insert } of damages)
            bytes = Buffer.concat([bytes.subarray(0, at), insert, bytes.subarray(at + remove)]);
          survives(bytes);
        }),
        { numRuns: 500 },
      );
      for (let length = 0; length < valid.length; length++) {
        expect(() => readAll(valid.subarray(0, length))).to.throw(SpikeloomError);
      }
    });
  });
});
