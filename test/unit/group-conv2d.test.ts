// Convolutions with groups and dilation: beside PyTorch, in bf16, in networks, and what is refused.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { backward, cudaBackend, nativeOp, parameter, scope, type Tensor, tensor, zeros } from '../../lib/core/index.ts';
import {
  alif,
  define,
  globalAvgPool,
  type Layer,
  conv2d as layer,
  lif,
  linear,
  loadWeights,
  ModelPlan,
  meanOverTime,
  Net,
  type NetOptions,
  norm,
  renderSummary,
  residual,
  saveWeights,
} from '../../lib/nn/index.ts';
import { conv2d, conv2dWithMoments, crossEntropy } from '../../lib/ops/index.ts';
import { bf16Tensor, values } from '../support/bf16.ts';
import { testDevices } from '../support/devices.ts';
import { type GoldenTensor, goldenCases, relative } from '../support/golden-ops.ts';
import { difference, noise, spikes, toDevice } from '../support/op-table.ts';

const size = { channels: 4, height: 9, width: 8 };
const layers = (): Layer[] => [
  ...[layer(12, { kernel: 3, groups: 4 }), norm(), lif()],
  residual({ body: [layer(12, { kernel: 5, groups: 12 }), norm()] }),
  ...[lif(), layer(6, { kernel: 3, groups: 3, dilation: 2, bias: true }), norm(), alif()],
  ...[layer(8, { kernel: 3, dilation: 2, stride: 2 }), lif(), globalAvgPool(), linear(3), meanOverTime()],
];
const design = define('grouped', layers);
const made = (options: NetOptions = {}) => design({ steps: 2, input: size, classes: 3, seed: 4, ...options });
const planOf = (list: readonly Layer[], channels = 6) =>
  new ModelPlan({
    format: 'spikeloom-model',
    version: 1,
    model: 'test',
    steps: 2,
    input: { channels, height: 9, width: 7 },
    layers: list,
  });

async function gradientsOf(net: Net, x: Tensor): Promise<Record<string, number[]>> {
  const labels = tensor(Int32Array.of(0, 2), { device: net.device });
  const loss = scope(() => {
    const made = crossEntropy(net(x), labels);
    backward(made);
    return made;
  });
  const found: Record<string, number[]> = { loss: [await loss.item()] };
  for (const { name, tensor: held } of net.parameters()) {
    found[name] = [...(await held.grad!.array())] as number[];
    held.grad!.dispose();
    held.grad = undefined;
  }
  loss.dispose();
  labels.dispose();
  return found;
}

function close(actual: Record<string, number[]>, expected: Record<string, number[]>, limit: number): void {
  expect(Object.keys(actual)).to.deep.equal(Object.keys(expected));
  for (const [name, numbers] of Object.entries(expected))
    expect(difference(Float64Array.from(actual[name]!), Float64Array.from(numbers), 1e-6), name).to.be.below(limit);
}

describe('conv2d with groups and dilation, beside PyTorch', () => {
  for (const { name, attributes, tensors } of goldenCases('op-group-conv2d')) {
    it(name, async () => {
      const given = ({ shape, data }: GoldenTensor) => parameter(tensor(data, { shape, dtype: 'f64' }));
      const [w, bias] = [given(tensors.weight!), tensors.bias && given(tensors.bias)];
      const kinds = name.startsWith('spikes') ? (['real', 'spike'] as const) : (['real'] as const);
      for (const kind of kinds) {
        const { shape, data } = tensors.x!;
        const x = parameter(toDevice({ shape, data, kind }, 'f64', 'cpu'));
        const y = scope(() => {
          const made = conv2d(x, w, { bias, ...attributes });
          backward(made, tensor(tensors.gy!.data, { shape: made.shape, dtype: 'f64' }));
          return made;
        });
        expect(y.shape).to.deep.equal(tensors.y!.shape);
        expect(relative(await values(y), tensors.y!)).to.be.below(1e-13);
        for (const [role, held] of Object.entries({ x, weight: w, bias })) {
          if (!held) continue;
          expect(relative(await values(held.grad!), tensors[`grad.${role}`]!), `${kind}, ${role}`).to.be.below(1e-13);
          held.grad = undefined;
        }
      }
    });
  }
});

for (const on of testDevices) {
  describe(`conv2d with groups on ${on}`, () => {
    before(function () {
      if (on === 'cuda' && cudaBackend().score === 0) this.skip();
    });

    it('moments are those of what is made', async () => {
      const x = toDevice(noise([2, 3, 34, 6, 5], 2), 'f64', on);
      const w = toDevice(noise([34, 1, 3, 3], 3), 'f64', on);
      const { y, moments } = conv2dWithMoments(x, w, { padding: 1, groups: 34 });
      const numbers = await values(y);
      const [mean, variance] = [await values(moments.mean), await values(moments.var)];
      for (let o = 0; o < 34; o++) {
        const own = numbers.filter((_, i) => Math.floor(i / 30) % 34 === o);
        const m = own.reduce((sum, v) => sum + v, 0) / own.length;
        expect(mean[o]).to.be.closeTo(m, 1e-12);
        expect(variance[o]).to.be.closeTo(own.reduce((sum, v) => sum + (v - m) ** 2, 0) / own.length, 1e-12);
      }
    });

    it('bf16 rounds what is stored and nothing else', async () => {
      const sizes = { groups: 33, padding: 1 };
      const [x, w] = [noise([1, 2, 33, 5, 4], 2), toDevice(noise([33, 1, 3, 3], 3), 'f32', on)];
      const stored = bf16Tensor(x, on);
      const exact = conv2d(
        tensor(Float32Array.from(await values(stored)), { shape: x.shape, device: w.device }),
        w,
        sizes,
      );
      const y = conv2d(stored, w, { ...sizes, precision: 'bf16' });
      expect(y.dtype).to.equal('bf16');
      const rounded = bf16Tensor({ shape: y.shape, data: Float64Array.from(await values(exact)) }, on);
      expect([...(await values(y))]).to.deep.equal([...(await values(rounded))]);
    });

    it('a gradient is added on the way, in every type', async () => {
      const gradX = nativeOp<'gx'>('groupConv2dGradX');
      const attributes = { sh: 2, sw: 1, ph: 1, pw: 1, dh: 1, dw: 1 };
      const w = toDevice(noise([8, 2, 3, 3], 3), 'f32', on);
      for (const [given, beside, out] of [
        ['f32', 'f32', 'f32'],
        ['f32', 'bf16', 'f32'],
        ['bf16', 'f32', 'bf16'],
        ['bf16', 'bf16', 'bf16'],
      ] as const) {
        const of = (shape: number[], seed: number, type: string) =>
          type === 'bf16' ? bf16Tensor(noise(shape, seed), on) : toDevice(noise(shape, seed), 'f32', on);
        const [gy, add] = [of([2, 3, 8, 3, 4], 5, given), of([2, 3, 4, 6, 4], 6, beside)];
        const run = (more: object) =>
          gradX.run({ gy, w, ...more }, attributes, { dims: { C: 4, H: 6, W: 4 }, types: { gx: out } }).gx;
        const [sum, alone, others] = [await values(run({ add })), await values(run({})), await values(add)];
        const limit = out === 'bf16' ? 2 ** -7 : 1e-6;
        expect(
          difference(
            sum,
            alone.map((v, i) => v + others[i]!),
          ),
          `${given}, ${beside}, ${out}`,
        ).to.be.below(limit);
      }
    });

    it('a network: fused as layer by layer, with recompute and in evaluation', async () => {
      const images = toDevice(noise([2, 4, 9, 8], 2), 'f64', on);
      const frames = toDevice(spikes([2, 2, 4, 9, 8], 0.4, 3), 'f64', on);
      for (const x of [images, frames]) {
        for (const training of [true, false]) {
          const results: Record<string, number[]>[] = [];
          for (const options of [{}, { recompute: true }, { fused: false }] as {
            recompute?: boolean;
            fused?: boolean;
          }[]) {
            using net = made({ dtype: 'f64', device: on, recompute: options.recompute ?? false });
            net.fused = options.fused ?? true;
            net.training = training;
            results.push(await gradientsOf(net, x));
          }
          expect(results[1]).to.deep.equal(results[0]);
          close(results[2]!, results[0]!, 1e-9);
        }
      }
    });

    it('a network in bf16 follows fp32', async () => {
      const x = toDevice(noise([2, 4, 9, 8], 2), 'f32', on);
      const losses: number[] = [];
      for (const precision of ['fp32', 'bf16'] as const) {
        using net = made({ precision, device: on });
        losses.push((await gradientsOf(net, x)).loss![0]!);
      }
      expect(Math.abs(losses[1]! - losses[0]!)).to.be.within(1e-9, 0.3);
    });
  });
}

describe('conv2d with groups in models', () => {
  it('plans shapes, parameters, multiply-accumulates and start values by group', () => {
    const plan = planOf([
      layer(6, { kernel: 3, groups: 6 }),
      layer(12, { kernel: 3, groups: 2, bias: true }),
      layer(4, { kernel: 3, dilation: 3 }),
      layer(4, { kernel: 3, dilation: 2, padding: 0, stride: 2 }),
    ]);
    const found = [...plan.walk()].map(({ output, parameters, macs }) => [
      output.shape,
      parameters.map(({ shape }) => shape),
      macs,
    ]);
    expect(found).to.deep.equal([
      [[6, 9, 7], [[6, 1, 3, 3]], 6 * 63 * 9],
      [[12, 9, 7], [[12, 3, 3, 3], [12]], 12 * 63 * 3 * 9],
      [[4, 9, 7], [[4, 12, 3, 3]], 4 * 63 * 12 * 9],
      [[4, 3, 2], [[4, 4, 3, 3]], 4 * 6 * 4 * 9],
    ]);
    const deviations = [...plan.walk()].map(({ parameters }) => (parameters[0]!.init as { std: number }).std);
    expect(deviations).to.deep.equal([9, 54, 36, 36].map((n) => Math.sqrt(2 / n)));
    expect(renderSummary(plan.summary())).to.include('total');
  });

  it('model files and weights keep them; models without say nothing of them', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'spikeloom-grouped-'));
    try {
      using net = made();
      const json = JSON.parse(JSON.stringify(net));
      expect(json.layers[0]).to.include({ groups: 4 }).and.not.have.property('dilation');
      using again = Net.fromJSON(json, { seed: 9 });
      expect(again.toJSON()).to.deep.equal(net.toJSON());
      const file = join(folder, 'weights.safetensors');
      await saveWeights(net, file);
      loadWeights(again, file);
      const x = toDevice(noise([2, 4, 9, 8], 2), 'f32', 'cpu');
      expect(await gradientsOf(again, x)).to.deep.equal(await gradientsOf(net, x));
      expect(planOf([layer(3, { kernel: 3 })]).toJSON().layers[0]).to.have.all.keys(
        ...['kind', 'channels', 'kernel', 'stride', 'bias'],
      );
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  const refused: [string, Layer, RegExp][] = [
    [
      'inputs',
      layer(8, { kernel: 3, groups: 4 }),
      /^conv1 \(conv2d\): groups divides .*4 groups, 6 input and 8 output/,
    ],
    ['outputs', layer(8, { kernel: 3, groups: 3 }), /3 groups, 6 input and 8 output channels; change the channels or/],
    ['no groups', layer(6, { kernel: 3, groups: 0 }), /'groups' must be at least 1, but is 0/],
    ['half a group', layer(6, { kernel: 3, groups: 1.5 }), /'groups' must be an integer, but is 1.5/],
    ['no dilation', layer(6, { kernel: 3, dilation: 0 }), /'dilation' must be at least 1, but is 0/],
    ['what does not fit', layer(6, { kernel: 3, dilation: 4, padding: 0 }), /a window of 9 does not fit into 7 pixels/],
  ];
  for (const [name, wrong, message] of refused)
    it(`refused: ${name}`, () => expect(() => planOf([wrong])).to.throw(message));
});

describe('conv2d with groups refuses', () => {
  const call =
    (w: number[], options: object, x = [2, 6, 9, 7]) =>
    () =>
      scope(() => void conv2d(zeros(x), zeros(w), options));
  const cases: [string, () => void, RegExp][] = [
    ['inputs that groups do not divide', call([8, 1, 3, 3], { groups: 4 }), /groups divides .*4 groups, 6 inputs/],
    ['outputs that groups do not divide', call([8, 2, 3, 3], { groups: 3 }), /3 groups, 6 inputs .*8 outputs/],
    ['weights of all channels', call([6, 6, 3, 3], { groups: 6 }), /6 channels in 6 groups make 1, but w has 6/],
    ['weights of other channels', call([6, 5, 3, 3], { dilation: 2 }), /6 channels in 1 groups make 6, but w has 5/],
    ['no groups', call([6, 6, 3, 3], { groups: 0 }), /conv2d: groups is a whole number of at least 1, not 0/],
    ['a part of a group', call([6, 6, 3, 3], { groups: 0.5 }), /groups is a whole number/],
    ['no number', call([6, 6, 3, 3], { groups: 'all' }), /groups is a whole number of at least 1, not "all"/],
    ['no dilation', call([6, 6, 3, 3], { dilation: 0 }), /dilation is a whole number of at least 1, below 2\^20/],
    ['a dilation of NaN', call([6, 6, 3, 3], { dilation: [1, Number.NaN] }), /dilation is a whole number/],
    ['a kernel that does not fit', call([6, 6, 3, 3], { dilation: 4 }), /3x3 kernel of dilation 4,4 does not fit/],
    [
      'groups that were left out',
      call([6, 1, 3, 3], {}),
      /w reads 1 channels .* x has 6 .*, or give groups: 6 where each/,
    ],
    [
      'a dilation of three',
      call([6, 6, 3, 3], { dilation: [1, 2, 3] }),
      /one number or \[vertical, horizontal\], not \[1,/,
    ],
    ['a kernel of many pixels', call([6, 6, 3, 3], { dilation: 1e5, padding: 1e5 }), /covers at most 65536 pixels/],
    ['weights of three axes', call([6, 1, 3], { groups: 6 }), /^conv2d: /],
    ['a bias of another size', call([6, 1, 3, 3], { groups: 6, bias: zeros([5]) }), /^conv2d: dimension O/],
  ];
  for (const [name, run, message] of cases) it(name, () => expect(run).to.throw(message));
});
