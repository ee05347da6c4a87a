// Ops that move, repeat and multiply, of drawn shapes: forward as their twins. Each is linear in every input that has a
// gradient, so the gradient times the input, added up, is the weighted sum of outputs that it belongs to.
import { expect } from 'chai';
import fc from 'fast-check';
import { cudaBackend } from '../../lib/core/index.ts';
import { mulTable } from '../ops/broadcast.ts';
import { table as matmulTable } from '../ops/matmul.ts';
import { table as permuteTable } from '../ops/permute.ts';
import { concatTable, sliceTable } from '../ops/slice.ts';
import { testDevices } from '../support/devices.ts';
import {
  compareOutputs,
  evaluate,
  type HostInputs,
  type HostTensor,
  noise,
  type OpTable,
  spikes,
} from '../support/op-table.ts';

const size = fc.oneof({ weight: 6, arbitrary: fc.integer({ min: 1, max: 5 }) }, fc.constantFrom(31, 32, 33, 64, 70));
const shape = fc
  .array(size, { minLength: 1, maxLength: 6 })
  .filter((sizes) => sizes.reduce((n, d) => n * d, 1) < 20_000);

interface Drawn {
  inputs: () => HostInputs;
  options: Record<string, unknown>;
}

const made = (sizes: number[], areSpikes: boolean, seed = 1): HostTensor =>
  areSpikes ? spikes(sizes, 0.4, seed) : noise(sizes, seed);

const slices = fc.tuple(shape, fc.boolean(), fc.nat(), fc.nat(), fc.nat()).map(([sizes, fired, a, b, c]): Drawn => {
  const axis = a % sizes.length;
  const from = b % sizes[axis]!;
  const to = from + 1 + (c % (sizes[axis]! - from));
  return { inputs: () => ({ x: made(sizes, fired) }), options: { axis: axis - (c % 2) * sizes.length, from, to } };
});

const concats = fc
  .tuple(shape, fc.boolean(), fc.nat(), fc.array(size, { minLength: 1, maxLength: 4 }))
  .map(([sizes, fired, a, lengths]): Drawn => {
    const axis = a % sizes.length;
    const parts = lengths.map((length) => sizes.map((n, i) => (i === axis ? length : n)));
    return {
      inputs: () => Object.fromEntries(parts.map((part, i) => ['abcd'[i]!, made(part, fired, i + 1)])),
      options: { axis },
    };
  });

const permutes = fc
  .tuple(shape, fc.boolean(), fc.array(fc.nat(), { minLength: 6, maxLength: 6 }))
  .map(([sizes, fired, keys]): Drawn => {
    const axes = sizes.map((_, i) => i).sort((i, j) => keys[i]! - keys[j]!);
    return { inputs: () => ({ x: made(sizes, fired) }), options: { axes } };
  });

const short = fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 0, maxLength: 4 });
const flag = fc.boolean();
const matmuls = fc
  .tuple(short, fc.tuple(size, size, size), fc.tuple(flag, flag, flag, flag, flag))
  .map(([batch, [M, K, N], [transposeA, transposeB, isShared, aFires, bFires]]): Drawn => {
    const a = [...batch, ...(transposeA ? [K, M] : [M, K])];
    const b = [...(isShared ? [] : batch), ...(transposeB ? [N, K] : [K, N])];
    return {
      inputs: () => ({ a: made(a, aFires, 1), b: made(b, bFires, 2) }),
      options: { transposeA, transposeB },
    };
  });

const broadcasts = fc
  .tuple(shape, fc.array(flag, { minLength: 12, maxLength: 12 }), fc.nat())
  .map(([sizes, keeps, a]): Drawn => {
    const x = sizes.map((n, i) => (keeps[i] ? n : 1));
    const y = sizes.map((n, i) => (keeps[i + 6] ? n : 1)).slice(a % sizes.length);
    return { inputs: () => ({ x: noise(x, 1), y: noise(y, 2) }), options: {} };
  });

const tables: [OpTable, fc.Arbitrary<Drawn>][] = [
  [sliceTable, slices],
  [concatTable, concats],
  [permuteTable, permutes],
  [matmulTable, matmuls],
  [mulTable, broadcasts],
];

for (const on of testDevices) {
  describe(`of any shape, on ${on}`, () => {
    for (const [table, drawn] of tables) {
      it(table.name, async function () {
        if (on === 'cuda' && cudaBackend().score === 0) this.skip();
        const property = fc.asyncProperty(drawn, async ({ inputs, options }) => {
          const { outputs, gradients } = await evaluate(table, { name: '', inputs, options }, 'f64', on);
          const expected = table.twin(inputs(), options);
          compareOutputs(outputs, expected, 1e-12);
          const weighted = expected[0]!.data.reduce((sum, y, i) => sum + y * (Math.sin(0.7 * i) + 0.3), 0);
          const terms = Object.values(gradients).map((g, which) => {
            const { data } = inputs()[Object.keys(gradients)[which]!]!;
            return g.reduce((sum, slope, i) => sum + slope * data[i]!, 0);
          });
          const scale = 1 + expected[0]!.data.reduce((sum, y) => sum + Math.abs(y), 0);
          const rounded = Object.values(inputs()).some(({ kind }) => kind === 'spike') ? 1e-6 : 1e-11; // gradients in f32
          const isJoined = table === concatTable; // linear in all inputs together
          for (const term of isJoined ? [terms.reduce((a, b) => a + b, 0)] : terms)
            expect(Math.abs(term - weighted) / scale).to.be.below(rounded);
        });
        await fc.assert(property, { numRuns: 150, seed: 1 });
      });
    }
  });
}
