// The weight gradient of 3x3 kernels in bf16 at sizes where one level takes it by tiles of pixels (docs/numerics.md):
// beside sums in float64 over the same factors, on the CPU and on a CUDA device (pending where there is none).
import { expect } from 'chai';
import { cudaBackend, device, nativeOp, scope, type Tensor, usualThreads } from '../../lib/core/index.ts';
import { bf16Tensor, rounded } from '../support/bf16.ts';
import { testDevices } from '../support/devices.ts';
import { difference, type HostTensor, noise, spikes, toDevice } from '../support/op-table.ts';

const gradW = nativeOp<'gw' | 'gb'>('conv2dGradW');
const AT = { sh: 1, sw: 1, ph: 1, pw: 1 };
const DIMS = { kh: 3, kw: 3 };

/** Means of output gradients are rounded to 16-bit steps up to the largest, and those of numbers x; the factors themselves are exact here. */
const TRANSFORMED = { spikes: 2 ** -8, numbers: 2 ** -7 };

type Kind = 'spikes' | 'f32' | 'bf16';

const place = (t: HostTensor, kind: Kind, on: string): Tensor =>
  kind === 'bf16' ? bf16Tensor(t, on) : toDevice(t, 'f32', on);

async function gradients(x: HostTensor, gy: HostTensor, kinds: [Kind, Kind], on: string, bias = false) {
  const made = scope(() => {
    const given = { gy: place(gy, kinds[1], on), x: place(x, kinds[0], on) };
    return gradW.run(given, AT, { dims: DIMS, real: 'f32', want: bias ? ['gb'] : [] });
  });
  const found = await Promise.all(Object.values(made).map((t) => t.array()));
  for (const t of Object.values(made)) t.dispose();
  const [gw, gb] = found.map((values) => Float64Array.from(values as Float32Array));
  return { gw: gw!, gb };
}

async function exact(x: HostTensor, gy: HostTensor): Promise<Float64Array> {
  const real = { ...x, kind: 'real' as const };
  const { gw } = scope(() =>
    gradW.run({ gy: toDevice(gy, 'f64', 'cpu'), x: toDevice(real, 'f64', 'cpu') }, AT, { dims: DIMS, real: 'f64' }),
  );
  const values = Float64Array.from(await gw.array());
  gw.dispose();
  return values;
}

// images, channels, outputs, height, width
const sizes = [
  [8, 64, 64, 8, 8],
  [9, 36, 40, 8, 9],
  [10, 65, 70, 9, 8],
  [35, 33, 49, 6, 6],
  [14, 130, 34, 11, 11],
  [9, 40, 33, 12, 7],
  [8, 34, 36, 4, 70],
  [66, 100, 57, 8, 6],
  [8, 70, 45, 4, 4],
  [9, 33, 65, 9, 6],
  [8, 34, 36, 33, 35],
  [64, 34, 36, 17, 19],
  [40, 70, 66, 20, 20],
  [8, 70, 40, 36, 31],
  ...[1, 2, 3, 4, 5, 6, 7, 8, 9, 64].map((N) => [N, 40, 33, 5, 7] as const),
  [64, 33, 34, 3, 3],
  [30, 140, 37, 6, 6],
] as const;
/** Of so many images and channels that spikes may choose out of tables of 16-bit integers. */
const filled = sizes.at(-1)!;
const bothSizes = [sizes[3], filled];
/** Where spikes' gradients stay sums out of tables, and those of numbers go by tiles. */
const narrow = [
  [8, 16, 8, 10, 10],
  [13, 9, 70, 6, 8],
  [11, 50, 17, 12, 9],
] as const;

const data = ([N, C, O, H, W]: readonly [number, number, number, number, number], kind: Kind) => ({
  x: kind === 'spikes' ? spikes([N, C, H, W], 0.3, 3) : rounded(noise([N, C, H, W], 3)),
  gy: rounded(noise([N, O, H, W], 9)),
});

for (const on of testDevices) {
  describe(`the weight gradient in bf16 on ${on}`, () => {
    before(function () {
      if (on === 'cuda' && cudaBackend().score === 0) this.skip();
    });

    for (const kinds of [
      ['spikes', 'bf16'],
      ['bf16', 'bf16'],
      ['f32', 'bf16'],
      ['bf16', 'f32'],
    ] as [Kind, Kind][]) {
      for (const size of kinds[0] === 'spikes' ? sizes : [...sizes, ...narrow]) {
        it(`x ${kinds[0]}, gy ${kinds[1]}, [N,C,O,H,W] = ${size}`, async () => {
          const { x, gy } = data(size, kinds[0]);
          const { gw, gb } = await gradients(x, gy, kinds, on, true);
          const limit = kinds[0] === 'spikes' ? TRANSFORMED.spikes : TRANSFORMED.numbers;
          expect(difference(gw, await exact(x, gy))).to.be.below(limit);
          const sums = new Float64Array(size[2]);
          const area = size[3] * size[4];
          gy.data.forEach((v, i) => {
            sums[Math.floor(i / area) % size[2]]! += v;
          });
          expect(difference(gb!, sums)).to.be.below(1e-5);
        });
      }
    }

    it('all firing and none', async () => {
      for (const size of [sizes[1], filled]) {
        const [N, C, , H, W] = size;
        const { gy } = data(size, 'spikes');
        for (const rate of [0, 1]) {
          const x = spikes([N, C, H, W], rate, 3);
          const { gw } = await gradients(x, gy, ['spikes', 'bf16'], on);
          if (rate === 0) expect(gw.every((v) => v === 0)).to.equal(true);
          else expect(difference(gw, await exact(x, gy))).to.be.below(TRANSFORMED.spikes);
        }
      }
    });

    for (const bad of [Number.NaN, Number.POSITIVE_INFINITY]) {
      it(`a gradient of ${bad} shows in its output's weights, and only there`, async () => {
        for (const size of bothSizes) {
          const [, C, O] = size;
          const { x, gy } = data(size, 'spikes');
          gy.data[(20 * O + 17) * 36 + 14] = bad; // image 20, output 17, a pixel in the middle
          for (const kind of ['spikes', 'f32'] as const) {
            const { gw } = await gradients(kind === 'f32' ? { ...x, kind: 'real' } : x, gy, [kind, 'bf16'], on);
            const outputs = new Set<number>();
            gw.forEach((v, i) => {
              if (!Number.isFinite(v)) outputs.add(Math.floor(i / (C * 9)));
            });
            expect([...outputs]).to.deep.equal([17]);
          }
        }
      });
    }

    const bothKinds = ['spikes', 'f32'] as const;

    it('gradients of powers of two as large make weights as large, to the bit', async () => {
      for (const [kind, size] of bothKinds.flatMap((kind) => [sizes[1], filled].map((size) => [kind, size] as const))) {
        const { x, gy } = data(size, kind);
        const { gw } = await gradients(x, gy, [kind, 'bf16'], on);
        for (const scale of [2 ** -100, 2 ** -20, 2 ** 90]) {
          const scaled = await gradients(x, { ...gy, data: gy.data.map((v) => v * scale) }, [kind, 'bf16'], on);
          expect(scaled.gw.map((v) => v / scale)).to.deep.equal(gw);
        }
      }
    });

    it('a huge gradient leaves the weights of other outputs as they are', async () => {
      for (const size of bothSizes) {
        const [, C, O, H, W] = size;
        for (const [kind, stored] of [
          ...bothKinds.map((kind) => [kind, 'f32'] as const),
          ['spikes', 'bf16'] as const,
        ]) {
          const { x, gy } = data(size, kind);
          const { gw } = await gradients(x, gy, [kind, stored], on);
          gy.data[((20 * O + 17) * H + 2) * W + 2] = 2 ** 100;
          const changed = await gradients(x, gy, [kind, stored], on);
          const outputs = new Set<number>();
          changed.gw.forEach((v, i) => {
            if (v !== gw[i]) outputs.add(Math.floor(i / (C * 9)));
          });
          expect([...outputs]).to.deep.equal([17]);
          expect(difference(changed.gw, await exact(x, gy))).to.be.below(TRANSFORMED.spikes);
        }
      }
    });

    it('gradients with heavy tails', async () => {
      for (const size of [sizes[9], filled]) {
        const { x, gy } = data(size, 'spikes');
        const tails = rounded({ ...gy, data: gy.data.map((v) => v * Math.exp(4 * Math.abs(v))) });
        const { gw } = await gradients(x, tails, ['spikes', 'bf16'], on);
        expect(difference(gw, await exact(x, tails))).to.be.below(TRANSFORMED.spikes);
      }
    });

    it('no gradient, and one of zeros but for an output', async () => {
      for (const [kind, size] of bothKinds.flatMap((kind) => [sizes[0], filled].map((size) => [kind, size] as const))) {
        const [, C, O, H, W] = size;
        const { x, gy } = data(size, kind);
        const only = { ...gy, data: gy.data.map((v, i) => (Math.floor(i / (H * W)) % O === 30 ? v : 0)) };
        const { gw } = await gradients(x, only, [kind, 'bf16'], on);
        expect(gw.every((v, i) => v === 0 || Math.floor(i / (C * 9)) === 30)).to.equal(true);
        expect(difference(gw, await exact(x, only))).to.be.below(TRANSFORMED.numbers);
        const none = await gradients(x, { ...gy, data: gy.data.map(() => 0) }, [kind, 'bf16'], on);
        expect(none.gw.every((v) => v === 0)).to.equal(true);
      }
    });

    it("a number of x that is not finite shows in its channel's weights, and only there", async () => {
      const [, C, , H, W] = sizes[3];
      for (const bad of [Number.NaN, Number.NEGATIVE_INFINITY]) {
        for (const kind of ['f32', 'bf16'] as const) {
          const { x, gy } = data(sizes[3], kind);
          x.data[((20 * C + 11) * H + 3) * W + 2] = bad;
          const { gw } = await gradients(x, gy, [kind, 'bf16'], on);
          const channels = new Set<number>();
          gw.forEach((v, i) => {
            if (!Number.isFinite(v)) channels.add(Math.floor(i / 9) % C);
          });
          expect([...channels]).to.deep.equal([11]);
        }
      }
    });

    it('has the same bits for any number of threads', async function () {
      if (on !== 'cpu') this.skip();
      for (const kind of bothKinds) {
        for (const size of [sizes[0], sizes[11], sizes.at(-1)!]) {
          const { x, gy } = data(size, kind);
          const runs: Float64Array[] = [];
          for (const threads of [1, 2, 5, 5]) {
            device(on).setThreads(threads);
            runs.push((await gradients(x, gy, [kind, 'bf16'], on)).gw);
          }
          device(on).setThreads(usualThreads());
          for (const other of runs.slice(1)) expect(other).to.deep.equal(runs[0]);
        }
      }
    });
  });
}
