// What a state holds besides the network: parameters of a loss, and which parameters were frozen.
import { expect } from 'chai';
import { parameter, tensor } from '../../lib/core/index.ts';
import { crossEntropy } from '../../lib/ops/cross-entropy.ts';
import { mul } from '../../lib/ops/index.ts';
import { type NamedParameter, sgd } from '../../lib/optim/index.ts';
import { abortAfter } from '../support/abort-after.ts';
import { refusal } from '../support/failure.ts';
import { go, makeNet, newFolders } from '../support/small-training.ts';

const folder = newFolders();

describe('a saved state', () => {
  /** Trains with a factor on the loss that is learned, too; stopped after so many steps and resumed where it says so. */
  async function learned(stopAfter?: number) {
    const run = async (options: object) => {
      const factor = parameter(tensor([1]));
      const base = sgd({ lr: 0.1, momentum: 0.9 });
      const make = (all: readonly NamedParameter[]) => base([...all, { name: 'factor', tensor: factor }]);
      const optimizer = Object.assign(make, { settings: base.settings });
      const scaled = (output: Parameters<typeof crossEntropy>[0], labels: Parameters<typeof crossEntropy>[1]) =>
        mul(crossEntropy(output, labels), factor);
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

  it('goes on with the parameters that were trained when it was saved', async () => {
    const out = folder();
    const freeze = (net: ReturnType<typeof makeNet>) => {
      for (const { name, tensor: t } of net.parameters()) t.requiresGrad = !name.startsWith('conv');
      return net;
    };
    await go(freeze(makeNet()), { out, ...abortAfter(2) });
    const other = await refusal(go(makeNet(), { out, resume: true }));
    expect(other).to.match(
      /'conv\S+' was frozen then and is trained now; set its tensor\.requiresGrad to false before/,
    );
    await go(freeze(makeNet()), { out, ...abortAfter(2), resume: true });
    const all = freeze(makeNet());
    for (const { tensor: t } of all.parameters()) t.requiresGrad = false;
    expect(await refusal(go(all, { out, resume: true }))).to.match(
      /was trained then and is frozen now; .* to true before/,
    );
    expect((await go(freeze(makeNet()), { out, resume: true })).reports).to.not.have.length(0);
  });
});
