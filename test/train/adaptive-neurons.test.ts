// Networks with neurons that have a synaptic current or a threshold that adapts: they learn, recorded or not, in every
// precision, interrupted or not, and so do networks that have other neurons beside them.
import { readFileSync } from 'node:fs';
import { expect } from 'chai';
import { cudaBackend, noGrad, scope } from '../../lib/core/index.ts';
import { numberSet } from '../../lib/data/index.ts';
import {
  alif,
  conv2d,
  cubaLif,
  define,
  fsta,
  globalAvgPool,
  type Layer,
  lif,
  linear,
  meanOverTime,
  model,
  Net,
  type NetOptions,
  norm,
  residual,
} from '../../lib/nn/index.ts';
import { cosine } from '../../lib/optim/index.ts';
import { runPaths } from '../../lib/train/run-folder.ts';
import { abortAfter } from '../support/abort-after.ts';
import { testDevices } from '../support/devices.ts';
import { noise, toDevice } from '../support/op-table.ts';
import { CLASSES, go as goOn, newFolders } from '../support/small-training.ts';

const neurons: Record<string, Layer> = {
  cubaLif: cubaLif(),
  alif: alif({ decay: 0.8, reset: 'soft', adaptationStrength: 0.2 }),
  'alif with a current': alif({ synapticDecay: 0.5, surrogate: 'atan', detachReset: true }),
};

const shape = { steps: 4, channels: 3, size: [7, 5], classes: CLASSES, seed: 5 } as const;
const netOf = (neuron: Layer, options: NetOptions = {}, second = neuron): Net =>
  define('adaptive', ({ classes }) => [
    ...[conv2d(6, { kernel: 3 }), norm(), neuron],
    ...[residual({ body: [conv2d(6, { kernel: 3 }), norm()] }), fsta({ basis: 3 }), second],
    ...[globalAvgPool(), linear(classes), meanOverTime()],
  ])({ ...shape, ...options } as never);

/** Noise, and in the channel of its class more than noise. */
function numbersOf(count: number, seed: number) {
  const labels = Array.from({ length: count }, (_, i) => i % CLASSES);
  const numbers = Float32Array.from(noise([count, 3, 7, 5], seed).data, (value, at) => {
    const [sample, channel] = [Math.floor(at / 105), Math.floor(at / 35) % 3];
    return value + (channel === labels[sample] ? 0.5 : 0);
  });
  return numberSet({ name: 'channels', numbers, shape: [3, 7, 5], labels, classes: ['a', 'b', 'c'] });
}

const data = { train: numbersOf(48, 1), test: numbersOf(12, 2) };
const go: typeof goOn = (net, options) => goOn(net, { data, augment: 'none', ...options });

type Report = Awaited<ReturnType<typeof go>>['reports'][number];
const numbers = ({ imagesPerSecond: _a, seconds: _b, waitShare: _c, ...report }: Report) => report;
const weights = (folder: string) => readFileSync(runPaths(folder).last);

describe('training with a synaptic current or an adaptive threshold', () => {
  const folder = newFolders();
  const longer = { epochs: 12, schedule: cosine({ epochs: 12 }) };

  for (const [name, neuron] of Object.entries(neurons)) {
    for (const on of testDevices) {
      it(`${name} on ${on}: the loss falls`, async function () {
        if (on === 'cuda' && cudaBackend().score === 0) this.skip();
        const options = on === 'cuda' && cudaBackend().description.includes('emulated') ? { epochs: 4 } : longer;
        const { reports } = await go(netOf(neuron, { device: on }), options);
        expect(reports.at(-1)!.loss).to.be.below(reports[0]!.loss * (options === longer ? 0.7 : 0.97));
        for (const { firingRate } of reports) expect(firingRate).to.be.within(0.01, 0.9);
      });
    }

    for (const options of [{}, { dtype: 'f64' }, { precision: 'bf16' }] as const) {
      it(`${name}, ${Object.values(options)[0] ?? 'f32'}: the same bits recorded and call by call`, async () => {
        const reportsOf = async (record: boolean) => {
          const { reports } = await go(netOf(neuron, options), { record, epochs: 2 });
          return reports.map(numbers);
        };
        expect(await reportsOf(false)).to.deep.equal(await reportsOf(true));
      });
    }

    it(`${name}: interrupted and resumed, the same bits as without`, async () => {
      const [whole, parts] = [folder(), folder()];
      const expected = await go(netOf(neuron), { out: whole });
      const first = await go(netOf(neuron), { out: parts, ...abortAfter(8) });
      expect(first.interrupted).to.equal(true);
      const second = await go(netOf(neuron), { out: parts, resume: true });
      expect([...first.reports, ...second.reports].map(numbers)).to.deep.equal(expected.reports.map(numbers));
      expect(weights(parts)).to.deep.equal(weights(whole));
    });

    it(`${name}: from JSON the same network, watched or not`, async () => {
      const net = netOf(neuron);
      const again = Net.fromJSON(JSON.parse(JSON.stringify(net)), { seed: 5 });
      const x = toDevice(noise([2, 3, 7, 5], 4), 'f32', 'cpu');
      const seen: string[] = [];
      again.onLayer = (path) => void seen.push(path);
      const [one, two] = noGrad(() => scope(() => [net.eval()(x), again.eval()(x)]));
      expect([...(await one!.array())]).to.deep.equal([...(await two!.array())]);
      expect(seen).to.include.members([`${neuron.kind}1`, `${neuron.kind}2`]);
      for (const held of [one!, two!, x, net, again]) held.dispose();
    });
  }

  it('bf16 rounds the convolutions in front of them', async () => {
    const lossOf = async (precision: 'fp32' | 'bf16') =>
      (await go(netOf(alif(), { precision }), { epochs: 2 })).reports.map(({ loss }) => loss);
    const [rounded, exact] = [await lossOf('bf16'), await lossOf('fp32')];
    for (const [epoch, loss] of rounded.entries())
      expect(Math.abs(loss - exact[epoch]!), `epoch ${epoch}`).to.be.within(1e-7, 0.3);
  });

  for (const precision of ['fp32', 'bf16'] as const) {
    for (const [first, second] of [
      [lif(), alif()],
      [cubaLif(), lif()],
    ] as const) {
      it(`${first.kind} in front of ${second.kind}, ${precision}: the loss falls, the same bits recorded and not`, async () => {
        const reportsOf = async (record: boolean) =>
          (await go(netOf(first, { precision }, second), { ...longer, record })).reports.map(numbers);
        const reports = await reportsOf(true);
        expect(reports.at(-1)!.loss).to.be.below(reports[0]!.loss * 0.7);
        expect(await reportsOf(false)).to.deep.equal(reports);
      });
    }
  }

  for (const neuron of [cubaLif(), alif()]) {
    it(`${neuron.kind} in the branch of a block of lif(): bf16 follows fp32, from the same start`, async () => {
      const within = define('within', ({ classes }) => [
        ...[conv2d(6, { kernel: 3 }), norm(), lif()],
        ...[residual({ body: [conv2d(6, { kernel: 3 }), norm(), neuron, conv2d(6, { kernel: 3 }), norm()] }), lif()],
        ...[globalAvgPool(), linear(classes), meanOverTime()],
      ]);
      const reportsOf = async (precision: 'fp32' | 'bf16', record = true) =>
        (await go(within({ ...shape, precision }), { ...longer, record })).reports.map(numbers);
      const [full, rounded] = [await reportsOf('fp32'), await reportsOf('bf16')];
      expect(rounded[0]!.loss).to.be.closeTo(full[0]!.loss, 0.03);
      for (const reports of [full, rounded]) expect(reports.at(-1)!.loss).to.be.below(reports[0]!.loss * 0.7);
      expect(await reportsOf('bf16', false)).to.deep.equal(rounded);
    });
  }

  it('networks of the zoo take them', async () => {
    for (const neuron of [cubaLif(), alif()]) {
      const net = model('fsta-resnet8')({
        steps: 2,
        channels: 3,
        size: [7, 5],
        classes: CLASSES,
        width: 4,
        seed: 1,
        neuron,
      });
      const { reports } = await go(net, { epochs: 1 });
      expect(reports[0]!.loss).to.be.within(0.5, 3);
    }
  });
});
