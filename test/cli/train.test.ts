// Tiny runs through the program: train, eval, stop, resume.
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { expect } from 'chai';
import { fortyBit, someEvents, writeTree } from '../support/event-files.ts';
import { type Outcome, spikeloom } from './spawn.ts';

const tiny = [
  'model.name=fsta-resnet20',
  'optimizer.kind=sgd',
  'lr=0.1',
  'model.width=2',
  'data.train_limit=64',
  'data.test_limit=30',
  'batch=8',
  'threads=1',
];
const train = (out: string, ...more: string[]) => ['train', 'recipes/quickstart.yaml', ...tiny, `out=${out}`, ...more];
const linesOf = ({ stdout }: Outcome) =>
  stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
const weights = (out: string, run = 'quickstart-0001') => readFileSync(join(out, run, 'weights/last.safetensors'));

describe('spikeloom train and eval', () => {
  let folder = '';
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'spikeloom runs-')); // the space is meant
  });
  after(() => rmSync(folder, { recursive: true }));

  it('trains, reports in JSON lines, and eval finds the same accuracy', async () => {
    const outcome = await spikeloom(train(folder, 'epochs=1', '--json'));
    expect(outcome.status, outcome.stderr).to.equal(0);
    const [start, epoch, end, ...more] = linesOf(outcome);
    expect(more).to.deep.equal([]);
    const run = join(folder, 'quickstart-0001');
    expect(start).to.include({ event: 'start', run, resumed: false });
    expect(start.memory.bytes).to.be.above(start.memory.weight_bytes);
    expect(epoch.wait_share).to.be.within(0, 1);
    expect(epoch).to.include({ event: 'epoch', epoch: 1, test_accuracy: end.test_accuracy, lr: 0.1 });
    expect(epoch.loss).to.be.within(1, 4);
    expect(end).to.include({ event: 'end', run, epoch: 1 });
    expect(Object.keys(end.firing_rates)).to.have.length(19).and.include('layer1.0.relu1');
    const evaluated = await spikeloom(['eval', run, '--weights', 'last', '--json']);
    expect(evaluated.status, evaluated.stderr).to.equal(0);
    const { test_accuracy, firing_rates, images } = JSON.parse(evaluated.stdout);
    expect({ test_accuracy, firing_rates, images }).to.deep.equal({
      test_accuracy: end.test_accuracy,
      firing_rates: end.firing_rates,
      images: 30,
    });
  });

  it('trains to the same bits where the images rest on the device, and counts them in the plan', async () => {
    const outs = ['on', 'off'].map((resident) => join(folder, `resident ${resident}`));
    const [there, here] = await Promise.all(
      outs.map((out, i) => spikeloom(train(out, 'epochs=1', `data.resident=${i === 0 ? 'on' : 'off'}`))),
    );
    expect([there!.status, here!.status], there!.stderr).to.deep.equal([0, 0]);
    const images = `${(((64 + 30) * (28 * 28 + 4) + 2 * 256 * 4) / 1024).toFixed(1)} KiB`;
    expect(there!.stdout).to.match(new RegExp(`, a step [\\d.]+ KiB, images ${images}\n`));
    expect(here!.stdout).to.match(/, a step [\d.]+ KiB, images [\d.]+ KiB\n/); // a batch of each
    expect(weights(outs[0]!).equals(weights(outs[1]!))).to.equal(true);
  });

  describe('stopped by a signal', () => {
    /** More than end before a signal arrives. */
    const EPOCHS = 'epochs=30';
    let whole = '';
    before(async () => {
      whole = join(folder, 'whole');
      const uninterrupted = await spikeloom(train(whole, EPOCHS));
      expect(uninterrupted.status, uninterrupted.stderr).to.equal(0);
    });

    for (const [signal, status] of [
      ['SIGINT', 130],
      ['SIGTERM', 143],
      ['SIGHUP', 129],
    ] as const) {
      it(`(${signal}) ends with ${status}, and the command it prints goes on to the same bits`, async () => {
        const parts = join(folder, `parts-${signal}`);
        let sent = false;
        const stopped = await spikeloom(train(parts, EPOCHS), {
          onOutput(text, kill) {
            if (!sent && text.includes('run folder')) kill(signal);
            sent ||= text.includes('run folder');
          },
        });
        expect(stopped.status, stopped.stderr).to.equal(status);
        expect(stopped.stderr).to.contain(`${signal}: finishing this step`);
        const command = /npx spikeloom train --resume '(.*)'$/m.exec(stopped.stdout)!;
        expect(command, stopped.stdout).to.not.equal(null);
        const resumed = await spikeloom(['train', '--resume', command[1]!]);
        expect(resumed.status, resumed.stderr).to.equal(0);
        expect(resumed.stdout).to.contain(`going on in ${join(parts, 'quickstart-0001')}`);
        expect(resumed.stdout).to.match(/neuron layer +firing rate\n[\s\S]*^test accuracy \d+\.\d %$/m);
        expect(weights(parts).equals(weights(whole))).to.equal(true);
      });
    }
  });

  it('plans the memory as the summary does, a batch no larger than the set', async () => {
    for (const keys of [['batch=16'], ['batch=100'], ['batch=40', 'precision=fp64', 'mix.mixup=1']]) {
      const [recipe, ...args] = [...train(join(folder, 'planned'), 'epochs=1', ...keys), '--json'].slice(1) as [
        string,
        ...string[],
      ];
      const [trained, summary] = await Promise.all([
        spikeloom(['train', recipe, ...args]),
        spikeloom(['summary', recipe, ...args]),
      ]);
      const { memory } = linesOf(trained)[0];
      expect(memory.batch).to.equal(Math.min(64, Number(keys[0]!.slice(6))));
      const { batch, training_memory } = JSON.parse(summary.stdout);
      expect(training_memory, keys.join()).to.deep.equal(memory);
      expect(batch).to.equal(memory.batch);
    }
  });

  it('plans the memory of event frames as the summary does', async () => {
    const data = join(folder, 'n-mnist');
    for (let i = 0; i < 8; i++) {
      const recording = fortyBit(someEvents(200, 34, 34, i + 1));
      writeTree(data, { [`Train/${i % 3}/${i}.bin`]: recording, [`Test/${i % 3}/${i}.bin`]: recording });
    }
    const small = [`data.root=${data}`, 'model.width=2', 'model.steps=3', 'batch=4', 'epochs=1', 'threads=1'];
    const keys = [[], ['data.clip=1'], ['data.normalise=true']];
    const steps: number[] = [];
    for (const more of keys) {
      const args = ['recipes/nmnist.yaml', ...small, ...more, '--json'];
      const trained = await spikeloom(['train', ...args, `out=${folder}`]);
      const summary = await spikeloom(['summary', ...args]);
      expect([trained.status, summary.status], trained.stderr + summary.stderr).to.deep.equal([0, 0]);
      const { memory } = linesOf(trained)[0];
      expect(JSON.parse(summary.stdout).training_memory, more.join()).to.deep.equal(memory);
      steps.push(memory.step_bytes);
    }
    expect(new Set(steps), 'bytes, spikes and real numbers').to.have.property('size', keys.length);
  });

  it('reports a complete run again, and refuses to go on where there is none', async () => {
    mkdirSync(join(folder, 'quickstart-0002', 'weights'), { recursive: true }); // it never began: there is no state
    const [again, none, other] = await Promise.all([
      spikeloom(train(folder, 'epochs=1', '--resume', 'last', '--json')),
      spikeloom(train(join(folder, 'empty'), '--resume', 'last')),
      spikeloom(['eval', folder]),
    ]);
    expect(again.status, again.stderr).to.equal(0);
    expect(linesOf(again).map(({ event }) => event)).to.deep.equal(['start', 'end']);
    expect(linesOf(again)[0].run).to.equal(join(folder, 'quickstart-0001'));
    expect(none.status).to.equal(2);
    expect(none.stderr).to.match(/^spikeloom: there is no run .*empty/);
    expect(other.status).to.equal(2);
    expect(other.stderr).to.match(/is not a run folder/);
  });

  it('clears what a save that was killed has left, once the run goes on', async () => {
    const run = join(folder, 'quickstart-0001');
    const left = ['.state.safetensors.0123456789ab.tmp', 'weights/.best.safetensors.0123456789ab.tmp'];
    for (const file of left) writeFileSync(join(run, file), 'half');
    const { status, stderr } = await spikeloom(['train', '--resume', run]);
    expect(status, stderr).to.equal(0);
    for (const file of left) expect(existsSync(join(run, file)), file).to.equal(false);
  });

  it('prints what was given beside --resume in the command that goes on, too, and only that', async () => {
    const out = join(folder, 'again');
    /** The command's arguments as a shell takes them. */
    const again = ({ stdout }: Outcome) => {
      const [, text] = /npx spikeloom train (.*)$/m.exec(stdout) ?? [];
      return Array.from(text!.matchAll(/'([^']*)'|(\S+)/g), ([, quoted, plain]) => quoted ?? plain!);
    };
    const stopped = (args: string[]) => {
      let sent = false;
      return spikeloom(args, {
        onOutput(text, kill) {
          if (!sent && /run folder|going on/.test(text)) kill('SIGTERM');
          sent ||= /run folder|going on/.test(text);
        },
      });
    };
    const first = await stopped(train(out, 'epochs=99'));
    const run = join(out, 'quickstart-0001');
    expect(again(first), first.stdout + first.stderr).to.deep.equal(['--resume', run]);
    const keys = ['data.workers=2', 'data.root=datasets/fashion-mnist-small/'];
    const second = await stopped(['train', '--resume', run, ...keys]);
    expect(again(second), second.stdout + second.stderr).to.deep.equal(['--resume', run, ...keys]);
    const third = await stopped([...train(out, 'epochs=99'), '--resume', 'last']);
    const [, recipe, ...own] = train(out, 'epochs=99');
    expect(again(third), third.stdout + third.stderr).to.deep.equal([recipe, '--resume', run, ...own]);
  });

  it("takes a recipe whose path has a '=' in it, with --resume too", async () => {
    const recipe = join(folder, 'lr=0.1', 'mine.yaml');
    mkdirSync(dirname(recipe));
    copyFileSync('recipes/quickstart.yaml', recipe);
    const [, , ...keys] = train(join(folder, 'from it'), 'epochs=1');
    for (const more of [[], ['--resume', 'last']]) {
      const { status, stderr } = await spikeloom(['train', recipe, ...keys, ...more]);
      expect(status, stderr).to.equal(0);
    }
  });

  it('evaluates a run with other places in place of its own, and no other settings', async () => {
    const run = join(folder, 'quickstart-0001');
    const [own, copy, changed, help] = await Promise.all([
      spikeloom(['eval', run, '--json']),
      spikeloom(['eval', run, 'threads=2', 'data.root=datasets/fashion-mnist-small/', 'data.workers=2', '--json']),
      spikeloom(['eval', run, 'batch=3']),
      spikeloom(['eval', '--help']),
    ]);
    expect([own.status, copy.status], copy.stderr).to.deep.equal([0, 0]);
    const numbers = ({ stdout }: Outcome) => ({ ...JSON.parse(stdout), seconds: 0 });
    expect(numbers(copy)).to.deep.equal(numbers(own));
    expect(changed.status).to.equal(2);
    expect(changed.stderr).to.match(/^spikeloom: an evaluation takes the run's own 'batch'; .* given device, threads/);
    expect(help.stdout.replace(/\s+/g, ' ')).to.match(/key=value in place of the run's settings: device, threads,/);
  });

  it('goes on with a run by its folder alone, with keys in place of its own where they may differ', async () => {
    const run = join(folder, 'quickstart-0001');
    for (const keys of [[], ['data.workers=1']]) {
      const same = await spikeloom(['train', ...keys, '--resume', run, '--json']);
      expect(same.status, same.stderr).to.equal(0);
      expect(linesOf(same)[0]).to.include({ event: 'start', run, resumed: true });
    }
    const [lr, last] = await Promise.all([
      spikeloom(['train', '--resume', run, 'lr=0.7']),
      spikeloom(['train', '--resume', 'last']),
    ]);
    expect([lr!.status, lr!.stdout]).to.deep.equal([1, '']);
    expect(lr!.stderr).to.match(/these differ:\n +optimizer: .*"lr":0\.7/);
    expect(last!.status).to.equal(2);
    expect(last!.stderr).to.match(/--resume last is the newest run of a recipe: name the recipe, or the run's folder/);
  });
});
