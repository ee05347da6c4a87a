// What a state holds besides the network: parameters of a loss, and which parameters were frozen.
import { expect } from 'chai';
import { parameter, tensor } from '../../lib/core/index.ts';
import { crossEntropy } from '../../lib/ops/cross-entropy.ts';
import { mul } from '../../lib/ops/index.ts';
import { type NamedParameter, sgd } from '../../lib/optim/index.ts';
import type { LossFunction } from '../../lib/train/loss.ts';
import { train } from '../../lib/train/train.ts';
import { abortAfter } from '../support/abort-after.ts';
import { refusal } from '../support/failure.ts';
import { data, go, makeNet, newFolders, usual } from '../support/small-training.ts';

const folder = newFolders();

describe('a saved state', () => {
  /** Trains with a factor on the loss that is learned, too; stopped after so many steps and resumed where it says so. */
  async function learned(stopAfter?: number) {
    const run = async (options: object) => {
      const factor = parameter(tensor([1]));
      const base = sgd({ lr: 0.1, momentum: 0.9 });
      const make = (all: readonly NamedParameter[]) => base([...all, { name: 'factor', tensor: factor }]);
      const optimizer = Object.assign(make, { settings: base.settings });
      const scaled: LossFunction = (output, labels) => mul(crossEntropy(output, labels), factor);
      const loss = Object.assign(scaled, { settings: { kind: 'scaled' } });
      const { reports } = await go(makeNet(), { ...options, out, optimizer, loss });
      const end = (await factor.array())[0]!;
      factor.dispose();
      return { last: reports.at(-1)?.loss, end };
    };
    const out = folder();
    if (stopAfter === undefined) return run({});
    await run(abortAfter(stopAfter));
    return run({ resume: true });
  }

  it('has what the optimizer trains beside the network', async () => {
    const whole = await learned();
    expect(whole.end).to.not.equal(1);
    for (const stopAfter of [1, 4]) expect(await learned(stopAfter), `${stopAfter}`).to.deep.equal(whole);
  });

  it('is refused where nobody takes what the optimizer trained beside the network', async () => {
    const out = folder();
    const factor = parameter(tensor([1]));
    const base = sgd({ lr: 0.1 });
    const make = (all: readonly NamedParameter[]) => base([...all, { name: 'factor', tensor: factor }]);
    const scaled: LossFunction = (output, labels) => mul(crossEntropy(output, labels), factor);
    const loss = Object.assign(scaled, { settings: { kind: 'scaled' } });
    const optimizer = Object.assign(make, { settings: base.settings });
    await go(makeNet(), { out, optimizer, loss, ...abortAfter(2) });
    const other = await refusal(go(makeNet(), { out, optimizer: base, loss, resume: true }));
    expect(other).to.match(/the state has 'beside\.factor', which this network and optimizer have not/);
    const last = Object.assign((all: readonly NamedParameter[]) => make(all.slice(-2)), { settings: base.settings });
    expect(await refusal(go(makeNet(), { out, optimizer: last, loss, resume: true }))).to.match(
      /'conv\S+' was trained then and is frozen now; .* what the optimizer gets/,
    );
    factor.requiresGrad = false;
    expect(await refusal(go(makeNet(), { out, optimizer, loss, resume: true }))).to.match(/'factor' was trained then/);
    factor.dispose();
  });

  it('is not begun where a loss learns what the optimizer has not', async () => {
    const factor = parameter(tensor([1]));
    const scaled: LossFunction = (output, labels) => mul(crossEntropy(output, labels), factor);
    for (const record of [true, false]) {
      const run = go(makeNet(), { loss: scaled, epochs: 1, record });
      expect(await refusal(run)).to.match(
        /^what a loss or a layer of your own learns is a parameter that the optimizer has, but f32\[1\], which the loss was computed from, is none of these; .* goes to the optimizer, .*requiresGrad = false/,
      );
      expect(factor.grad).to.equal(undefined);
    }
    using net = makeNet();
    expect(() => train(net, { data, ...usual, loss: scaled }).memory()).to.throw(/is none of these/);
    factor.requiresGrad = false;
    expect((await go(makeNet(), { loss: scaled, epochs: 1 })).reports).to.have.length(1);
    factor.dispose();
  });

  it('is that of any optimizer with a state, one from the ground up, too', async () => {
    const whole = folder();
    const out = folder();
    const base = sgd({ lr: 0.1, momentum: 0.9 });
    const wrapped = (all: readonly NamedParameter[]) => {
      const inner = base(all);
      const own = {
        settings: inner.settings,
        get lr() {
          return inner.lr;
        },
        set lr(value: number) {
          inner.lr = value;
        },
        get stepCount() {
          return inner.stepCount;
        },
        step: () => inner.step(),
        state: () => inner.state(),
        load: (...state: Parameters<typeof inner.load>) => inner.load(...state),
        dispose: () => inner.dispose(),
      };
      return own as unknown as typeof inner;
    };
    const optimizer = Object.assign(wrapped, { settings: base.settings });
    const all = await go(makeNet(), { out: whole, optimizer });
    await go(makeNet(), { out, optimizer, ...abortAfter(2) });
    const rest = await go(makeNet(), { out, optimizer, resume: true });
    expect(rest.reports.at(-1)!.loss).to.equal(all.reports.at(-1)!.loss);
  });

  it('lets other parameters be trained where an epoch begins, as between two epochs', async () => {
    const train3 = async (stop: boolean) => {
      const out = folder();
      const setConv = (net: ReturnType<typeof makeNet>, on: boolean) => {
        for (const { name, tensor: t } of net.parameters()) if (name.startsWith('conv')) t.requiresGrad = on;
        return net;
      };
      const losses: number[] = [];
      const first = setConv(makeNet(), false);
      for await (const { epoch, loss } of train(first, { data, ...usual, out })) {
        losses.push(loss);
        if (epoch !== 0) continue;
        if (stop) break;
        setConv(first, true);
      }
      if (!stop) return losses;
      const { reports } = await go(setConv(makeNet(), true), { out, resume: true });
      return [...losses, ...reports.map(({ loss }) => loss)];
    };
    expect(await train3(true)).to.deep.equal(await train3(false));
  });

  it('goes on within an epoch with the parameters that were trained when it was saved', async () => {
    const out = folder();
    const freeze = (net: ReturnType<typeof makeNet>) => {
      for (const { name, tensor: t } of net.parameters()) t.requiresGrad = !name.startsWith('conv');
      return net;
    };
    await go(freeze(makeNet()), { out, ...abortAfter(2) });
    const other = await refusal(go(makeNet(), { out, resume: true }));
    expect(other).to.match(/'conv\S+' was frozen then and is trained now; see to its tensor\.requiresGrad/);
    await go(freeze(makeNet()), { out, ...abortAfter(2), resume: true });
    const all = freeze(makeNet());
    for (const { tensor: t } of all.parameters()) t.requiresGrad = false;
    expect(await refusal(go(all, { out, resume: true }))).to.match(/was trained then and is frozen now; see to/);
    expect((await go(freeze(makeNet()), { out, resume: true })).reports).to.not.have.length(0);
  });
});
