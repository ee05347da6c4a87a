// Reports and comparisons from run folders written by hand.
import { mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { expect } from 'chai';
import fc from 'fast-check';
import { SpikeloomError } from '../../lib/core/errors.ts';
import { compareRuns } from '../../lib/train/compare.ts';
import { metricsCsv } from '../../lib/train/metrics-csv.ts';
import { ReportKeeper, writeReport } from '../../lib/train/report.ts';
import { drawChart, label, scriptJson, ticks } from '../../lib/train/report-chart.ts';
import { accuracies, median, readRun } from '../../lib/train/run-record.ts';
import { testFolder } from '../support/image-sets.ts';

const data = { name: 'mnist', train: 100, test: 50, classes: 10, split: { name: 'tet', hash: 'ab'.repeat(32) } };
const epoch = (i: number, accuracy: number, more = {}) => ({
  ...{ epoch: i, loss: 2 - i / 10, accuracy, trainAccuracy: accuracy, testLoss: 2, lr: 0.1, imagesPerSecond: 100 + i },
  ...{ firingRate: 0.2, firingRates: { 'conv1.2': 0.1, 'layer1.0.relu1': 0.3 }, waitShare: 0, seconds: 1, ...more },
});

describe('reports', () => {
  const folders = testFolder();
  let count = 0;
  /** A run folder with these files; undefined leaves one out. */
  const runOf = (records: object[], files: Record<string, string | undefined> = {}): string => {
    const folder = folders.path(`run-${++count}`);
    mkdirSync(folder);
    const all = {
      'metrics.jsonl': records.map((record) => `${JSON.stringify(record)}\n`).join(''),
      'data.json': JSON.stringify(data),
      'environment.json': JSON.stringify({ spikeloom: '1', cpu: 'a <b>', command: ['node', 'x'] }),
      'settings.yaml': 'seed: 1\nmodel:\n  name: tiny\nname: a\n',
      ...files,
    };
    for (const [name, text] of Object.entries(all)) if (text !== undefined) writeFileSync(`${folder}/${name}`, text);
    return folder;
  };

  it('are one page with best and last accuracy, every layer, the split, and nothing from elsewhere', () => {
    const folder = runOf([epoch(0, 0.5), epoch(1, 0.75), epoch(2, 0.75), epoch(3, 0.7)]);
    const file = writeReport(folder);
    expect(file).to.equal(`${folder}/report.html`);
    const page = readFileSync(file, 'utf8');
    expect(page).to.match(/best test accuracy, epoch 2<\/dt><dd>75\.00 %/);
    expect(page).to.match(/last test accuracy, epoch 4<\/dt><dd>70\.00 %/);
    for (const text of ['conv1.2', 'layer1.0.relu1', data.split.hash, 'a &lt;b&gt;', 'node x'])
      expect(page).to.contain(text);
    expect(page).not.to.match(/<link|<img|src=|@import|url\(|https?:\/\//);
    expect(page).to.contain("default-src 'none'");
    for (const [, json] of page.matchAll(/<script type="application\/json">(.*)<\/script>/g)) {
      const { series } = JSON.parse(json!);
      for (const values of series) expect(values).to.have.length(4);
    }
    expect(readFileSync(`${folder}/metrics.csv`, 'utf8').split('\n')).to.have.length(6);
  });

  it('read regular files only: a device need not end, a pipe would be waited for', () => {
    for (const name of ['metrics.jsonl', 'data.json', 'environment.json', 'settings.yaml']) {
      const folder = runOf([epoch(0, 0.5)], { [name]: undefined });
      symlinkSync('/dev/null', `${folder}/${name}`);
      expect(() => readRun(folder), name).to.throw(SpikeloomError, /not a regular file/);
    }
  });

  it('hold in a file what could end an element or start one', () => {
    const bad = '</script><script>alert(1)</script>';
    const firingRates = { [bad]: 0.5 };
    const folder = runOf([epoch(0, 0.5, { firingRates })], { 'settings.yaml': `name: '${bad}'\n` });
    const page = readFileSync(writeReport(folder), 'utf8');
    expect(page).not.to.contain('alert(1)</script>');
    expect(page.match(/<script/g)).to.have.length(7);
    expect(scriptJson(bad)).not.to.contain('<');
  });

  it('are made of runs without an epoch, of older versions, and with gaps', () => {
    const page = readFileSync(
      writeReport(runOf([], { 'data.json': undefined, 'environment.json': undefined })),
      'utf8',
    );
    expect(page).not.to.contain('best test accuracy');
    const gaps = [epoch(0, 0.5), { epoch: 1, loss: null }, epoch(2, 0.6), { epoch: 3 }];
    const chart = readFileSync(writeReport(runOf(gaps, { 'settings.yaml': undefined })), 'utf8');
    expect(chart).not.to.match(/NaN|undefined|Infinity/);
    expect(chart).to.match(/best test accuracy, epoch 3/);
  });

  it('refuse what is not a run folder, and damaged files by name', () => {
    expect(() => writeReport(folders.path())).to.throw(SpikeloomError, /not a run folder: it has no metrics\.jsonl/);
    expect(() => writeReport(runOf([], { 'metrics.jsonl': 'x\n' }))).to.throw(SpikeloomError, /metrics\.jsonl:1/);
    expect(() => writeReport(runOf([], { 'environment.json': '[' }))).to.throw(SpikeloomError, /environment\.json/);
    expect(() => writeReport(runOf([], { 'data.json': '3' }))).to.throw(SpikeloomError, /data\.json/);
  });

  it('are kept up to date without ending the run when they cannot be', async () => {
    const folder = runOf([epoch(0, 0.5)]);
    const notes: string[] = [];
    const keeper = new ReportKeeper(folder, (text) => notes.push(text));
    await keeper.close();
    expect(() => readFileSync(`${folder}/report.html`)).to.throw();
    await keeper.epochOver();
    expect(readFileSync(`${folder}/report.html`, 'utf8')).to.contain('epoch 1<');
    writeFileSync(
      `${folder}/metrics.jsonl`,
      [epoch(0, 0.5), epoch(1, 0.6)].map((e) => `${JSON.stringify(e)}\n`).join(''),
    );
    await keeper.epochOver(); // too soon for another one
    expect(readFileSync(`${folder}/report.html`, 'utf8')).not.to.contain('epoch 2<');
    await keeper.close();
    expect(readFileSync(`${folder}/report.html`, 'utf8')).to.contain('epoch 2<');
    expect(notes).to.deep.equal([]);
    await keeper.epochOver();
    rmSync(folder, { recursive: true });
    await keeper.close();
    expect(notes).to.have.length(1);
    expect(notes[0]).to.match(/no report was written: there is no run folder/);
  });

  describe('comparing', () => {
    const compare = (...folders: string[]) => compareRuns(folders.map(readRun));

    it('gives best and last accuracy and the settings that differ, but not their places', () => {
      const a = runOf([epoch(0, 0.5), epoch(1, 0.4)], {
        'settings.yaml': 'name: a\nout: x\nseed: 1\nmodel: { name: tiny, width: 4 }\n',
      });
      const b = runOf([epoch(0, 0.3)], {
        'settings.yaml': 'name: b\nout: y\nseed: 1\nmodel: { name: tiny, size: [3, 4] }\n',
      });
      const { runs, differing } = compare(a, b);
      expect(runs[0]).to.deep.include({
        epochs: 2,
        best: { epoch: 1, accuracy: 0.5 },
        last: { epoch: 2, accuracy: 0.4 },
      });
      expect(runs[1]).to.deep.include({ epochs: 1, trainSamples: 100, imagesPerSecond: 100 });
      expect(differing).to.deep.equal([
        ['model.width', '4', ''],
        ['model.size', '', '[3,4]'],
      ]);
    });

    it('takes keys that an older version did not have for their defaults', () => {
      const run = (more: string) =>
        runOf([epoch(0, 0.5)], { 'settings.yaml': `seed: 1\nmodel: { name: tiny }\n${more}` });
      const old = run('');
      expect(compare(old, run('drop_last: false\noptimizer: { betas: [0.9, 0.999] }\n')).differing).to.deep.equal([]);
      expect(compare(old, run('drop_last: true\n')).differing).to.deep.equal([['drop_last', '', 'true']]);
      expect(compare(old, run('mine: 1\n')).differing).to.deep.equal([['mine', '', '1']]);
    });

    it('is refused for another split, data set or number of test samples, and where that is not known', () => {
      const run = (changes: object) => runOf([epoch(0, 0.5)], { 'data.json': JSON.stringify({ ...data, ...changes }) });
      const hashes = (train: string, test: string) => {
        return { contents: { train: { sha256: train.repeat(64) }, test: { sha256: test.repeat(64) } } };
      };
      const first = run(hashes('b', 'c'));
      const wrong = [
        [
          { split: { name: 'fsta', hash: 'cd'.repeat(32) } },
          /splits are 'tet' \(abababababab\) and 'fsta' \(cdcdcdcdcdcd\)/,
        ],
        [{ split: undefined }, /and unnamed/],
        [{ name: 'cifar10' }, /data sets are 'mnist' and 'cifar10'/],
        [{ test: 49 }, /test samples are 50 and 49/],
        [hashes('b', 'd'), /the test samples have the SHA-256 c{12} and d{12}$/],
        [{ contents: { test: { labelsSha256: 'd'.repeat(64) } } }, undefined],
        [{ contents: undefined }, undefined],
        [hashes('x', 'c'), undefined],
      ] as const;
      for (const [changes, message] of wrong) {
        const other = run(changes);
        if (message) expect(() => compare(first, other)).to.throw(SpikeloomError, message);
        else expect(compare(first, other).runs).to.have.length(2);
      }
      const made = (test: string) => run({ contents: { test: { labelsSha256: test.repeat(64) } } });
      expect(() => compare(made('a'), made('b'))).to.throw(
        /the labels of the test samples have the SHA-256 a{12} and b/,
      );
      expect(() => compare(first, runOf([], { 'data.json': undefined }))).to.throw(
        /does not say what it was tested on/,
      );
      expect(compare(first, run({ train: 7 })).runs[1]!.trainSamples).to.equal(7);
    });
  });

  it('ticks lie within the range and are round; labels read back', () => {
    fc.assert(
      fc.property(
        fc.double({ min: -1e6, max: 1e6, noNaN: true }),
        fc.double({ min: 1e-6, max: 1e6, noNaN: true }),
        (low, span) => {
          fc.pre(low + span - low > 1e-9 * Math.abs(low));
          const found = ticks(low, low + span);
          expect(found.length).to.be.within(1, 12);
          for (const tick of found) expect(tick).to.be.within(low - 1e-6 * span, low + span * (1 + 1e-6));
        },
      ),
    );
    expect(ticks(0, 1)).to.deep.equal([0, 0.2, 0.4, 0.6, 0.8, 1]);
    expect([label(0.12345), label(0.5, true), label(0), label(2e-5), label(123456)]).to.deep.equal([
      '0.1235',
      '50 %',
      '0',
      '2e-5',
      '1.23e+5',
    ]);
  });

  it('charts have a point for every value, in its place', () => {
    const svg = drawChart({ title: 'T', series: [{ name: 'a', values: [0, null, 1, 0.5], mark: 2 }] });
    const [, path] = /<path d="([^"]*)"/.exec(svg)!;
    expect(path).to.match(/^M58\.0 [\d.]+h0M[\d.]+ [\d.]+L628\.0 [\d.]+$/);
    expect(svg).to.match(/<circle cx="438\.0"/);
    for (const values of [[], [null], [3], [0, 0], [5, 5, 5], [-1, -1]]) {
      expect(drawChart({ title: 'T', series: [{ name: 'a', values }] })).not.to.match(/NaN|Infinity/);
    }
  });

  it('a table of the metrics has every column once and quotes what needs it', () => {
    const records = [
      { epoch: 0, rates: { 'a,b': 1 } },
      { epoch: 1, note: 'say "x"', rates: { c: null } },
    ];
    expect(metricsCsv(records)).to.equal('epoch,"rates.a,b",note,rates.c\n0,1,,\n1,,"say ""x""",\n');
    expect(metricsCsv([])).to.equal('\n');
  });

  it('the first of the highest accuracies is the best; the middle is one of the values', () => {
    expect(accuracies({ epochs: [] })).to.equal(undefined);
    expect(accuracies({ epochs: [{ accuracy: 0.5 }, { accuracy: 0.5 }] })!.best.epoch).to.equal(1);
    expect([median([]), median([null, 3]), median([5, 1, 3]), median([4, 1])]).to.deep.equal([undefined, 3, 3, 1]);
  });
});
