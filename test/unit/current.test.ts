// The fused layer's gradients against those of the ops it replaces on the CPU, and bf16 against f32, on every device.
// CUDA is pending where there is no such device.
import { expect } from 'chai';
import { backward, cudaBackend, device, type RealType, scope, type Tensor, tensor } from '../../lib/core/index.ts';
import { fire } from '../../lib/ops/index.ts';
import { layers } from '../ops/current.ts';
import { bf16Tensor, fromBf16, rounded } from '../support/bf16.ts';
import { composed, fused, type Layer, layerInputs, layerName, trained } from '../support/current.ts';
import { testDevices } from '../support/devices.ts';
import { freeGarbage } from '../support/garbage.ts';
import { difference, type HostInputs, type HostTensor, noise, type Tensors, toDevice } from '../support/op-table.ts';

type Run = (t: Tensors, layer: Layer) => Tensor[];

/** What rests as bf16: the convolutions' outputs, and numbers that are added to them. */
const rests = (name: string, { kind }: HostTensor) => ['y', 'y2', 'residual'].includes(name) && kind === 'real';

/** Inputs rounded to bf16 where they rest so. */
function roundedInputs(inputs: HostInputs): HostInputs {
  const made = { ...inputs };
  for (const name of Object.keys(made)) if (rests(name, made[name]!)) made[name] = rounded(made[name]!);
  return made;
}

async function gradients(run: Run, layer: Layer, inputs: HostInputs, real: RealType, on: string, bf16 = false) {
  const made: Tensors = {};
  for (const [name, given] of Object.entries(inputs)) {
    const small = bf16 && rests(name, given);
    const t = small ? bf16Tensor(given, on) : toDevice(given, real, on);
    t.requiresGrad = trained.includes(name);
    made[name] = t;
  }
  const s = scope(() => {
    const [spikes] = run(made, layer);
    const gs = noise(spikes!.shape, 77);
    backward(spikes!, bf16 ? bf16Tensor(gs, on) : toDevice(rounded(gs), real, on));
    return spikes!;
  });
  const found: Record<string, Float64Array> = { s: Float64Array.from(await s.array()) };
  for (const [name, t] of Object.entries(made)) {
    if (!t.requiresGrad) continue;
    const numbers = await t.grad!.array();
    found[name] = t.grad!.dtype === 'bf16' ? fromBf16(numbers) : Float64Array.from(numbers);
  }
  for (const t of [s, ...Object.values(made)]) t.dispose();
  return found;
}

function compare(found: Record<string, Float64Array>, wanted: Record<string, Float64Array>, limit: number): void {
  expect(Object.keys(found)).to.deep.equal(Object.keys(wanted));
  for (const [name, gradient] of Object.entries(wanted)) {
    const apart = difference(found[name]!, gradient, 1e-2);
    if (name === 's') expect(apart, 'spikes').to.equal(0);
    else expect(apart, `gradient of ${name}`).to.be.below(limit);
  }
}

for (const on of testDevices) {
  describe(`fire on ${on}`, () => {
    before(function () {
      if (on === 'cuda' && cudaBackend().score === 0) this.skip();
    });

    it('leaves no tensor handle over', async () => {
      const layer: Layer = { channels: 33, fsta: true, residual: 'second', learned: true };
      await gradients(fused, layer, layerInputs(layer), 'f32', on);
      await freeGarbage();
      const { handles } = device(on).stats();
      await gradients(fused, layer, layerInputs(layer), 'f32', on);
      expect(device(on).stats().handles).to.equal(handles);
    });

    for (const layer of layers) {
      it(`${layerName(layer)}: gradients equal those of the composed ops`, async () => {
        const inputs = layerInputs(layer);
        const wanted = await gradients(composed, layer, inputs, 'f64', 'cpu');
        compare(await gradients(fused, layer, inputs, 'f64', on), wanted, 1e-10);
        compare(await gradients(fused, layer, inputs, 'f32', on), wanted, 1e-4);
      });

      // What is stored, g and the gradients of y and the residual, has 8 bits; sums of them err less.
      it(`${layerName(layer)}: bf16 follows f32`, async () => {
        const inputs = roundedInputs(layerInputs(layer));
        const wanted = await gradients(fused, layer, inputs, 'f32', 'cpu');
        compare(await gradients(fused, layer, inputs, 'f32', on, true), wanted, 8e-3);
      });
    }

    it('only the parameters that need a gradient are asked for', async () => {
      const layer: Layer = { channels: 33, fsta: true, residual: 'spikes' };
      const made = Object.fromEntries(
        Object.entries(layerInputs(layer)).map(([name, t]) => [name, toDevice(t, 'f64', on)]),
      );
      made.m!.requiresGrad = true;
      const grad = await scope(() => {
        const [s] = fused(made, layer);
        backward(s!, toDevice(noise(s!.shape, 5), 'f64', on));
        return made.m!.grad!;
      }).array();
      expect(Math.abs(grad[0]!)).to.be.above(0);
      for (const [name, t] of Object.entries(made)) {
        if (name !== 'm') expect(t.grad, name).to.equal(undefined);
        t.dispose();
      }
    });
  });
}

describe('a current that rests as f32', () => {
  for (const on of testDevices) {
    for (const T of [2, 3]) {
      it(`takes a gradient of its spikes in bf16, ${T} steps (${on})`, async function () {
        if (on === 'cuda' && cudaBackend().score === 0) return this.skip();
        const vector = (value: number) => tensor(new Float32Array(37).fill(value), { device: device(on) });
        const norm = () => {
          const given = { gamma: vector(1), beta: vector(0), runningMean: vector(0), runningVar: vector(1) };
          return { ...given, training: true };
        };
        const gradient = async (bf16: boolean) => {
          const y = toDevice(noise([T, 2, 37, 3, 3], 5), 'f32', on);
          y.requiresGrad = true;
          const gs = rounded(noise([T, 2, 37, 3, 3], 6));
          scope(() => backward(fire(y, { norm: norm() }), bf16 ? bf16Tensor(gs, on) : toDevice(gs, 'f32', on)));
          const found = Float64Array.from(await y.grad!.array());
          y.dispose();
          return found;
        };
        expect(difference(await gradient(true), await gradient(false))).to.be.below(1e-6);
      });
    }
  }
});
