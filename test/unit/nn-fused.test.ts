// Convolution, norm, residual sum, attention and neurons as one, beside the same layers one by one: equal spikes, loss,
// gradients, statistics.
import { expect } from 'chai';
import { backward, empty, noGrad, planStep, scope, type Tensor, tensor } from '../../lib/core/index.ts';
import { firingGroup } from '../../lib/nn/fused.ts';
import {
  conv2d,
  define,
  dropout,
  globalAvgPool,
  lif,
  linear,
  meanOverTime,
  model,
  type Net,
  type NetOptions,
  norm,
  plif,
  residual,
} from '../../lib/nn/index.ts';
import { crossEntropy } from '../../lib/ops/index.ts';
import { difference, noise, spikes, toDevice } from '../support/op-table.ts';

const size = { channels: 3, height: 16, width: 16 };
const input = (steps: number) => ({ steps, input: size, classes: 4 });

type Make = (options: NetOptions) => Net;
const nets: Record<string, Make> = {
  'ResNet-20, T = 2': (o) => model('fsta-resnet20')({ ...input(2), width: 4, ...o }),
  'ResNet-20, T = 1': (o) => model('fsta-resnet20')({ ...input(1), width: 3, ...o }),
  'ResNet-20 without attention, T = 3': (o) =>
    model('fsta-resnet20')({ ...input(3), width: 4, attention: 'none', ...o }),
  'ResNet-19 with a reduction, T = 2': (o) => model('fsta-resnet19')({ ...input(2), width: 4, ...o }),
  'ResNet-8, soft reset, atan': (o) =>
    model('fsta-resnet8')({ ...input(2), width: 33, neuron: lif({ reset: 'soft', surrogate: 'atan' }), ...o }),
  'ResNet-8, PLIF, detached reset': (o) =>
    model('fsta-resnet8')({ ...input(2), width: 4, neuron: plif({ detachReset: true, vth: 0.7 }), ...o }),
  'biased convolutions': (o) =>
    define('biased', () => [
      conv2d(5, { kernel: 3, bias: true }),
      norm(),
      lif(),
      residual({ body: [conv2d(5, { kernel: 3, bias: true }), norm({ momentum: 0.3, eps: 1e-3 })] }),
      lif(),
      globalAvgPool(),
      linear(4),
      meanOverTime(),
    ])({ ...input(2), ...o }),
  'dropout of spikes between two groups': (o) =>
    define('dropped', () => [
      ...[conv2d(5, { kernel: 3 }), norm(), lif(), dropout(0.3)],
      ...[conv2d(6, { kernel: 3 }), norm(), lif(), dropout(0)],
      ...[residual({ body: [conv2d(6, { kernel: 3 }), norm()] }), lif()],
      ...[globalAvgPool(), linear(4), meanOverTime()],
    ])({ ...input(2), ...o }),
};

interface Outcome {
  loss: number;
  firing: Record<string, number>;
  gradients: Record<string, Float64Array>;
  buffers: Record<string, Float64Array>;
}

const numbers = async (t: Tensor) => Float64Array.from(await t.array());

async function outcome(net: Net, x: Tensor, labels: Tensor, { fused = true, training = true } = {}): Promise<Outcome> {
  net.fused = fused;
  net.trackFiring = true;
  if (training) net.train();
  else net.eval();
  const loss = scope(() => {
    const made = crossEntropy(net(x), labels);
    backward(made);
    return made;
  });
  const gradients: Outcome['gradients'] = {};
  for (const { name, tensor: held } of net.parameters()) {
    if (held.grad) gradients[name] = await numbers(held.grad);
    held.grad?.dispose();
    held.grad = undefined;
  }
  const buffers: Outcome['buffers'] = {};
  for (const { name, tensor: held } of net.buffers()) buffers[name] = await numbers(held);
  const firing: Outcome['firing'] = {};
  for (const { name, spikes: count } of net.firing) firing[name] = await count.item();
  return { loss: await loss.item(), firing, gradients, buffers };
}

function compare(actual: Outcome, expected: Outcome, limit: number): void {
  expect(actual.firing).to.deep.equal(expected.firing);
  expect(
    Object.values(expected.firing).some((count) => count > 0),
    'some neuron fires',
  ).to.equal(true);
  expect(Math.abs(actual.loss - expected.loss)).to.be.below(limit);
  for (const part of ['gradients', 'buffers'] as const) {
    expect(Object.keys(actual[part])).to.deep.equal(Object.keys(expected[part]));
    for (const [name, values] of Object.entries(expected[part]))
      expect(difference(actual[part][name]!, values, 1e-6), `${part} of ${name}`).to.be.below(limit);
  }
}

describe('fused layers in a network', () => {
  const labels = () => tensor(Int32Array.of(0, 3, 1));
  const images = () => toDevice(noise([3, 3, 16, 16], 4), 'f64', 'cpu');

  for (const [name, make] of Object.entries(nets)) {
    for (const training of [true, false]) {
      it(`${name}, ${training ? 'training' : 'evaluation'}: as one by one`, async () => {
        const results: Outcome[] = [];
        for (const fused of [true, false]) {
          const net = make({ dtype: 'f64', seed: 5 });
          results.push(await outcome(net, images(), labels(), { fused, training }));
          net.dispose();
        }
        compare(results[0]!, results[1]!, 1e-9);
      });
    }
  }

  it('computed again on the way back: the same bits, and less memory for a recorded step', async () => {
    const results: Outcome[] = [];
    const planned: number[] = [];
    for (const recompute of [false, true]) {
      const net = model('fsta-resnet20')({ ...input(2), width: 12, dtype: 'f64', seed: 5, recompute });
      results.push(await outcome(net, images(), labels()));
      const [x, y] = [empty([64, 3, 16, 16], 'f64'), empty([64], 'i32')];
      const step = planStep(net.device, () => {
        const loss = crossEntropy(net(x), y);
        backward(loss);
        return loss;
      });
      planned.push(step.workspaceBytes);
      net.dispose();
    }
    expect(results[1]).to.deep.equal(results[0]);
    expect(planned[1]! / planned[0]!).to.be.below(0.8);
  });

  it('one pixel of one image: its repetitions over T are what the norm counts', async () => {
    const pixel = define('pixel', () => [
      conv2d(5, { kernel: 1, bias: true }),
      norm(),
      lif(),
      globalAvgPool(),
      linear(4),
      meanOverTime(),
    ]);
    const x = tensor(Float64Array.of(0.5, -2), { shape: [1, 2, 1, 1] });
    const results: Outcome[] = [];
    for (const fused of [true, false]) {
      const net = pixel({ steps: 3, channels: 2, size: 1, classes: 4, dtype: 'f64' });
      net
        .parameters()
        .find(({ name }) => name === 'norm1.bias')!
        .tensor.set(Float64Array.of(0.9, 0.1, 0.3, 2, -1));
      results.push(await outcome(net, x, tensor(Int32Array.of(2)), { fused }));
      net.dispose();
    }
    compare(results[0]!, results[1]!, 1e-6); // gradients through a variance of 0 are rounding alone
    const once = pixel({ steps: 1, channels: 2, size: 1, classes: 4, dtype: 'f64' });
    expect(() => once(x)).to.throw(/more than one value per channel/);
    once.dispose();
  });

  it('frames of spikes, without the tape', async () => {
    const net = nets['ResNet-20, T = 2']!({ dtype: 'f64', seed: 5 });
    const x = toDevice(spikes([2, 3, 3, 16, 16], 0.4, 2), 'f64', 'cpu');
    const logits: Float64Array[] = [];
    for (const fused of [true, false]) {
      net.fused = fused;
      net.train();
      logits.push(await numbers(noGrad(() => scope(() => net(x)))));
    }
    expect(difference(logits[0]!, logits[1]!)).to.be.below(1e-12);
    net.dispose();
  });

  it('shows every layer where somebody watches', () => {
    const net = nets['ResNet-20, T = 2']!({ dtype: 'f64' });
    const seen: string[] = [];
    net.onLayer = (path) => void seen.push(path);
    noGrad(() => scope(() => void net(images())));
    expect(seen.length).to.be.above(60);
    net.dispose();
  });

  it('takes the layers of a whole group, and only of one', () => {
    const { plan } = nets['ResNet-20, T = 2']!({});
    expect(firingGroup(plan.layers, 0)).to.include({ length: 4, residual: undefined });
    expect(firingGroup(plan.layers, 1)).to.equal(undefined);
    const at = plan.layers.findIndex(({ layer }) => layer.kind === 'residual');
    expect(firingGroup(plan.layers, at)).to.include({ length: 3, residual: 'identity' });
  });
});

describe('precision bf16', () => {
  it('follows fp32: the loss differs little, and falls alike', async () => {
    const losses: Record<string, number[]> = {};
    for (const precision of ['fp32', 'bf16'] as const) {
      const net = model('fsta-resnet8')({ ...input(2), width: 32, seed: 1, precision });
      const x = toDevice(noise([3, 3, 16, 16], 4), 'f32', 'cpu');
      const { sgd } = await import('../../lib/optim/index.ts');
      const optimizer = sgd({ lr: 0.05 })(net.parameters());
      losses[precision] = [];
      for (let i = 0; i < 30; i++) {
        const loss = scope(() => {
          const made = crossEntropy(net(x), labelsOf());
          backward(made);
          optimizer.step();
          return made;
        });
        losses[precision].push(await loss.item());
      }
      net.dispose();
      optimizer.dispose();
    }
    const [exact, rounded] = [losses.fp32!, losses.bf16!];
    expect(Math.abs(rounded[0]! - exact[0]!)).to.be.within(1e-7, 0.3);
    expect(rounded.at(-1)!).to.be.below(rounded[0]! / 2);
    expect(exact.at(-1)!).to.be.below(exact[0]! / 2);
  });

  it('is refused for float64', () => {
    expect(() => model('fsta-resnet8')({ ...input(2), dtype: 'f64', precision: 'bf16' })).to.throw(/'f32'/);
  });
});

const labelsOf = () => tensor(Int32Array.of(0, 3, 1));
