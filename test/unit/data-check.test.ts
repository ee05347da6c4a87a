// What check tells of a folder: synthetic sets with hashes of their own, and genuine files where they are at hand.
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync, gzipSync } from 'node:zlib';
import { expect } from 'chai';
import { DataError } from '../../lib/data/files.ts';
import { CATALOGUE, type CatalogueEntry, type KnownFile } from '../../lib/data/originals/catalogue.ts';
import { checkData, type Finding } from '../../lib/data/originals/check.ts';
import { zipBytes } from '../support/archives.ts';
import { testFolder, writeMnistLike } from '../support/image-sets.ts';

const md5 = (bytes: Uint8Array): string => createHash('md5').update(bytes).digest('hex');
const STEMS = ['train-images-idx3', 'train-labels-idx1', 't10k-images-idx3', 't10k-labels-idx1'];

/** An entry for the files in `folder`, as if they were what is distributed. */
function entryOf(name: string, folder: string): CatalogueEntry {
  const files = STEMS.map((stem): KnownFile => {
    const bytes = readFileSync(join(folder, `${stem}-ubyte.gz`));
    const content = gunzipSync(bytes);
    return {
      ...{ name: `${stem}-ubyte.gz`, bytes: bytes.length, md5: md5(bytes) },
      content: { md5: md5(content), bytes: content.length },
    };
  });
  return {
    ...{ name, title: name, page: 'https://example.org', licence: '', samples: { train: 5, test: 2 } },
    ...{ layouts: [{ kind: 'files', label: 'idx files', folder: '', files }], fetch: files, place: 'keep them' },
  };
}

describe('checkData', () => {
  const folder = testFolder();
  let catalogue: CatalogueEntry[] = [];
  beforeEach(() => {
    for (const [name, label] of [
      ['mnist', 7],
      ['fashion-mnist', 6],
    ] as const) {
      rmSync(folder.path(name), { recursive: true, force: true });
      mkdirSync(folder.path(name));
      const labels = Uint8Array.of(0, 0, 8, 1, 0, 0, 0, 2, label, 8);
      writeMnistLike(folder.path(name), { zip: true, files: { 't10k-labels-idx1-ubyte': labels } });
    }
    catalogue = ['mnist', 'fashion-mnist'].map((name) => entryOf(name, folder.path(name)));
  });
  const file = (stem: string) => folder.path(`mnist/${stem}-ubyte.gz`);
  const check = async (): Promise<Finding> => {
    const found = await checkData(folder.path('mnist'), { name: 'mnist', catalogue });
    expect(found).to.have.length(1);
    return found[0]!;
  };
  const states = ({ files }: Finding) => files.map(({ state }) => state);

  it('knows original files, also repacked or unpacked, and counts samples', async () => {
    const first = await check();
    expect(states(first)).to.deep.equal(['original', 'original', 'original', 'original']);
    expect(first).to.deep.include({ state: 'complete', samples: { train: 5, test: 2 } });
    expect(first.files.every(({ note }) => note === null)).to.equal(true);
    const [images, labels] = [file('train-images-idx3'), file('train-labels-idx1')];
    writeFileSync(images, gzipSync(gunzipSync(readFileSync(images)), { level: 0 }));
    writeFileSync(labels.replace('.gz', ''), gunzipSync(readFileSync(labels)));
    rmSync(labels);
    const second = await check();
    expect(states(second)).to.deep.equal(['original', 'original', 'original', 'original']);
    expect(second.files[0]!.note).to.match(/repacked/);
  });

  it('tells a file that differs but can be read from one that is damaged', async () => {
    const changed = gunzipSync(readFileSync(file('train-images-idx3')));
    changed[changed.length - 1]! ^= 1;
    writeFileSync(file('train-images-idx3'), gzipSync(changed));
    const found = await check();
    expect(states(found)).to.deep.equal(['differs', 'original', 'original', 'original']);
    expect(found.state).to.equal('complete');

    const labels = gunzipSync(readFileSync(file('t10k-labels-idx1')));
    labels[9] = 10;
    writeFileSync(file('t10k-labels-idx1'), gzipSync(labels));
    const wrong = await check();
    expect(states(wrong)).to.deep.equal(['differs', 'original', 'original', 'damaged']);
    expect(wrong.files[3]!.note).to.match(/at byte 9.*labels of mnist go from 0 to 9/);
    expect(wrong).to.deep.include({ state: 'damaged', samples: null });
  });

  it('tells cut off, flipped, empty and missing files', async () => {
    const bytes = readFileSync(file('train-images-idx3'));
    truncateSync(file('train-images-idx3'), bytes.length - 9);
    const labels = readFileSync(file('train-labels-idx1'));
    labels[labels.length - 6]! ^= 4; // the checksum in the file
    writeFileSync(file('train-labels-idx1'), labels);
    writeFileSync(file('t10k-images-idx3'), '');
    rmSync(file('t10k-labels-idx1'));
    const found = await check();
    expect(states(found)).to.deep.equal(['damaged', 'damaged', 'damaged', 'missing']);
    expect(found.state).to.equal('damaged');
    rmSync(file('t10k-images-idx3'));
    writeFileSync(file('train-images-idx3'), bytes);
    rmSync(file('train-labels-idx1'));
    expect(await check()).to.include({ state: 'incomplete', samples: null });
  });

  it('takes data sets whose files have the same names for what their hashes say, else for what their folder says', async () => {
    const found = await checkData(folder.path(), { catalogue });
    expect(found.map(({ set, folder: place }) => [set.name, place])).to.have.deep.members([
      ['mnist', folder.path('mnist')],
      ['fashion-mnist', folder.path('fashion-mnist')],
    ]);
    for (const name of ['mnist', 'fashion-mnist']) {
      writeMnistLike(folder.path(name), {
        zip: true,
        files: { 't10k-labels-idx1-ubyte': Uint8Array.of(0, 0, 8, 1, 0, 0, 0, 2, 1, 1) },
      });
    }
    const again = await checkData(folder.path(), { catalogue });
    expect(again.map(({ set, folder: place }) => folder.path(set.name) === place)).to.deep.equal([true, true]);
  });

  it('counts recordings in class folders; an empty one is damaged', async () => {
    const tree: CatalogueEntry = {
      ...{ name: 'gestures', title: 'G', page: '', licence: '', samples: { all: 3 }, fetch: [], place: '' },
      layouts: [{ kind: 'tree', label: 'trials', folder: 'G', parts: [{ path: '', ending: '.aedat', count: 3 }] }],
    };
    const look = () => checkData(folder.path(), { catalogue: [tree] });
    expect(await look()).to.deep.equal([]);
    for (const name of ['a/1.aedat', 'a/2.aedat', 'b/1.aedat', 'b/1.csv']) {
      mkdirSync(dirname(folder.path(`G/${name}`)), { recursive: true });
      writeFileSync(folder.path(`G/${name}`), 'x');
    }
    const [whole] = await look();
    expect(whole).to.include({ state: 'complete', bytes: 3 });
    rmSync(folder.path('G/a/2.aedat'));
    expect((await look())[0]!.parts[0]).to.include({ found: 2, expected: 3 });
    expect((await look())[0]!.state).to.equal('incomplete');
    writeFileSync(folder.path('G/a/2.aedat'), '');
    const [damaged] = await look();
    expect(damaged!.state).to.equal('damaged');
    expect(damaged!.parts[0]!.empty).to.equal(folder.path('G/a/2.aedat'));
  });

  it('an archive that is cut off is damaged; folders and files that only share a name are left alone', async () => {
    mkdirSync(folder.path('other/train'), { recursive: true });
    writeFileSync(folder.path('other/test'), 'not ours');
    writeFileSync(folder.path('other/cifar-10-binary.tar.gz'), gzipSync('too short').subarray(0, 12));
    const found = await checkData(folder.path('other'));
    expect(found.map(({ set, label }) => `${set.name} ${label}`)).to.deep.equal(['cifar10 as distributed']);
    expect(found[0]).to.include({ state: 'damaged', archive: true });
  });

  it('a zip that is none is damaged, another one differs', async () => {
    mkdirSync(folder.path('n-cars'));
    const file = folder.path('n-cars/Prophesee_Dataset_n_cars.zip');
    writeFileSync(file, 'no archive');
    expect((await checkData(folder.path('n-cars')))[0]).to.include({ state: 'damaged' });
    const other = zipBytes({ 'a.txt': 'a' });
    writeFileSync(file, other.subarray(0, -1));
    expect((await checkData(folder.path('n-cars')))[0]).to.include({ state: 'damaged' });
    writeFileSync(file, other);
    expect((await checkData(folder.path('n-cars')))[0]!.files[0]).to.include({ state: 'differs' });
  });

  it('refuses what is not a folder', async () => {
    const error = await checkData(folder.path('nowhere')).catch((caught) => caught);
    expect(error).to.be.instanceOf(DataError);
  });

  it('genuine MNIST and Fashion-MNIST have the content that is on record', async function () {
    const data = process.env.SPIKELOOM_TEST_DATA ?? fileURLToPath(new URL('../../../shared/data', import.meta.url));
    if (!existsSync(join(data, 'mnist')) || !existsSync(join(data, 'fashion-mnist'))) this.skip();
    for (const name of ['mnist', 'fashion-mnist']) {
      const [found, ...more] = await checkData(join(data, name));
      expect(more).to.deep.equal([]);
      expect([found!.set.name, ...states(found!)]).to.deep.equal([name, ...Array(4).fill('original')]);
      expect(found!.samples).to.deep.equal({ train: 60_000, test: 10_000 });
    }
  });
});

describe('the catalogue of data sets', () => {
  const known = CATALOGUE.flatMap(({ fetch, layouts }) => [
    ...fetch,
    ...layouts.flatMap((layout) => (layout.kind === 'files' ? layout.files : [])),
  ]);

  it('has one entry a name, each with a page and a way to get it', () => {
    const names = CATALOGUE.map(({ name }) => name);
    expect(new Set(names).size).to.equal(names.length);
    for (const { page, place, fetch, layouts } of CATALOGUE) {
      expect(page).to.match(/^https?:\/\//);
      expect(place).to.have.length.above(10);
      expect(fetch).to.have.length.above(0);
      expect(layouts).to.have.length.above(0);
    }
  });

  it('has hashes of the right length, and one for every file that can be fetched', () => {
    for (const { name, md5: short, sha256, content } of known) {
      for (const hash of [short, content?.md5]) if (hash !== undefined) expect(hash, name).to.match(/^[0-9a-f]{32}$/);
      if (sha256 !== undefined) expect(sha256, name).to.match(/^[0-9a-f]{64}$/);
    }
    for (const { name, url, md5: short, sha256 } of known) {
      if (url !== undefined) {
        expect(new URL(url).protocol, name).to.equal('https:');
        expect(short ?? sha256, name).to.be.a('string');
      }
    }
  });

  it('names files that stay in their folder', () => {
    for (const { name } of known) expect(name).to.match(/^[\w.-]+$/);
  });
});
