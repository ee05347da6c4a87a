// A cache that is cut while it is mapped is an error of its reader, and of nobody else; any other SIGBUS is what it
// was.
import { execFileSync, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { expect } from 'chai';
import { native } from '../../lib/core/native.ts';
import { RecordingFile } from '../../lib/data/events/cache.ts';
import { dataErrorOf } from '../support/failure.ts';
import { testFolder } from '../support/image-sets.ts';
import { mappedBytes, pagedCache, rowsOf } from '../support/mapped-caches.ts';
import { compiler } from '../support/own-build.ts';

const support = (name: string): URL => new URL(`../support/${name}`, import.meta.url);

describe('mapped cache of recordings', () => {
  before(function () {
    if (process.platform !== 'linux') this.skip();
  });
  const folder = testFolder();
  let made = 0;
  const fresh = (): string => folder.path(`${made++}.events`);

  it('is mapped while it is open, and not afterwards', async () => {
    const cache = await pagedCache(fresh());
    const size = readFileSync(cache.file).length;
    const opened = [new RecordingFile(cache), new RecordingFile(cache)];
    expect(mappedBytes(cache.file)).to.be.within(2 * size, 2 * size + 2 * 65_536);
    opened[0]!.close();
    expect(mappedBytes(cache.file)).to.be.within(size, size + 65_536);
    for (const row of rowsOf(cache)) {
      const bytes = Buffer.from(opened[1]!.read(row));
      expect(bytes.equals(readFileSync(cache.file).subarray(row[0]!, row[0]! + row[1]!))).to.equal(true);
    }
    opened[1]!.close();
    expect(mappedBytes(cache.file)).to.equal(0);
  });

  it('that is cut between reads: told with file and byte, and the rest goes on', async () => {
    const [cache, sound] = [await pagedCache(fresh()), await pagedCache(fresh())];
    const [whole, [first, second, third]] = [readFileSync(cache.file), rowsOf(cache)];
    const [opened, other] = [new RecordingFile(cache), new RecordingFile(sound)];
    const before = mappedBytes(cache.file);
    opened.read(second!);
    const cut = second![0]! + 30_000;
    truncateSync(cache.file, cut);
    const error = dataErrorOf(() => opened.read(second!));
    expect(error).to.include({ file: cache.file, offset: cut });
    expect(error.message)
      .to.include('the cache ends here')
      .and.include('delete it')
      .and.include('while a run reads it');
    expect(mappedBytes(cache.file), 'zeros lie where the file was').to.be.within(cut, before - 65_536);
    expect(dataErrorOf(() => opened.read(third!)).offset).to.equal(third![0]);
    expect(opened.read(first!)).to.have.length(first![1]!);
    for (const row of rowsOf(sound)) expect(other.read(row)).to.have.length(row[1]!);
    writeFileSync(cache.file, whole);
    expect(Buffer.from(opened.read(third!)).equals(whole.subarray(third![0]!, third![0]! + third![1]!))).to.equal(true);
    for (const file of [opened, other]) file.close();
    expect([cache, sound].map(({ file }) => mappedBytes(file))).to.deep.equal([0, 0]);
  });

  it('that is cut within the last page of a recording: the page is there, its end is not', async () => {
    const cache = await pagedCache(fresh());
    const last = rowsOf(cache)[2]!;
    const cut = last[0]! + last[1]! - 1;
    const opened = new RecordingFile(cache);
    truncateSync(cache.file, cut);
    expect(dataErrorOf(() => opened.read(last)).offset).to.equal(cut);
    opened.close();
  });

  it('that is cut and put back while two threads read it: both are told, and read on', async () => {
    const cache = await pagedCache(fresh());
    const whole = readFileSync(cache.file);
    const shared = new SharedArrayBuffer(24);
    const counts = [new Int32Array(shared, 0, 3), new Int32Array(shared, 12, 3)];
    const workers = counts.map((own) => {
      const options = { workerData: { cache, counts: own }, argv: [support('cache-reader.ts').href], execArgv: [] };
      return new Worker(new URL('../../lib/data/source-worker.mjs', import.meta.url), options);
    });
    const failed = Promise.race(workers.map((worker) => once(worker, 'error'))).then(([error]) => {
      throw error;
    });
    const cutting = async (): Promise<void> => {
      for (let i = 0; counts.some(([whole, refused]) => whole! < 500 || refused! < 50); i++) {
        await wait(2);
        truncateSync(cache.file, (i * 7919) % whole.length);
        await wait(2);
        writeFileSync(cache.file, whole);
      }
    };
    await Promise.race([failed, cutting()]);
    expect(counts.map(([, , wrong]) => wrong)).to.deep.equal([0, 0]);
    const reads = counts.map(([whole]) => whole!);
    while (counts.some(([whole], i) => whole! < reads[i]! + 500)) await wait(2); // they are at it when they are ended
    failed.catch(() => {});
    await Promise.all(workers.map((worker) => worker.terminate()));
    expect(mappedBytes(cache.file), 'what a thread had mapped goes with it').to.equal(0);
  });

  const child = (cache: string, ...args: string[]) => {
    const command = ['--import', 'tsx', fileURLToPath(support('map-cache.ts')), cache, ...args];
    const { stdout, signal, status } = spawnSync(process.execPath, command, { encoding: 'utf8', timeout: 50_000 });
    return { said: stdout.trim().split('\n'), signal, status };
  };

  it('leaves a SIGBUS that is sent what it is: the end', async () => {
    const cache = await pagedCache(fresh());
    expect(child(cache.file, 'sent')).to.deep.equal({ said: ['mapped'], signal: 'SIGBUS', status: null });
  });

  it('leaves a SIGBUS of other memory what it is: the end', async function () {
    if (!compiler()) this.skip();
    const cache = await pagedCache(fresh());
    const library = join(folder.path('.'), 'bus-error.so');
    execFileSync(compiler()!, ['-shared', '-fPIC', '-o', library, fileURLToPath(support('bus-error.cpp'))]);
    expect(child(cache.file, 'met', library)).to.deep.equal({ said: ['mapped'], signal: 'SIGBUS', status: null });
  });

  it('is not read from the mapping where a program handles SIGBUS itself', async () => {
    const cache = await pagedCache(fresh());
    const { said, status } = child(cache.file, 'handled');
    expect(status).to.equal(0);
    expect(said[1]).to.include('the cache ends here');
    expect([said[0], ...said.slice(2)]).to.deep.equal(['mapped', 'signalled', 'not mapped']);
  });

  it('what cannot be mapped, or read from a mapping, is said to be so', () => {
    const { mapFile, readMapped, unmapFile } = native();
    const file = fresh();
    writeFileSync(file, '');
    const mapOf = (path: string) => {
      const fd = openSync(path, 'r');
      const mapped = mapFile(fd);
      closeSync(fd);
      return mapped;
    };
    expect(mapOf(file)).to.equal(undefined);
    expect(mapOf(folder.path('.'))).to.equal(undefined);
    expect(mapFile(-1)).to.equal(undefined);
    writeFileSync(file, 'ten bytes.');
    const mapped = mapOf(file)!;
    const bytes = new Uint8Array(10);
    expect(readMapped(mapped, 0, bytes)).to.equal(true);
    expect(Buffer.from(bytes).toString()).to.equal('ten bytes.');
    expect(readMapped(mapped, 10, new Uint8Array(0))).to.equal(true);
    for (const offset of [1, 10, 4096, 2 ** 52, 2 ** 70, -1, Number.NaN, Number.POSITIVE_INFINITY]) {
      expect(readMapped(mapped, offset, bytes), `${offset}`).to.equal(false);
    }
    expect(() => readMapped({} as typeof mapped, 0, bytes)).to.throw('a mapped file is needed');
    unmapFile(mapped);
    unmapFile(mapped);
    expect(readMapped(mapped, 0, bytes)).to.equal(false);
    const many = Array.from({ length: 300 }, () => mapOf(file));
    expect(many.filter(Boolean), 'as many as the signal handler looks through').to.have.length(256);
    for (const each of many) if (each) unmapFile(each);
    expect(mappedBytes(file)).to.equal(0);
  });
});
