import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { expect } from 'chai';
import { fashionMnist } from '../../lib/data/images/idx.ts';
import { openData } from '../../lib/train/data-sets.ts';
import { loadRecipe } from '../../lib/train/recipe.ts';

const root = fileURLToPath(new URL('../../datasets/fashion-mnist-small/', import.meta.url));

describe('data: the shipped part of Fashion-MNIST', () => {
  it('holds 12,000 + 2,000 images of 28x28, the same number of every class', () => {
    const { train, test } = fashionMnist(root);
    for (const [half, perClass] of [
      [train, 1200],
      [test, 200],
    ] as const) {
      expect([half.count, half.channels, half.height, half.width]).to.deep.equal([10 * perClass, 1, 28, 28]);
      const counts = new Array<number>(10).fill(0);
      for (const label of half.labels) counts[label]! += 1;
      expect(counts).to.deep.equal(new Array(10).fill(perClass));
    }
  });

  it('has the brightness of the whole set', () => {
    const { images, mean, std } = fashionMnist(root).train;
    let sum = 0;
    let squares = 0;
    for (const pixel of images) {
      sum += pixel / 255;
      squares += (pixel / 255) ** 2;
    }
    expect(sum / images.length).to.be.closeTo(mean[0]!, 0.005);
    expect(Math.sqrt(squares / images.length - (sum / images.length) ** 2)).to.be.closeTo(std[0]!, 0.005);
  });

  const sums = {
    'train-images-idx3-ubyte.gz': 'ded9297f1d7b567047797bb831eb9cfd84010a483a4075cb9fc0465219002cb7',
    'train-labels-idx1-ubyte.gz': '11a34fec6f816dbe22c806d6de7e130fa048759622a0e6f6da8feb272e09ee1d',
    't10k-images-idx3-ubyte.gz': '15a92dd1e9b16ea361928086e77df4dfa890c255c00b5a8c8162c1040ce8eef1',
    't10k-labels-idx1-ubyte.gz': '234596aeb6eb48133ec99a62541f90bc0728c9559a681f1e0638037462458f2c',
  };
  for (const [name, sum] of Object.entries(sums)) {
    it(`${name} has the content that its script writes, and a header without time or machine`, () => {
      const bytes = readFileSync(`${root}${name}`);
      expect(createHash('sha256').update(gunzipSync(bytes)).digest('hex')).to.equal(sum);
      expect([...bytes.subarray(3, 8), bytes[9]]).to.deep.equal([0, 0, 0, 0, 0, 255]);
    });
  }

  it('comes with its licence', () => {
    const licence = readFileSync(`${root}LICENSE`, 'utf8');
    expect(licence).to.include('MIT License').and.include('2017 Zalando SE');
  });

  it('is found from any folder, as the recipes are; a file that is there goes before', async () => {
    const before = process.cwd();
    const elsewhere = mkdtempSync(join(tmpdir(), 'spikeloom-elsewhere-'));
    try {
      process.chdir(elsewhere);
      const settings = loadRecipe('recipes/quickstart.yaml', ['data.test_limit=20']);
      expect(settings.name).to.equal('quickstart');
      expect((await openData(settings)).test.count).to.equal(20);
      expect(fashionMnist('datasets/fashion-mnist-small').test.count).to.equal(2000);
      expect(() => fashionMnist('datasets/none')).to.throw(/^datasets.none: .*not found/);
      expect(() => loadRecipe('recipes/../package.json')).to.throw('cannot read the recipe');
      mkdirSync('recipes');
      writeFileSync('recipes/quickstart.yaml', 'name: 3\n');
      expect(() => loadRecipe('recipes/quickstart.yaml')).to.throw(/^recipes.quickstart.yaml:1/);
      mkdirSync('datasets/fashion-mnist-small', { recursive: true });
      expect(() => fashionMnist('datasets/fashion-mnist-small')).to.throw(/fashion-mnist-small lacks train-images/);
    } finally {
      process.chdir(before);
      rmSync(elsewhere, { recursive: true });
    }
  });
});
