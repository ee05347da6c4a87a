// spikeloom data: check, fetch, show.
import { cpSync, truncateSync } from 'node:fs';
import { expect } from 'chai';
import { testFolder } from '../support/image-sets.ts';
import { root, spikeloom } from './spawn.ts';

const SHIPPED = `${root}datasets/fashion-mnist-small`;

describe('spikeloom data check', function () {
  this.timeout(30_000);
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
