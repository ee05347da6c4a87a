// What goes wrong around a command: the place it writes to, another process at the same run, and what programs read of
// its errors.
import { spawn, spawnSync } from 'node:child_process';
import {
  appendFileSync,
  closeSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { expect } from 'chai';
import { openSafetensors } from '../../lib/core/safetensors.ts';
import { quoted } from '../../lib/core/shell.ts';
import { MetricsLog, readMetrics } from '../../lib/train/metrics-log.ts';
import { runPaths } from '../../lib/train/run-folder.ts';
import { fortyBit, someEvents, writeTree } from '../support/event-files.ts';
import { type Outcome, program, root, spikeloom } from './spawn.ts';

const TINY = [
  'model.name=fsta-resnet20',
  'model.width=2',
  'data.train_limit=64',
  'data.test_limit=30',
  'batch=8',
  'threads=1',
];
const train = (out: string, ...more: string[]) => ['train', 'recipes/quickstart.yaml', ...TINY, `out=${out}`, ...more];

/** Long enough for a second process to come. */
const EPOCHS = 'epochs=40';

/** All files below a folder, with their content. */
const content = (folder: string): Record<string, string> =>
  Object.fromEntries(
    readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map(({ parentPath, name }) => join(parentPath, name))
      .sort()
      .map((file) => [file, readFileSync(file, 'latin1')]),
  );

type Case = [args: string[], status: number, says: RegExp];

const lastLine = ({ stdout }: Outcome) => JSON.parse(stdout.trimEnd().split('\n').at(-1)!);

describe('spikeloom where something is wrong', () => {
  let folder = '';
  let run = '';
  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'spikeloom failures-'));
    const outcome = await spikeloom(train(folder, 'epochs=1'));
    expect(outcome.status, outcome.stderr).to.equal(0);
    run = join(folder, 'quickstart-0001');
  });
  after(() => rmSync(folder, { recursive: true }));

  it('tells programs of every kind of error in JSON, and people in words', async () => {
    const missing = join(folder, 'none');
    const damaged = join(folder, 'damaged');
    cpSync(run, damaged, { recursive: true });
    appendFileSync(runPaths(damaged).metrics, 'no record\n');
    const cases: Case[] = [
      [['train', 'recipes/quickstart.yaml', 'lr=fast'], 2, /'optimizer.lr'/],
      [['train', 'recipes/quickstart.yaml', `out=${folder}`, `data.root=${missing}`], 1, /no such folder/],
      [['train', 'recipes/quickstart.yaml', '--resume', missing], 2, /there is no run folder/],
      [
        ['train', 'recipes/quickstart.yaml', '--resume', 'last', 'out=README.md'],
        2,
        /cannot list the runs in README.md/,
      ],
      [['train'], 2, /train needs a recipe, .* or a run to go on with/],
      [['data', 'fetch'], 2, /\nSee 'spikeloom data fetch --help'\.\n$/],
      [['data', 'show', 'recipes/quickstart.yaml', '--steps', '3'], 2, /--steps is for recordings/],
      [['eval', run, '--weights', 'worst'], 2, /argument 'worst' is invalid/],
      [['eval', missing], 2, /there is no run folder/],
      [['report', missing], 2, /there is no run folder .*Give the folder of a run/],
      [['report', damaged], 2, /metrics.jsonl:2: a metrics line is one JSON object/],
      [['report', run, '--out', folder], 1, /there is a folder of that name/],
      [['compare', run], 2, /two runs or more/],
      [['summary', missing], 2, /cannot read the recipe/],
      ...['eval', 'report'].map((command): Case => [[command, 'README.md/x'], 2, /run folder/]),
      [['data', 'check', 'README.md/x'], 2, /there is no folder/],
      [['data', 'check', 'x'.repeat(300)], 2, /there is no folder/],
      [['verify', missing], 1, /none/],
      [['data', 'check', missing], 2, /there is no folder/],
      [['data', 'show', 'mnist', missing], 1, /no such folder/],
      [['data', 'fetch', 'mnist', '--from', 'ftp://x'], 2, /http/],
      [['doctor', '--no-such'], 2, /unknown option/],
    ];
    for (const [args, status, says] of cases) {
      const outcome = await spikeloom([...args, '--json']);
      const command = args.join(' ');
      expect(outcome.status, command).to.equal(status);
      expect(outcome.stderr, command)
        .to.match(says)
        .and.match(/^spikeloom: /)
        .and.not.match(/^ {4}at /m);
      const told = JSON.parse(outcome.stdout);
      expect(Object.keys(told), command).to.deep.equal(['event', 'error', 'status']);
      expect(told, command).to.include({ event: 'error', status });
      expect(outcome.stderr.startsWith(`spikeloom: ${told.error}\n`), `${command}: ${outcome.stderr}`).to.equal(true);
    }
    expect(readdirSync(folder).sort()).to.deep.equal(['damaged', 'quickstart-0001']);
  });

  it('does not take help and version for errors', async () => {
    for (const args of [['--version'], ['train', '--help', '--json'], ['help', 'eval']]) {
      const { status, stdout, stderr } = await spikeloom(args);
      expect([status, stderr], args.join(' ')).to.deep.equal([0, '']);
      expect(stdout).to.not.contain('"event"');
    }
  });

  it('trains on where stdout is a full disk, says so once, and ends with 1', async function () {
    if (!existsSync('/dev/full')) this.skip();
    const out = join(folder, 'full');
    const outcome = await spikeloom(train(out, 'epochs=2', '--json'), { stdoutFile: '/dev/full' });
    expect(outcome.status).to.equal(1);
    expect(outcome.stderr.match(/the output cannot be written: ENOSPC.*\. Send it to another place/g)).to.have.length(
      1,
    );
    expect(outcome.stderr).to.not.match(/^ {4}at /m);
    const paths = runPaths(join(out, 'quickstart-0001'));
    expect(readMetrics(paths.metrics)).to.have.length(2);
    for (const args of [
      ['summary', 'recipes/quickstart.yaml'],
      ['doctor'],
      ['eval', run],
      ['data', 'check', 'datasets'],
      ['--help'],
    ]) {
      const { status, stderr } = await spikeloom(args, { stdoutFile: '/dev/full' });
      expect(status, `${args}: ${stderr}`).to.equal(1);
      expect(stderr, String(args)).to.contain('the output cannot be written');
    }
  });

  it('trains to its end, with status 0, where stderr is a full disk', async function () {
    if (!existsSync('/dev/full')) this.skip();
    const out = join(folder, 'unseen');
    const { status, stdout } = await spikeloom(train(out, 'epochs=1'), { stderrFile: '/dev/full' });
    expect(status).to.equal(0);
    expect(stdout).to.contain(`run folder ${join(out, 'quickstart-0001')}`);
  });

  it('reads a run without touching it, also where nothing can be written', async function () {
    const disk = join(folder, 'disk');
    mkdirSync(disk);
    const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=4m', 'tmpfs', disk]).status === 0;
    try {
      const copy = join(disk, 'quickstart-0001');
      cpSync(run, copy, { recursive: true });
      appendFileSync(runPaths(copy).metrics, '{"epoch":1,'); // what a run that is under way may have written
      const before = content(disk);
      if (mounted) spawnSync('mount', ['-o', 'remount,ro', disk]);
      const page = join(folder, 'page.html');
      for (const args of [
        ['eval', copy],
        ['report', copy, '--out', page],
        ['compare', copy, run, '--out', page],
      ]) {
        const { status, stderr } = await spikeloom(args);
        expect(status, stderr).to.equal(0);
      }
      expect(readFileSync(page, 'utf8')).to.contain('</html>');
      expect(content(disk)).to.deep.equal(before);
      if (!mounted) this.skip(); // only an administrator mounts
      for (const args of [
        ['report', copy],
        ['train', runPaths(copy).settings, '--resume', copy],
      ]) {
        const { status, stderr } = await spikeloom(args);
        expect(status, stderr).to.equal(1);
        expect(stderr).to.match(/^spikeloom: cannot (write|open) .*read-only/);
      }
    } finally {
      if (mounted) spawnSync('umount', [disk]);
    }
  });

  describe('while recordings are read, on a terminal,', () => {
    /** Of programs that take their stderr for a terminal. */
    const env = { NODE_OPTIONS: '--import=data:text/javascript,process.stderr.isTTY=true', TERM: 'xterm' };
    const line = /reading the recordings {2}[█░]+ {2}1 of \d+ /;

    it('removes the line before an error is told', async () => {
      const data = join(folder, 'n-mnist');
      const recording = fortyBit(someEvents(200, 34, 34));
      writeTree(data, { 'Test/0/1.bin': recording, 'Train/0/1.bin': recording, 'Train/0/2.bin': 'odd' });
      const commands = [
        ['train', 'recipes/nmnist.yaml', `data.root=${data}`, `out=${folder}`],
        ['data', 'show', 'n-mnist', data],
      ];
      for (const { status, stdout, stderr } of await Promise.all(commands.map((args) => spikeloom(args, { env })))) {
        expect([status, stdout]).to.deep.equal([1, '']);
        expect(stderr).to.match(line);
        expect(stderr.split('\r\x1b[2K').at(-1)).to.match(/^spikeloom: .*2\.bin/);
      }
    });

    it('removes the line before it says that a signal ended the work', () => {
      const code = `
        import { setTimeout as wait } from 'node:timers/promises';
        import { readStoppably } from './lib/cli/reading.ts';
        await readStoppably(false, async ({ onProgress, signal }) => {
          onProgress(1, 3);
          process.kill(process.pid, 'SIGTERM');
          await wait(60_000, undefined, { signal });
        });`;
      const told = join(folder, 'told.txt');
      const file = openSync(told, 'w');
      const { status } = spawnSync(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', code], {
        ...{ cwd: root, stdio: ['ignore', file, file], env: { ...process.env, ...env } },
      });
      closeSync(file);
      expect(status).to.equal(143);
      const parts = readFileSync(told, 'utf8').split('\r\x1b[2K');
      expect(parts).to.have.length(4);
      expect(parts[1]).to.match(line);
      expect(parts[2]).to.match(/^spikeloom: SIGTERM: .*; once more ends it at once\n$/);
      expect(parts[3]).to.equal('interrupted: the same command begins again\n');
    });
  });

  it('saves where its terminal is closed, and goes on from there', async function () {
    const out = join(folder, 'hung up');
    const command = [process.execPath, ...program, ...train(out, EPOCHS)].map(quoted).join(' ');
    const terminal = spawn('script', ['-qefc', `exec ${command}`, '/dev/null'], { cwd: root });
    const hasBegun = await new Promise<boolean>((resolve) => {
      let text = '';
      terminal.stdout.on('data', (data) => {
        text += data;
        if (/epoch +1/.test(text)) resolve(true);
      });
      for (const end of ['error', 'close']) terminal.on(end, () => resolve(false));
    });
    if (!hasBegun) this.skip(); // no program of that name, or another one
    terminal.kill('SIGKILL');
    const paths = runPaths(join(out, 'quickstart-0001'));
    const isFree = (): boolean => {
      try {
        new MetricsLog(paths.metrics).close();
        return true;
      } catch {
        return false;
      }
    };
    while (!isFree()) await wait(20);
    const state = openSafetensors(paths.state);
    expect(JSON.parse(state.metadata.counts!).passes).to.be.above(0);
    state.close();
    const resumed = await spikeloom(['train', '--resume', paths.folder]);
    expect(resumed.status, resumed.stderr).to.equal(0);
  });

  it('lets one process at a time train in a folder; one that was killed leaves it free', async () => {
    const out = join(folder, 'shared');
    const child = spawn(process.execPath, [...program, ...train(out, EPOCHS)], {
      cwd: root,
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    const ended = new Promise((resolve) => child.on('close', resolve));
    await new Promise((resolve) => child.stdout.once('data', resolve));
    const shared = join(out, 'quickstart-0001');
    const second = await spikeloom(['train', runPaths(shared).settings, '--resume', shared, '--json']);
    expect(child.exitCode, 'the first is still at it').to.equal(null);
    child.kill('SIGKILL');
    await ended;
    expect(second.status).to.equal(1);
    expect(lastLine(second)).to.include({ event: 'error', status: 1 });
    expect(second.stderr).to.match(
      /^spikeloom: the run in .*quickstart-0001 is under way: .* Wait until it ends or stop it/,
    );

    const [resumed, uninterrupted] = await Promise.all([
      spikeloom(['train', runPaths(shared).settings, '--resume', shared]),
      spikeloom(train(join(folder, 'alone'), EPOCHS)),
    ]);
    expect(resumed.status, resumed.stderr).to.equal(0);
    expect(uninterrupted.status, uninterrupted.stderr).to.equal(0);
    const [ours, theirs] = [shared, join(folder, 'alone', 'quickstart-0001')].map((each) =>
      readFileSync(runPaths(each).last),
    );
    expect(ours!.equals(theirs!)).to.equal(true);
  });
});
