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

/** Sums of up to four output gradients are rounded to bf16, and those of numbers x; the factors themselves are exact here. */
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
] as const;
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
  describe(`the weight gradient in bf16 on ${on}`, function () {
    this.timeout(120_000);
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
      const { gy } = data(sizes[1], 'spikes');
      for (const rate of [0, 1]) {
        const x = spikes([9, 36, 8, 9], rate, 3);
        const { gw } = await gradients(x, gy, ['spikes', 'bf16'], on);
        if (rate === 0) expect(gw.every((v) => v === 0)).to.equal(true);
        else expect(difference(gw, await exact(x, gy))).to.be.below(TRANSFORMED.spikes);
      }
    });

    for (const bad of [Number.NaN, Number.POSITIVE_INFINITY]) {
      it(`a gradient of ${bad} shows in its output's weights, and only there`, async () => {
        const { x, gy } = data(sizes[3], 'spikes');
        gy.data[(20 * 49 + 17) * 36 + 14] = bad; // image 20, output 17, a pixel in the middle
        for (const kind of ['spikes', 'f32'] as const) {
          const { gw } = await gradients(kind === 'f32' ? { ...x, kind: 'real' } : x, gy, [kind, 'bf16'], on);
          const outputs = new Set<number>();
          gw.forEach((v, i) => {
            if (!Number.isFinite(v)) outputs.add(Math.floor(i / (33 * 9)));
          });
          expect([...outputs]).to.deep.equal([17]);
        }
      });
    }

    it('has the same bits for any number of threads', async function () {
      if (on !== 'cpu') this.skip();
      const { x, gy } = data(sizes[0], 'spikes');
      const runs: Float64Array[] = [];
      for (const threads of [1, 2, 5]) {
        device(on).setThreads(threads);
        runs.push((await gradients(x, gy, ['spikes', 'bf16'], on)).gw);
      }
      device(on).setThreads(usualThreads());
      for (const other of runs.slice(1)) expect(other).to.deep.equal(runs[0]);
    });
  });
}
