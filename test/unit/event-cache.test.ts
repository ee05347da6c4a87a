// The cache of recordings: whole or not there, found out where it is damaged, in bounded memory.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, rmSync, statSync, truncateSync, utimesSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { SpikeloomError } from '../../lib/core/errors.ts';
import {
  buildEventCache,
  type CacheItem,
  COLUMNS,
  type EventCache,
  openEventCache,
  RecordingFile,
} from '../../lib/data/events/cache.ts';
import { loader, nMnist } from '../../lib/data/index.ts';
import { fortyBit, someEvents, someSource, writeTree } from '../support/event-files.ts';
import { dataErrorOf, failure } from '../support/failure.ts';
import { testFolder } from '../support/image-sets.ts';

const CONTENT = { width: 34, height: 34, classes: ['a', 'b'], source: someSource('these files') };
const item = (i: number): CacheItem => ({ name: `sample ${i}`, label: i % 2, events: someEvents(10 + i, 34, 34, i) });

async function* items(count: number, change = (one: CacheItem, _i: number): CacheItem => one) {
  for (let i = 0; i < count; i++) yield change(item(i), i);
}

function readAll(cache: EventCache): number[] {
  const file = new RecordingFile(cache);
  try {
    return Array.from(
      cache.names,
      (_, i) => file.read(cache.recordings.subarray(i * COLUMNS, (i + 1) * COLUMNS)).length,
    );
  } finally {
    file.close();
  }
}

function childProcess(...args: string[]): ChildProcess {
  const script = fileURLToPath(new URL('../support/build-cache.ts', import.meta.url));
  const options = ['--max-old-space-size=64', '--import', 'tsx', script, ...args];
  return spawn(process.execPath, options, { stdio: ['ignore', 'pipe', 'inherit'] });
}

describe('cache of recordings', () => {
  const folder = testFolder();
  let made = 0;
  const fresh = () => folder.path(join(`cache ${made++}`, 'set.events'));

  it('has what was put in, and what it was made from', async () => {
    const file = fresh();
    const done: number[] = [];
    expect(openEventCache(file)).to.equal(undefined);
    await buildEventCache(file, CONTENT, items(5), { onProgress: (n) => done.push(n) });
    const cache = openEventCache(file)!;
    expect(cache.names).to.deep.equal([0, 1, 2, 3, 4].map((i) => `sample ${i}`));
    expect([...cache.labels]).to.deep.equal([0, 1, 0, 1, 0]);
    expect(cache.classes).to.deep.equal(['a', 'b']);
    expect(cache.source).to.deep.equal(someSource('these files'));
    expect(Array.from({ length: 5 }, (_, i) => cache.recordings[i * COLUMNS + 2])).to.deep.equal([10, 11, 12, 13, 14]);
    expect(readAll(cache)).to.have.length(5);
    expect(done).to.deep.equal([1, 2, 3, 4, 5]);
    await buildEventCache(file, CONTENT, items(0));
    expect(openEventCache(file)!.names).to.deep.equal([]);
  });

  it('every byte that is changed, and every cut, is found out: at once or when the recording is read', async () => {
    const file = fresh();
    await buildEventCache(file, CONTENT, items(2));
    const whole = readFileSync(file);
    const stamp = 12 + whole.readUInt32LE(8);
    const [start, end] = [stamp + 32, Number(whole.readBigUInt64LE(whole.length - 64))];
    for (let at = 0; at < whole.length; at++) {
      const bytes = Buffer.from(whole);
      bytes[at]! ^= 1 << (at % 8);
      writeFileSync(file, bytes);
      if (at >= stamp && at < start) {
        const { source } = openEventCache(file)!;
        expect(source.stamp, 'the stamp of no files').not.to.equal(CONTENT.source.stamp);
        expect({ ...source, stamp: CONTENT.source.stamp }).to.deep.equal(CONTENT.source);
        continue;
      }
      const error = dataErrorOf(() => readAll(openEventCache(file)!));
      expect(error.file).to.equal(file);
      if (at >= start && at < end) expect(error.offset).to.be.within(start, at);
    }
    for (let length = 0; length < whole.length; length += 7) {
      writeFileSync(file, whole);
      truncateSync(file, length);
      dataErrorOf(() => openEventCache(file));
    }
  });

  it('an index of its own making can ask for nothing that is not there', async () => {
    const file = fresh();
    await buildEventCache(file, CONTENT, items(2));
    const cache = openEventCache(file)!;
    const [offset, , count] = cache.recordings;
    const file2 = new RecordingFile(cache);
    const beyond = [statSync(file).size - 3, 10, count!, 0, 0, 0];
    expect(dataErrorOf(() => file2.read(beyond)).message).to.include('ends here');
    expect(dataErrorOf(() => file2.read([offset!, 5, count!, 0, 0, 0])).offset).to.equal(offset);
    file2.close();
  });

  it('a recording that is damaged or cut off while in use is told with file and byte; opened again it is rebuilt', async () => {
    const root = folder.path('data');
    writeTree(root, {
      'Train/1/a.bin': fortyBit(someEvents(500, 34, 34)),
      'Test/1/b.bin': fortyBit(someEvents(300, 34, 34)),
    });
    const open = () => nMnist(root, { steps: 2 });
    const { train } = await open();
    const [offset] = train.recordings.subarray(train.chosen![0]! * COLUMNS);
    const bytes = readFileSync(train.cache.file);
    bytes[offset! + 100]! ^= 4;
    writeFileSync(train.cache.file, bytes);
    for (const workers of [0, 1]) {
      const feed = loader(train, { batch: 1, workers });
      const error = await failure(feed.epoch(0).next());
      expect(error.message).to.include(`${train.cache.file} at byte ${offset}`);
      await feed.close();
    }
    truncateSync(train.cache.file, 40);
    expect((await failure(loader(train, { batch: 1, workers: 0 }).epoch(0).next())).message).to.include('cache');
    const again = await open();
    await loader(again.train, { batch: 1, workers: 0 }).epoch(0).next();
    rmSync(again.train.cache.file);
    expect((await failure(loader(again.train, { batch: 1, workers: 0 }).epoch(0).next())).message).to.include('ENOENT');
  });

  it('a build that fails or is interrupted leaves what was there before', async () => {
    const file = fresh();
    await buildEventCache(file, CONTENT, items(1));
    const before = readFileSync(file);
    const stop = new AbortController();
    const stopping = items(9, (one, i) => {
      if (i === 4) stop.abort(new Error('no more'));
      return one;
    });
    const wrong: [AsyncIterable<CacheItem>, string][] = [
      [items(3, (one, i) => ({ ...one, label: i })), 'class 2 of 2'],
      [items(3, (one) => ({ ...one, name: 'same' })), "two recordings are called 'same'"],
      [items(3, (one) => ({ ...one, name: 'two\nlines' })), 'one line'],
      [items(3, (one) => ({ ...one, events: someEvents(5, 99, 34) })), 'outside of a sensor of 34x34'],
      [stopping, 'no more'],
    ];
    for (const [bad, text] of wrong) {
      expect((await failure(buildEventCache(file, CONTENT, bad, { signal: stop.signal }))).message).to.include(text);
      expect(readdirSync(dirname(file))).to.deep.equal(['set.events']);
      expect(readFileSync(file).equals(before)).to.equal(true);
    }
    const nowhere = await failure(buildEventCache('/proc/none/set.events', CONTENT, items(1)));
    expect(nowhere).to.be.instanceOf(SpikeloomError);
    expect(nowhere.message).to.include('/proc/none');
  });

  it('a build that is killed leaves the old cache whole; the next one clears what it left', async () => {
    const file = fresh();
    await buildEventCache(file, CONTENT, items(1));
    const before = readFileSync(file);
    const child = childProcess(file, '1000000', '20000');
    const lines = createInterface({ input: child.stdout! });
    await new Promise<void>((resolve) => lines.on('line', (line) => line.startsWith('200 ') && resolve()));
    child.kill('SIGKILL');
    await once(child, 'exit');
    expect(readFileSync(file).equals(before)).to.equal(true);
    const left = readdirSync(dirname(file)).filter((name) => name !== 'set.events');
    expect(left).to.have.length(1);
    expect(statSync(join(dirname(file), left[0]!)).size, 'it was under way').to.be.above(1_000_000);
    await buildEventCache(file, CONTENT, items(2));
    expect(readdirSync(dirname(file)), 'another program may be at it').to.have.length(2);
    const old = Date.now() / 1000 - 3600;
    utimesSync(join(dirname(file), left[0]!), old, old);
    await buildEventCache(file, CONTENT, items(2));
    expect(readdirSync(dirname(file))).to.deep.equal(['set.events']);
  });

  it('makes and reads 480 MB of recordings with a heap of 64 MB, in bounded memory', async () => {
    const file = fresh();
    const child = childProcess(file, '800', '200000', 'read');
    let last = '';
    createInterface({ input: child.stdout! }).on('line', (line) => {
      last = line;
    });
    const [code] = await once(child, 'exit');
    expect(code).to.equal(0);
    expect(statSync(file).size).to.be.above(480e6);
    expect(Number(last), 'MiB').to.be.within(1, 200);
    rmSync(file);
  });
});
