// The neuron has the same bits on the CPU and on CUDA: spikes, membranes and gradients, in f32. Pending where there is
// no such device.
import { expect } from 'chai';
import { backward, cudaBackend, device, scope, type Tensor } from '../../lib/core/index.ts';
import { type LifOptions, lif, lifWithState, surrogates } from '../../lib/ops/lif.ts';
import { noise, type Tensors, toDevice } from '../support/op-table.ts';

const x = (shape: readonly number[]) => noise(shape, 41 + shape.length, 1.5);

/** Spikes, v where `withState`, and the gradient of x. */
async function bits(
  on: string,
  shape: readonly number[],
  options: LifOptions,
  withState: boolean,
): Promise<ArrayLike<number>[]> {
  const made: Tensors = { x: toDevice(x(shape), 'f32', on), v0: toDevice(noise(shape.slice(1), 5), 'f32', on) };
  made.x!.requiresGrad = true;
  const given = toDevice(noise(shape, 6), 'f32', on);
  const found = scope((): Tensor[] => {
    const all = withState ? lifWithState(made.x!, { ...options, v0: made.v0! }) : { s: lif(made.x!, options) };
    backward(all.s, given);
    return Object.values(all);
  });
  const arrays = await Promise.all([...found, made.x!.grad!].map((t) => t.array()));
  for (const t of [...found, given, ...Object.values(made)]) t.dispose();
  return arrays as ArrayLike<number>[];
}

const settings: LifOptions[] = [
  {},
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
          expect(found, `[${shape.join(',')}]${withState ? ' with state' : ''}`).to.deep.equal(wanted);
        }
      await device('cuda').finish();
    });
});
