// Training where the place, the files or the settings are wrong: a clear error, and what was good before stays good.
import { spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statfsSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { SpikeloomError } from '../../lib/core/errors.ts';
import { openSafetensors } from '../../lib/core/safetensors.ts';
import {
  conv2d,
  define,
  globalAvgPool,
  lif,
  linear,
  loadWeights,
  meanOverTime,
  type Net,
  norm,
} from '../../lib/nn/index.ts';
import { adamw } from '../../lib/optim/index.ts';
import { trainRecipe } from '../../lib/train/assemble.ts';
import { readMetrics } from '../../lib/train/metrics-log.ts';
import { resolveSettings } from '../../lib/train/recipe.ts';
import { runPaths } from '../../lib/train/run-folder.ts';
import { type Run, train } from '../../lib/train/train.ts';
import type { TrainOptions } from '../../lib/train/train-options.ts';
import { refusal } from '../support/failure.ts';
import { randomSet } from '../support/image-sets.ts';

const data = { train: randomSet('cifar10', [9, 3, 5, 7]), test: randomSet('cifar10', [5, 3, 5, 7]) };
const small = (width = 5): Net =>
  define('small', ({ classes }) => [
    conv2d(width, { kernel: 3, padding: 1 }),
    norm(),
    lif(),
    globalAvgPool(),
    linear(classes),
    meanOverTime(),
  ])({ steps: 2, channels: 3, size: [5, 7], classes: 4, seed: 5 });

const usual = {
  data,
  epochs: 3,
  batch: 4,
  optimizer: adamw({ lr: 0.01 }),
  augment: 'none',
  workers: 0,
  seed: 1,
} as const;

/** Trains a small network; returns the number of epochs it reported. */
async function go(out: string, options: Partial<TrainOptions> = {}, width?: number): Promise<number> {
  const net = small(width);
  let epochs = 0;
  try {
    for await (const _ of train(net, { ...usual, out, ...options })) epochs++;
  } finally {
    net.dispose();
  }
  return epochs;
}

/** A run that was interrupted after its first epoch. */
async function begun(out: string): Promise<void> {
  const net = small();
  const controller = new AbortController();
  const run = train(net, { ...usual, out, signal: controller.signal });
  for await (const _ of run) controller.abort();
  net.dispose();
}

/** All files below a folder, with their content. */
function content(folder: string): Record<string, string> {
  const names = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  const files = names.map(({ parentPath, name }) => join(parentPath, name)).sort();
  return Object.fromEntries(files.map((file) => [file, readFileSync(file, 'latin1')]));
}

/** The weights of a run: what of two runs of one course must be the same bits. */
const lastWeights = (folder: string): Buffer[] => {
  const file = openSafetensors(runPaths(folder).last);
  const all = file.names.map((name) => Buffer.from(file.read(name).buffer));
  file.close();
  return all;
};

describe('training on bad input', () => {
  let root = '';
  before(() => {
    root = mkdtempSync(join(tmpdir(), 'bad-input-'));
  });
  after(() => rmSync(root, { recursive: true }));

  describe('a full disk', () => {
    let disk = '';
    let whole: Buffer[] = [];
    before(function () {
      disk = join(root, 'disk');
      mkdirSync(disk);
      // A run's environment holds the command line, which may name every test.
      const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=128k', 'tmpfs', disk]);
      if (mounted.status !== 0) {
        disk = '';
        this.skip(); // only an administrator mounts
      }
    });
    before(async () => {
      await go(join(root, 'whole'));
      whole = lastWeights(join(root, 'whole'));
    });
    after(() => {
      if (disk !== '') spawnSync('umount', [disk]);
    });
    beforeEach(() => {
      for (const name of readdirSync(disk)) rmSync(join(disk, name), { recursive: true });
    });

    /** Leaves this many blocks of 4 KiB free. */
    const fill = (free: number) => {
      const { bavail, bsize } = statfsSync(disk);
      writeFileSync(join(disk, 'filler'), Buffer.alloc(Math.max(0, bavail - free) * bsize));
    };

    it('before the start: nothing is trained, and with room the same folder serves', async () => {
      const out = join(disk, 'run');
      fill(0);
      expect(await refusal(go(out))).to.match(/cannot write .*: the disk is full/);
      expect(content(out)).to.deep.equal({ [runPaths(out).metrics]: '' });
      rmSync(join(disk, 'filler'));
      expect(await go(out)).to.equal(3);
    });

    let refused = 0;
    for (const free of [0, 1, 2, 3, 4, 6]) {
      it(`with ${free} blocks left: files stay whole, and with room the run ends in the same bits`, async () => {
        const out = join(disk, 'run');
        await begun(out);
        const before = content(out);
        fill(free);
        let message = '';
        await go(out, { resume: true }).catch((error: unknown) => {
          expect(error).to.be.instanceOf(SpikeloomError);
          message = (error as Error).message;
        });
        if (message !== '') {
          refused++;
          expect(message).to.match(/cannot write .*: (the disk is full|ENOSPC)/);
        }
        const after = content(out);
        expect(Object.keys(after)).to.deep.equal(Object.keys(before));
        if (free === 0) expect(after[runPaths(out).state]).to.equal(before[runPaths(out).state]);
        if (free === 0) expect(message).to.not.equal('');
        for (const which of ['best', 'last', 'state'] as const) {
          const file = openSafetensors(runPaths(out)[which]);
          for (const name of file.names) file.read(name);
          file.close();
        }
        expect(readMetrics(runPaths(out).metrics).length).to.be.within(1, 3);
        rmSync(join(disk, 'filler'));
        await go(out, { resume: true });
        expect(lastWeights(out)).to.deep.equal(whole);
        expect(readMetrics(runPaths(out).metrics)).to.have.length(3);
      });
    }

    it('some of these were refused', () => expect(refused).to.be.greaterThan(0));
  });

  const recipe = (...overrides: string[]) =>
    resolveSettings(
      {
        name: 'small',
        epochs: 1,
        batch: 8,
        out: root,
        model: { name: 'fsta-resnet20', width: 2 },
        data: {
          name: 'fashion-mnist',
          root: fileURLToPath(new URL('../../datasets/fashion-mnist-small', import.meta.url)),
          ...{ train_limit: 8, test_limit: 8, augment: 'none', workers: 1 },
        },
      },
      overrides,
    );

  it('a limit on the size of files: the error says so, no part of a file is left', function () {
    if (process.platform === 'win32') this.skip();
    const settings = JSON.stringify(recipe(`out=${join(root, 'limited')}`));
    const code = `
      import { trainRecipe } from './lib/train/assemble.ts';
      try { await trainRecipe(${settings}); }
      catch (error) { process.stdout.write(error.name + ': ' + error.message); }`;
    const child = spawnSync(
      'sh',
      ['-c', 'ulimit -f 16; exec "$0" --import tsx --input-type=module -e "$1"', process.execPath, code],
      { encoding: 'utf8', env: { ...process.env, TSX_DISABLE_CACHE: '1' } },
    );
    expect(child.stdout, child.stderr).to.match(/^SpikeloomError: cannot write .*: the file is larger than/);
    const left = Object.keys(content(join(root, 'limited'))).map((file) => file.replace(/.*\//, ''));
    expect(left.sort()).to.deep.equal(['data.json', 'environment.json', 'metrics.jsonl', 'settings.yaml']);
  });

  it('weights of another width: both shapes of every tensor, and the network stays', async () => {
    const out = join(root, 'width');
    await begun(out);
    const net = small(6);
    const numbers = async () => Promise.all(net.parameters().map(async ({ tensor }) => [...(await tensor.array())]));
    const before = await numbers();
    const { last } = runPaths(out);
    expect(() => loadWeights(net, last))
      .to.throw(SpikeloomError)
      .with.property('message')
      .that.matches(/of another shape or type \(\d+\): .*\[5,3,3,3\].*\[6,3,3,3\]/)
      .and.contains('strict: false');
    expect(await numbers()).to.deep.equal(before);
    const report = loadWeights(net, last, { strict: false });
    expect(report.mismatched.length).to.be.at.least(2);
    expect([report.missing, report.unexpected]).to.deep.equal([[], []]);
    net.dispose();
  });

  it('the run of another model is not gone on with', async () => {
    const out = join(root, 'other');
    await begun(out);
    const before = content(out);
    expect(await refusal(go(out, { resume: true }, 6))).to.match(/these differ:\n {2}model: .* then, .* now/);
    expect(content(out)).to.deep.equal(before);
    const { folder } = await trainRecipe(recipe('name=resumed'));
    const files = content(folder);
    const wider = recipe('name=resumed', 'model.width=3', 'epochs=2');
    expect(await refusal(trainRecipe(wider, { resume: folder }))).to.match(/model: .* then, .* now/);
    expect(content(folder)).to.deep.equal(files);
  });

  it('a damaged state is refused with its name and stays as it is', async () => {
    const out = join(root, 'damaged');
    await begun(out);
    const { state, last } = runPaths(out);
    const sound = readFileSync(state);
    const position = sound.indexOf('position');
    const damages: Record<string, (bytes: Buffer) => Uint8Array> = {
      empty: () => Buffer.alloc(0),
      'seven bytes': (bytes) => bytes.subarray(0, 7),
      'a header of 2^63 bytes': (bytes) => bytes.fill(0xff, 0, 8),
      'a header of no JSON': (bytes) => bytes.fill(0x7b, 8, 40),
      'no position': (bytes) => bytes.fill(0x78, position, position + 8),
      'the last byte is missing': (bytes) => bytes.subarray(0, -1),
      'one byte too many': (bytes) => Buffer.concat([bytes, Buffer.of(0)]),
      zeros: (bytes) => bytes.fill(0),
      weights: () => readFileSync(last),
    };
    for (const [name, damage] of Object.entries(damages)) {
      writeFileSync(state, damage(Buffer.from(sound)));
      const before = content(out);
      expect(await refusal(go(out, { resume: true })), name).to.contain(state);
      expect(content(out), name).to.deep.equal(before);
    }
    rmSync(state);
    mkdirSync(state);
    expect(await refusal(go(out, { resume: true })), 'a folder').to.contain(state);
    rmSync(state, { recursive: true });
    writeFileSync(state, sound);
    expect(await go(out, { resume: true })).to.equal(2);
  });

  it('a missing data folder: the folder is named, and no run is made', async () => {
    const out = join(root, 'no-data');
    const missing = join(root, 'nowhere');
    const message = await refusal(trainRecipe(recipe(`out=${out}`, `data.root=${missing}`)));
    expect(message).to.contain(missing).and.contain('no such folder');
    expect(existsSync(out)).to.equal(false);
  });

  it('an augmentation that the data has not: no run is made', async () => {
    const out = join(root, 'no-augmentation');
    const message = await refusal(trainRecipe(recipe(`out=${out}`, 'data.augment=published')));
    expect(message).to.contain("no published augmentation is defined for 'fashion-mnist'");
    expect(existsSync(out)).to.equal(false);
  });

  it('two runs with one folder: the second is refused, the first goes on', async () => {
    const out = join(root, 'twice');
    const [net, other] = [small(), small()];
    const [run, second] = [net, other].map((each) => train(each, { ...usual, out })) as [Run, Run];
    expect(existsSync(out), 'nothing happens before the run is iterated over').to.equal(false);
    let epochs = 0;
    for await (const _ of run) {
      if (epochs++ > 0) continue;
      const before = content(out);
      for (const resume of [false, true]) {
        const refused = resume ? train(other, { ...usual, out, resume }) : second;
        expect(await refusal(refused[Symbol.asyncIterator]().next())).to.contain(`the run in ${out} is under way`);
      }
      expect(content(out)).to.deep.equal(before);
    }
    expect(epochs).to.equal(3);
    expect(readMetrics(runPaths(out).metrics)).to.have.length(3);
    for (const each of [net, other]) each.dispose();
  });

  for (const place of ['/proc/x', '/proc/x/y', '/dev/null/x']) {
    it(`out=${place} is refused at once`, async function () {
      if (process.platform !== 'linux') this.skip();
      const started = performance.now();
      expect(await refusal(trainRecipe(recipe(`out=${place}`)))).to.contain('cannot make the folder');
      expect(await refusal(go(place))).to.contain('cannot make the folder');
      expect(performance.now() - started).to.be.below(10_000);
    });
  }
});
