// Networks whose neurons hear each other: they learn what no other neurons can, recorded or not, in every precision,
// interrupted or not, from JSON, and by the recipe.
import { readFileSync } from 'node:fs';
import { expect } from 'chai';
import { cudaBackend, noGrad, scope } from '../../lib/core/index.ts';
import { numberSet } from '../../lib/data/index.ts';
import {
  conv2d,
  define,
  flatten,
  type Layer,
  lif,
  linear,
  meanOverTime,
  Net,
  type NetOptions,
  norm,
  recurrentLif,
} from '../../lib/nn/index.ts';
import { adamw, cosine } from '../../lib/optim/index.ts';
import { runPaths } from '../../lib/train/run-folder.ts';
import { abortAfter } from '../support/abort-after.ts';
import { testDevices } from '../support/devices.ts';
import { noise, toDevice } from '../support/op-table.ts';
import { go as goOn, newFolders } from '../support/small-training.ts';

const STEPS = 6;
const shape = { steps: STEPS, input: { channels: 8, height: 1, width: 1 }, classes: 2, seed: 5 } as const;
const netOf = (neuron: Layer, options: NetOptions = {}, front: Layer[] = []): Net =>
  define('recurrent', ({ classes }) => [
    ...[...front, flatten(), linear(33, { std: 0.5 }), neuron, linear(classes, { std: 0.1 }), meanOverTime()],
  ])({ ...shape, ...options });

/** Two neighbouring inputs spike one after the other: which comes first is the class. A sum over time does not tell. */
function ordersOf(count: number, seed: number) {
  const numbers = new Uint8Array(count * STEPS * 8);
  const drawn = noise([count, 2], seed).data;
  for (let i = 0; i < count; i++) {
    const [pair, t] = [Math.abs(Math.trunc(drawn[2 * i]! * 2)) % 4, Math.abs(Math.trunc(drawn[2 * i + 1]! * 2)) % 4];
    for (const second of [0, 1]) numbers[(i * STEPS + t + second) * 8 + 2 * pair + (second === i % 2 ? 0 : 1)] = 1;
  }
  const labels = Array.from({ length: count }, (_, i) => i % 2);
  return numberSet({ name: 'orders', numbers, shape: [STEPS, 8, 1, 1], labels, classes: ['a b', 'b a'], binary: true });
}

const data = { train: ordersOf(64, 1), test: ordersOf(32, 2) };
const usual = { data, batch: 8, augment: 'none', optimizer: adamw({ lr: 0.01 }) } as const;
const go: typeof goOn = (net, options) => goOn(net, { ...usual, ...options });
const longer = { epochs: 16, schedule: cosine({ epochs: 16 }) };

type Report = Awaited<ReturnType<typeof go>>['reports'][number];
const numbers = ({ imagesPerSecond: _a, seconds: _b, waitShare: _c, ...report }: Report) => report;
const weights = (folder: string) => readFileSync(runPaths(folder).last);

describe('training of recurrent neurons', () => {
  const folder = newFolders();

  for (const on of testDevices) {
    it(`on ${on}: neurons without a memory of their own learn an order by hearing each other, others do not`, async function () {
      if (on === 'cuda' && cudaBackend().score === 0) this.skip();
      const { reports } = await go(netOf(recurrentLif({ decay: 0 }), { device: on }), longer);
      expect(reports.at(-1)!.accuracy).to.be.above(0.95);
      for (const { firingRate, firingRates } of reports) {
        expect(firingRate).to.be.within(0.01, 0.9);
        expect(Object.keys(firingRates)).to.deep.equal(['recurrentLif1']);
      }
      if (on === 'cuda') return;
      const alone = await go(netOf(lif({ decay: 0 })), longer);
      expect(alone.reports.at(-1)!.accuracy).to.be.within(0.3, 0.7);
    });
  }

  const behindConvolution = async (options: NetOptions, record: boolean) => {
    const front = [conv2d(16, { kernel: 1 }), norm(), lif()]; // a convolution is what bf16 changes
    const net = netOf(recurrentLif({ synapticDecay: 0.5, reset: 'soft' }), options, front);
    return (await go(net, { record, epochs: 2 })).reports.map(numbers);
  };

  for (const options of [{}, { dtype: 'f64' }, { precision: 'bf16' }] as const) {
    it(`${Object.values(options)[0] ?? 'f32'}: the same bits recorded and call by call`, async () => {
      const recorded = await behindConvolution(options, true);
      expect(await behindConvolution(options, false)).to.deep.equal(recorded);
      const { length } = Object.keys(options);
      if (length > 0) expect(await behindConvolution({}, true)).not.to.deep.equal(recorded);
    });
  }

  it('interrupted and resumed, the same bits as without', async () => {
    const [whole, parts] = [folder(), folder()];
    const make = () => netOf(recurrentLif({ surrogate: 'atan' }));
    const expected = await go(make(), { out: whole });
    const first = await go(make(), { out: parts, ...abortAfter(13) });
    expect(first.interrupted).to.equal(true);
    const second = await go(make(), { out: parts, resume: true });
    expect([...first.reports, ...second.reports].map(numbers)).to.deep.equal(expected.reports.map(numbers));
    expect(weights(parts)).to.deep.equal(weights(whole));
  });

  it('from JSON the same network, whose weights start uniform within 1/sqrt(F)', async () => {
    const net = netOf(recurrentLif({ synapticDecay: 0.9 }));
    const again = Net.fromJSON(JSON.parse(JSON.stringify(net)), { seed: 5 });
    const x = toDevice(noise([STEPS, 2, 8, 1, 1], 4), 'f32', 'cpu');
    const [one, two] = noGrad(() => scope(() => [net.eval()(x), again.eval()(x)]));
    expect([...(await one!.array())]).to.deep.equal([...(await two!.array())]);
    const { tensor } = net.parameters().find(({ name }) => name === 'recurrentLif1.weight')!;
    const start = [...(await tensor.array())] as number[];
    const spread = Math.sqrt(start.reduce((sum, w) => sum + w * w, 0) / start.length);
    expect(Math.max(...start.map(Math.abs))).to.be.within(0.99 / Math.sqrt(33), 1 / Math.sqrt(33));
    expect(spread).to.be.closeTo(1 / Math.sqrt(3 * 33), 0.003);
    for (const held of [one!, two!, x, net, again]) held.dispose();
  });
});
