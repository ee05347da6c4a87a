import { mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync, gzipSync } from 'node:zlib';
import { expect } from 'chai';
import fc from 'fast-check';
import { type FileTree, openTree, openTreeSync } from '../../lib/data/archive.ts';
import { DataError } from '../../lib/data/files.ts';
import { type Files, tarBody, tarBytes, tarHeader, zipBytes } from '../support/archives.ts';
import { failure } from '../support/failure.ts';
import { noise, testFolder } from '../support/image-sets.ts';

const GOLDEN = fileURLToPath(new URL('../golden/archives', import.meta.url));
const FILES: Files = { 'b/two.bin': noise(1500, 2), 'a/one.txt': 'one\n', 'b/empty': '' };

/** Every file of a tree, in the order of its entries. */
async function contents(tree: FileTree): Promise<[string, string][]> {
  const all: [string, string][] = [];
  for await (const entry of tree.entries()) all.push([entry.path, Buffer.from(await entry.read()).toString('hex')]);
  return all;
}

const hex = (files: Files): [string, string][] =>
  Object.entries(files).map(([path, content]) => [path, Buffer.from(content as Uint8Array).toString('hex')]);

describe('data: trees of files', () => {
  const folder = testFolder();
  let made = 0;
  const write = (bytes: Uint8Array): string => {
    const file = folder.path(`archive${made++}`);
    writeFileSync(file, bytes);
    return file;
  };
  const writeFolder = (files: Files): string => {
    const root = folder.path(`folder${made++}`);
    mkdirSync(root);
    for (const [path, bytes] of Object.entries(files)) {
      mkdirSync(dirname(join(root, path)), { recursive: true });
      writeFileSync(join(root, path), bytes);
    }
    return root;
  };
  const refusal = async (file: string): Promise<DataError> => {
    try {
      const tree = await openTree(file);
      for (const { path } of tree.list()) await tree.read(path);
      tree.close();
    } catch (error) {
      expect(error).to.be.instanceOf(DataError);
      return error as DataError;
    }
    return expect.fail('nothing was refused');
  };

  const kinds: Record<FileTree['kind'], (files: Files) => string> = {
    folder: writeFolder,
    zip: (files) => write(zipBytes(files)),
    tar: (files) => write(tarBytes(files)),
    'tar.gz': (files) => write(gzipSync(tarBytes(files))),
  };

  for (const [kind, make] of Object.entries(kinds)) {
    it(`${kind}: lists by name, reads by name, and passes through in its own order`, async () => {
      const tree = await openTree(make(FILES));
      expect(tree.kind).to.equal(kind);
      expect(tree.list()).to.deep.equal([
        { path: 'a/one.txt', size: 4 },
        { path: 'b/empty', size: 0 },
        { path: 'b/two.bin', size: 1500 },
      ]);
      expect(Buffer.from(await tree.read('b/two.bin')).equals(noise(1500, 2))).to.equal(true);
      expect((await tree.read('b/empty')).length).to.equal(0);
      const all = hex(FILES);
      expect(await contents(tree)).to.deep.equal(kind === 'folder' ? all.sort() : all);
      tree.close();
    });

    it(`${kind}: refuses what is not there and what is larger than asked for`, async () => {
      const file = make(FILES);
      const tree = await openTree(file);
      const fails = async (path: string, most: number | undefined, message: string) => {
        const error = await tree.read(path, most).then(
          () => undefined,
          (cause) => cause,
        );
        expect(error).to.be.instanceOf(DataError);
        expect(error.message).to.equal(`${file}/${path}: ${message}`);
      };
      await fails('a/two', undefined, 'there is no such file');
      await fails('../archive0', undefined, 'there is no such file');
      await fails('b/two.bin', 1499, 'at most 1499 bytes are read at once, but this file has 1500');
      expect((await tree.read('b/two.bin', 1500)).length).to.equal(1500);
      tree.close();
    });

    it(`${kind}: opens at once too`, () => {
      const tree = openTreeSync(make(FILES));
      expect(tree.list().map(({ path }) => Buffer.from(tree.readSync(path)).toString('hex'))).to.deep.equal(
        hex(FILES)
          .sort()
          .map(([, bytes]) => bytes),
      );
      tree.close();
    });
  }

  for (const name of ['pax.tar.gz', 'gnu.tar.gz', 'ustar.tar.gz', 'stored.zip', 'deflated.zip', 'zip64.zip']) {
    it(`reads ${name} as Python wrote it, streamed and at any place`, async () => {
      const files: Files = {
        'b/second.txt': 'second\n',
        'a/empty': '',
        [`a/${'long'.repeat(35)}/${'name'.repeat(20)}`]: 'a long name\n',
        'a/größe-画像.bin': Uint8Array.from({ length: 1500 }, (_, i) => (i * 7) % 256),
      };
      const tree = await openTree(join(GOLDEN, name));
      expect(await contents(tree)).to.deep.equal(hex(files));
      if (!name.endsWith('.tar.gz')) return;
      const plain = await openTree(write(gunzipSync(readFileSync(join(GOLDEN, name)))));
      expect(plain.kind).to.equal('tar');
      expect(await contents(plain)).to.deep.equal(hex(files));
      plain.close();
    });
  }

  for (const [outer, packed] of Object.entries(kinds)) {
    it(`opens archives that lie in a ${outer}`, async () => {
      const inner = { 'in.zip': zipBytes(FILES), 'in.tar': tarBytes(FILES), 'in.tgz': gzipSync(tarBytes(FILES)) };
      const tree = await openTree(packed({ ...inner, 'deeper.zip': zipBytes(inner), plain: 'plain' }));
      const deeper = await tree.open('deeper.zip');
      for (const place of [tree, deeper]) {
        for (const name of Object.keys(inner)) {
          const found = await place.open(name);
          expect(found.file).to.equal(join(place.file, name));
          expect(await contents(found)).to.have.deep.members(hex(FILES));
          found.close();
        }
      }
      for (const name of ['plain', 'nothing.zip']) expect(await failure(tree.open(name))).to.be.instanceOf(DataError);
      deeper.close();
      tree.close();
    });
  }

  describe('an archive that is unpacked', () => {
    const former = process.env.TMPDIR;
    let temporary: string; // of this test alone: other processes write to the system's
    before(() => {
      temporary = folder.path('temporary');
      mkdirSync(temporary);
      process.env.TMPDIR = temporary;
    });
    after(() => {
      if (former === undefined) delete process.env.TMPDIR;
      else process.env.TMPDIR = former;
    });

    it('is checked while it is unpacked, and leaves nothing behind', async () => {
      const inner = zipBytes({ 'a.bin': noise(3_000_000, 5) });
      const lies: [string, (entry: Buffer) => void][] = [
        ['its checksum', (entry) => entry.writeUInt32LE(1, 16)],
        ['less than it unpacks to', (entry) => entry.writeUInt32LE(inner.length - 1, 24)],
        ['more than it unpacks to', (entry) => entry.writeUInt32LE(inner.length + 1, 24)],
        ['fewer bytes in the archive', (entry) => entry.writeUInt32LE(entry.readUInt32LE(20) - 100, 20)],
      ];
      for (const [what, change] of lies) {
        const tree = await openTree(write(zipBytes({ 'in.zip': inner }, { change })));
        const error = (await failure(tree.open('in.zip'))) as DataError;
        expect(error, what).to.be.instanceOf(DataError);
        expect(error.offset, what).to.equal(0);
        expect(error.message, what).to.include("'in.zip'");
        tree.close();
      }
      const cut = zipBytes({ 'in.zip': inner.subarray(0, 2_000_000) });
      const tree = await openTree(write(cut));
      expect((await failure(tree.open('in.zip'))).message).to.include('cut off');
      tree.close();
      expect(readdirSync(temporary)).to.deep.equal([]);
    });
  });

  it('a folder follows links, but not in circles', async () => {
    const root = writeFolder(FILES);
    symlinkSync('one.txt', join(root, 'a/link'));
    symlinkSync('..', join(root, 'a/up'));
    symlinkSync('nowhere', join(root, 'a/dead'));
    const tree = await openTree(root);
    expect(tree.list().map(({ path }) => path)).to.deep.equal(['a/link', 'a/one.txt', 'b/empty', 'b/two.bin']);
    expect(Buffer.from(await tree.read('a/link')).toString()).to.equal('one\n');
  });

  it('an entry that a stream has passed can no longer be read', async () => {
    const kept = [];
    for await (const entry of (await openTree(kinds['tar.gz'](FILES))).entries()) kept.push(entry);
    const error = await kept[0]!.read().then(
      () => undefined,
      (cause) => cause,
    );
    expect(error).to.be.instanceOf(DataError);
    expect(error.message).to.include('an entry of a stream is read once, in its turn');
  });

  it('leaving a stream early is no error', async () => {
    for await (const { path } of (await openTree(kinds['tar.gz'](FILES))).entries()) {
      expect(path).to.equal('b/two.bin');
      break;
    }
  });

  const paths = {
    '../evil': '..',
    'a/../../evil': '..',
    '/etc/passwd': 'absolute',
    'C:/evil': 'absolute',
    'a\\..\\evil': 'backslash',
    'a/\x07': 'control character',
  };
  for (const [path, why] of Object.entries(paths)) {
    it(`refuses the name ${JSON.stringify(path)} in every archive`, async () => {
      for (const kind of ['zip', 'tar', 'tar.gz'] as const) {
        const error = await refusal(kinds[kind]({ ok: 'fine', [path]: 'evil' }));
        expect(error.message).to.include(path).and.to.include(why);
        expect(error.offset).to.be.a('number');
      }
    });
  }

  it('refuses two entries of one name', async () => {
    const twice = Buffer.concat([tarBody({ 'a/b': '1' }), tarBody({ './a//b': '2' }), Buffer.alloc(1024)]);
    const zip = zipBytes({ 'a/b': '1', 'a//b': '2' });
    for (const file of [write(twice), write(gzipSync(twice)), write(zip)]) {
      expect((await refusal(file)).message).to.include("has two entries named 'a/b'");
    }
    expect((await refusal(write(twice))).offset).to.equal(1536);
  });

  it('refuses sizes that cannot be, before it makes room for them', async () => {
    const huge = Buffer.concat([tarHeader('a', '77777777777\0'), Buffer.alloc(1024)]);
    expect((await refusal(write(huge))).message).to.include('it is cut off');
    expect((await refusal(write(gzipSync(huge)))).message).to.include('it is cut off');
    const binary = Buffer.concat([tarHeader('a', `\x80${'\xff'.repeat(11)}`), Buffer.alloc(1024)]);
    expect((await refusal(write(binary))).message).to.include('size in a header cannot be read');
    const long = Buffer.concat([tarHeader('a', (1 << 20) + 1, 'L'), Buffer.alloc(1024)]);
    expect((await refusal(write(long))).message).to.include('an extended header has at most 1048576 bytes');
    const bomb = zipBytes({ a: 'x' }, { change: (entry) => entry.writeUInt32LE(0xfffffff0, 24) });
    expect((await refusal(write(bomb))).message).to.match(/'a' cannot have 4294967280 bytes packed into \d+/);
    const count = zipBytes({ a: 'x' });
    count.writeUInt16LE(60000, count.length - 12);
    expect((await refusal(write(count))).message).to.include('cannot have 60000 entries');
  });

  it('checks what it unpacks', async () => {
    const less = zipBytes({ a: 'xyz' }, { change: (entry) => entry.writeUInt32LE(2, 24) });
    expect((await refusal(write(less))).message).to.include("'a' cannot be unpacked");
    const more = zipBytes({ a: 'xyz' }, { change: (entry) => entry.writeUInt32LE(4, 24) });
    expect((await refusal(write(more))).message).to.include('do not have the size and checksum');
    const sum = zipBytes({ a: 'xyz' }, { deflate: false, change: (entry) => entry.writeUInt32LE(1, 16) });
    expect((await refusal(write(sum))).message).to.include('do not have the size and checksum');
    const locked = zipBytes({ a: 'xyz' }, { change: (entry) => entry.writeUInt16LE(1, 8) });
    expect((await refusal(write(locked))).message).to.include("'a' is encrypted");
    const bzip = zipBytes({ a: 'xyz' }, { change: (entry) => entry.writeUInt16LE(12, 10) });
    expect((await refusal(write(bzip))).message).to.include("'a' is packed by method 12");
  });

  it('says that other files are none', async () => {
    expect((await refusal(folder.path('nothing'))).message).to.include('there is no such file or folder');
    expect((await refusal(write(Buffer.alloc(0)))).message).to.include('is neither a folder nor');
    expect((await refusal(write(noise(5000)))).message).to.include('is neither a folder nor');
    expect((await refusal(write(gzipSync(noise(5000))))).message).to.include('is not a tar archive');
  });

  it('a file that shrinks while it is open is an error', async () => {
    const file = kinds.tar(FILES);
    const tree = await openTree(file);
    truncateSync(file, 600);
    const error = await tree.read('b/two.bin').then(
      () => undefined,
      (cause) => cause,
    );
    expect(error).to.be.instanceOf(DataError);
    expect(error.offset).to.equal(600);
    expect(() => tree.readSync('b/two.bin')).to.throw(DataError, 'ends here');
    tree.close();
    expect(() => tree.readSync('b/two.bin')).to.throw(DataError, 'was closed');
  });

  it('streams an archive whose file is larger than what it may hold at once', async () => {
    const large = { 'a/large': new Uint8Array(2 ** 25), b: 'behind' };
    const file = write(gzipSync(tarBytes(large)));
    expect(statSync(file).size).to.be.below(2 ** 16);
    const seen: string[] = [];
    for await (const { path, size, read } of (await openTree(file)).entries()) {
      if (size < 100) seen.push(`${path}: ${Buffer.from(await read(100)).toString()}`);
    }
    expect(seen).to.deep.equal(['b: behind']);
    expect(() => openTreeSync(file, 2 ** 24)).to.throw(DataError, 'cannot be unpacked into at most 16777216 bytes');
  });

  const whole = {
    zip: zipBytes(FILES),
    stored: zipBytes(FILES, { deflate: false }),
    tar: tarBytes(FILES),
    'tar.gz': gzipSync(tarBytes(FILES)),
  };
  for (const [kind, bytes] of Object.entries(whole)) {
    it(`${kind}: cut off anywhere, it is refused (a tar may lose its padding)`, async () => {
      const least = kind === 'tar' ? bytes.length - 1024 : bytes.length - 1;
      await fc.assert(
        fc.asyncProperty(fc.nat(least), async (length) => {
          const error = await refusal(write(bytes.subarray(0, length)));
          expect(error.offset ?? 0).to.be.within(0, 20_000);
        }),
        { numRuns: 60 },
      );
    });

    it(`${kind}: with bits flipped, it is read as it was, or as other files, or refused with a DataError`, async () => {
      const flips = fc.array(fc.nat(8 * bytes.length - 1), { minLength: 1, maxLength: 3 });
      await fc.assert(
        fc.asyncProperty(flips, async (bits) => {
          const damaged = Buffer.from(bytes);
          for (const bit of bits) damaged[bit >> 3]! ^= 1 << (bit & 7);
          try {
            const tree = await openTree(write(damaged));
            try {
              for await (const entry of tree.entries()) expect((await entry.read(1 << 16)).length).to.equal(entry.size);
            } finally {
              tree.close();
            }
          } catch (error) {
            if (!(error instanceof DataError)) throw error;
          }
        }),
        { numRuns: 150 },
      );
    });
  }

  it('a zip whose bytes of contents are flipped is always refused', async () => {
    const archive = zipBytes(FILES, { deflate: false });
    const start = archive.indexOf(noise(1500, 2));
    await fc.assert(
      fc.asyncProperty(fc.nat(8 * 1500 - 1), async (bit) => {
        const damaged = Buffer.from(archive);
        damaged[start + (bit >> 3)]! ^= 1 << (bit & 7);
        expect((await refusal(write(damaged))).message).to.include('do not have the size and checksum');
      }),
      { numRuns: 30 },
    );
  });
});
