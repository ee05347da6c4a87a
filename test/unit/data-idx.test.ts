import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { expect } from 'chai';
import fc from 'fast-check';
import { DataError } from '../../lib/data/files.ts';
import { fashionMnist, mnist, parseIdx, readIdx } from '../../lib/data/images/idx.ts';
import { dataErrorOf } from '../support/failure.ts';
import { idxBytes, noise, testFolder, writeMnistLike } from '../support/image-sets.ts';

describe('data: idx files', () => {
  const folder = testFolder();

  it('reads back what was written, plain and gzip, in shared memory', () => {
    for (const shape of [[7], [3, 5], [2, 3, 5], [2, 1, 3, 5]]) {
      const data = noise(shape.reduce((a, b) => a * b));
      for (const bytes of [idxBytes(shape, data), gzipSync(idxBytes(shape, data))]) {
        writeFileSync(folder.path('file'), bytes);
        const read = readIdx(folder.path('file'));
        expect(read.shape).to.deep.equal(shape);
        expect([...read.data]).to.deep.equal([...data]);
        expect(read.data.buffer).to.be.instanceOf(SharedArrayBuffer);
      }
    }
  });

  const good = idxBytes([2, 3, 2], noise(12));
  const cases: { what: string; bytes: Uint8Array; offset?: number; message: RegExp; rank?: number }[] = [
    { what: 'an empty file', bytes: Buffer.alloc(0), offset: 0, message: /4 bytes of magic, but only 0/ },
    { what: 'a cut magic', bytes: good.subarray(0, 3), offset: 3, message: /only 3/ },
    { what: 'a wrong magic', bytes: Buffer.from('PNG image'), offset: 0, message: /starts with 00 00 08.*50 4e 47/ },
    { what: 'another element type', bytes: Buffer.from([0, 0, 13, 1, 0, 0, 0, 0]), offset: 0, message: /00 00 0d 01/ },
    { what: 'no dimension', bytes: Buffer.from([0, 0, 8, 0]), offset: 3, message: /1 to 4 dimensions.*says 0/ },
    { what: 'too many dimensions', bytes: Buffer.from([0, 0, 8, 5]), offset: 3, message: /says 5/ },
    { what: 'another rank than wanted', bytes: good, rank: 1, offset: 3, message: /1 dimensions are expected.*says 3/ },
    { what: 'a cut header', bytes: good.subarray(0, 15), offset: 15, message: /has 16 bytes, but only 15/ },
    { what: 'a dimension of 0', bytes: idxBytes([2, 0, 2], []), offset: 8, message: /nothing is in it/ },
    { what: 'cut data', bytes: good.subarray(0, 27), offset: 27, message: /needs 28 bytes, but there are 27.*cut off/ },
    { what: 'data left over', bytes: Buffer.concat([good, good]), offset: 28, message: /bytes left over/ },
    { what: 'a promise beyond memory', bytes: idxBytes([2 ** 32 - 1, 2 ** 32 - 1], []), offset: 4, message: /refused/ },
  ];
  for (const { what, bytes, offset, message, rank } of cases) {
    it(`refuses ${what}, naming file and byte`, () => {
      for (const content of bytes.length > 0 ? [bytes, gzipSync(bytes)] : [bytes]) {
        writeFileSync(folder.path('bad'), content);
        const error = dataErrorOf(() => readIdx(folder.path('bad'), rank));
        expect(error.file).to.equal(folder.path('bad'));
        expect(error.message).to.include(folder.path('bad'));
        expect(error.offset).to.equal(offset);
        if (!/left over/.test(message.source) || content === bytes) expect(error.message).to.match(message);
      }
    });
  }

  it('refuses a gzip file that is cut anywhere', () => {
    const zipped = gzipSync(good);
    for (let length = 2; length < zipped.length; length++) {
      expect(dataErrorOf(() => parseIdx(zipped.subarray(0, length))).message).to.match(/damaged|magic|header/);
    }
  });

  it('refuses a gzip file with any flipped bit in its data or checksum', () => {
    const zipped = gzipSync(idxBytes([40, 10], noise(400)));
    for (let at = 10; at < zipped.length; at++) {
      const bytes = Buffer.from(zipped);
      bytes[at]! ^= 1 << (at % 8);
      dataErrorOf(() => parseIdx(bytes));
    }
  });

  it('inflates no more than the header promises', () => {
    const bomb = gzipSync(Buffer.concat([idxBytes([1000, 1000], []), Buffer.alloc(300_000_000)]), { level: 1 });
    const before = process.memoryUsage().rss;
    const error = dataErrorOf(() => parseIdx(bomb));
    expect(error.message).to.match(/promises 1000012 bytes, but more/);
    expect(process.memoryUsage().rss - before).to.be.below(100_000_000);
  });

  it('refuses a promise that the compressed bytes cannot hold before it allocates', () => {
    const small = gzipSync(idxBytes([2 ** 29], []));
    expect(dataErrorOf(() => parseIdx(small)).message).to.match(/more than \d+ compressed bytes can hold/);
  });

  it('refuses what is not a regular file', () => {
    mkdirSync(folder.path('directory'));
    expect(dataErrorOf(() => readIdx(folder.path('directory'))).message).to.match(/regular file/);
    expect(dataErrorOf(() => readIdx(folder.path('nowhere'))).message).to.match(/cannot be read.*ENOENT/);
    expect(dataErrorOf(() => readIdx('a\0b')).message).to.match(/cannot be read/);
  });

  it('throws nothing but DataError whatever the bytes', () => {
    const header = fc.array(fc.constantFrom(0, 1, 2, 3, 4, 8), { maxLength: 20 }).map((tail) => [0, 0, 8, ...tail]);
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 64 }),
      header.map((values) => Uint8Array.from(values)),
    );
    fc.assert(
      fc.property(bytes, fc.boolean(), fc.constantFrom(undefined, 1, 3), (content, zip, rank) => {
        try {
          const { shape, data } = parseIdx(zip ? gzipSync(content) : content, 'random', rank);
          expect(data.length).to.equal(shape.reduce((a, b) => a * b));
          expect(data.length).to.equal(content.length - 4 - 4 * shape.length);
        } catch (error) {
          if (!(error instanceof DataError)) throw error;
        }
      }),
      { numRuns: 500 },
    );
  });

  it('survives any damage to a gzip file with nothing but DataError', () => {
    const zipped = gzipSync(idxBytes([20, 20], noise(400)));
    const damage = fc.array(fc.tuple(fc.nat(zipped.length - 1), fc.nat(255)), { minLength: 1, maxLength: 5 });
    fc.assert(
      fc.property(damage, fc.nat(zipped.length), (changes, length) => {
        const bytes = Buffer.from(zipped.subarray(0, length));
        for (const [at, value] of changes) if (at < length) bytes[at] = value;
        try {
          parseIdx(bytes);
        } catch (error) {
          if (!(error instanceof DataError)) throw error;
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe('data: MNIST-like folders', () => {
  const folder = testFolder();
  let made = 0;
  const fresh = (options?: Parameters<typeof writeMnistLike>[1]): string => {
    const root = folder.path(`set${made++}`);
    mkdirSync(root);
    writeMnistLike(root, options);
    return root;
  };

  for (const zip of [false, true]) {
    it(`reads both halves (${zip ? 'gzip' : 'plain'})`, () => {
      const { train, test } = mnist(fresh({ zip }));
      expect([train.name, train.count, train.channels, train.height, train.width]).to.deep.equal(['mnist', 5, 1, 3, 2]);
      expect([...train.images]).to.deep.equal([...noise(30)]);
      expect([...train.labels]).to.deep.equal([9, 0, 3, 3, 1]);
      expect([...test.labels]).to.deep.equal([7, 8]);
      expect([...test.images]).to.deep.equal([...noise(12, 2)]);
      expect(train.labels.buffer).to.be.instanceOf(SharedArrayBuffer);
      expect([train.mean, train.std]).to.deep.equal([[0.1307], [0.3081]]);
    });
  }

  it('gives Fashion-MNIST its own name, classes and statistics', () => {
    const { train } = fashionMnist(fresh());
    expect([train.name, train.mean, train.std]).to.deep.equal(['fashion-mnist', [0.286], [0.353]]);
    expect(train.classes).to.have.length(10).and.include('Ankle boot');
  });

  it('says what it looked for, where, and what to do', () => {
    const error = dataErrorOf(() => mnist(folder.path('nothing')));
    expect(error.message).to.include(folder.path('nothing')).and.include('no such folder');
    expect(error.message).to.include('train-images-idx3-ubyte or train-images-idx3-ubyte.gz');
    expect(error.message).to.include('datasets/README.md');
  });

  it('says that it was given a file', () => {
    expect(() => mnist('package.json')).to.throw(DataError, 'package.json (a file, not a folder) lacks');
  });

  it('says where it may not look', function () {
    if (process.getuid?.() === 0) this.skip();
    const root = fresh();
    chmodSync(root, 0o000);
    const error = dataErrorOf(() => mnist(root));
    chmodSync(root, 0o700);
    expect(error.message).to.include(`${root} (you may not look into it) lacks`);
  });

  it('names only the files that are missing', () => {
    const root = folder.path('partial');
    mkdirSync(root);
    writeFileSync(`${root}/train-images-idx3-ubyte`, '');
    const { message } = dataErrorOf(() => fashionMnist(root));
    expect(message).to.include('lacks train-labels-idx1-ubyte');
    expect(message).not.to.include('train-images');
  });

  it('refuses a label out of range, naming its byte', () => {
    const root = fresh({ files: { 'train-labels-idx1-ubyte': idxBytes([5], [1, 2, 3, 10, 4]) } });
    const error = dataErrorOf(() => mnist(root));
    expect(error.file).to.match(/train-labels-idx1-ubyte$/);
    expect(error.offset).to.equal(11);
    expect(error.message).to.match(/0 to 9, but image 3 has 10/);
  });

  it('refuses halves that do not fit together', () => {
    const counts = fresh({ files: { 't10k-labels-idx1-ubyte': idxBytes([3], [1, 2, 3]) } });
    expect(dataErrorOf(() => mnist(counts)).message).to.match(/has 2 images, but here are 3 labels/);
    const sizes = fresh({ files: { 't10k-images-idx3-ubyte': idxBytes([2, 2, 3], noise(12)) } });
    expect(dataErrorOf(() => mnist(sizes)).message).to.match(/one size: 3x2 in .*, but 2x3 here/);
    const swapped = fresh({ files: { 'train-images-idx3-ubyte': idxBytes([5], [1, 2, 3, 4, 5]) } });
    expect(dataErrorOf(() => mnist(swapped)).message).to.match(/3 dimensions are expected here, but the header says 1/);
  });
});
