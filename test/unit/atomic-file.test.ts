import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { writeFileAtomic, writeFileAtomicAsync, writeJsonAtomic } from '../../lib/core/atomic-file.ts';
import { SpikeloomError } from '../../lib/core/errors.ts';
import { failure } from '../support/failure.ts';

type Four = [string, string, string, string];

describe('atomic files', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'spikeloom-atomic-'));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  it('writes text, bytes and parts, and leaves nothing else in the folder', () => {
    const path = join(folder, 'a.bin');
    writeFileAtomic(path, 'héllo');
    expect(readFileSync(path, 'utf8')).to.equal('héllo');
    writeFileAtomic(path, Uint8Array.of(1, 2, 3));
    expect([...readFileSync(path)]).to.deep.equal([1, 2, 3]);
    writeFileAtomic(path, [Uint8Array.of(4), new Uint8Array(0), Uint8Array.of(5, 6)]);
    expect([...readFileSync(path)]).to.deep.equal([4, 5, 6]);
    expect(readdirSync(folder)).to.deep.equal(['a.bin']);
  });

  it('splits large parts into writes of the chunk size', () => {
    const bytes = Uint8Array.from({ length: 1001 }, (_, i) => (i * 37) % 251);
    writeFileAtomic(join(folder, 'b'), bytes, { chunkBytes: 7 });
    expect(Buffer.compare(readFileSync(join(folder, 'b')), bytes)).to.equal(0);
  });

  it('keeps the old file and removes the temporary one when the content fails half way', () => {
    const path = join(folder, 'c');
    writeFileSync(path, 'old');
    function* broken() {
      yield Buffer.from('new');
      throw new RangeError('source broke');
    }
    expect(() => writeFileAtomic(path, broken())).to.throw(RangeError, 'source broke');
    expect(readFileSync(path, 'utf8')).to.equal('old');
    expect(readdirSync(folder)).to.deep.equal(['c']);
  });

  it('names the file and the reason when the place is impossible', () => {
    expect(() => writeFileAtomic(join(folder, 'none', 'x'), 'a')).to.throw(
      SpikeloomError,
      /none.x: its folder does not exist/,
    );
    writeFileSync(join(folder, 'file'), '');
    expect(() => writeFileAtomic(join(folder, 'file', 'x'), 'a')).to.throw(SpikeloomError, /not a folder/);
    mkdirSync(join(folder, 'taken'));
    expect(() => writeFileAtomic(join(folder, 'taken'), 'a')).to.throw(SpikeloomError, /a folder of that name/);
    expect(readdirSync(folder).sort()).to.deep.equal(['file', 'taken']);
  });

  it('writes the file behind a link, and refuses a device or a pipe, whose place a renamed file would take', async function () {
    if (process.platform === 'win32') this.skip();
    const [file, link, pipe, toPipe] = ['file', 'link', 'pipe', 'to pipe'].map((name) => join(folder, name)) as Four;
    writeFileSync(file, 'old');
    symlinkSync('file', link);
    writeFileAtomic(link, 'new');
    expect([readFileSync(file, 'utf8'), lstatSync(link).isSymbolicLink()]).to.deep.equal(['new', true]);
    await writeFileAtomicAsync(link, 'newer');
    expect([readFileSync(file, 'utf8'), lstatSync(link).isSymbolicLink()]).to.deep.equal(['newer', true]);
    expect(spawnSync('mkfifo', [pipe]).status).to.equal(0);
    symlinkSync('pipe', toPipe);
    for (const path of [pipe, toPipe]) {
      expect(() => writeFileAtomic(path, 'a')).to.throw(SpikeloomError, 'it is a device or a pipe');
      expect((await failure(writeFileAtomicAsync(path, 'a'))).message).to.contain('it is a device or a pipe');
    }
    expect([lstatSync(pipe).isFIFO(), lstatSync(toPipe).isSymbolicLink()]).to.deep.equal([true, true]);
    expect(readdirSync(folder).sort()).to.deep.equal(['file', 'link', 'pipe', 'to pipe']);
  });

  it('reports a folder without write permission', function () {
    if (process.getuid?.() === 0) this.skip();
    chmodSync(folder, 0o500);
    expect(() => writeFileAtomic(join(folder, 'x'), 'a')).to.throw(SpikeloomError, /permission denied/);
  });

  it('a file-size limit, as a full disk does, leaves the old file and no part of the new one', function () {
    if (process.platform === 'win32') this.skip();
    const path = join(folder, 'limited');
    writeFileSync(path, 'old');
    const code = `
      import { writeFileAtomic } from './lib/core/atomic-file.ts';
      try { writeFileAtomic(${JSON.stringify(path)}, new Uint8Array(100000)); }
      catch (error) { process.stdout.write(error.name + ': ' + error.message); }`;
    const child = spawnSync(
      'sh',
      ['-c', 'ulimit -f 8; exec "$0" --import tsx --input-type=module -e "$1"', process.execPath, code],
      {
        encoding: 'utf8',
        env: { ...process.env, TSX_DISABLE_CACHE: '1' },
      },
    );
    expect(child.stdout, child.stderr).to.match(/^SpikeloomError: cannot write .*limited: the file is larger than/);
    expect(readFileSync(path, 'utf8')).to.equal('old');
    expect(readdirSync(folder)).to.deep.equal(['limited']);
  });

  it('writes JSON with a final newline and refuses what JSON cannot hold', () => {
    writeJsonAtomic(join(folder, 'd.json'), { a: [1, null] });
    expect(readFileSync(join(folder, 'd.json'), 'utf8')).to.equal('{\n  "a": [\n    1,\n    null\n  ]\n}\n');
    expect(() => writeJsonAtomic(join(folder, 'e.json'), undefined)).to.throw(SpikeloomError, /JSON/);
    expect(readdirSync(folder)).to.deep.equal(['d.json']);
  });
});

describe('writeFileAtomicAsync', () => {
  const folder = mkdtempSync(join(tmpdir(), 'spikeloom-later-'));
  after(() => rmSync(folder, { recursive: true, force: true }));

  it('writes all parts in order, replaces a former file and leaves nothing else', async () => {
    const path = join(folder, 'parts');
    await writeFileAtomicAsync(path, 'before');
    const large = Buffer.alloc(9 * 2 ** 20, 'ab');
    await writeFileAtomicAsync(path, [Buffer.from('head'), large, Buffer.from('tail')]);
    expect(readFileSync(path).equals(Buffer.concat([Buffer.from('head'), large, Buffer.from('tail')]))).to.equal(true);
    expect(readdirSync(folder)).to.deep.equal(['parts']);
  });

  it('lets the event loop turn while it writes', async () => {
    let turns = 0;
    const timer = setInterval(() => turns++, 0);
    await writeFileAtomicAsync(join(folder, 'large'), Buffer.alloc(32 * 2 ** 20));
    clearInterval(timer);
    expect(turns).to.be.above(0);
  });

  it('names the file and the remedy, and keeps a former file', async () => {
    const path = join(folder, 'kept');
    await writeFileAtomicAsync(path, 'kept');
    const broken = (function* () {
      yield Buffer.from('half');
      throw new Error('no more');
    })();
    const failures = [
      [path, broken, /no more/],
      [join(folder, 'missing', 'file'), 'x', /cannot write .*Create the folder first/],
      [folder, 'x', /cannot write .*folder of that name/],
    ] as const;
    for (const [at, content, message] of failures) {
      const error = await writeFileAtomicAsync(at, content).then(
        () => undefined,
        (e: Error) => e,
      );
      expect(error?.message).to.match(message);
    }
    expect(readFileSync(path, 'utf8')).to.equal('kept');
    expect(readdirSync(folder).filter((name) => name.endsWith('.tmp'))).to.deep.equal([]);
  });
});
