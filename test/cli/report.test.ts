// A tiny run's report, and runs side by side.
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { expect } from 'chai';
import { numberSet } from '../../lib/data/index.ts';
import { define, flatten, linear, meanOverTime } from '../../lib/nn/index.ts';
import { train as training } from '../../lib/train/train.ts';
import { testFolder } from '../support/image-sets.ts';
import { spikeloom } from './spawn.ts';

describe('spikeloom report and compare', () => {
  const folder = testFolder();
  const run = (name: string) => folder.path(`${name}-0001`);
  before(async () => {
    const tiny = [
      'model.width=2',
      'data.train_limit=32',
      'data.test_limit=20',
      'batch=8',
      'threads=1',
      `out=${folder.path()}`,
    ];
    const train = (...more: string[]) => spikeloom(['train', 'recipes/quickstart.yaml', ...tiny, ...more]);
    const outcomes = await Promise.all([
      train('name=with', 'epochs=2'),
      train('name=without', 'epochs=1', 'model.attention=none'),
      train('name=other', 'epochs=1', 'data.test_limit=10'),
    ]);
    for (const { status, stderr } of outcomes) expect(status, stderr).to.equal(0);
  });

  it('a run leaves its report and its table of metrics, and the command makes the report again', async () => {
    const page = readFileSync(`${run('with')}/report.html`, 'utf8');
    expect(page).to.match(/last test accuracy, epoch 2/);
    expect(readFileSync(`${run('with')}/metrics.csv`, 'utf8')).to.match(/^epoch,loss,accuracy,.*\n0,.*\n1,.*\n$/);
    expect(JSON.parse(readFileSync(`${run('with')}/data.json`, 'utf8'))).to.deep.equal({
      ...{ name: 'fashion-mnist', train: 32, test: 20, classes: 10 },
    });
    writeFileSync(`${run('with')}/report.html`, '');
    const { status, stdout, stderr } = await spikeloom(['report', run('with')]);
    expect([status, stdout, stderr]).to.deep.equal([0, `${run('with')}/report.html\n`, '']);
    expect(readFileSync(`${run('with')}/report.html`, 'utf8')).to.equal(page);
  });

  it('compares runs of the same data, and says which settings differ', async () => {
    const out = folder.path('both.html');
    const { status, stdout } = await spikeloom(['compare', run('with'), run('without'), '--json', '--out', out]);
    expect(status).to.equal(0);
    const { runs, differing } = JSON.parse(stdout);
    expect(runs.map(({ name, epochs }: Record<string, unknown>) => [name, epochs])).to.deep.equal([
      ['with-0001', 2],
      ['without-0001', 1],
    ]);
    expect(differing).to.deep.equal({ epochs: ['2', '1'], 'model.attention': ['"fsta"', '"none"'] });
    expect(readFileSync(out, 'utf8')).to.contain('model.attention');
  });

  it('tells runs of one name apart by their folders', async () => {
    const again = folder.path('lr=0.1/with-0001');
    cpSync(run('with'), again, { recursive: true });
    const page = folder.path('same.html');
    const { status, stdout } = await spikeloom(['compare', run('with'), again, '--out', page]);
    expect(status).to.equal(0);
    for (const text of [stdout, readFileSync(page, 'utf8')]) expect(text).to.contain(run('with')).and.contain(again);
  });

  it('sets regressions side by side by their test losses', async () => {
    const net = define('line', () => [flatten(), linear(1), meanOverTime()])({
      steps: 1,
      channels: 3,
      size: 1,
      seed: 1,
    });
    const numbers = new Float32Array(60).map((_, i) => Math.sin(i));
    const targets = new Float32Array(20).map((_, i) => Math.cos(i));
    const set = numberSet({ name: 'line', numbers, shape: [3, 1, 1], targets, targetShape: [1] });
    const out = folder.path('line');
    const losses: number[] = [];
    const data = { train: set, test: set };
    for await (const { testLoss } of training(net, { data, epochs: 2, workers: 0, out })) losses.push(testLoss);
    net.dispose();
    const page = folder.path('lines.html');
    const copy = folder.path('copy');
    cpSync(out, copy, { recursive: true });
    const [text, json] = await Promise.all([
      spikeloom(['compare', out, copy, '--out', page]),
      spikeloom(['compare', out, copy, '--json']),
    ]);
    expect([text.status, json.status], text.stderr).to.deep.equal([0, 0]);
    expect(text.stdout).to.match(
      /^run +epochs +best test loss +epoch +last test loss +firing rate +images\/s\nline +2 +0\./,
    );
    const lowest = Math.min(...losses);
    expect(JSON.parse(json.stdout).runs[1]).to.deep.include({
      ...{ best: null, last: null, test_loss: losses[1] },
      best_loss: { epoch: losses.indexOf(lowest) + 1, loss: lowest },
    });
    for (const shown of [text.stdout, readFileSync(page, 'utf8')]) expect(shown).not.to.match(/[Aa]ccuracy|\bNaN\b/);
  });

  it('refuses runs of other test samples with 1, and what is not a run with 2', async () => {
    const refused = await spikeloom(['compare', run('with'), run('other')]);
    expect([refused.status, refused.stdout]).to.deep.equal([1, '']);
    expect(refused.stderr).to.match(/the test samples are 20 and 10/);
    const wrong = await Promise.all([
      spikeloom(['compare', run('with')]),
      spikeloom(['compare', run('with'), folder.path('none')]),
      spikeloom(['report', folder.path('none')]),
    ]);
    expect(wrong.map(({ status, stdout }) => [status, stdout])).to.deep.equal(Array(3).fill([2, '']));
  });
});
