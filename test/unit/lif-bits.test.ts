// The neuron has the same bits on the CPU and on CUDA, in f32: spikes and membranes always, gradients but those of the
// usual neuron, whose products CUDA fuses (docs/numerics.md). Pending where there is no such device.
import { expect } from 'chai';
import { backward, cudaBackend, device, scope, type Tensor } from '../../lib/core/index.ts';
import { type LifOptions, lif, lifWithState, surrogates } from '../../lib/ops/lif.ts';
import { type HostTensor, noise, type Tensors, toDevice } from '../support/op-table.ts';

const x = (shape: readonly number[]) => noise(shape, 41 + shape.length, 1.5);
const gs = (shape: readonly number[]) => noise(shape, 6);

/** Spikes, v where `withState`, and the gradient of x. */
async function bits(
  on: string,
  shape: readonly number[],
  options: LifOptions,
  withState: boolean,
): Promise<ArrayLike<number>[]> {
  const made: Tensors = { x: toDevice(x(shape), 'f32', on), v0: toDevice(noise(shape.slice(1), 5), 'f32', on) };
  made.x!.requiresGrad = true;
  const given = toDevice(gs(shape), 'f32', on);
  const found = scope((): Tensor[] => {
    const all = withState ? lifWithState(made.x!, { ...options, v0: made.v0! }) : { s: lif(made.x!, options) };
    backward(all.s, given);
    return Object.values(all);
  });
  const arrays = await Promise.all([...found, made.x!.grad!].map((t) => t.array()));
  for (const t of [...found, given, ...Object.values(made)]) t.dispose();
  return arrays as ArrayLike<number>[];
}

const usual: LifOptions = {};
const settings: LifOptions[] = [
  usual,
  { reset: 'soft', vth: 1.25, threshold: 0.6, decay: 0.6 },
  { detachReset: true, decay: 0.9, vth: 0.7, threshold: -0.2 },
  ...surrogates.map((surrogate): LifOptions => ({ surrogate, temperature: 2.5, threshold: 0.3 })),
];
const shapes = [
  [1, 2, 8, 3, 3],
  [2, 3, 65],
  [4, 2, 12, 3, 5],
  [4, 1, 33, 2, 2],
  [5, 3, 16],
  [9, 31],
];

/**
 * How far two ways to round the gradient of the usual neuron may be apart. Each rounds d at most 4 times, and with it
 * every term on the way from step t + 1 to t at most 8 times, each time by 2^-24 of that term: by less than 2^-20 a
 * step together, of the sum m[t] of the terms' magnitudes.
 */
function fusedBound({ shape, data }: HostTensor, gs: ArrayLike<number>, s: ArrayLike<number>): number[] {
  const steps = shape[0]!;
  const cells = s.length / steps;
  const bound = new Array<number>(s.length);
  for (let i = 0; i < cells; i++) {
    const u: number[] = [];
    for (let t = 0; t < steps; t++) {
      const v = t > 0 && s[(t - 1) * cells + i] === 0 ? u[t - 1]! : 0;
      u.push(Math.fround(0.25 * v + data[t * cells + i]!));
    }
    let m = 0;
    for (let t = steps - 1; t >= 0; t--) {
      const at = t * cells + i;
      const z = u[t]! - 0.5;
      const d = Math.abs(z) <= 0.5 ? (1 - Math.tanh(z) ** 2) / (2 * Math.tanh(0.5)) : 0;
      m = Math.abs(gs[at]!) * d + 0.25 * m * (1 - s[at]! + Math.abs(u[t]!) * d);
      bound[at] = (steps - t) * 2 ** -20 * m;
    }
  }
  return bound;
}

describe('bits of the neuron on cuda', () => {
  before(function () {
    if (cudaBackend().score === 0) this.skip();
  });
  for (const options of settings)
    it(`are those of the CPU: ${JSON.stringify(options)}`, async () => {
      for (const shape of shapes)
        for (const withState of [false, true]) {
          const [found, wanted] = [
            await bits('cuda', shape, options, withState),
            await bits('cpu', shape, options, withState),
          ];
          expect([...(wanted[0] as Uint8Array)], 'some fire').to.include(1);
          const at = `[${shape.join(',')}]${withState ? ' with state' : ''}`;
          if (options === usual && !withState) {
            const [gx, wantedGx] = [found.pop()!, wanted.pop()!];
            const bound = fusedBound(x(shape), gs(shape).data, wanted[0]!);
            for (const [i, most] of bound.entries()) expect(gx[i], `${at}, gx[${i}]`).to.be.closeTo(wantedGx[i]!, most);
          }
          expect(found, at).to.deep.equal(wanted);
        }
      await device('cuda').finish();
    });
});
