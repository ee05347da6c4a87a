import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { expect } from 'chai';
import fc from 'fast-check';
import { DataError } from '../../lib/data/files.ts';
import { cifar10, cifar100 } from '../../lib/data/images/cifar.ts';
import { pickledArray, unpickle } from '../../lib/data/images/pickle.ts';
import { type Files, tarBytes, zipBytes } from '../support/archives.ts';
import { noise, testFolder } from '../support/image-sets.ts';

const golden = (name: string): Buffer => readFileSync(new URL(`../golden/cifar/${name}`, import.meta.url));
const IMAGES = Uint8Array.from({ length: 2 * 3072 }, (_, i) => 31 * Math.floor(i / 3072) + 7 * (i % 3072));
const SHARED = process.env.SPIKELOOM_TEST_DATA ?? fileURLToPath(new URL('../../../shared/data', import.meta.url));

const ten = (batch: Uint8Array): Files => ({
  ...Object.fromEntries([1, 2, 3, 4, 5].map((i) => [`data_batch_${i}`, batch])),
  test_batch: golden('python3-10'),
});
const inside = (folder: string, files: Files): Files =>
  Object.fromEntries(Object.entries(files).map(([name, bytes]) => [`${folder}/${name}`, bytes]));

describe("data: CIFAR's Python files", () => {
  const folder = testFolder();
  let made = 0;
  const writeFolder = (files: Files): string => {
    const root = folder.path(`set${made++}`);
    mkdirSync(root);
    for (const [name, bytes] of Object.entries(files)) writeFileSync(`${root}/${name}`, bytes);
    return root;
  };
  const writeFile = (bytes: Uint8Array): string => {
    const file = folder.path(`file${made++}`);
    writeFileSync(file, bytes);
    return file;
  };

  for (const python of ['python2-10', 'python3-10', 'python3-fortran']) {
    it(`reads CIFAR-10 as ${python} has it: folder, .tar.gz, .zip`, () => {
      const files = ten(golden(python));
      const archive = tarBytes(inside('cifar-10-batches-py', files));
      const roots = [writeFolder(files), writeFile(archive), writeFile(gzipSync(archive)), writeFile(zipBytes(files))];
      for (const root of roots) {
        const { train, test } = cifar10(root);
        expect([train.count, test.count]).to.deep.equal([10, 2]);
        expect([...train.labels]).to.deep.equal([9, 3, 9, 3, 9, 3, 9, 3, 9, 3]);
        for (let i = 0; i < 5; i++) {
          expect(
            Buffer.from(train.images)
              .subarray(2 * 3072 * i, 2 * 3072 * (i + 1))
              .equals(IMAGES),
          ).to.equal(true);
        }
        expect(Buffer.from(test.images).equals(IMAGES)).to.equal(true);
        expect(test.images.buffer).to.be.instanceOf(SharedArrayBuffer);
      }
    });
  }

  for (const python of ['python2-100', 'python3-100']) {
    it(`takes the fine labels of CIFAR-100 from ${python}`, () => {
      const { train } = cifar100(writeFolder({ train: golden(python), test: golden(python) }));
      expect([...train.labels]).to.deep.equal([99, 0]);
      expect(Buffer.from(train.images).equals(IMAGES)).to.equal(true);
    });
  }

  it('reads the binary version out of its .tar.gz, named or found in the folder', () => {
    const record = (label: number) => Buffer.concat([Buffer.from([label]), noise(3072, label)]);
    const names = [...[1, 2, 3, 4, 5].map((i) => `data_batch_${i}.bin`), 'test_batch.bin'];
    const files = inside('cifar-10-batches-bin', Object.fromEntries(names.map((name, i) => [name, record(i)])));
    const archive = gzipSync(tarBytes(files));
    for (const root of [writeFile(archive), writeFolder({ 'cifar-10-binary.tar.gz': archive })]) {
      const { train, test } = cifar10(root);
      expect([...train.labels, ...test.labels]).to.deep.equal([0, 1, 2, 3, 4, 5]);
      expect(Buffer.from(test.images).equals(noise(3072, 5))).to.equal(true);
    }
  });

  it('names what an archive should have', () => {
    const archive = writeFile(tarBytes({ 'cifar-10-batches-py/data_batch_1': 'x' }));
    expect(() => cifar10(archive)).to.throw(
      DataError,
      `${archive}: the files of cifar10 were not found: it has neither`,
    );
  });

  const whole = golden('python2-10');
  const changed = (from: string, to: string): Buffer =>
    Buffer.from(whole.toString('latin1').replace(from, to), 'latin1');
  const cases: Record<string, [Buffer, RegExp]> = {
    'another global': [
      changed('cnumpy\ndtype\n', 'cposix\nsystem\n'),
      /asks for "posix system", which is not on the list/,
    ],
    'a global of the list in another role': [
      changed('cnumpy\ndtype\n', 'c_codecs\nencode\n'),
      /calls something in a way/,
    ],
    'another element type': [changed('U\x02u1', 'U\x02i2'), /calls something in a way/],
    'a shape that does not fit': [
      changed('M\x02\x00M\x00\x0c', 'M\x03\x00M\x00\x0c'),
      /has an array \[3,3072\] with 6144 bytes/,
    ],
    'images of another size': [changed('M\x02\x00M\x00\x0c', 'M\x04\x00M\x00\x06'), /bytes \[N,3072\]/],
    'a label too many': [changed('](K\x09K\x03e', '](K\x09K\x03K\x01e'), /there are 2 images, but 3 labels/],
    'a label out of range': [changed('K\x09K\x03e', 'K\x0aK\x03e'), /labels go from 0 to 9, but that of image 0 is 10/],
    'no labels': [changed('U\x06labels', 'U\x06lables'), /a cifar10 pickle is a dictionary with 'labels'/],
    'an opcode of objects': [changed('K\x09K\x03e', 'oooooe'), /has the opcode "o"/],
    'protocol 4': [changed('\x80\x02', '\x80\x04'), /protocol 2 or 3/],
    'a cut file': [whole.subarray(0, 200), /is cut off/],
    'an empty file': [Buffer.alloc(0), /protocol 2 or 3/],
  };
  for (const [what, [bytes, message]] of Object.entries(cases)) {
    it(`refuses ${what}`, () => {
      expect(bytes.equals(whole)).to.equal(false);
      const root = writeFolder({ ...ten(whole), data_batch_3: bytes });
      expect(() => cifar10(root))
        .to.throw(DataError, message)
        .with.property('file', `${root}/data_batch_3`);
    });
  }

  it('throws nothing but DataError whatever is flipped or cut, and gives plain data', () => {
    const text = whole.toString('latin1'); // the array shrunk to [2,2], so that most flips meet its structure
    const at = text.indexOf('T\x00\x18\x00\x00');
    const small = `${text.slice(0, at)}T\x04\x00\x00\x00abcd${text.slice(at + 5 + 2 * 3072)}`;
    const fitting = Buffer.from(small.replace('M\x02\x00M\x00\x0c', 'M\x02\x00M\x02\x00'), 'latin1');
    expect(pickledArray((unpickle('x', fitting) as Map<string, never>).get('data'))?.bytes.toString()).to.equal('abcd');
    const flips = fc.array(fc.tuple(fc.nat(fitting.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(flips, fc.nat(fitting.length), (changes, length) => {
        const bytes = Buffer.from(fitting);
        for (const [at, value] of changes) bytes[at] = value;
        for (const input of [bytes, bytes.subarray(0, length)]) {
          try {
            unpickle('x', input);
          } catch (error) {
            if (!(error instanceof DataError)) throw error;
          }
        }
      }),
      { numRuns: 2000 },
    );
  });

  it('reads what Python makes of the real binary files', function () {
    const packed = `${SHARED}/cifar10`;
    const python = spawnSync('python3', ['-c', 'import numpy']);
    if (!existsSync(packed) || python.status !== 0) return this.skip();
    const root = folder.path('real');
    const unpacked = spawnSync(process.execPath, [`${SHARED}/unpack.mjs`, root, 'cifar10']);
    if (unpacked.status !== 0) return this.skip();
    const convert = `
import pickle, sys, numpy as np
for name in [f'data_batch_{i}' for i in range(1, 6)] + ['test_batch']:
    records = np.fromfile(f'{sys.argv[1]}/{name}.bin', np.uint8).reshape(-1, 3073)
    content = {b'labels': records[:, 0].tolist(), b'data': records[:, 1:].copy()}
    pickle.dump(content, open(f'{sys.argv[2]}/{name}', 'wb'), protocol=2)`;
    const target = writeFolder({});
    const made = spawnSync('python3', ['-c', convert, `${root}/cifar-10-batches-bin`, target]);
    expect(made.stderr.toString()).to.equal('');
    const [binary, pickled] = [cifar10(root), cifar10(target)];
    for (const half of ['train', 'test'] as const) {
      expect(pickled[half].count).to.equal(half === 'train' ? 50_000 : 10_000);
      expect(Buffer.from(pickled[half].labels.buffer).equals(Buffer.from(binary[half].labels.buffer))).to.equal(true);
      expect(Buffer.from(pickled[half].images.buffer).equals(Buffer.from(binary[half].images.buffer))).to.equal(true);
    }
  });
});
