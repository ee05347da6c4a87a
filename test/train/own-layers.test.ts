// Layers of the user's own in train(), evaluate(), loadNet() and trainingMemory(): the bits of the built-in ones where
// they compute the same, recorded or not, interrupted or not, and from their files again.
import { readFileSync } from 'node:fs';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { expect } from 'chai';
import {
  cudaBackend,
  noGrad,
  parameter,
  SpikeloomError,
  scope,
  type Tensor,
  tensor,
  zeros,
} from '../../lib/core/index.ts';
import * as api from '../../lib/index.ts';
import {
  conv2d,
  define,
  globalAvgPool,
  lif,
  linear,
  meanOverTime,
  Net,
  type NetOptions,
  norm,
  type OwnLayer,
  residual,
} from '../../lib/nn/index.ts';
import { expand, mean, mul, reshape } from '../../lib/ops/index.ts';
import { adamw, cosine } from '../../lib/optim/index.ts';
import { evaluate } from '../../lib/train/evaluate.ts';
import { loadNet } from '../../lib/train/evaluate-run.ts';
import { trainingMemory } from '../../lib/train/index.ts';
import { runPaths } from '../../lib/train/run-folder.ts';
import { abortAfter } from '../support/abort-after.ts';
import { testDevices } from '../support/devices.ts';
import { refusal } from '../support/failure.ts';
import { noise, toDevice } from '../support/op-table.ts';
import { channelScale, ownLayers, ownTiny, parallelNeurons, refire, squeezeExcite } from '../support/own-layers.ts';
import { CLASSES, data, go, newFolders, tiny } from '../support/small-training.ts';

const shape = { steps: 2, channels: 3, size: [7, 5], classes: CLASSES, seed: 5 } as const;

/** The built-in network with the twins' names, so that it starts and drops as they do, each layer by itself. */
function builtIn(options: NetOptions = {}): Net {
  const { layers, ...json } = tiny.plan(shape).toJSON();
  const named = layers.map((layer, i) => ({ ...layer, name: `layer${i}` }));
  const net = Net.fromJSON({ ...json, layers: named }, { seed: 5, ...options });
  net.fused = false;
  return net;
}

const mixedOf = (start: number) =>
  define('mixed', ({ classes }) => [
    ...[conv2d(6, { kernel: 3 }), norm(), squeezeExcite({ reduction: 2 }), parallelNeurons()],
    ...[residual({ body: [channelScale({ start }), conv2d(6, { kernel: 3 }), norm(), squeezeExcite()] }), lif()],
    ...[residual({ body: [refire(), conv2d(6, { kernel: 3 }), norm()] }), lif()],
    ...[globalAvgPool(), linear(classes), meanOverTime()],
  ]);
const layers = [squeezeExcite, parallelNeurons, channelScale, refire];
const mixedNet = (options: NetOptions = {}, start = 0.9): Net => mixedOf(start)({ ...shape, ...options });

type Report = Awaited<ReturnType<typeof go>>['reports'][number];
const numbers = ({ imagesPerSecond: _a, seconds: _b, waitShare: _c, ...report }: Report) => report;
const weights = (folder: string) => readFileSync(runPaths(folder).last);
const state = (net: Net) =>
  Promise.all([...net.parameters(), ...net.buffers()].map(async ({ tensor }) => [...(await tensor.array())]));

describe('training layers of your own', () => {
  const folder = newFolders();
  const longer = {
    epochs: 10,
    schedule: cosine({ epochs: 10 }),
    optimizer: adamw({ lr: 0.05 }),
    augment: 'none',
  } as const;

  for (const dtype of ['f32', 'f64'] as const) {
    for (const record of [true, false]) {
      it(`twins have the bits of built-in ones, ${dtype}, ${record ? 'recorded' : 'call by call'}`, async () => {
        const [expected, found] = await Promise.all(
          [builtIn({ dtype }), ownTiny({ ...shape, dtype })].map(async (net) => {
            const out = folder();
            const { reports } = await go(net, { out, record });
            const again = loadNet(out, { weights: 'last', layers: ownLayers });
            const held = await state(again);
            again.dispose();
            return { reports: reports.map(numbers), held };
          }),
        );
        expect(found).to.deep.equal(expected);
        expect(expected!.reports[0]!.firingRate).to.be.within(0.01, 0.9);
      });
    }
  }

  for (const options of [{}, { dtype: 'f64' }, { precision: 'bf16' }, { recompute: true }] as const) {
    it(`a network of many kinds, ${Object.values(options)[0] ?? 'f32'}: the same bits recorded and not, and less loss`, async () => {
      const reportsOf = async (record: boolean) => {
        const { reports } = await go(mixedNet(options), { ...longer, record });
        return reports.map(numbers);
      };
      const reports = await reportsOf(true);
      expect(reports.at(-1)!.loss).to.be.below(reports[0]!.loss * 0.9);
      expect(Object.keys(reports[0]!.firingRates)).to.deep.equal([
        'parallelNeurons1',
        'lif1',
        'residual2.refire1',
        'lif2',
      ]);
      for (const rate of Object.values(reports[0]!.firingRates)) expect(rate).to.be.within(0.001, 0.9);
      expect(await reportsOf(false)).to.deep.equal(reports);
    });
  }

  for (const on of testDevices) {
    it(`on ${on}: the loss falls`, async function () {
      if (on === 'cuda' && cudaBackend().score === 0) this.skip();
      const { reports } = await go(mixedNet({ device: on }), longer);
      expect(reports.at(-1)!.loss).to.be.below(reports[0]!.loss);
    });
  }

  it('goes on from a state to the same bits, and not with other settings', async () => {
    const [whole, parts] = [folder(), folder()];
    const expected = await go(mixedNet(), { out: whole });
    const first = await go(mixedNet(), { out: parts, ...abortAfter(8) });
    expect(first.interrupted).to.equal(true);
    expect(await refusal(go(mixedNet({}, 0.8), { out: parts, resume: true }))).to.match(
      /model: .*"start":0.9.* then, .*"start":0.8.* now/,
    );
    const second = await go(mixedNet(), { out: parts, resume: true });
    expect([...first.reports, ...second.reports].map(numbers)).to.deep.equal(expected.reports.map(numbers));
    expect(weights(parts)).to.deep.equal(weights(whole));
  });

  it('a run gives its network where its layers are given, else says what to give', async () => {
    const out = folder();
    const { reports } = await go(mixedNet(), { out, epochs: 1 });
    using net = loadNet(out, { weights: 'last', layers });
    const { accuracy, loss } = await evaluate(net, data.test, { batch: 4 });
    expect({ accuracy, loss }).to.deep.equal({ accuracy: reports[0]!.accuracy, loss: reports[0]!.testLoss });
    expect(() => loadNet(out, { weights: 'last' })).to.throw(
      SpikeloomError,
      /^\[2\]: .* there is no kind "squeezeExcite"; .* made by layer\(\), is read from JSON where it is given: { layers:/,
    );
    expect(() => loadNet(out, { weights: 'last', layers: layers.slice(1) })).to.throw(/no kind "squeezeExcite"/);
  });

  it('parameters may be frozen, and have groups of their own', async () => {
    const net = mixedNet();
    const names = net.parameters().map(({ name }) => name);
    expect(names).to.include.members([
      'squeezeExcite1.squeeze',
      'parallelNeurons1.bias',
      'residual1.channelScale1.weight',
    ]);
    for (const { name, tensor } of net.parameters()) tensor.requiresGrad = !name.startsWith('squeezeExcite1.');
    const before = await state(net);
    const optimizer = adamw({ lr: 0.02, groups: [{ names: '*.channelScale1.weight', lrScale: 0 }] });
    const out = folder();
    await go(net, { out, optimizer, epochs: 1 });
    using after = loadNet(out, { weights: 'last', layers });
    const kept = new Set(['squeezeExcite1.squeeze', 'squeezeExcite1.excite', 'residual1.channelScale1.weight']);
    for (const [i, values] of (await state(after)).slice(0, names.length).entries())
      expect(values.join() === before[i]!.join(), names[i]).to.equal(kept.has(names[i]!));
  });

  it('the network of docs/training.md trains, and comes back from its run', async () => {
    const page = readFileSync(new URL('../../docs/training.md', import.meta.url), 'utf8');
    const [, names, code] = /```ts\nimport \{([^}]*layer,[^}]*)\} from 'spikeloom';\n(.*?)```/s.exec(page)!;
    const made = new Function(
      'api',
      `const {${names}} = api;\n${code}\nreturn { mine, squeezeExcite, parallelNeurons };`,
    );
    const { mine, ...shown } = made(api) as { mine: typeof ownTiny; [name: string]: unknown };
    const out = folder();
    const { reports } = await go(mine(shape), { ...longer, out });
    expect(reports.at(-1)!.loss).to.be.below(reports[0]!.loss * 0.9);
    using net = loadNet(out, { weights: 'last', layers: Object.values(shown) as OwnLayer[] });
    const { accuracy } = await evaluate(net, data.test, { batch: 4 });
    expect(accuracy).to.equal(reports.at(-1)!.accuracy);
    expect(net.summary().uncounted).to.deep.equal(['squeezeExcite1', 'residual1.gate']);
  });

  it('is not begun where one computes with a parameter that it does not declare', async () => {
    const gain = parameter(tensor([1]));
    const hidden = api.layer({ kind: 'gain', forward: (x) => mul(x, expand(reshape(gain, [1, 1, 1, 1, 1]), x.shape)) });
    const hiding = define('hiding', ({ classes }) => [
      ...[conv2d(4, { kernel: 3 }), hidden(), lif(), globalAvgPool(), linear(classes), meanOverTime()],
    ]);
    for (const record of [true, false]) {
      expect(await refusal(go(hiding(shape), { epochs: 1, record }))).to.match(
        /a layer of your own learns .* but f32\[1\], which .* is none of these; a layer says it in 'parameters'/,
      );
      expect(gain.grad).to.equal(undefined);
    }
    gain.dispose();
  });

  it('is refused by name where forward() writes or reads numbers while a step is recorded', async () => {
    const of = (look: (x: Tensor) => unknown, name = 'mine') => {
      const own = api.layer({
        kind: 'looking',
        forward(x) {
          look(mean(x));
          return mul(x, x);
        },
      });
      const looking = define('looking', ({ classes }) => [
        ...[conv2d(4, { kernel: 3 }), residual({ body: [own({ name })] }), lif()],
        ...[globalAvgPool(), linear(classes), meanOverTime()],
      ]);
      return looking(shape);
    };
    const said =
      /^residual1.mine \(looking\): forward\(\) is recorded once, .* take constants from 'constants', and read w/;
    const looks: ((x: Tensor) => unknown)[] = [
      (x) => void x.item().then(String),
      async (x) => void [await x.array()],
      () => tensor([1]),
      (x) => x.set(new Float32Array(1)),
    ];
    for (const look of looks) {
      expect(await refusal(go(of(look), { epochs: 1 }))).to.match(said);
      const { reports } = await go(of(look), { epochs: 1, record: false });
      expect(reports).to.have.length(1);
    }
    const calls = await go(
      of(() => zeros([1])),
      { epochs: 1, record: false },
    );
    const recorded = await go(
      of(() => zeros([1])),
      { epochs: 1 },
    ); // made by a call
    expect(recorded.reports[0]!.loss).to.equal(calls.reports[0]!.loss);
    await nextTurn(); // an unhandled rejection would end the test
    expect(() => trainingMemory(of(looks[0]!), { batch: 4 })).to.throw(SpikeloomError, said);
  });

  it('memory is planned as it is used', () => {
    using net = mixedNet();
    const planned = trainingMemory(net, { batch: 4 });
    using more = define('more', () => [
      ...[conv2d(6, { kernel: 3 }), norm(), squeezeExcite(), squeezeExcite(), parallelNeurons()],
      ...[globalAvgPool(), linear(CLASSES), meanOverTime()],
    ])(shape);
    using fewer = define('fewer', () => [
      ...[conv2d(6, { kernel: 3 }), norm(), parallelNeurons()],
      ...[globalAvgPool(), linear(CLASSES), meanOverTime()],
    ])(shape);
    expect(planned.stepBytes).to.be.above(0);
    expect(trainingMemory(more, { batch: 4 }).stepBytes).to.be.above(trainingMemory(fewer, { batch: 4 }).stepBytes);
  });

  it('what is queued without the tape is freed but the output', () => {
    using net = mixedNet();
    const x = toDevice(noise([2, 3, 7, 5], 4), 'f32', 'cpu');
    const count = () => net.device.stats().handles;
    const before = count();
    const y = noGrad(() => scope(() => net.eval()(x)));
    expect(count() - before).to.equal(1);
    for (const held of [y, x]) held.dispose();
  });

  it('may keep what it was given, in a pass without the tape, too', async () => {
    const seen: Tensor[] = [];
    const keeping = api.layer({
      kind: 'keeping',
      forward(x) {
        seen.push(api.keep(x));
        return mul(x, x);
      },
    });
    using net = define('kept', () => [globalAvgPool(), linear(4), keeping(), meanOverTime()])(shape);
    const x = toDevice(noise([2, 3, 7, 5], 4), 'f32', 'cpu');
    const y = noGrad(() => net.eval()(x));
    const given = await seen[0]!.array();
    expect(given.some((value) => value !== 0)).to.equal(true);
    for (const held of [...seen, y, x]) held.dispose();
  });
});
