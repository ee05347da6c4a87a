// A gradient that conv2dGradX adds on its way: the sum of both, in every type, on the CPU and on a CUDA device (pending
// where there is none).
import { expect } from 'chai';
import { backward, cudaBackend, nativeOp, scope, type Tensor } from '../../lib/core/index.ts';
import { add } from '../../lib/ops/add.ts';
import { conv2d } from '../../lib/ops/conv2d.ts';
import { bf16Tensor, values } from '../support/bf16.ts';
import { testDevices } from '../support/devices.ts';
import { difference, type HostTensor, noise, spikes, toDevice } from '../support/op-table.ts';

for (const on of testDevices) {
  describe(`a gradient that conv2d adds on its way, on ${on}`, () => {
    before(function () {
      if (on === 'cuda' && cudaBackend().score === 0) this.skip();
    });

    const gradX = nativeOp<'gx'>('conv2dGradX');
    /** Types of the gradient, of what is added to it, and of the sum. */
    const kinds = [
      ['f64', 'f64', 'f64'],
      ['f32', 'f32', 'f32'],
      ['f32', 'bf16', 'f32'],
      ['f32', 'f32', 'bf16'],
      ['bf16', 'bf16', 'bf16'],
      ['bf16', 'bf16', 'f32'],
      ['bf16', 'f32', 'f32'],
    ] as const;

    const sizes = [
      [40, 33],
      [40, 12],
      [64, 64],
      [128, 72],
    ] as const;
    for (const [stride, outputs, channels] of [1, 2].flatMap((n) => sizes.map((c) => [n, ...c] as const))) {
      for (const [given, beside, out] of kinds) {
        if (given !== beside && outputs !== 40) continue; // of types that differ two sizes are enough
        it(`${given} in beside ${beside}, ${out} out, stride ${stride}, ${outputs} to ${channels} channels: the sum of both`, async () => {
          const real = given === 'f64' ? 'f64' : 'f32';
          const dims = { H: 6, W: 5 };
          const made = (host: HostTensor, type: string) =>
            type === 'bf16' ? bf16Tensor(host, on) : toDevice(host, real, on);
          const w = toDevice(noise([outputs, channels, 3, 3], 5), real, on);
          const gy = made(noise([3, 11, outputs, 6 / stride, stride === 1 ? 5 : 3], 6), given);
          const added = made(noise([3, 11, channels, 6, 5], 7, 2), beside);
          const attributes = { sh: stride, sw: stride, ph: 1, pw: 1 };
          const run = (more: Record<string, Tensor>) =>
            gradX.run({ gy, w, ...more }, attributes, { dims, types: { gx: out } }).gx;
          const [sum, alone] = scope(() => [run({ add: added }), run({})] as const);
          const others = await values(added);
          const expected = (await values(alone)).map((v, i) => v + others[i]!);
          expect(difference(await values(sum), expected)).to.be.below({ f64: 1e-13, f32: 1e-6, bf16: 2 ** -7 }[out]);
          for (const t of [w, gy, added, sum, alone]) t.dispose();
        });
      }
    }

    it('is used by the tape: spikes that two convolutions read', async () => {
      const [first, second] = [noise([20, 33, 3, 3], 5), noise([20, 33, 3, 3], 6)];
      const both = { ...first, data: first.data.map((v, i) => v + second.data[i]!) };
      const gradientOf = async (kernels: HostTensor[]) => {
        const x = toDevice(spikes([2, 17, 33, 5, 6], 0.3, 3), 'f64', on);
        x.requiresGrad = true;
        scope(() => {
          const made = kernels.map((kernel) => conv2d(x, toDevice(kernel, 'f64', on), { padding: 1 }));
          const sum = made.length > 1 ? add(made[0]!, made[1]!) : made[0]!;
          backward(sum, toDevice(noise(sum.shape, 8), 'f64', on));
        });
        const found = await values(x.grad!);
        x.dispose();
        return found;
      };
      expect(difference(await gradientOf([first, second]), await gradientOf([both]))).to.be.below(1e-12);
    });
  });
}
