import { expect } from 'chai';
import { Command } from 'commander';
import { pointOf } from '../../bench/curve.ts';
import { networkOf, planOf } from '../../bench/networks.ts';
import { addStepOptions, asArguments, type StepOptions } from '../../bench/options.ts';
import { findBest, variants } from '../../bench/peers/best.ts';
import { formsOf, plainSide, refuseUnknownForms, shownCommand } from '../../bench/peers/compare.ts';
import { type Measured, ourSide, packagesOf, type Side, torchSide } from '../../bench/peers/sides.ts';
import { drawPicture, type Pictured } from '../../bench/picture.ts';
import { backward, keep, SpikeloomError, scope, tensor } from '../../lib/core/index.ts';
import { crossEntropy } from '../../lib/ops/index.ts';

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
    const all = variants(options);
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

  it("another library's network is timed by its program, in forms of its own; images are encoded once, frames cannot be", async () => {
    const csnn = { ...options, model: 'spikingjelly-csnn' };
    expect(formsOf(csnn.model).usual).to.deep.equal(['plain', 'best']);
    expect(packagesOf(csnn.model)).to.deep.equal(['torch', 'spikingjelly']);
    expect(packagesOf(options.model)).to.deep.equal(['torch']);
    const plain = torchSide(csnn, 'python3', 'plain');
    expect(plain.name).to.equal('spikingjelly plain');
    expect(plain.args[0]).to.equal('bench/peers/library_step.py');
    expect(plain.args).to.not.include('--form');
    expect(variants(csnn)[0]).to.deep.equal([]);
    expect(
      variants(csnn)
        .slice(1)
        .map(([first]) => first),
    ).to.deep.equal(Array(8).fill('once'));
    expect(variants({ ...csnn, frames: true }).flat()).to.not.include('once');
    const { side } = await findBest(
      csnn,
      'python3',
      async ({ args }) => measured(args.includes('once') ? 0.5 : 1),
      () => {},
    );
    expect(side.name).to.equal('spikingjelly best (once)');
    expect(side.args.slice(-2)).to.deep.equal(['--speedups', 'once']);
  });

  it('speed-ups of a library may be asked for by name, what does not exist is refused', () => {
    const model = 'spikingjelly-csnn';
    refuseUnknownForms({ model, forms: ['plain', 'best', 'once+bf16', 'compile'] });
    refuseUnknownForms({ model });
    expect(() => refuseUnknownForms({ model, forms: ['bf16+fast'] })).to.throw(
      /once, bf16.*joined by '\+'.*not 'bf16\+fast'/,
    );
    expect(() => refuseUnknownForms({ model: 'fsta-resnet20', forms: ['bf16'] })).to.throw(/expanded.*not 'bf16'/);
  });

  it('a form of ours takes part with given speed-ups, too', () => {
    const { name, args } = plainSide(options, 'python3', 'collapsed+bf16+graphs');
    expect(name).to.equal('torch collapsed (bf16, graphs)');
    expect(args[args.indexOf('--form') + 1]).to.equal('collapsed');
    expect(args.slice(-3)).to.deep.equal(['--speedups', 'bf16', 'graphs']);
    expect(plainSide(options, 'python3', 'expanded-amp')).to.deep.equal(plainSide(options, 'python3', 'expanded+amp'));
    expect(plainSide(options, 'python3', 'expanded')).to.deep.equal(torchSide(options, 'python3', 'expanded'));
    refuseUnknownForms({
      model: options.model,
      forms: ['expanded+amp', 'collapsed+bf16+channels_last+graphs', 'best'],
    });
    for (const form of ['collapsed+', 'collapsed+once', 'best+bf16', 'plain+bf16', 'bf16+graphs', '']) {
      expect(() => refuseUnknownForms({ model: options.model, forms: [form] }), form).to.throw(
        "'expanded' or 'collapsed' with speed-ups of bf16, channels_last, compile, amp, graphs",
      );
    }
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

describe('bench: networks of other libraries', () => {
  const common = { steps: 2, size: 28, channels: 1, classes: 10 };
  const shapesOf = (model: string, width?: number) =>
    planOf({ ...common, model, ...(width && { width }) }).layers.map(({ output }) => output.shape.join('x'));

  it('have the shapes and as many parameters as there', () => {
    const count = (model: string, more: object) => planOf({ ...common, model, ...more }).summary().totals.parameters;
    expect(count('spikingjelly-csnn', {})).to.equal(13_014_656);
    expect(count('spikingjelly-dvs-gesture', { size: 128, channels: 2, classes: 11 })).to.equal(1_698_926);
    expect(count('snntorch-convnet', {})).to.equal(29_826);
    expect(shapesOf('spikingjelly-csnn', 8)).to.include.members(['8x14x14', '8x7x7', '392', '128', '10']);
    expect(shapesOf('snntorch-convnet')).to.include.members(['12x24x24', '12x12x12', '64x8x8', '64x4x4', '1024']);
  });

  it('refuse what they cannot be, with the networks there are', () => {
    expect(() => shapesOf('csnn')).to.throw(/no network "csnn"; the networks are fsta-resnet8, .*snntorch-convnet/);
    expect(() => shapesOf('snntorch-convnet', 8)).to.throw(SpikeloomError, /no option "width"/);
  });

  it('train: every parameter gets a gradient, votes are means', async () => {
    const net = networkOf(
      { model: 'spikingjelly-dvs-gesture', steps: 2, size: 32, channels: 2, classes: 3, width: 8 },
      { dtype: 'f64' },
    );
    const pixels = Float64Array.from({ length: 2 * 2 * 2 * 32 * 32 }, (_, i) => Math.sin(i * i));
    const frames = keep(tensor(pixels, { shape: [2, 2, 2, 32, 32] }));
    const logits = scope(() => {
      const y = net(frames);
      backward(crossEntropy(y, tensor(Int32Array.of(0, 2))));
      return y;
    });
    const votes = Array.from(await logits.array(), (value) => Number(value) * 10 * 2);
    expect(votes.every((value) => Math.abs(value - Math.round(value)) < 1e-9)).to.equal(true);
    expect(net.parameters().filter(({ tensor: { grad } }) => !grad)).to.deep.equal([]);
    for (const t of [logits, frames, net]) t.dispose();
  });
});

describe('bench: options of a step', () => {
  const parsed = (...args: string[]) => addStepOptions(new Command()).parse(args, { from: 'user' }).opts<StepOptions>();

  it('leave the attention to the network', () => {
    const kinds = (...args: string[]) => planOf(parsed(...args)).layers.map(({ layer }) => layer.kind);
    expect(kinds('--model', 'recurrent')).to.include('recurrentLif');
    expect(kinds()).to.include('fsta');
    expect(kinds('--attention', 'none')).not.to.include('fsta');
    expect(asArguments(parsed())).not.to.include('--attention');
    expect(asArguments(parsed('--attention', 'none')).join(' ')).to.contain('--attention none');
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
