// Downloads from a server on this machine: whole, broken, changed, wrong, endless.
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { expect } from 'chai';
import { SpikeloomError } from '../../lib/core/errors.ts';
import type { KnownFile } from '../../lib/data/originals/catalogue.ts';
import { type FetchOptions, fetchFile } from '../../lib/data/originals/fetch.ts';
import { ConnectionError } from '../../lib/data/originals/http.ts';
import { type FileServer, startFileServer } from '../support/file-server.ts';
import { noise, testFolder } from '../support/image-sets.ts';

const hash = (kind: string, bytes: Uint8Array): string => createHash(kind).update(bytes).digest('hex');
const content = Buffer.from(noise(200_000));

describe('fetchFile', () => {
  const folders = testFolder();
  let server: FileServer;
  let folder = '';
  let count = 0;
  before(async () => {
    server = await startFileServer();
  });
  after(() => server.close());
  beforeEach(() => {
    folder = folders.path(`${++count}`);
    server.log.length = 0;
    server.files['set.zip'] = { content };
  });
  const known: KnownFile = { name: 'set.zip', sha256: hash('sha256', content), md5: hash('md5', content) };
  const fetchIt = (options: FetchOptions & { file?: KnownFile; path?: string } = {}) => {
    const { file = known, path = 'set.zip', ...rest } = options;
    return fetchFile(file, folder, { url: `${server.url}/${path}`, pauseMs: 1, ...rest });
  };
  const failure = async (options: Parameters<typeof fetchIt>[0] = {}): Promise<SpikeloomError> => {
    const error = await fetchIt(options).then(
      () => undefined,
      (caught) => caught,
    );
    expect(error).to.be.instanceOf(SpikeloomError);
    return error;
  };
  const here = () => (existsSync(folder) ? readdirSync(folder).sort() : []);
  const whole = () => {
    expect(here()).to.deep.equal(['set.zip']);
    expect(readFileSync(`${folder}/set.zip`).equals(content)).to.equal(true);
  };

  /** The byte that a request asks to go on from. */
  const from = (request: number): number => Number(/^bytes=(\d+)-$/.exec(server.log.at(request)?.range ?? '')?.[1]);

  it('brings a file, tells how far it is, and leaves one that is there alone', async () => {
    const seen: number[] = [];
    const progress = (done: number, total: number) => {
      expect(total).to.equal(content.length);
      seen.push(done);
    };
    expect(await fetchIt({ onProgress: progress })).to.equal('fetched');
    whole();
    expect(seen.at(-1)).to.equal(content.length);
    expect(seen).to.deep.equal([...seen].sort((a, b) => a - b));
    expect(await fetchIt()).to.equal('there');
    expect(server.log).to.have.length(1);
  });

  it('goes on after broken connections where they broke', async () => {
    server.files['set.zip']!.cuts = [70_000, 50_000];
    expect(await fetchIt()).to.equal('fetched');
    whole();
    expect(server.log).to.have.length(3);
    expect(server.log[0]!.range).to.equal(undefined);
    expect(from(1)).to.be.within(1, 70_000);
    expect(from(2)).to.be.within(from(1), from(1) + 50_000);
    expect(server.log[1]!.ifRange).to.equal('"v1"');
  });

  it('gives up after tries that bring nothing, keeps the part, and another call goes on', async () => {
    server.files['set.zip']!.cuts = [90_000, 0, 0];
    expect(await failure({ tries: 2 })).to.be.instanceOf(ConnectionError);
    expect(here()).to.deep.equal(['set.zip.part', 'set.zip.part.json']);
    server.files['set.zip']!.cuts = [];
    await fetchIt();
    whole();
    expect(from(-1)).to.be.within(1, 90_000);
  });

  it('is refused while the file is being fetched, and harms neither the part nor the file', async () => {
    const half = content.length / 2;
    let release = (): void => {};
    const released = new Promise<void>((resolve) => {
      release = resolve;
    });
    server.files['set.zip'] = {
      content,
      answer: (_, response) => {
        response.writeHead(200, { 'content-length': content.length, etag: '"v1"' }).write(content.subarray(0, half));
        void released.then(() => response.end(content.subarray(half)));
      },
    };
    let arrive = (): void => {};
    const arrived = new Promise<void>((resolve) => {
      arrive = resolve;
    });
    const first = fetchIt({ onProgress: () => arrive() });
    await arrived;
    for (let again = 0; again < 2; again++) {
      expect((await failure()).message).to.match(
        /set\.zip is being fetched by another process; wait until it has ended/,
      );
    }
    expect(here()).to.deep.equal(['set.zip.part', 'set.zip.part.json']);
    release();
    expect(await first).to.equal('fetched');
    whole();
    expect(server.log).to.have.length(1);
    expect(await fetchIt()).to.equal('there');
  });

  it('stops by its signal, keeps the part, and goes on', async () => {
    server.files['set.zip']!.cuts = [100_000];
    const stop = new AbortController();
    const error = await fetchIt({ signal: stop.signal, onProgress: () => stop.abort() }).catch((caught) => caught);
    expect(error).to.be.instanceOf(Error);
    expect(here()).to.include('set.zip.part');
    expect(server.log).to.have.length(1);
    await fetchIt();
    whole();
  });

  it('starts over where the server knows no ranges, or gives no sign that the file is the same', async () => {
    for (const served of [{ ranges: false }, { etag: '' }]) {
      folder = folders.path(`anew ${++count}`);
      server.files['set.zip'] = { content, cuts: [80_000], ...served };
      await fetchIt();
      whole();
    }
  });

  it('never mixes two versions: a file that changed is fetched from its start', async () => {
    server.files['set.zip'] = { content: Buffer.from(noise(200_000, 5)), etag: '"old"', cuts: [90_000, 0] };
    await failure({ tries: 1 });
    server.files['set.zip'] = { content, etag: '"new"' };
    await fetchIt();
    whole();
    expect(server.log.at(-1)!.ifRange).to.equal('"old"');
    expect(from(-1)).to.be.within(1, 90_000);
  });

  it('does not go on with a part of another address, or one whose facts are damaged', async () => {
    mkdirSync(folder);
    writeFileSync(`${folder}/set.zip.part`, 'other');
    for (const facts of ['{"url":"http://example.org/x","validator":"\\"v1\\""}', '{', 'null']) {
      writeFileSync(`${folder}/set.zip.part.json`, facts);
      server.files['set.zip']!.cuts = [0];
      await failure({ tries: 1 });
    }
    expect(server.log.every(({ range }) => range === undefined)).to.equal(true);
    await fetchIt();
    whole();
  });

  it('a part that was whole already is verified and gets its name', async () => {
    mkdirSync(folder);
    writeFileSync(`${folder}/set.zip.part`, content);
    writeFileSync(`${folder}/set.zip.part.json`, JSON.stringify({ url: `${server.url}/set.zip`, validator: '"v1"' }));
    await fetchIt();
    whole();
    expect(server.log).to.have.length(1);
  });

  it('does not take another part than it asked for', async () => {
    mkdirSync(folder);
    writeFileSync(`${folder}/set.zip.part`, content.subarray(0, 50_000));
    writeFileSync(`${folder}/set.zip.part.json`, JSON.stringify({ url: `${server.url}/set.zip`, validator: '"v1"' }));
    let first = true;
    server.files['set.zip'] = {
      content,
      answer: (request, response) => {
        const range = first ? { 'content-range': `bytes 0-199999/200000` } : {};
        expect(request.headers.range !== undefined).to.equal(first);
        response.writeHead(first ? 206 : 200, { 'content-length': content.length, ...range }).end(content);
        first = false;
      },
    };
    await fetchIt();
    whole();
  });

  it('deletes what has the wrong hash and says both', async () => {
    server.files['set.zip'] = { content: Buffer.from(noise(200_000, 7)) };
    const { message } = await failure();
    expect(message)
      .to.contain(known.sha256!)
      .and.contain(hash('sha256', noise(200_000, 7)));
    expect(here()).to.deep.equal([]);
    const short: KnownFile = { name: 'set.zip', md5: known.md5! };
    expect((await failure({ file: short })).message).to.contain(`MD5 ${known.md5}`);
  });

  it('takes a .gz that was repacked for its content', async () => {
    const packed = gzipSync(content, { level: 1 });
    server.files['x.gz'] = { content: packed };
    const content5 = { md5: hash('md5', content), bytes: content.length };
    const file = { name: 'x.gz', md5: hash('md5', gzipSync(content)), content: content5 };
    expect(await fetchIt({ file, path: 'x.gz' })).to.equal('fetched');
    server.files['y.gz'] = { content: packed.subarray(0, 100_000) };
    expect((await failure({ file: { ...file, name: 'y.gz' }, path: 'y.gz' })).message).to.match(/gzip data is damaged/);
    expect(here()).to.deep.equal(['x.gz']);
  });

  it('does not overwrite another file of that name', async () => {
    mkdirSync(folder);
    writeFileSync(`${folder}/set.zip`, 'mine');
    expect((await failure()).message).to.match(/is another file; move it away/);
    expect(readFileSync(`${folder}/set.zip`, 'utf8')).to.equal('mine');
    expect(server.log).to.deep.equal([]);
  });

  it('says what the server answers; tries again where the server is at fault', async () => {
    expect((await failure({ path: 'none.zip' })).message).to.match(/none\.zip: the server answers 404 Not Found/);
    expect(server.log).to.have.length(1);
    server.files['set.zip'] = { content, answer: (_, response) => response.writeHead(503).end() };
    expect((await failure({ tries: 3 })).message).to.match(/503/);
    expect(server.log).to.have.length(4);
    expect(here()).to.deep.equal([]);
  });

  it('follows redirects within bounds and to http only', async () => {
    const lead = (to: string) => ({
      content,
      answer: (_: unknown, response: import('node:http').ServerResponse) =>
        void response.writeHead(302, { location: to }).end(),
    });
    Object.assign(server.files, { a: lead('/b'), b: lead(`${server.url}/set.zip`), loop: lead('/loop') });
    Object.assign(server.files, { file: lead('file:///etc/passwd'), wrong: lead('http://[') });
    await fetchIt({ path: 'a' });
    whole();
    folder = folders.path(`lead ${count}`);
    expect((await failure({ path: 'loop' })).message).to.match(/leads on more than 5 times/);
    expect((await failure({ path: 'file' })).message).to.match(/by http and https only, not from file:/);
    expect((await failure({ path: 'wrong' })).message).to.match(/an address starts with/);
    expect(here()).to.deep.equal([]);
  });

  it('takes no more than the catalogue or the server says', async () => {
    expect((await failure({ file: { ...known, bytes: 5 } })).message).to.match(
      /has 5 bytes, but the server has 200000/,
    );
    server.files['set.zip'] = {
      content,
      answer: (_, response) => {
        response.writeHead(200); // chunked: no length
        const more = () => {
          while (!response.destroyed && response.write(content));
        };
        response.on('drain', more);
        more();
      },
    };
    expect((await failure()).message).to.match(/neither the server nor the catalogue says how large/);
    const { message } = await failure({ file: { ...known, bytes: 300_000 } });
    expect(message).to.match(/more than the 300000 bytes/);
  });

  it('refuses before it starts what the disk has no room for', async () => {
    const bytes = 2 ** 52;
    server.files['set.zip'] = {
      content,
      answer: (_, response) => void response.writeHead(200, { 'content-length': bytes }).write(content),
    };
    expect((await failure({ file: { ...known, bytes } })).message).to.match(/more bytes are needed, but \d+ are free/);
    expect(here()).to.deep.equal([]);
  });

  it('gives a silent server up', async () => {
    server.files['set.zip'] = {
      content,
      answer: (_, response) => void response.writeHead(200, { 'content-length': 10 }).write('1'),
    };
    const error = await failure({ tries: 1, idleMs: 50 });
    expect(error).to.be.instanceOf(ConnectionError);
  });

  it('a folder that cannot be made, an address that is none', async () => {
    folder = '/dev/null/x';
    expect((await failure()).message).to.match(/cannot make the folder/);
    folder = folders.path('none');
    const wrong = (url: string) => fetchFile(known, folder, { url }).catch((error) => error);
    expect((await wrong('mirror/set.zip')).message).to.match(/starts with http/);
    expect((await fetchFile({ name: 'x' }, folder).catch((error) => error)).message).to.match(/no public address/);
  });
});
