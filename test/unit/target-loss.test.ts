// The built-in losses of targets: their values and gradients, the shapes they take, and their settings.
import { expect } from 'chai';
import { backward, parameter, type Shape, scope, tensor } from '../../lib/core/index.ts';
import { define, flatten, globalAvgPool, lif, linear, meanOverTime } from '../../lib/nn/index.ts';
import { mixTargets } from '../../lib/ops/mix.ts';
import { lossFrom } from '../../lib/train/loss.ts';
import { checkTargetOutput, type TargetLossSettings, targetLossOf } from '../../lib/train/target-loss.ts';
import { messageOf } from '../support/failure.ts';
import { noise } from '../support/op-table.ts';

/** One number's loss and its derivative, by the formulas of PyTorch's MSELoss, L1Loss and HuberLoss. */
const formulas: Record<string, (d: number, delta: number) => [loss: number, gradient: number]> = {
  mse: (d) => [d * d, 2 * d],
  l1: (d) => [Math.abs(d), Math.sign(d)],
  huber: (d, delta) =>
    Math.abs(d) <= delta ? [(d * d) / 2, d] : [delta * (Math.abs(d) - delta / 2), delta * Math.sign(d)],
};
const settings: TargetLossSettings[] = [
  { kind: 'mse' },
  { kind: 'l1' },
  { kind: 'huber', delta: 1 },
  { kind: 'huber', delta: 0.3 },
  { kind: 'huber', delta: 1e-8 },
];

const f64 = (shape: Shape, data: ArrayLike<number>) => tensor(Float64Array.from(data), { shape, dtype: 'f64' });

describe('losses of targets', () => {
  for (const one of settings) {
    for (const shape of [
      [5, 3],
      [4, 5, 3],
      [2, 3, 4, 2],
      [2, 3, 3, 4, 2],
    ]) {
      it(`are the mean of ${JSON.stringify(one)}, and so are their gradients: [${shape}]`, async () => {
        const [y, t] = [noise(shape, 1).data, noise(shape, 2).data];
        using output = parameter(f64(shape, y));
        using targets = f64(shape, t);
        const loss = scope(() => {
          const made = targetLossOf(one, output, targets, 'f64');
          backward(made);
          return made;
        });
        const parts = Array.from(y, (value, i) => formulas[one.kind]!(value - t[i]!, one.delta ?? 1));
        const sum = parts.reduce((all, [value]) => all + value, 0);
        expect(await loss.item()).to.be.closeTo(sum / y.length, 1e-12);
        const gradient = await output.grad!.array();
        parts.forEach(([, slope], i) => {
          expect(gradient[i]).to.be.closeTo(slope / y.length, 1e-12);
        });
        loss.dispose();
        output.freeGrad();
      });
    }
  }

  it("are Huber's far from the target, too, in f32", async () => {
    for (const [d, delta] of [
      [5e7, 1],
      [1000.25, 2 ** -10],
      [-20, 2 ** -20],
    ] as const) {
      using output = parameter(tensor([d]));
      const loss = scope(() => {
        const made = targetLossOf({ kind: 'huber', delta }, output, tensor([0]), 'f32');
        backward(made);
        return made;
      });
      const [value, slope] = formulas.huber!(d, delta);
      expect(await loss.item()).to.be.closeTo(value, value * 1e-6);
      expect(await output.grad!.item()).to.equal(slope);
      output.freeGrad();
      loss.dispose();
    }
  });

  it('take the mean over time where the targets have no time steps, and spikes as numbers', async () => {
    const [y, t] = [noise([2, 3, 4], 1).data, noise([3, 4], 2).data];
    const of = async (output: ReturnType<typeof f64>, targets: ReturnType<typeof f64>) => {
      using loss = scope(() => targetLossOf({ kind: 'mse' }, output, targets, 'f64'));
      return loss.item();
    };
    using targets = f64([3, 4], t);
    const mean = Array.from(t, (value, i) => ((y[i]! + y[12 + i]!) / 2 - value) ** 2);
    expect(await of(f64([2, 3, 4], y), targets)).to.be.closeTo(mean.reduce((a, b) => a + b) / 12, 1e-12);
    const spikes = Uint8Array.from(y, (value) => Number(value > 0));
    const real = await of(f64([2, 3, 4], spikes), targets);
    expect(await of(tensor(spikes, { shape: [2, 3, 4], dtype: 'spike' }), targets)).to.equal(real);
    const timed = f64([2, 3, 4], [...t, ...t]);
    const each = Array.from(spikes, (value, i) => (value - t[i % 12]!) ** 2);
    expect(await of(tensor(spikes, { shape: [2, 3, 4], dtype: 'spike' }), timed)).to.be.closeTo(
      each.reduce((a, b) => a + b) / 24,
      1e-12,
    );
    expect(() => targetLossOf({ kind: 'l1' }, f64([3, 2], t.slice(0, 6)), targets, 'f64')).to.throw(
      /a loss takes output and targets of one shape, not f64\[3,2\] and f64\[3,4\]/,
    );
  });

  it('targets are mixed as images are by mixup', async () => {
    for (const [shape, size] of [
      [[3, 2], 2],
      [[2, 3, 2], 2],
      [[3, 2, 2, 1], 4],
      [[2, 3, 2, 2, 1], 4],
    ] as const) {
      const { data } = noise(shape, 3);
      using mix = f64([6], [0.25, 0.25, 0, 0, 0, 0]);
      using mixed = scope(() => mixTargets(f64(shape, data), mix));
      expect(mixed.shape).to.deep.equal([...shape]);
      const numbers = await mixed.array();
      data.forEach((own, i) => {
        const b = Math.floor(i / size) % 3;
        const other = data[i + (2 - 2 * b) * size]!;
        expect(numbers[i]).to.be.closeTo(0.25 * own + 0.75 * other, 1e-12);
      });
    }
  });

  it('have settings with defaults, and go with targets alone', () => {
    const of = (loss: unknown, hasTargets = true) => lossFrom('train()', loss as TargetLossSettings, hasTargets);
    expect(of(undefined)).to.deep.equal({ kind: 'mse' });
    expect(of({})).to.deep.equal({ kind: 'mse' });
    expect(of(undefined, false)).to.deep.equal({ kind: 'ce', smoothing: 0 });
    expect(of({ kind: 'huber' })).to.deep.equal({ kind: 'huber', delta: 1 });
    expect(of({ kind: 'l1', delta: undefined })).to.deep.equal({ kind: 'l1' });
    for (const [loss, message, hasTargets] of [
      ['mse', /the options of loss are an object of kind, delta, not "mse"/, true],
      [null, /the options of loss are an object of kind, delta, not null/, true],
      [{ kind: 'mae' }, /mse, l1, huber for targets, or a function of your own, not "mae"/, true],
      [{ kind: 'mse', smoothing: 0.1 }, /loss has no option smoothing; it has kind, delta/, true],
      [{ kind: 'mse', delta: 1 }, /loss.delta is one of Huber's loss, but the loss is 'mse'; leave it out/, true],
      [{ delta: 1 }, /loss.delta is one of Huber's loss, but the loss is 'mse'/, true],
      ...[0, -1, Number.NaN, '1'].map(
        (delta) => [{ kind: 'huber', delta }, /loss.delta is a finite number above 0, not/, true] as const,
      ),
      [{ kind: 'ce' }, /'ce' is one for classes, but the samples have targets; take one of mse, l1, huber/, true],
      [{ kind: 'mse' }, /'mse' is one for targets, but the samples have classes; take one of ce, bce, tet/, false],
      [{ kind: 'ce', delta: 1 }, /loss has no option delta; it has kind, smoothing/, false],
    ] as const)
      expect(messageOf(() => of(loss, hasTargets))).to.match(message);
  });

  it('say how the output of a network must be', () => {
    const made = { steps: 4, channels: 6, size: [1, 1] as const };
    const plain = define('plain', () => [flatten(), linear(3), meanOverTime()]).plan(made);
    const timed = define('timed', () => [globalAvgPool(), linear(3), lif()]).plan(made);
    for (const [plan, targets, message] of [
      [plain, [3], undefined],
      [timed, [3], undefined],
      [timed, [4, 3], undefined],
      [
        plain,
        [2],
        /\[2\] of a sample, number by number, but plain gives \[3\]; end it with linear\(2\), or give a loss/,
      ],
      [plain, [4, 3], /but plain gives no time steps; leave meanOverTime\(\) out, or give a loss of your own/],
      [timed, [5, 3], /\[5,3\] of a sample, .*, but timed gives 4 time steps; make the two the same/],
      [timed, [3, 1, 1], /\[3,1,1\] of a sample, .*, but timed gives \[3\]; make the two the same/],
    ] as const) {
      if (message) expect(messageOf(() => checkTargetOutput(plan, targets))).to.match(message);
      else checkTargetOutput(plan, targets);
    }
  });
});
