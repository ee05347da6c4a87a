// What gradients recompute instead of keeping it: once for all who read it, gone afterwards, and no memory of a
// recorded step in between.
import { expect } from 'chai';
import {
  backward,
  device,
  forBackward,
  noGrad,
  parameter,
  planStep,
  recomputeForBackward,
  record,
  recordStep,
  scope,
  type Tensor,
  tensor,
} from '../../lib/core/index.ts';
import { avgPool2d } from '../../lib/ops/avg-pool2d.ts';
import { conv2d } from '../../lib/ops/conv2d.ts';
import { add, mul, scale } from '../../lib/ops/index.ts';
import { freeGarbage } from '../support/garbage.ts';
import { bytesOf, noise, spikes, toDevice } from '../support/op-table.ts';

const cpu = device();

/** y = x x, whose gradient asks for x by forBackward(). */
function squared(x: Tensor, seen: Tensor[]): Tensor {
  const y = noGrad(() => mul(x, x));
  record([y], [x], ([gy]) => {
    const held = forBackward(x);
    seen.push(held);
    return [scale(mul(gy!, held), 2)];
  });
  return y;
}

describe('what is recomputed for backward()', () => {
  it('is made once for all who read it, and freed where it was made', async () => {
    const w = parameter(tensor([3, -2]));
    const one = tensor([1, 1]);
    await freeGarbage();
    const before = cpu.stats().handles;
    for (const recompute of [true, false]) {
      let made = 0;
      const seen: Tensor[] = [];
      scope(() => {
        const x = scale(w, 5);
        if (recompute) {
          recomputeForBackward(x, () => {
            made++;
            return scale(w, 5);
          });
        }
        backward(add(squared(x, seen), squared(x, seen)), one);
        expect(seen[0]).to.equal(seen[1]);
        expect(seen[0] === x).to.equal(!recompute);
        expect(made).to.equal(recompute ? 1 : 0);
      });
      expect([...(await w.grad!.array())]).to.deep.equal([2 * 2 * 25 * 3, -2 * 2 * 25 * 2]);
      w.freeGrad();
      expect(cpu.stats().handles).to.equal(before);
    }
    for (const t of [w, one]) t.dispose();
  });

  it('is the tensor itself where it is not on the tape', () => {
    const x = tensor([1]);
    recomputeForBackward(x, () => expect.fail('nobody needs it'));
    expect(forBackward(x)).to.equal(x);
    x.dispose();
  });

  it('are means of spikes: a recorded step has the gradients of the calls, and room for them once', async () => {
    const x = toDevice(spikes([2, 3, 40, 6, 6], 0.3, 1), 'f32', 'cpu');
    x.requiresGrad = true;
    const weights = [1, 2].map((seed) => parameter(toDevice(noise([40, 40, 3, 3], seed), 'f32', 'cpu')));
    const gradient = toDevice(noise([2, 3, 40, 6, 6], 3), 'f32', 'cpu');
    const pool = { kernel: 3, stride: 1, padding: 1 };
    const body = () => {
      const pooled = avgPool2d(x, pool);
      const first = conv2d(pooled, weights[0]!, { padding: 1 });
      backward(add(conv2d(first, weights[1]!, { padding: 1 }), pooled), gradient);
      const grads = [x, ...weights].map((t) => t.grad!.alias(t.shape));
      for (const t of [x, ...weights]) t.freeGrad();
      return grads;
    };
    const step = recordStep(cpu, body);
    step.replay();
    const recorded = await Promise.all(step.result.map(bytesOf));
    const direct = scope(() => body().map(bytesOf));
    expect(recorded).to.deep.equal(await Promise.all(direct));
    step.dispose();

    // means of real numbers are kept while the rest of the forward pass goes on
    const real = toDevice(noise([2, 3, 40, 6, 6], 1), 'f32', 'cpu');
    real.requiresGrad = true;
    const blocksOf = (input: Tensor) => {
      const { workspaceBytes } = planStep(cpu, () => {
        const pooled = conv2d(avgPool2d(input, pool), weights[0]!, { padding: 1 });
        let y = pooled;
        for (let i = 0; i < 3; i++) y = noGrad(() => add(y, gradient));
        backward(add(pooled, y), gradient);
        for (const t of [input, ...weights]) t.freeGrad();
      });
      return workspaceBytes / (2 * 3 * 40 * 36 * 4);
    };
    expect(blocksOf(x)).to.be.below(blocksOf(real) - 0.3);
    for (const t of [x, real, gradient, ...weights]) t.dispose();
  });
});
