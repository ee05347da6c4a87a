// Training of a tiny network on random images: reports, files, interruption, resuming to the bit. What is refused:
// train-refusals.test.ts.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { device, SpikeloomError } from '../../lib/core/index.ts';
import { openSafetensors } from '../../lib/core/safetensors.ts';
import {
  conv2d,
  define,
  dropout,
  globalAvgPool,
  lif,
  linear,
  meanOverTime,
  type NamedTensor,
  Net,
  norm,
} from '../../lib/nn/index.ts';
import { adamw, sgd } from '../../lib/optim/index.ts';
import { evaluate } from '../../lib/train/evaluate.ts';
import { evaluateRun, loadNet } from '../../lib/train/evaluate-run.ts';
import { trainingMemory } from '../../lib/train/memory.ts';
import { readMetrics } from '../../lib/train/metrics-log.ts';
import { openRun, runPaths } from '../../lib/train/run-folder.ts';
import { train } from '../../lib/train/train.ts';
import { abortAfter } from '../support/abort-after.ts';
import { refusal } from '../support/failure.ts';
import { freeGarbage } from '../support/garbage.ts';
import { CLASSES, data, go, makeNet, newFolders, tiny, usual } from '../support/small-training.ts';

/** A net with a tensor that becomes NaN in the second forward pass in training, before its layer is reached. */
function poisoned(wanted: string): Net {
  const net = makeNet();
  let passes = 0;
  net.onLayer = (path, _, training) => {
    if (path !== 'conv1' || !training || ++passes !== 2) return;
    const { tensor } = [...net.parameters(), ...net.buffers()].find(({ name }) => name === wanted)!;
    tensor.set(new Float32Array(tensor.size).fill(Number.NaN));
  };
  return net;
}

function weights(folder: string, which: 'best' | 'last' = 'last'): Record<string, Buffer> {
  const file = openSafetensors(runPaths(folder)[which]);
  const found = file.names.map((name) => [name, Buffer.from(file.read(name).buffer)] as const);
  file.close();
  return Object.fromEntries(found);
}

/** What of a report does not depend on the clock. */
const numbers = ({ imagesPerSecond: _a, seconds: _b, waitShare: _c, ...rest }: Record<string, unknown>) => rest;

/** Layers that end in spikes. */
const firing = (classes: number) => [
  ...[conv2d(5, { kernel: 3 }), norm(), lif()],
  ...[globalAvgPool(), linear(classes), lif()],
];
const spiking = define('spiking', ({ classes }) => firing(classes));

describe('train()', () => {
  const folder = newFolders();

  it('lowers the loss, reports every epoch and keeps its files', async () => {
    const out = folder();
    const { reports, interrupted } = await go(makeNet(), { out, epochs: 12, schedule: undefined, augment: 'none' });
    expect(interrupted).to.equal(false);
    expect(reports.map(({ epoch }) => epoch)).to.deep.equal(Array.from({ length: 12 }, (_, i) => i));
    expect(reports.at(-1)!.loss).to.be.below(0.8 * reports[0]!.loss);
    expect(readMetrics(runPaths(out).metrics)).to.deep.equal(reports);
    for (const { firingRate, firingRates, imagesPerSecond, waitShare } of reports) {
      expect(waitShare).to.be.within(0, 1);
      expect(Object.keys(firingRates)).to.deep.equal(['lif1', 'lif2']);
      expect(firingRate).to.be.closeTo((5 * firingRates.lif1! + 6 * firingRates.lif2!) / 11, 1e-12);
      expect(imagesPerSecond).to.be.above(0);
    }
    const best = reports.reduce((a, b) => (b.accuracy > a.accuracy ? b : a));
    const file = openSafetensors(runPaths(out).best);
    expect(file.metadata).to.include({ epoch: String(best.epoch), accuracy: String(best.accuracy) });
    file.close();
    expect(JSON.parse(readFileSync(join(out, 'environment.json'), 'utf8'))).to.have.property('spikeloom');
    expect(JSON.parse(readFileSync(runPaths(out).data, 'utf8'))).to.include({ train: 23, test: 11 });
  });

  it('gives the same bits twice, and on one or two threads', async () => {
    const outs = [folder(), folder(), folder()];
    const all = [];
    for (const [i, out] of outs.entries()) {
      device().setThreads(i === 0 ? 1 : 2);
      all.push((await go(makeNet(), { out, workers: i })).reports.map((report) => numbers({ ...report })));
    }
    expect(all[1]).to.deep.equal(all[0]);
    expect(all[2]).to.deep.equal(all[0]);
    expect(weights(outs[1]!)).to.deep.equal(weights(outs[0]!));
    expect(weights(outs[2]!)).to.deep.equal(weights(outs[0]!));
  });

  it('calls onLayer at every step', async () => {
    const net = makeNet();
    let layers = 0;
    net.onLayer = () => layers++;
    await go(net);
    expect(layers).to.equal(3 * (6 + 3) * 10);
  });

  it('has the same bits with recorded steps and call by call', async () => {
    const [recorded, single] = [folder(), folder()];
    const expected = await go(makeNet(), { out: recorded });
    const { reports: found } = await go(makeNet(), { out: single, record: false });
    const reports = found.map((report) => numbers({ ...report }));
    expect(reports).to.deep.equal(expected.reports.map((report) => numbers({ ...report })));
    expect(weights(single)).to.deep.equal(weights(recorded));
  });

  for (const options of [{}, { dtype: 'f64' }, { precision: 'bf16' }] as const) {
    for (const p of [0.3, 0]) {
      it(`trains and evaluates with dropout of p = ${p} behind spikes, ${Object.values(options)[0] ?? 'f32'}`, async () => {
        const design = define('dropped', ({ classes }) => [
          ...[conv2d(5, { kernel: 3 }), norm(), lif(), dropout(p)],
          ...[conv2d(5, { kernel: 3 }), norm(), lif(), dropout(p)],
          ...[norm(), lif(), globalAvgPool(), linear(classes), meanOverTime()],
        ]);
        const reportsOf = async (record: boolean) => {
          const net = design({ steps: 2, channels: 3, size: [7, 5], classes: CLASSES, seed: 5, ...options });
          const { reports } = await go(net, { record, epochs: 2 });
          return reports.map((report) => numbers({ ...report }));
        };
        const recorded = await reportsOf(true);
        expect(recorded).to.have.length(2);
        expect(await reportsOf(false)).to.deep.equal(recorded);
      });
    }
  }

  for (const steps of [2, 6, 9]) {
    it(`interrupted in step ${steps} and resumed: the same bits as without`, async () => {
      const [whole, parts] = [folder(), folder()];
      const expected = await go(makeNet(), { out: whole });
      const first = await go(makeNet(), { out: parts, ...abortAfter(steps) });
      expect(first.interrupted).to.equal(true);
      expect(first.reports).to.have.length(steps > 6 ? 1 : 0);
      const second = await go(makeNet(), { out: parts, resume: true });
      expect(second.interrupted).to.equal(false);
      const reports = [...first.reports, ...second.reports].map((report) => numbers({ ...report }));
      expect(reports).to.deep.equal(expected.reports.map((report) => numbers({ ...report })));
      expect(weights(parts)).to.deep.equal(weights(whole));
      expect(weights(parts, 'best')).to.deep.equal(weights(whole, 'best'));
      expect(readMetrics(runPaths(parts).metrics).map(numbers)).to.deep.equal(reports);
    });
  }

  it('goes on where only the evaluation of an epoch was missing, and not beyond the last epoch', async () => {
    const [whole, parts] = [folder(), folder()];
    const expected = await go(makeNet(), { out: whole, epochs: 1 });
    const [net, controller] = [makeNet(), new AbortController()];
    const forward = net.forwardInTurns.bind(net);
    net.forwardInTurns = (x, options) => {
      if (options?.training === false) controller.abort();
      return forward(x, options);
    };
    const first = await go(net, { out: parts, epochs: 1, signal: controller.signal });
    expect(first).to.deep.equal({ reports: [], interrupted: true });
    const second = await go(makeNet(), { out: parts, epochs: 1, resume: true });
    expect(numbers({ ...second.reports[0] })).to.deep.equal(numbers({ ...expected.reports[0] }));
    expect(await go(makeNet(), { out: parts, epochs: 1, resume: true })).to.deep.equal({
      reports: [],
      interrupted: false,
    });
  });

  it('knows the memory of its step before the first one, for every optimizer', async () => {
    await freeGarbage();
    const before = device().stats();
    const net = makeNet();
    const [adam, plain] = [adamw(), sgd()].map((optimizer) => trainingMemory(net, { batch: 4, optimizer }));
    const weights = device().stats().bytesInUse - before.bytesInUse;
    const parameters = net.parameters().reduce((sum, { tensor }) => sum + 4 * tensor.size, 0);
    expect(adam!.weightBytes).to.be.within(parameters, weights);
    expect([adam!.optimizerBytes, plain!.optimizerBytes]).to.deep.equal([2 * parameters, 0]);
    expect(adam!.bytes).to.equal(adam!.weightBytes + adam!.optimizerBytes + adam!.stepBytes);
    expect(adam!.stepBytes).to.be.within(adam!.leastStepBytes, 1.1 * adam!.leastStepBytes);
    expect(trainingMemory(net, { batch: 40 }).stepBytes).to.be.above(7 * plain!.stepBytes);
    expect(net.passes).to.equal(0);
    net.dispose();
    expect(device().stats().handles).to.equal(before.handles);
    expect(device().stats().bytesInUse).to.equal(before.bytesInUse);
  });

  it('allocates nothing after the first epoch and leaves no handle', async () => {
    await freeGarbage();
    const before = device().stats().handles;
    const net = makeNet();
    const seen: { handles: number; systemAllocations: number }[] = [];
    for await (const _ of train(net, { data, ...usual, epochs: 5 })) {
      const { handles, systemAllocations } = device().stats();
      seen.push({ handles, systemAllocations });
    }
    expect(seen.slice(1)).to.deep.equal(Array.from({ length: 4 }, () => seen[1]));
    expect(seen[1]!.handles).to.equal(seen[0]!.handles);
    net.dispose();
    expect(device().stats().handles).to.equal(before);
  });

  it('stops at a loss that is not finite and says where it began; what was saved stays', async () => {
    const out = folder();
    await go(makeNet(), { out, ...abortAfter(8) });
    const saved = { state: readFileSync(runPaths(out).state), last: readFileSync(runPaths(out).last) };
    const inTheHead = await refusal(go(poisoned('linear1.weight'), { out, resume: true }));
    expect(inTheHead).to.match(/^epoch 2, step 5 of 6: the loss must be a finite number, but is NaN/);
    expect(inTheHead).to.contain("the output of layer 'linear1'").and.to.contain("the parameter 'linear1.weight'");
    const behindSpikes = await refusal(go(poisoned('conv2.weight'), { out, resume: true }));
    expect(behindSpikes).to.match(/^epoch 2: parameters and running statistics must stay finite/);
    expect(behindSpikes).to.match(/the output of layer '\w+', and the parameter/);
    const inStatistics = await refusal(go(poisoned('norm2.running_var'), { out, resume: true }));
    expect(inStatistics).to.match(/^epoch 2: parameters and running statistics must stay finite/);
    expect(inStatistics).to.match(/The first that is not finite: the running statistics 'norm2.running_var'\. Lower/);
    expect(readFileSync(runPaths(out).state)).to.deep.equal(saved.state);
    expect(readFileSync(runPaths(out).last)).to.deep.equal(saved.last);
  });

  it('stops when a step too large made the numbers overflow', async () => {
    const net = makeNet();
    const error = await refusal(go(net, { optimizer: sgd({ lr: 3e38 }), schedule: undefined, epochs: 2 }));
    expect(error).to.match(/^epoch 1, step \d of 6: .* The first that is not finite: the output of layer '\w+'/);
    expect(error).to.contain('3e+38');
    net.dispose();
  });

  it('shows the progress of a resumed run from where it goes on', async () => {
    const out = folder();
    await go(makeNet(), { out, ...abortAfter(8) });
    let text = '';
    const stream = { write: (more: string) => (text += more) };
    await go(makeNet(), { out, resume: true, progress: { stream, quietMs: 0 } });
    expect(text.split('\n')[0]).to.match(/^epoch 2\/3 {2}step 4\/6 /);
    expect(text).to.match(/\nepoch 3\/3 {2}loss [\d.]+ .*test accuracy .*firing rate/);
  });

  it('leaves a folder whose network is loaded as it was, and which says that it has no recipe', async () => {
    const out = folder();
    const layers = tiny.plan({ steps: 2, channels: 3, size: [7, 5], classes: CLASSES });
    const { reports } = await go(new Net(layers, { dtype: 'f64', seed: 8 }), { out, epochs: 1, schedule: undefined });
    using net = loadNet(out, { weights: 'last' });
    expect([net.dtype, net.seed, net.precision, net.training]).to.deep.equal(['f64', 8, 'fp32', false]);
    const { accuracy, loss } = await evaluate(net, data.test, { batch: 4, workers: 0 });
    expect({ accuracy, loss }).to.deep.equal({ accuracy: reports[0]!.accuracy, loss: reports[0]!.testLoss });
    const says = /is a run of train\(\), which has a model and no recipe. In a script, loadNet\(\) gives its network/;
    expect(await refusal(evaluateRun(out))).to.match(says);
    expect(() => openRun(out)).to.throw(SpikeloomError, says);
    writeFileSync(runPaths(out).course, '{}');
    expect(() => loadNet(out)).to.throw(SpikeloomError, /training.json must hold dtype, precision and netSeed/);
    const empty = folder();
    expect(() => loadNet(empty)).to.throw(SpikeloomError, /there is no run folder/);
  });

  for (const record of [true, false]) {
    it(`trains a part of a network, ${record ? 'recorded' : 'call by call'}, with a short last batch`, async () => {
      const base = sgd({ lr: 0.1, momentum: 0.9 });
      const ofHead = (all: readonly NamedTensor[]) => base(all.filter(({ name }) => name.startsWith('linear1')));
      const byOptimizer = makeNet();
      const byFlag = makeNet();
      for (const { name, tensor } of byFlag.parameters()) tensor.requiresGrad = name.startsWith('linear1');
      const settings = { data, ...usual, record };
      for await (const _ of train(byOptimizer, {
        ...settings,
        optimizer: Object.assign(ofHead, { settings: base.settings }),
      })) {
        expect(byOptimizer.parameters().filter(({ tensor }) => tensor.grad)).to.deep.equal([]);
      }
      for await (const _ of train(byFlag, { ...settings, optimizer: base }));
      const fresh = makeNet();
      for (const [i, { name, tensor }] of byOptimizer.parameters().entries()) {
        const values = await tensor.array();
        expect(values, name).to.deep.equal(await byFlag.parameters()[i]!.tensor.array());
        const start = await fresh.parameters()[i]!.tensor.array();
        expect(start.join() === values.join(), name).to.equal(!name.startsWith('linear1'));
      }
      for (const net of [byOptimizer, byFlag, fresh]) net.dispose();
    });
  }

  for (const kind of ['ce', 'bce', 'tet'] as const) {
    it(`trains and evaluates a network that ends in spikes with the loss ${kind}, in its type`, async () => {
      const losses: Record<string, number[]> = {};
      for (const dtype of ['f32', 'f64'] as const) {
        const net = spiking({ steps: 3, channels: 3, size: [7, 5], classes: CLASSES, seed: 5, dtype });
        const run = train(net, { data, ...usual, epochs: 4, loss: { kind }, augment: 'none' });
        const seen: number[] = [];
        for await (const { loss, testLoss } of run) seen.push(loss, testLoss);
        const { loss } = await evaluate(net, data.test, { batch: 4, loss: kind, workers: 0 });
        expect(loss).to.equal(seen.at(-1));
        expect(seen.at(-2)).to.be.below(seen[0]!);
        losses[dtype] = seen;
        net.dispose();
      }
      expect(losses.f64![0]).to.be.closeTo(losses.f32![0]!, 1e-2);
    });
  }

  it('trains and evaluates a network that ends in dropout of spikes with the loss tet', async () => {
    const design = define('dropped', ({ classes }) => [...firing(classes), dropout(0.2)]);
    const { reports } = await go(design({ steps: 3, channels: 3, size: [7, 5], classes: CLASSES, seed: 5 }), {
      loss: { kind: 'tet' },
      epochs: 2,
    });
    expect(reports).to.have.length(2);
  });

  it('evaluates a network of float64 that ends in spikes in its type', async () => {
    using net = spiking({ steps: 3, channels: 3, size: [7, 5], classes: CLASSES, seed: 5, dtype: 'f64' });
    const { loss } = await evaluate(net, data.test, { batch: 11, workers: 0 });
    expect(loss).to.not.equal(Math.fround(loss));
  });

  for (const [kind, clipNorm] of [
    ['bce', 0.5],
    ['tet', 0],
  ] as const) {
    it(`trains with the loss ${kind} in float64, and is iterated over once`, async () => {
      const layers = tiny.plan({ steps: 2, channels: 3, size: [7, 5], classes: CLASSES }).toJSON();
      if (kind === 'tet') layers.layers = layers.layers.slice(0, -1);
      const net = Net.fromJSON(layers, { dtype: 'f64' });
      const run = train(net, { data, ...usual, epochs: 4, loss: { kind, smoothing: 0.1 }, clipNorm, augment: 'none' });
      const losses = [];
      for await (const { loss } of run) losses.push(loss);
      expect(losses.at(-1)).to.be.below(losses[0]!);
      expect(run.waitShare).to.be.within(0, 1);
      expect(await refusal(run[Symbol.asyncIterator]().next())).to.match(/iterated over once/);
      const { accuracy, firingRate } = await evaluate(net, data.test, { batch: 3, loss: kind, workers: 0 });
      expect(accuracy).to.be.within(0, 1);
      expect(firingRate).to.be.within(0, 1);
      expect(net.training).to.equal(true);
      net.dispose();
    });
  }
});
