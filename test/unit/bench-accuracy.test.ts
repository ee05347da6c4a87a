import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { type AccuracyResult, accuracyCommand, spread } from '../../bench/accuracy.ts';
import { drawCurves } from '../../bench/curves-picture.ts';
import { pictureCommand } from '../../bench/picture.ts';
import { failure } from '../support/failure.ts';

const small = ['model.width=4', 'epochs=2', 'data.train_limit=48', 'data.test_limit=20', 'batch=16'];

describe('bench accuracy', () => {
  const folder = mkdtempSync(join(tmpdir(), 'spikeloom-bench-'));
  after(() => rmSync(folder, { recursive: true, force: true }));

  it('trains every seed with every value, and draws what it found', async () => {
    const out = join(folder, 'found', 'accuracy.json');
    const options = { seeds: ['1', '2'], vary: 'model.attention=fsta,none', out };
    await accuracyCommand('recipes/quickstart.yaml', small, options);
    const found = JSON.parse(readFileSync(out, 'utf8')) as AccuracyResult;
    expect(found.runs.map(({ value, seed }) => `${value} ${seed}`)).to.deep.equal([
      ...['fsta 1', 'none 1', 'fsta 2', 'none 2'],
    ]);
    expect(found.sides.map(({ value }) => value)).to.deep.equal(['fsta', 'none']);
    for (const { accuracy, loss } of found.runs) expect([accuracy.length, loss.length]).to.deep.equal([2, 2]);
    const last = found.runs.filter(({ value }) => value === 'none').map(({ accuracy }) => accuracy[1]!);
    expect(found.sides[1]!.last).to.deep.equal(spread(last));
    await pictureCommand(out, { out: join(folder, 'curves.svg') });
    const svg = readFileSync(join(folder, 'curves.svg'), 'utf8');
    expect(svg).to.equal(drawCurves(found));
    expect(svg.match(/<polyline/g)).to.have.length(6); // four seeds, two means
    expect(svg).to.match(/fsta: last \d+\.\d\d % .*none: last /s);
    expect(svg).to.not.match(/NaN|Infinity|undefined/);
  });

  it('one run of one epoch that got everything wrong can be drawn, too', () => {
    const run = { value: 'a<b', seed: 1, accuracy: [0], loss: [2], firing_rate: 0, images_per_s: 1, wait_share: 0 };
    const none = { mean: 0, deviation: 0 };
    const svg = drawCurves({
      ...{
        command: 'c',
        date: '2026-01-01T00:00:00Z',
        commit: null,
        machine: { cpu: 'x', cores: 1 },
        recipe: 'r.yaml',
      },
      ...{ vary: 'k', sides: [{ value: 'a<b', last: none, best: none, firing_rate: none }], runs: [run] },
    });
    expect(svg).to.not.match(/NaN|Infinity/);
    expect(svg).to.contain('a&lt;b: last 0.00 %');
  });

  it('refuses what is not a variation', async () => {
    for (const vary of ['precision', 'precision=', '=fp32', 'precision=fp32,,bf16', 'a=b=c']) {
      const error = await failure(accuracyCommand('recipes/quickstart.yaml', small, { seeds: ['1'], vary }));
      expect(error.message).to.match(/--vary is KEY=VALUE,VALUE/);
    }
  });
});
