import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { SpikeloomError } from '../../lib/core/errors.ts';
import { describeEnvironment } from '../../lib/train/environment.ts';
import { MetricsLog, readMetrics } from '../../lib/train/metrics-log.ts';
import { resolveSettings } from '../../lib/train/recipe.ts';
import { createRun, openRun } from '../../lib/train/run-folder.ts';

describe('run folders', () => {
  let out: string;
  beforeEach(() => {
    out = mkdtempSync(join(tmpdir(), 'spikeloom-runs-'));
  });
  afterEach(() => rmSync(out, { recursive: true, force: true }));

  const settingsFor = (name: string, folder = out) =>
    resolveSettings({
      name,
      out: folder,
      model: { name: 'fsta-resnet20', size: 28 },
      data: { name: 'mnist', root: 'x' },
    });
  const create = (name = 'try', folder = out) => {
    const run = createRun(settingsFor(name, folder));
    run.metrics.close();
    return run;
  };

  it('hold settings, environment and metrics, and have room for weights and state', () => {
    const run = create('first', join(out, 'deep', 'er'));
    expect(run.name).to.equal('first-0001');
    expect(readdirSync(run.paths.folder).sort()).to.deep.equal([
      'environment.json',
      'metrics.jsonl',
      'settings.yaml',
      'weights',
    ]);
    expect(run.paths.best).to.equal(join(out, 'deep', 'er', 'first-0001', 'weights', 'best.safetensors'));
    const environment = JSON.parse(readFileSync(run.paths.environment, 'utf8'));
    const version = JSON.parse(readFileSync('package.json', 'utf8')).version;
    expect(environment).to.include({ spikeloom: version, node: process.version, platform: process.platform });
    expect(environment.cores).to.be.at.least(1);
    expect(environment.command).to.deep.equal(process.argv);
    const again = openRun(run.paths.folder);
    again.metrics.close();
    expect(again).to.deep.include({ name: 'first-0001', settings: run.settings, paths: run.paths });
  });

  it('are numbered past the highest of their name, whatever else lies there', () => {
    for (const name of ['try-0007', 'try-0003', 'other-0050', 'try-more-0090', 'try-x', 'try-99999999999999', 'try-12'])
      mkdirSync(join(out, name));
    expect([create().name, create().name, create('other').name, create('try-more').name]).to.deep.equal([
      'try-0008',
      'try-0009',
      'other-0051',
      'try-more-0091',
    ]);
    mkdirSync(join(out, 'try-9999'));
    expect([create().name, create().name]).to.deep.equal(['try-10000', 'try-10001']);
  });

  it('are never shared by processes that start at once', async () => {
    const code = `
      import { createRun } from './lib/train/run-folder.ts';
      import { resolveSettings } from './lib/train/recipe.ts';
      const settings = resolveSettings({ out: ${JSON.stringify(out)}, model: { name: 'fsta-resnet20' }, data: { name: 'mnist', root: 'x' } });
      for (let i = 0; i < 8; i++) console.log(createRun(settings).name);`;
    const output = await Promise.all(
      [1, 2, 3].map(async () => {
        const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', code], {
          stdio: ['ignore', 'pipe', 'inherit'],
        });
        let text = '';
        child.stdout.on('data', (part) => (text += part));
        await once(child, 'close');
        return text;
      }),
    );
    const names = output.join('').trim().split('\n').sort();
    expect(names).to.deep.equal(Array.from({ length: 24 }, (_, i) => `run-${String(i + 1).padStart(4, '0')}`));
  });

  it('cannot be made in a file or under a name that leaves the folder', () => {
    writeFileSync(join(out, 'file'), '');
    expect(() => create('try', join(out, 'file'))).to.throw(
      SpikeloomError,
      /cannot make the folder .*file.* with out=FOLDER/,
    );
    const settings = { ...settingsFor('try'), name: '../up' };
    expect(() => createRun(settings)).to.throw(SpikeloomError, /a run is named with letters/);
    const unknown = { ...settingsFor('try'), batch: 0, colour: 'red' };
    expect(() => createRun(unknown)).to.throw(SpikeloomError, /no key 'colour'[\s\S]*'batch' .* but it is 0/);
    expect(readdirSync(out)).to.deep.equal(['file']);
  });

  it('leave nothing where their first files cannot be written', () => {
    const unwritable = { toJSON: () => undefined } as never;
    expect(() => createRun(settingsFor('try'), unwritable)).to.throw(SpikeloomError, /environment.json/);
    expect(readdirSync(out)).to.deep.equal([]);
    expect(create().name).to.equal('try-0001');
  });

  describe('opening', () => {
    it('refuses what is not a run folder', () => {
      expect(() => openRun(join(out, 'none'))).to.throw(SpikeloomError, /there is no run folder .*none/);
      expect(() => openRun(out)).to.throw(SpikeloomError, /is not a run folder: it has no settings.yaml/);
      expect(readdirSync(out)).to.deep.equal([]);
    });

    it('names the line of damaged settings', () => {
      const { paths } = create();
      const text = readFileSync(paths.settings, 'utf8');
      writeFileSync(paths.settings, text.replace('epochs: 10', 'epochs: ten'));
      expect(() => openRun(paths.folder)).to.throw(
        SpikeloomError,
        /settings of the run .* are damaged.*\n.*settings.yaml:3: 'epochs'/,
      );
      writeFileSync(paths.settings, '');
      expect(() => openRun(paths.folder)).to.throw(SpikeloomError, /damaged.*\n.*settings are a group/);
      unlinkSync(paths.settings);
      expect(() => openRun(paths.folder)).to.throw(SpikeloomError, /not a run folder/);
    });

    it('goes on with the metrics', () => {
      const { paths } = create();
      for (const epoch of [0, 1]) {
        const run = openRun(`${paths.folder}/`);
        expect(run.name).to.equal('try-0001');
        run.metrics.append({ epoch });
        run.metrics.close();
      }
      expect(readMetrics(paths.metrics)).to.deep.equal([{ epoch: 0 }, { epoch: 1 }]);
    });
  });

  describe('metrics', () => {
    let path: string;
    let log: MetricsLog;
    beforeEach(() => {
      path = join(out, 'metrics.jsonl');
      log = new MetricsLog(path);
    });
    afterEach(() => log.close());

    it('count bytes, not letters, and go back to a checkpoint', () => {
      log.append({ step: 1, note: 'größe' });
      const bytes = log.checkpoint();
      expect(bytes).to.equal(statSync(path).size).and.to.equal(28);
      log.append({ step: 2 });
      log.close();
      log = new MetricsLog(path);
      expect(log.bytes).to.be.above(bytes);
      log.rewind(bytes);
      log.append({ step: 2, again: true });
      expect(readMetrics(path)).to.deep.equal([
        { step: 1, note: 'größe' },
        { step: 2, again: true },
      ]);
      log.rewind(0);
      expect(readMetrics(path)).to.deep.equal([]);
    });

    it('forget a torn last line, however long', () => {
      log.append({ step: 1 });
      log.close();
      for (const torn of ['{"st', '{"step":2}', 'x'.repeat(200_000)]) {
        appendFileSync(path, torn);
        expect(readMetrics(path)).to.deep.equal([{ step: 1 }]);
        const again = new MetricsLog(path);
        expect(again.bytes).to.equal(11);
        again.close();
        expect(readFileSync(path, 'utf8')).to.equal('{"step":1}\n');
      }
      writeFileSync(path, '{"all":');
      log = new MetricsLog(path);
      expect([log.bytes, statSync(path).size]).to.deep.equal([0, 0]);
    });

    it('are written by one opening at a time, and stay as they are where another is refused', () => {
      log.append({ step: 1 });
      appendFileSync(path, '{"st');
      expect(() => new MetricsLog(path)).to.throw(SpikeloomError, /the run in .* is under way: one training at a time/);
      expect(readFileSync(path, 'utf8')).to.equal('{"step":1}\n{"st');
      log.close();
      log = new MetricsLog(path);
      expect(readFileSync(path, 'utf8')).to.equal('{"step":1}\n');
    });

    it('refuse a checkpoint of another file', () => {
      log.append({ step: 1 });
      log.append({ step: 2 });
      expect(() => log.rewind(23)).to.throw(SpikeloomError, /had 23 bytes, but it has 22 complete bytes/);
      expect(() => log.rewind(10)).to.throw(SpikeloomError, /had 10 bytes, but it has no line end there/);
      for (const bytes of [-1, 1.5, Number.NaN]) expect(() => log.rewind(bytes)).to.throw(SpikeloomError);
      truncateSync(path, 5);
      log.close();
      log = new MetricsLog(path);
      expect(() => log.rewind(11)).to.throw(SpikeloomError, /has 0 complete bytes/);
    });

    it('name the line that is no record', () => {
      writeFileSync(path, '{"a":1}\n{"a":\n{"a":3}\n');
      expect(() => readMetrics(path)).to.throw(SpikeloomError, /metrics.jsonl:2: a metrics line is one JSON object/);
      writeFileSync(path, '{"a":1}\n[1]\n');
      expect(() => readMetrics(path)).to.throw(SpikeloomError, /metrics.jsonl:2: .* but this is \[1\]/);
      expect(() => readMetrics(join(out, 'none'))).to.throw(SpikeloomError, /cannot read the metrics/);
    });

    it('write what JSON lacks as null, and nothing after closing', () => {
      log.append({ loss: Number.NaN });
      expect(readFileSync(path, 'utf8')).to.equal('{"loss":null}\n');
      log.close();
      expect(() => log.append({})).to.throw(SpikeloomError, /closed/);
      expect(() => new MetricsLog(out)).to.throw(SpikeloomError, /cannot open the metrics/);
    });
  });

  it('look at a repository without touching it', function () {
    const git = (...args: string[]) => spawnSync('git', args, { cwd: out, encoding: 'utf8' });
    if (git('init').status !== 0) this.skip();
    writeFileSync(join(out, 'a'), 'a');
    git('add', 'a');
    const commit = git('-c', 'user.name=a', '-c', 'user.email=a@b', 'commit', '-m', 'a');
    expect(commit.status, commit.stderr).to.equal(0);
    utimesSync(join(out, 'a'), 1, 1); // `git status` would write that into the index, under a lock
    const before = readFileSync(join(out, '.git', 'index'));
    expect(describeEnvironment({ folder: out }).git).to.include({ modified: false });
    expect(readFileSync(join(out, '.git', 'index')).equals(before)).to.equal(true);
    writeFileSync(join(out, 'a'), 'b');
    expect(describeEnvironment({ folder: out }).git).to.include({ modified: true });
  });

  it('know the commit of a repository and do without one', () => {
    expect(describeEnvironment({ folder: out }).git).to.equal(null);
    const { git, date } = describeEnvironment({ date: new Date(0) });
    if (git !== null) expect(git.commit).to.match(/^[0-9a-f]{40,64}$/);
    expect(date).to.equal('1970-01-01T00:00:00.000Z');
  });
});
