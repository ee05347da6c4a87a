// Networks written with the ops and the tape alone, spiking self-attention and a recurrent cell: gradients and some
// updates in a recorded step are those of PyTorch, in float64.
import { expect } from 'chai';
import {
  backward,
  cudaBackend,
  device,
  parameter,
  recordStep,
  type Shape,
  scope,
  type Tensor,
  tensor,
  zeros,
} from '../../lib/core/index.ts';
import * as ops from '../../lib/ops/index.ts';
import { sgd } from '../../lib/optim/index.ts';
import { testDevices } from '../support/devices.ts';
import { type GoldenCase, goldenCases, relative } from '../support/golden-ops.ts';

type Parameters = Record<string, Tensor>;

/** Spiking self-attention (Zhou et al., "Spikformer", ICLR 2023): x [T,B,N,C] to logits [B,K]. */
function attention(x: Tensor, p: Parameters, { heads, scale }: { heads: number; scale: number }): Tensor {
  const [T, B, N, C] = x.shape as [number, number, number, number];
  const features = C / heads;
  const tokens = ops.reshape(x, [T, B * N, C]);
  /** [T,B·N,C] to a matrix [N,C/heads] of every head of every sample and step. */
  const split = (s: Tensor) =>
    ops.reshape(ops.permute(ops.reshape(s, [T * B, N, heads, features]), [0, 2, 1, 3]), [T * B * heads, N, features]);
  const [q, k, v] = ['q', 'k', 'v'].map((name) => split(ops.lif(ops.linear(tokens, p[name]!)))) as [
    Tensor,
    Tensor,
    Tensor,
  ];
  const scores = ops.scale(ops.matmul(q, k, { transposeB: true, real: 'f64' }), scale);
  const mixed = ops.permute(ops.reshape(ops.matmul(scores, v), [T * B, heads, N, features]), [0, 2, 1, 3]);
  const s = ops.lif(ops.reshape(mixed, [T, B * N, C]));
  return ops.mean(ops.reshape(ops.linear(s, p.out!), [T, B, N, -1]), { axes: [0, 2] });
}

/** Neurons that see the input and their own spikes of the step before, none at first: x [T,B,F] to logits [B,K]. */
function recurrent(x: Tensor, p: Parameters): Tensor {
  const [T, B] = x.shape as [number, number];
  let h = zeros([1, B, p.cell!.shape[0]!], 'f64', x.device);
  let v0: Tensor | undefined;
  const steps: Tensor[] = [];
  for (let t = 0; t < T; t++) {
    const now = ops.slice(x, { axis: 0, from: t, to: t + 1 });
    const { s, v } = ops.lifWithState(ops.linear(ops.concat([now, h], { axis: 2 }), p.cell!, p.bias), v0 ? { v0 } : {});
    steps.push(s);
    h = ops.toReal(s, { real: 'f64' });
    v0 = v;
  }
  return ops.mean(ops.linear(ops.concat(steps, { axis: 0 }), p.out!), { axes: [0] });
}

const networks: Record<string, (x: Tensor, p: Parameters, attributes: GoldenCase['attributes']) => Tensor> = {
  attention,
  recurrent,
};

for (const on of testDevices) {
  describe(`networks of one's own, on ${on}`, () => {
    for (const { name, attributes, tensors } of goldenCases('op-own-networks')) {
      it(`${name}: gradients and ${attributes.updates} recorded updates as in PyTorch`, async function () {
        if (on === 'cuda' && cudaBackend().score === 0) this.skip();
        const at = device(on);
        const put = ({ shape, data }: { shape: Shape; data: Float64Array }) => tensor(data, { shape, device: at });
        const names = Object.keys(tensors).flatMap((key) => (key.startsWith('param.') ? [key.slice(6)] : []));
        const p = Object.fromEntries(names.map((key) => [key, parameter(put(tensors[`param.${key}`]!))]));
        const x = put(tensors.x!);
        const labels = tensor(Int32Array.from(tensors.labels!.data), { device: at });
        const loss = () => ops.crossEntropy(networks[name]!(x, p, attributes), labels);

        scope(() => backward(loss()));
        for (const key of names) {
          expect(relative(await p[key]!.grad!.array(), tensors[`grad.${key}`]!), `gradient of ${key}`).to.be.below(
            1e-12,
          );
          p[key]!.freeGrad();
        }

        const optimizer = sgd({ lr: attributes.lr, momentum: 0, weightDecay: 0, nesterov: false })(
          names.map((key) => ({ name: key, tensor: p[key]! })),
        );
        const step = recordStep(at, () => {
          const made = loss();
          backward(made);
          optimizer.step();
          return made;
        });
        const losses: number[] = [];
        for (let update = 0; update < attributes.updates; update++) {
          step.replay();
          losses.push(await step.result.item());
        }
        expect(relative(losses, tensors.losses!), 'losses').to.be.below(1e-12);
        for (const key of names)
          expect(relative(await p[key]!.array(), tensors[`after.${key}`]!), `${key} afterwards`).to.be.below(1e-12);
        step.dispose();
        for (const t of [x, labels, ...Object.values(p)]) t.dispose();
      });
    }
  });
}
