// Whether a cache is still of its files: by names, sizes and times, and by contents where only the times are others.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  cpSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { expect } from 'chai';
import { Origins } from '../../lib/data/event-sets/origins.ts';
import { COLUMNS, type EventCache, openEventCache, RecordingFile, renewStamp } from '../../lib/data/events/cache.ts';
import { cifar10Dvs, DataError, loader, nMnist } from '../../lib/data/index.ts';
import { zipBytes } from '../support/archives.ts';
import { fortyBit, someEvents, writeTree } from '../support/event-files.ts';
import { failure } from '../support/failure.ts';
import { testFolder } from '../support/image-sets.ts';

const sha256 = (bytes: Uint8Array | string): string => createHash('sha256').update(bytes).digest('hex');
const recording = (seed: number): Buffer => fortyBit(someEvents(50, 34, 34, seed));

const TRAIN = 'Train/1/a.bin';
const TEST = 'Test/1/b.bin';

describe('source of a cache', () => {
  const folder = testFolder();
  let made = 0;
  const fresh = (): string => folder.path(`set ${made++}`);
  const cacheIn = (root: string): EventCache => openEventCache(join(root, 'spikeloom-cache', 'n-mnist.events'))!;

  /** Opens the set; how many recordings were read for that. */
  async function reads(root: string): Promise<number> {
    let count = 0;
    await nMnist(root, { steps: 2, onProgress: () => count++ });
    return count;
  }

  /** A set of two files and its cache. */
  async function smallSet(): Promise<string> {
    const root = fresh();
    writeTree(root, { [TRAIN]: recording(1), [TEST]: recording(2) });
    expect(await reads(root)).to.equal(2);
    return root;
  }

  const touch = (file: string, seconds: number): void => utimesSync(file, seconds, seconds);

  it('is told by hashes over lines of JSON', async () => {
    const root = await smallSet();
    const names = [TEST, TRAIN];
    const lines = (of: (name: string, bytes: Buffer) => unknown): string =>
      sha256(names.map((name) => `${JSON.stringify(of(name, readFileSync(join(root, name))))}\n`).join(''));
    expect(cacheIn(root).source).to.deep.equal({
      listing: lines((name, { length }) => [name, length]),
      contents: lines((name, bytes) => [name, sha256(bytes)]),
      stamp: lines((name, { length }) => [name, length, statSync(join(root, name)).mtimeMs]),
    });
  });

  it('of other times only: the contents tell, the stamp alone is renewed, and who reads reads on', async () => {
    const root = await smallSet();
    const before = cacheIn(root);
    const { ino } = statSync(before.file);
    const reader = new RecordingFile(before);
    touch(join(root, TRAIN), 1000);
    expect(await reads(root)).to.equal(0);
    const after = cacheIn(root);
    expect(statSync(after.file).ino).to.equal(ino);
    expect(after.source.stamp).not.to.equal(before.source.stamp);
    expect({ ...after, source: before.source }).to.deep.equal(before);
    expect(reader.read(before.recordings.subarray(0, COLUMNS))).to.have.length(before.recordings[1]!);
    reader.close();
    new RecordingFile(before).close(); // nor is it another cache for who opens it again
    writeFileSync(join(root, TRAIN), recording(3));
    touch(join(root, TRAIN), 1000);
    expect(await reads(root), 'contents are not read where the stamp is known').to.equal(0);
  });

  it('that was copied with its cache is not read again', async () => {
    const root = await smallSet();
    const copy = fresh();
    cpSync(root, copy, { recursive: true });
    for (const file of [TRAIN, TEST]) touch(join(copy, file), 2000);
    expect(await reads(copy)).to.equal(0);
    expect(cacheIn(copy).id).to.equal(cacheIn(root).id);
    expect([await reads(root), await reads(copy)]).to.deep.equal([0, 0]);
  });

  it('of other contents, sizes or names: the cache is rebuilt', async () => {
    const root = await smallSet();
    const ids = new Set([cacheIn(root).id]);
    const change = async (what: () => void, count: number): Promise<void> => {
      what();
      expect(await reads(root)).to.equal(count);
      ids.add(cacheIn(root).id);
      expect(await reads(root)).to.equal(0);
    };
    const file = join(root, TRAIN);
    const swapped = readFileSync(file);
    swapped[0]! ^= 1;
    await change(() => {
      writeFileSync(file, swapped);
      touch(file, 3000);
    }, 2);
    await change(() => writeFileSync(file, fortyBit(someEvents(51, 34, 34))), 2);
    await change(() => renameSync(file, join(root, 'Train/1/c.bin')), 2);
    await change(() => writeFileSync(file, recording(4)), 3);
    await change(() => rmSync(join(root, 'Train/1/c.bin')), 2);
    expect(ids).to.have.length(6);
  });

  it('where two files have changed places, although names, sizes and all bytes are the same', async () => {
    const root = await smallSet();
    writeTree(root, { [TRAIN]: recording(2), [TEST]: recording(1) });
    for (const file of [TRAIN, TEST]) touch(join(root, file), 4000);
    expect(await reads(root)).to.equal(2);
  });

  it('in a folder of several roots: the name tells whose a cache is, and none replaces another', async () => {
    const [a, b, cacheFolder] = [await smallSet(), await smallSet(), fresh()];
    writeTree(b, { 'Train/1/c.bin': recording(3) });
    const former = { 'n-mnist.events': readFileSync(cacheIn(a).file) };
    writeTree(cacheFolder, former);
    const opened = async (root: string) => {
      let count = 0;
      const { train } = await nMnist(root, { steps: 2, cacheFolder, onProgress: () => count++ });
      return { count, file: train.cache.file, train };
    };
    const first = await opened(a);
    const { listing } = cacheIn(a).source;
    expect(first).to.include({ count: 2, file: join(cacheFolder, `n-mnist-${listing.slice(0, 8)}.events`) });
    const second = await opened(b);
    expect(second.count).to.equal(3);
    const names = [first, second].map(({ file }) => basename(file));
    expect(readdirSync(cacheFolder)).to.have.members(['n-mnist.events', ...names]);
    expect(readFileSync(join(cacheFolder, 'n-mnist.events')).equals(former['n-mnist.events']!)).to.equal(true);
    let samples = 0;
    for await (const { size } of loader(first.train, { batch: 1, workers: 0 }).epoch(0)) samples += size;
    expect(samples, 'who reads the first cache reads on').to.equal(1);
    expect([(await opened(a)).count, (await opened(b)).count]).to.deep.equal([0, 0]);
  });

  it('in archives is told by the archives', async () => {
    const root = fresh();
    const zips = (seed: number) => ({
      'Train.zip': zipBytes({ [TRAIN]: recording(seed) }, { deflate: false }),
      'Test.zip': zipBytes({ [TEST]: recording(2) }),
    });
    writeTree(root, zips(1));
    expect(await reads(root)).to.equal(2);
    touch(join(root, 'Train.zip'), 1000);
    expect(await reads(root)).to.equal(0);
    writeTree(root, zips(5));
    expect(statSync(join(root, 'Train.zip')).size).to.equal(zips(1)['Train.zip'].length);
    touch(join(root, 'Train.zip'), 2000);
    expect(await reads(root)).to.equal(2);
  });

  it('has the lists of N-MNIST in it, which say the classes', async () => {
    const root = fresh();
    const list = (label: number): string => `#sample class\n1\t${label}\n`;
    writeTree(root, { '1.bs2': recording(1), 'train1K.txt': list(3), 'test100.txt': list(3) });
    expect(await reads(root)).to.equal(2);
    touch(join(root, 'train1K.txt'), 1000);
    expect(await reads(root)).to.equal(0);
    writeFileSync(join(root, 'train1K.txt'), list(7));
    touch(join(root, 'train1K.txt'), 2000);
    expect(await reads(root)).to.equal(2);
    expect([...cacheIn(root).labels]).to.deep.equal([7, 3]);
  });

  it('of a cache of the version before: rebuilt', async () => {
    const root = await smallSet();
    const { file } = cacheIn(root);
    const bytes = readFileSync(file);
    const at = bytes.indexOf('"version":');
    const version = Number(/[0-9]+/.exec(bytes.toString('latin1', at))![0]);
    bytes.write(String(version - 1), at + '"version":'.length);
    const [header, index] = [12 + bytes.readUInt32LE(8), Number(bytes.readBigUInt64LE(bytes.length - 64))];
    const checked = Buffer.concat([bytes.subarray(0, header), bytes.subarray(index, bytes.length - 40)]);
    Buffer.from(sha256(checked), 'hex').copy(bytes, bytes.length - 40);
    writeFileSync(file, bytes);
    expect(openEventCache(file)).to.equal(undefined);
    expect(await reads(root)).to.equal(2);
    expect(await reads(root)).to.equal(0);
  });

  it('that changes while the cache is made of it: told with the file, and no cache is left', async () => {
    const root = fresh();
    writeTree(root, { [TRAIN]: recording(1), [TEST]: recording(2) });
    const file = join(root, TEST);
    const onProgress = (done: number) => done === 1 && writeFileSync(file, fortyBit(someEvents(9, 34, 34)));
    const error = (await failure(nMnist(root, { steps: 2, onProgress }))) as DataError;
    expect(error).to.be.instanceOf(DataError).and.to.include({ file });
    expect(error.message).to.include('was changed while the cache was made');
    expect(readdirSync(join(root, 'spikeloom-cache'))).to.deep.equal([]);
    expect(await reads(root)).to.equal(2);
  });

  it('a signal ends the reading of contents', async () => {
    const root = await smallSet();
    touch(join(root, TRAIN), 1000);
    const { stamp } = cacheIn(root).source;
    const signal = AbortSignal.abort(new Error('no more'));
    expect((await failure(nMnist(root, { steps: 2, signal }))).message).to.equal('no more');
    expect(cacheIn(root).source.stamp).to.equal(stamp);
  });

  it('a stamp is for the cache that was looked at, and one that cannot be written is no error', async () => {
    const root = await smallSet();
    const { file, id, source } = cacheIn(root);
    const whole = readFileSync(file);
    renewStamp({ file, id: sha256('another one') }, sha256('stamp'));
    renewStamp({ file: join(root, 'none.events'), id }, sha256('stamp'));
    renewStamp({ file: root, id }, sha256('stamp'));
    expect(readFileSync(file).equals(whole)).to.equal(true);
    renewStamp({ file, id }, sha256('stamp'));
    expect(cacheIn(root).source).to.deep.equal({ ...source, stamp: sha256('stamp') });
  });

  it('of large, empty and missing files', async () => {
    const root = fresh();
    const large = Buffer.alloc(3 * 2 ** 20 + 5, 'spike');
    writeTree(root, { large, empty: '' });
    const files = ['large', 'empty'].map((name) => ({ name, file: join(root, name) }));
    const origins = new Origins(files);
    const lines = [`["large","${sha256(large)}"]\n`, `["empty","${sha256('')}"]\n`];
    expect(await origins.contents()).to.equal(sha256(lines.join('')));
    origins.refuseChanges();
    rmSync(join(root, 'empty'));
    expect(() => origins.refuseChanges()).to.throw(DataError, 'no such file');
    const gone = new Origins(files.slice(0, 1));
    rmSync(join(root, 'large'));
    expect(await failure(gone.contents()))
      .to.be.instanceOf(DataError)
      .and.to.include({ file: files[0]!.file });
  });

  it('what is not a regular file is refused at once', async function () {
    if (process.platform === 'win32') this.skip();
    const root = fresh();
    mkdirSync(root);
    const pipe = join(root, 'airplane.zip');
    execFileSync('mkfifo', [pipe]);
    for (const place of [pipe, root]) {
      const error = (await failure(cifar10Dvs(place, { steps: 2 }))) as DataError;
      expect(error).to.be.instanceOf(DataError);
      expect(basename(error.file)).to.equal('airplane.zip');
      expect(error.message).to.include('must be a regular file');
    }
  });
});
