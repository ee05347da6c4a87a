import { expect } from 'chai';
import { pointOf } from '../../bench/curve.ts';
import type { StepOptions } from '../../bench/options.ts';
import { findBest, variants } from '../../bench/peers/best.ts';
import { shownCommand } from '../../bench/peers/compare.ts';
import { type Measured, ourSide, type Side } from '../../bench/peers/sides.ts';
import { drawPicture, type Pictured } from '../../bench/picture.ts';
import { SpikeloomError } from '../../lib/core/index.ts';

const options: StepOptions = {
  model: 'fsta-resnet20',
  steps: 2,
  batch: 32,
  size: 32,
  channels: 3,
  classes: 10,
  attention: 'fsta',
  device: 'cpu',
  threads: 2,
  precision: 'fp32',
  warmup: 1,
  repeats: 5,
  seed: 0,
};

const measured = (step_s: number): Measured => ({
  step_s,
  min_s: step_s,
  images_per_s: 32 / step_s,
  peak_bytes: 1e6,
  parameters: 1,
});

describe('bench: sides of a comparison', () => {
  it('tries every subset of the speed-ups once', () => {
    const all = variants();
    expect(all[0]).to.deep.equal([]);
    expect(new Set(all.map((set) => set.join())).size).to.equal(8);
    expect(all).to.deep.include(['bf16', 'channels_last', 'compile']);
  });

  it('the fastest variant takes part with all steps; one that fails is told with its message', async () => {
    const asked: Side[] = [];
    const lines: string[] = [];
    const run = async (side: Side): Promise<Measured> => {
      asked.push(side);
      if (side.args.includes('compile')) throw new SpikeloomError('no compiler');
      return measured(side.args.includes('bf16') ? 0.5 : 1);
    };
    const { side, tried } = await findBest(options, 'python3', run, (line) => lines.push(line));
    expect(lines.filter((line) => line === 'no compiler').length).to.equal(4);
    expect(asked.length).to.equal(8).and.to.equal(tried.length);
    expect(asked.every(({ args }) => args[args.indexOf('--repeats') + 1] === '3')).to.equal(true);
    expect(tried.filter(({ failed }) => failed === 'no compiler').length).to.equal(4);
    expect(side.name).to.equal('torch best (bf16)');
    expect(side.args.slice(-2)).to.deep.equal(['--speedups', 'bf16']);
    expect(side.args[side.args.indexOf('--repeats') + 1]).to.equal('5');
    expect(Number(side.args[side.args.indexOf('--warmup') + 1])).to.be.at.least(3);
  });

  it('where nothing runs, that is said', async () => {
    const run = () => Promise.reject(new SpikeloomError('no torch'));
    const error = await findBest(options, 'python3', run, () => {}).catch((reason: Error) => reason);
    expect((error as Error).message).to.include('no torch');
  });

  it('ours takes the precision it is given', () => {
    const { args, name } = ourSide(options, 'bf16');
    expect(args[args.indexOf('--precision') + 1]).to.equal('bf16');
    expect(name).to.equal('spikeloom bf16');
  });

  it('a command line is written down without the places of this machine', () => {
    const words = ['peers', '--python', '/a/b', '--rounds', '3', '--out=/c.json', '--out', '/c.json', '--frames'];
    expect(shownCommand(words)).to.equal('npm run bench -- peers --rounds 3 --frames');
  });
});

describe('bench: the curve over time steps', () => {
  it('divides by T what grows with it', () => {
    const point = pointOf(4, { ...measured(2), plan_bytes: 400 }, 'node');
    expect(point).to.include({ seconds_per_step: 0.5, image_steps_per_s: 64, plan_bytes_per_step: 100 });
    expect(point.peak_bytes_per_step).to.equal(250_000);
  });
});

describe('bench: the picture', () => {
  const found: Pictured = {
    date: '2026-11-23T12:00:00Z',
    command: `npm run bench -- peers ${'--forms expanded '.repeat(12)}`.trim(),
    commit: '0123456789abcdef',
    machine: { cpu: 'A <fast> "CPU" & more', cores: 2 },
    options: { model: 'fsta-resnet20', steps: 2, batch: 32, size: 32, threads: 2, rounds: 3 },
    sides: [
      { name: 'spikeloom bf16', images_per_s: 400, peak_bytes: 2 ** 28 },
      { name: 'torch expanded', images_per_s: 20, peak_bytes: 2 ** 31 },
    ],
    memory: { batch: 128, sides: [{ name: 'spikeloom bf16', peak_bytes: 2 ** 29 }] },
  };
  const picture = drawPicture(found);
  const bars = [...picture.matchAll(/<rect x="\d+" y="\d+" width="([\d.]+)"[^>]*class="(\w+)"/g)];

  it('has a bar for every number, as long as the number is large', () => {
    expect(bars.map(([, , kind]) => kind)).to.deep.equal(['ours', 'theirs', 'ours', 'theirs', 'ours']);
    const lengths = bars.map(([, width]) => Number(width));
    expect(lengths[1]! / lengths[0]!).to.be.closeTo(20 / 400, 0.001);
    expect(lengths[2]! / lengths[3]!).to.be.closeTo(1 / 8, 0.001);
    expect(lengths[4]).to.equal(lengths[0]);
  });

  it('has values at the bars, the machine, date, commit and command, and is well-formed', () => {
    for (const words of ['>400<', '>20.0<', '>256 MiB<', '>2.00 GiB<', 'batch 128', '2026-11-23', '0123456789'])
      expect(picture).to.include(words);
    expect(picture).to.include('A &lt;fast&gt; &quot;CPU&quot; &amp; more');
    const small = [...picture.matchAll(/class="small">([^<]*)</g)].map(([, line]) => line!);
    expect(small.slice(1).join(' ')).to.equal(found.command);
    expect(small.slice(1).every((line) => line.length <= 125)).to.equal(true);
    const open = picture.match(/<(svg|text|rect|title|style)\b/g)!.length;
    const closed = picture.match(/<\/(svg|text|title|style)>|\/>/g)!.length;
    expect(open).to.equal(closed);
  });

  it('reads on light and dark pages', () => {
    expect(picture).to.include('prefers-color-scheme: dark');
    expect(picture).to.not.include('background');
  });
});
