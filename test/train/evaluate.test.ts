// A network that is used elsewhere while it is evaluated or trained.
import { expect } from 'chai';
import {
  conv2d,
  define,
  dropout,
  type EpochReport,
  evaluate,
  flatten,
  imageSet,
  lif,
  linear,
  meanOverTime,
  type Net,
  noGrad,
  norm,
  scope,
  sgd,
  train,
  zeros,
} from '../../lib/index.ts';

const make = define('tiny', ({ classes }) => [
  ...[conv2d(8, { kernel: 3 }), norm(), lif()],
  ...[flatten(), dropout(0.2), linear(classes), meanOverTime()],
]);
const net = (): Net => make({ steps: 2, input: { channels: 1, height: 8, width: 8 }, classes: 3, seed: 5 });

const images = (count: number, step: number) =>
  imageSet({
    ...{ name: 'noise', count, channels: 1, height: 8, width: 8, mean: [0.5], std: [0.3] },
    images: Uint8Array.from({ length: count * 64 }, (_, i) => (i * 7919 * step) % 256),
    labels: Int32Array.from({ length: count }, (_, i) => i % 3),
    classes: ['a', 'b', 'c'],
  });
const data = { train: images(200, 1), test: images(50, 3) };

/** The reports of a training, without what a clock says. */
async function trained(net: Net, options: { record?: boolean } = {}): Promise<Partial<EpochReport>[]> {
  const reports: Partial<EpochReport>[] = [];
  const optimizer = sgd({ lr: 0.05 });
  for await (const report of train(net, { data, epochs: 3, batch: 16, optimizer, workers: 0, ...options })) {
    const { epoch, loss, accuracy, firingRate, firingRates } = report;
    reports.push({ epoch, loss, accuracy, firingRate, firingRates });
  }
  return reports;
}

describe('a network used by several at once', () => {
  it('is evaluated twice at a time as one after the other, and keeps its mode', async () => {
    using used = net();
    const numbers = async (set: typeof data.test) => {
      const { loss, accuracy, firingRate } = await evaluate(used, set);
      return [loss, accuracy, firingRate];
    };
    const alone = [await numbers(data.train), await numbers(data.test)];
    expect(alone[0]![2]).to.be.above(0);
    expect(await Promise.all([numbers(data.train), numbers(data.test)])).to.deep.equal(alone);
    expect([used.training, used.trackFiring, used.firing]).to.deep.equal([true, false, []]);
  });

  for (const record of [true, false]) {
    it(`is trained as if nobody evaluated it or predicted by it meanwhile (record: ${record})`, async () => {
      using alone = net();
      const expected = await trained(alone, { record });
      using used = net().eval();
      let isTraining = true;
      let times = 0;
      const others = (async () => {
        for (; isTraining; times++) {
          await evaluate(used, data.test, { batch: 10, workers: 0 });
          scope(() => noGrad(() => used(zeros([4, 1, 8, 8]))));
        }
      })();
      const reports = await trained(used, { record });
      isTraining = false;
      await others;
      expect(times).to.be.above(1);
      expect(reports).to.deep.equal(expected);
      expect(used.training).to.equal(false);
    });
  }
});
