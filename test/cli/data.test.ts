// spikeloom data: check, fetch, show.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  cpSync,
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { expect } from 'chai';
import { loadRecipe } from '../../lib/train/recipe.ts';
import { createRun } from '../../lib/train/run-folder.ts';
import { aedat2, someEvents, writeTree } from '../support/event-files.ts';
import { CIFAR10_CLASSES } from '../support/event-sets.ts';
import { type FileServer, startFileServer } from '../support/file-server.ts';
import { testFolder } from '../support/image-sets.ts';
import { decodePng } from '../support/png.ts';
import { program, root, spikeloom } from './spawn.ts';

const SHIPPED = `${root}datasets/fashion-mnist-small`;

describe('spikeloom data check', () => {
  const folder = testFolder();

  it('finds what ships, says that it differs from the original, and ends with 0', async () => {
    const { status, stdout, stderr } = await spikeloom(['data', 'check', 'datasets', '--json']);
    expect(status, stderr).to.equal(0);
    const { found, absent } = JSON.parse(stdout);
    const shipped = found.find(({ folder: place }: { folder: string }) => place === 'datasets/fashion-mnist-small');
    expect(shipped).to.deep.include({
      name: 'fashion-mnist',
      state: 'complete',
      samples: { train: 12_000, test: 2000 },
    });
    expect(shipped.files.map(({ state }: { state: string }) => state)).to.deep.equal(Array(4).fill('differs'));
    expect(absent.find(({ name }: { name: string }) => name === 'dvs128-gesture')).to.include({ can_fetch: false });
  });

  it('tells a damaged file and ends with 1', async () => {
    cpSync(SHIPPED, folder.path('damaged'), { recursive: true });
    truncateSync(folder.path('damaged/t10k-images-idx3-ubyte.gz'), 5000);
    const { status, stdout } = await spikeloom(['data', 'check', folder.path('damaged'), '--name', 'fashion-mnist']);
    expect(status).to.equal(1);
    expect(stdout).to.match(/^Fashion-MNIST, idx files: DAMAGED/);
    expect(stdout).to.match(/t10k-images-idx3-ubyte\.gz .* DAMAGED: the gzip data is damaged or cut off/);
  });

  it('says where to get what is not there, and ends with 1', async () => {
    const { status, stdout } = await spikeloom(['data', 'check', SHIPPED, '--name', 'cifar10']);
    expect(status).to.equal(1);
    expect(stdout).to.contain('https://www.cs.toronto.edu/~kriz/cifar.html');
    expect(stdout).to.contain('spikeloom data fetch cifar10 --to ');
  });

  it('ends with 2 for a folder or a data set that does not exist', async () => {
    const wrong = [['check', '/nonexistent'], ['check', 'datasets', '--name', 'cifar11'], ['chekc'], []];
    const outcomes = await Promise.all(wrong.map((args) => spikeloom(['data', ...args])));
    expect(outcomes.map(({ status, stdout }) => [status, stdout])).to.deep.equal(Array(4).fill([2, '']));
    expect(outcomes[0]!.stderr).to.equal('spikeloom: there is no folder /nonexistent\n');
  });
});

describe('spikeloom data fetch', () => {
  const folder = testFolder();
  let server: FileServer;
  before(async () => {
    server = await startFileServer();
  });
  after(() => server.close());
  const fetchShd = (...more: string[]) =>
    spikeloom(['data', 'fetch', 'shd', '--to', folder.path('my data'), '--from', server.url, ...more]);

  it('says where to get what has no public address, and ends with 1', async () => {
    const { status, stdout, stderr } = await spikeloom(['data', 'fetch', 'dvs128-gesture', '--to', folder.path()]);
    expect([status, stderr]).to.deep.equal([1, '']);
    expect(stdout).to.match(/https:\/\/research\.ibm\.com.*\n.*CC BY 4\.0.*\n.*DvsGesture\.tar\.gz/);
    expect(existsSync(folder.path('dvs128-gesture'))).to.equal(false);
  });

  it('ends with 1 and the page where the server has no such file, or another one', async () => {
    const missing = await fetchShd('--json');
    expect(missing.status).to.equal(1);
    expect(missing.stderr).to.match(/the server answers 404.*The data set's page: https:\/\/zenkelab\.org/);
    const lines = missing.stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(lines[0]).to.include({ event: 'start', url: `${server.url}/shd_train.h5.zip` });
    expect(lines.slice(1).map(({ event, status }) => [event, status])).to.deep.equal([['error', 1]]);
    server.files['shd_train.h5.zip'] = { content: Buffer.from('not it') };
    const wrong = await fetchShd();
    expect(wrong.status).to.equal(1);
    expect(wrong.stderr).to.match(/must have the MD5 f3252aeb598ac776c1b526422d90eecb, but has/);
    expect(readdirSync(folder.path('my data/shd'))).to.deep.equal([]);
  });

  it('needs no addon', async () => {
    server.files['shd_train.h5.zip'] = { content: Buffer.from('not it') };
    const args = ['data', 'fetch', 'shd', '--to', folder.path('bare'), '--from', server.url];
    const { stderr } = await spikeloom(args, { env: { SPIKELOOM_BUILD: folder.path('none') } });
    expect(stderr).to.match(/must have the MD5 f3252aeb598ac776c1b526422d90eecb, but has/);
  });

  it('says what the system refuses, and no more', async () => {
    server.files['shd_train.h5.zip'] = { content: Buffer.from('not it') };
    const part = folder.path('my data/shd/shd_train.h5.zip.part');
    mkdirSync(part, { recursive: true });
    const { status, stderr } = await fetchShd();
    rmSync(part, { recursive: true });
    expect(status).to.equal(1);
    expect(stderr).to.match(/^spikeloom: EISDIR: .*shd_train\.h5\.zip\.part'\n$/);
    const inFile = await spikeloom(['data', 'fetch', 'shd', '--to', 'README.md', '--from', server.url]);
    expect(inFile.stderr).to.match(/^spikeloom: cannot make the folder README\.md\/shd: EEXIST: .*'README\.md'\n$/);
  });

  it('keeps what has arrived at Ctrl-C and says how to go on', async () => {
    server.files['shd_train.h5.zip'] = {
      content: Buffer.alloc(0),
      answer: (_, response) => void response.writeHead(200, { 'content-length': 1e6, etag: '"1"' }).write('begun'),
    };
    const args = ['data', 'fetch', 'shd', '--to', folder.path('my data'), '--from', server.url];
    const part = folder.path('my data/shd/shd_train.h5.zip.part');
    const stopped = await spikeloom([...args, '--json'], {
      onOutput: (text, kill) => {
        if (text.includes('interrupted')) return;
        const timer = setInterval(() => {
          if (!existsSync(part) || readFileSync(part, 'utf8') !== 'begun') return;
          clearInterval(timer);
          kill('SIGINT');
        }, 20);
      },
    });
    expect(stopped.status, stopped.stderr).to.equal(130);
    const last = JSON.parse(stopped.stdout.trim().split('\n').at(-1)!);
    expect(last.event).to.equal('interrupted');
    expect(last.resume).to.equal(`npx spikeloom data fetch shd --to '${folder.path('my data')}' --from ${server.url}`);
    expect(readFileSync(part, 'utf8')).to.equal('begun');
  });

  it('ends with 2 for a data set or an address that does not exist', async () => {
    const outcomes = await Promise.all([
      spikeloom(['data', 'fetch', 'cifar11']),
      spikeloom(['data', 'fetch', 'mnist', '--from', 'ftp://example.org']),
    ]);
    expect(outcomes.map(({ status, stdout }) => [status, stdout])).to.deep.equal([
      [2, ''],
      [2, ''],
    ]);
  });
});

describe('spikeloom data show', () => {
  const folder = testFolder();
  const show = (...args: string[]) => spikeloom(['data', 'show', ...args]);

  it('draws the samples that open an epoch, with their classes, the same each time', async () => {
    const args = ['recipes/quickstart.yaml', '--samples', '12', '--augment', 'basic', '--epoch', '3'];
    const [svg, again, png] = await Promise.all([
      show(...args, '--out', folder.path('a.svg'), '--json'),
      show(...args, '--out', folder.path('b.svg')),
      show(...args, '--out', folder.path('c.png')),
    ]);
    expect([svg.status, again.status, png.status], svg.stderr + png.stderr).to.deep.equal([0, 0, 0]);
    const { labels, samples, augment } = JSON.parse(svg.stdout);
    expect(augment).to.equal('basic');
    expect(new Set(samples).size).to.equal(12);
    const text = readFileSync(folder.path('a.svg'), 'utf8');
    expect([...text.matchAll(/<text[^>]*>(.*)<\/text>/g)].map(([, label]) => label)).to.deep.equal(labels);
    expect(readFileSync(folder.path('b.svg'), 'utf8')).to.equal(text);
    const [, inside] = /base64,([^"]+)"/.exec(text)!;
    expect(decodePng(Buffer.from(inside!, 'base64')).width).to.equal(
      decodePng(readFileSync(folder.path('c.png'))).width,
    );
    expect(png.stdout).to.match(/12 training samples of fashion-mnist, augment basic\n$/);
  });

  it('takes a data set by name, and test samples in file order', async () => {
    const out = folder.path('test.svg');
    const { status, stdout } = await show('fashion-mnist', SHIPPED, '--test', '--samples', '3', '--out', out, '--json');
    expect(status).to.equal(0);
    expect(JSON.parse(stdout)).to.deep.include({ name: 'fashion-mnist', samples: [0, 1, 2], augment: 'none' });
  });

  it('is stopped by a signal while recordings are read, as are train and a run that goes on', async () => {
    const recordings = folder.path('recordings');
    const [first, ...others] = CIFAR10_CLASSES.flatMap((label) =>
      Array.from({ length: 20 }, (_, i) => `${label}/cifar10_${label}_${i}.aedat`),
    );
    writeTree(recordings, { [first!]: aedat2(someEvents(300_000, 128, 128, 1)) });
    for (const name of others) {
      mkdirSync(dirname(join(recordings, name)), { recursive: true });
      linkSync(join(recordings, first!), join(recordings, name));
    }
    const keys = ['recipes/cifar10-dvs.yaml', `data.root=${recordings}`, `out=${folder.path('runs')}`];
    const { paths, metrics } = createRun(loadRecipe(keys[0]!, keys.slice(1)));
    metrics.close();
    writeFileSync(paths.state, ''); // without one it would be refused; it is read after the data
    const run = paths.folder;
    const resume = `npx spikeloom train --resume ${run}`;
    const cases: [args: string[], work: string, told: object][] = [
      [['data', 'show', 'cifar10-dvs', recordings, '--out', folder.path('none.svg')], 'ending this', {}],
      [['train', ...keys], 'finishing this step and saving', { run: null, resume: null }],
      [['train', '--resume', run], 'finishing this step and saving', { run, resume }],
    ];
    for (const [args, work, told] of cases) {
      const child = spawn(process.execPath, [...program, ...args, '--json'], { cwd: root });
      let [stdout, stderr] = ['', ''];
      child.stdout.on('data', (text) => (stdout += text));
      child.stderr.on('data', (text) => (stderr += text));
      const begun = setInterval(() => {
        if (readdirSync(recordings).length === CIFAR10_CLASSES.length) return;
        child.kill('SIGINT');
        clearInterval(begun);
      }, 5);
      const [status] = await once(child, 'close');
      clearInterval(begun);
      expect(status, stderr).to.equal(130);
      expect(JSON.parse(stdout)).to.deep.equal({ event: 'interrupted', ...told });
      expect(stderr).to.equal(`spikeloom: SIGINT: ${work}; once more ends it at once\n`);
      rmSync(join(recordings, 'spikeloom-cache'), { recursive: true });
    }
    expect(existsSync(folder.path('none.svg'))).to.equal(false);
    expect(readdirSync(folder.path('runs'))).to.deep.equal([basename(run)]);
  });

  it('ends with 2 for wrong arguments and with 1 for data that is not there', async () => {
    const wrong = await Promise.all([
      show('fashion-mnist'),
      show('recipes/none.yaml'),
      show('recipes/quickstart.yaml', '--out', 'x.jpg'),
      show('recipes/quickstart.yaml', '--samples', '0'),
      show('mnist', folder.path(), '--out', folder.path('x.svg')),
    ]);
    expect(wrong.map(({ status, stdout }) => [status, stdout])).to.deep.equal([...Array(4).fill([2, '']), [1, '']]);
    expect(wrong[0]!.stderr).to.match(/data show fashion-mnist ROOT/);
  });
});
