// Convolutions in bf16 that no norm with neurons follows: what they make rests as bf16 up to the next layer that reads
// it, with the same bits as if it were made f32 behind every convolution.
import { expect } from 'chai';
import { backward, cudaBackend, needsGrad, scope, type Tensor, tensor, zeros } from '../../lib/core/index.ts';
import * as nn from '../../lib/nn/index.ts';
import type { PlannedLayer } from '../../lib/nn/layer.ts';
import { convolutionOf } from '../../lib/nn/layers/conv2d.ts';
import * as ops from '../../lib/ops/index.ts';
import { repeatOverTime } from '../../lib/ops/repeat-over-time.ts';
import { realGradient } from '../../lib/ops/to-real.ts';
import { testDevices } from '../support/devices.ts';
import { noise, spikes, toDevice } from '../support/op-table.ts';

const { alif, avgPool2d, conv2d, cubaLif, flatten, ifNode, lif, linear, maxPool2d, meanOverTime, norm, plif, relu } =
  nn;
const T = 3;
const size = { channels: 3, height: 12, width: 8 };

const designs: Record<string, nn.Layer[]> = {
  'pools in front of neurons': [
    ...[conv2d(12, { kernel: 5, bias: true }), maxPool2d(2), lif({ reset: 'soft', surrogate: 'fastSigmoid' })],
    ...[conv2d(33, { kernel: 3 }), maxPool2d(2), plif()],
  ],
  'averages in front of neurons': [
    ...[conv2d(7, { kernel: 3 }), avgPool2d(2), ifNode(), conv2d(32, { kernel: 3, bias: true }), avgPool2d(2), lif()],
  ],
  'convolutions with groups': [
    ...[conv2d(9, { kernel: 3, groups: 3 }), lif(), conv2d(9, { kernel: 3, groups: 9 }), maxPool2d(2), lif()],
    ...[conv2d(6, { kernel: 3, groups: 3, dilation: 2, bias: true }), lif()],
  ],
  'neurons alone': [conv2d(9, { kernel: 3 }), lif(), conv2d(16, { kernel: 3, stride: 2 }), lif({ surrogate: 'atan' })],
  'two convolutions side by side': [conv2d(5, { kernel: 1 }), conv2d(6, { kernel: 3 }), lif()],
  'norms without neurons': [
    conv2d(6, { kernel: 3 }),
    norm(),
    maxPool2d(2),
    lif(),
    conv2d(8, { kernel: 3 }),
    norm(),
    relu(),
  ],
  'neurons that run by themselves': [conv2d(6, { kernel: 3 }), norm(), alif(), conv2d(9, { kernel: 3 }), cubaLif()],
  'pools of spikes': [
    conv2d(6, { kernel: 3 }),
    lif(),
    maxPool2d(2),
    conv2d(9, { kernel: 3 }),
    lif(),
    avgPool2d(2),
    conv2d(4, { kernel: 3 }),
    lif(),
  ],
  branches: [
    ...[conv2d(6, { kernel: 3 }), lif()],
    nn.residual({
      body: [conv2d(8, { kernel: 3 }), lif(), conv2d(8, { kernel: 3 })],
      shortcut: [conv2d(8, { kernel: 1 })],
    }),
    lif(),
  ],
  'linear layers in front of neurons': [
    ...[
      conv2d(6, { kernel: 3 }),
      lif(),
      flatten(),
      linear(70, { std: 0.2 }),
      lif(),
      linear(33, { std: 0.3 }),
      cubaLif(),
    ],
    ...[linear(40, { bias: false, std: 0.3 }), plif(), linear(9, { std: 0.4 })],
  ],
  'the last layer': [conv2d(2, { kernel: 3 })],
};

const makeNet = (design: nn.Layer[], precision: nn.Precision, device: string): nn.Net =>
  nn.define('bf16', ({ classes }) => [...design, flatten(), linear(classes), meanOverTime()])({
    ...{ steps: T, input: size, classes: 4, seed: 3, precision, device },
  });

/** The layers one by one, every convolution in bf16, its output f32 for what follows; averages of it that one reads bf16. */
function oneByOne(net: nn.Net, layers: readonly PlannedLayer[], x: Tensor): Tensor {
  const tensors = new Map(net.parameters().map((held) => [held.name, held.tensor]));
  const run = ({ path, layer, children, output }: PlannedLayer, from: Tensor, next?: PlannedLayer): Tensor => {
    const { kind, name: _name, ...o } = layer as nn.Layer & Record<string, never>;
    const own = (role: string) => tensors.get(`${path}.${role}`)!;
    const channels = output.shape[0]!;
    const full = () => (from.shape[0] === 1 ? repeatOverTime(from, T) : from);
    switch (kind) {
      case 'conv2d': {
        const { w, ...options } = convolutionOf(layer, { tensor: own } as never);
        return ops.toReal(
          ops.conv2d(needsGrad(from) ? realGradient(from) : from, w, { ...options, precision: 'bf16' }),
        );
      }
      case 'norm': {
        const statistics = [zeros([channels], 'f32', net.device), zeros([channels], 'f32', net.device)] as const;
        const [runningMean, runningVar] = statistics;
        return ops.batchNorm(full(), {
          gamma: own('weight'),
          beta: own('bias'),
          runningMean,
          runningVar,
          training: true,
          ...o,
        });
      }
      case 'maxPool2d':
        return ops.maxPool2d(from, { ...o, stride: o.kernel } as never);
      case 'avgPool2d':
        return ops.avgPool2d(from, {
          ...{ ...o, stride: o.kernel, precision: next?.layer.kind === 'conv2d' ? 'bf16' : undefined },
        } as never);
      case 'lif':
        return ops.lif(full(), o);
      case 'if':
        return ops.ifNode(full(), o);
      case 'plif': {
        const { decay: _decay, ...rest } = o;
        return ops.plif(full(), own('logit'), rest);
      }
      case 'alif':
        return ops.alif(full(), o);
      case 'cubaLif':
        return ops.cubaLif(full(), o);
      case 'relu':
        return ops.relu(from);
      case 'residual':
        return ops.add(list(children.body!, full()), list(children.shortcut!, full()));
      case 'flatten':
        return ops.reshape(from, [from.shape[0]!, from.shape[1]!, from.size / from.shape[0]! / from.shape[1]!]);
      case 'linear':
        return next && next.neurons > 0
          ? ops.toReal(ops.linear(from, own('weight'), own('bias'), { precision: 'bf16' }))
          : ops.linear(from, own('weight'), own('bias'));
      case 'meanOverTime':
        return from.shape[0] === 1 ? ops.reshape(from, from.shape.slice(1)) : ops.meanOverTime(from);
      default:
        throw new Error(`no layer '${kind}' here`);
    }
  };
  const list = (all: readonly PlannedLayer[], from: Tensor) =>
    all.reduce((y, layer, at) => run(layer, y, all[at + 1]), from);
  return list(layers, x.shape.length === 4 ? ops.reshape(x, [1, ...x.shape]) : x);
}

async function outcome(net: nn.Net, forward: () => Tensor): Promise<Record<string, number[]>> {
  const logits = scope(() => {
    const y = forward();
    backward(ops.crossEntropy(y, tensor(Int32Array.of(0, 3), { device: net.device })));
    return y;
  });
  const found: Record<string, number[]> = { logits: [...(await logits.array())] as number[] };
  logits.dispose();
  for (const { name, tensor: held } of net.parameters()) {
    found[name] = [...(await held.grad!.array())] as number[];
    held.grad!.dispose();
    held.grad = undefined;
  }
  return found;
}

for (const on of testDevices) {
  describe(`bf16 layer by layer (${on})`, () => {
    const inputs = {
      images: () => toDevice(noise([2, 3, 12, 8], 4), 'f32', on),
      frames: () => toDevice(noise([T, 2, 3, 12, 8], 4), 'f32', on),
      'frames of spikes': () => toDevice(spikes([T, 2, 3, 12, 8], 0.4), 'f32', on),
    };
    for (const [name, design] of Object.entries(designs)) {
      for (const [kind, input] of Object.entries(inputs)) {
        it(`${name}, ${kind}: the bits of f32 between the layers`, async function () {
          if (on === 'cuda' && cudaBackend().score === 0) return this.skip();
          using net = makeNet(design, 'bf16', on);
          using x = input();
          const expected = await outcome(net, () => oneByOne(net, net.plan.layers, x));
          expect(await outcome(net, () => net(x))).to.deep.equal(expected);
          const seen: string[] = [];
          net.onLayer = (_path, y) => void seen.push(y.dtype);
          expect((await outcome(net, () => net(x))).logits, 'watched').to.deep.equal(expected.logits);
          expect(seen).to.not.include('bf16');
        });
      }
    }
  });
}
