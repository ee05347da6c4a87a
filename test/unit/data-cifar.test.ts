import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { expect } from 'chai';
import fc from 'fast-check';
import { DataError } from '../../lib/data/files.ts';
import { cifar10, cifar100 } from '../../lib/data/images/cifar.ts';
import { noise, testFolder } from '../support/image-sets.ts';

const PIXELS = 3072;
const record = (labels: number[], seed: number) => Buffer.concat([Buffer.from(labels), noise(PIXELS, seed)]);

describe('data: CIFAR binary files', () => {
  const folder = testFolder();
  let made = 0;
  const write = (files: Record<string, Uint8Array>, inside = ''): string => {
    const root = folder.path(`set${made++}`);
    mkdirSync(`${root}/${inside}`, { recursive: true });
    for (const [name, bytes] of Object.entries(files)) writeFileSync(`${root}/${inside}/${name}`, bytes);
    return root;
  };
  const ten = (change: Record<string, Uint8Array> = {}): Record<string, Uint8Array> => ({
    'data_batch_1.bin': Buffer.concat([record([3], 1), record([9], 2)]),
    'data_batch_2.bin': record([0], 3),
    'data_batch_3.bin': record([1], 4),
    'data_batch_4.bin': record([2], 5),
    'data_batch_5.bin': record([4], 6),
    'test_batch.bin': record([5], 7),
    ...change,
  });

  it('reads the five training files in order and the test file', () => {
    const { train, test } = cifar10(write(ten()));
    expect([train.count, train.channels, train.height, train.width]).to.deep.equal([6, 3, 32, 32]);
    expect([...train.labels]).to.deep.equal([3, 9, 0, 1, 2, 4]);
    expect([...test.labels]).to.deep.equal([5]);
    for (let i = 0; i < 6; i++) {
      expect(Buffer.from(train.images.slice(i * PIXELS, (i + 1) * PIXELS)).equals(noise(PIXELS, i + 1))).to.equal(true);
    }
    expect(train.images.buffer).to.be.instanceOf(SharedArrayBuffer);
    expect(train.classes[9]).to.equal('truck');
    expect([train.mean, train.std]).to.deep.equal([
      [0.4914, 0.4822, 0.4465],
      [0.2023, 0.1994, 0.201],
    ]);
  });

  it('takes the fine labels of CIFAR-100, which has 100 distinct classes in alphabetical order', () => {
    const files = {
      'train.bin': Buffer.concat([record([19, 99], 1), record([0, 42], 2)]),
      'test.bin': record([4, 7], 3),
    };
    const { train, test } = cifar100(write(files));
    expect([...train.labels, ...test.labels]).to.deep.equal([99, 42, 7]);
    expect(Buffer.from(train.images.slice(PIXELS)).equals(noise(PIXELS, 2))).to.equal(true);
    expect(new Set(train.classes).size).to.equal(100);
    expect(train.classes).to.deep.equal([...train.classes].sort());
    expect(train.mean).to.deep.equal([0.5071, 0.4867, 0.4408]);
  });

  it('also finds the files in the folder under which the archive unpacks', () => {
    expect(cifar10(write(ten(), 'cifar-10-batches-bin')).train.count).to.equal(6);
  });

  it('names missing files, both places and the remedy', () => {
    const root = write(ten());
    rmSync(`${root}/data_batch_4.bin`);
    expect(() => cifar10(root)).to.throw(DataError, `${root} lacks data_batch_4.bin\n`);
    expect(() => cifar10(root)).to.throw(DataError, 'cifar-10-batches-bin (no such folder)');
    expect(() => cifar100(root)).to.throw(DataError, /lacks train.bin, test.bin\n.*\nUnpack the binary version/);
  });

  const whole = record([1], 1);
  const cases: { what: string; file: string; bytes: Uint8Array; offset: number; message: RegExp }[] = [
    {
      what: 'an empty file',
      file: 'test_batch.bin',
      bytes: Buffer.alloc(0),
      offset: 0,
      message: /one or more records/,
    },
    {
      what: 'a cut record',
      file: 'data_batch_2.bin',
      bytes: Buffer.concat([whole, whole.subarray(0, PIXELS)]),
      offset: PIXELS + 1,
      message: /records of 3073 bytes, but this one has 6145/,
    },
    {
      what: 'a byte too many',
      file: 'data_batch_5.bin',
      bytes: Buffer.concat([whole, Buffer.alloc(1)]),
      offset: PIXELS + 1,
      message: /has 3074 bytes/,
    },
    {
      what: 'a label out of range',
      file: 'data_batch_1.bin',
      bytes: Buffer.concat([whole, record([10], 1)]),
      offset: PIXELS + 1,
      message: /label byte 0 of a cifar10 record goes from 0 to 9, but is 10/,
    },
  ];
  for (const { what, file, bytes, offset, message } of cases) {
    it(`refuses ${what}, naming file and byte`, () => {
      const root = write(ten({ [file]: bytes }));
      try {
        cifar10(root);
        expect.fail('nothing was thrown');
      } catch (error) {
        expect(error).to.be.instanceOf(DataError);
        expect((error as DataError).file).to.equal(`${root}/${file}`);
        expect((error as DataError).offset).to.equal(offset);
        expect((error as DataError).message).to.match(message);
      }
    });
  }

  it('checks both labels of CIFAR-100', () => {
    const coarse = write({ 'train.bin': record([20, 0], 1), 'test.bin': record([0, 0], 1) });
    expect(() => cifar100(coarse)).to.throw(
      DataError,
      'label byte 0 of a cifar100 record goes from 0 to 19, but is 20',
    );
    const fine = write({ 'train.bin': record([0, 0], 1), 'test.bin': record([0, 100], 1) });
    expect(() => cifar100(fine)).to.throw(DataError, 'label byte 1 of a cifar100 record goes from 0 to 99, but is 100');
  });

  it('throws nothing but DataError whatever the bytes', () => {
    const root = write(ten());
    const bytes = fc.tuple(fc.uint8Array({ maxLength: 4 }), fc.constantFrom(0, 3071, 3072, 3073, 6146), fc.nat(255));
    fc.assert(
      fc.property(bytes, ([head, length, value]) => {
        writeFileSync(`${root}/test_batch.bin`, Buffer.concat([head, Buffer.alloc(length, value)]));
        try {
          expect(cifar10(root).test.count).to.equal((head.length + length) / 3073);
        } catch (error) {
          if (!(error instanceof DataError)) throw error;
        }
      }),
    );
  });
});
