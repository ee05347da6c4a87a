// conv2d with bf16 at rest, and the moments of its output: beside the plain sums in float64 over the same rounded
// factors, on the CPU and on a CUDA device (pending where there is none).
import { expect } from 'chai';
import { backward, cudaBackend, scope } from '../../lib/core/index.ts';
import { native } from '../../lib/core/native.ts';
import { conv2d, conv2dWithMoments } from '../../lib/ops/conv2d.ts';
import { table } from '../ops/conv2d.ts';
import { bf16Tensor, rounded, values } from '../support/bf16.ts';
import { testDevices } from '../support/devices.ts';
import { difference, type HostTensor, noise, spikes, toDevice } from '../support/op-table.ts';

interface Case {
  name: string;
  x: number[];
  w: number[];
  stride?: number;
  /** A gradient of x is made of transformed factors, and one of w by tiles. */
  transformed?: boolean;
  tiles?: boolean;
  /** On AVX-512 spikes choose out of tables of 16-bit integers. */
  tables?: boolean;
  /** Takes the emulated device many seconds; it has the smaller one behind it. */
  large?: boolean;
}

const allCases: Case[] = [
  { name: 'one image', x: [1, 1, 3, 5, 4], w: [5, 3, 3, 3] },
  { name: '31 to 33 channels', x: [2, 2, 31, 5, 4], w: [33, 31, 3, 3] },
  { name: '35 images, 40 to 50 channels', x: [5, 7, 40, 3, 5], w: [50, 40, 3, 3] },
  { name: '35 images, 3 to 20 channels, stride 2', x: [5, 7, 3, 9, 11], w: [20, 3, 5, 3], stride: 2 },
  { name: '66 images of 2x2', x: [2, 33, 64, 2, 2], w: [64, 64, 3, 3] },
  // of pictures of few pixels a GPU takes one position in all of them at a time
  { name: '128 images of 2x2', x: [2, 64, 64, 2, 2], w: [128, 64, 3, 3], tables: true },
  // and keeps windows of larger ones in shared memory: its blocks go along several tiles, of 64 channels, or have 128 or
  // 256 pixels, of more
  { name: 'one image of 9x7, 64 to 64 channels', x: [1, 64, 9, 7], w: [64, 64, 3, 3], transformed: true },
  { name: '6 images of 16x12, 64 to 64 channels', x: [3, 2, 64, 16, 12], w: [64, 64, 3, 3], transformed: true },
  { name: '3 images of 13x11, 64 to 192 channels', x: [3, 64, 13, 11], w: [192, 64, 3, 3], transformed: true },
  { name: '5 columns, 128 to 64 channels', x: [5, 128, 61, 1], w: [64, 128, 3, 3], transformed: true },
  { name: 'one image of 13x13, 192 to 64 channels', x: [1, 192, 13, 13], w: [64, 192, 3, 3], transformed: true },
  { name: '5 images of 10x13, 128 to 128 channels', x: [5, 128, 10, 13], w: [128, 128, 3, 3], transformed: true },
  { name: '4 images of 10x32, 64 to 64 channels', x: [4, 1, 64, 10, 32], w: [64, 64, 3, 3], transformed: true },
  { name: '2 wide images, 64 to 128 channels', x: [2, 64, 2, 101], w: [128, 64, 3, 3], transformed: true },
  {
    name: '35 images of 4x5, 64 to 72 channels',
    x: [5, 7, 64, 4, 5],
    w: [72, 64, 3, 3],
    transformed: true,
    tiles: true,
  },
  { name: '50 images, 100 to 37 channels, 5x5 kernels', x: [2, 25, 100, 6, 5], w: [37, 100, 5, 5], tables: true },
  { name: '18 images, 200 to 20 channels, 1x7 kernels', x: [18, 200, 3, 9], w: [20, 200, 1, 7] },
  { name: '128 images of 4x3, stride 2', x: [128, 32, 4, 3], w: [40, 32, 3, 3], stride: 2, tables: true },
  { name: '33 images, stride 2', x: [3, 11, 64, 5, 6], w: [33, 64, 3, 3], stride: 2 },
  { name: '33 images of 64 channels, stride 2', x: [3, 11, 64, 6, 7], w: [64, 64, 3, 3], stride: 2 },
  { name: 'one image of 64 channels, stride 2', x: [1, 64, 9, 12], w: [128, 64, 3, 3], stride: 2 },
  // 7 channels unfold to 63 terms, 15 of them to 60, of the 64 that a product takes at once
  { name: '4 images, 7 to 8 channels', x: [4, 7, 8, 8], w: [8, 7, 3, 3] },
  { name: '3 images, 15 to 20 channels, 2x2 kernels', x: [3, 15, 7, 6], w: [20, 15, 2, 2] },
  { name: '40 to 72 channels', x: [3, 40, 7, 5], w: [72, 40, 3, 3] },
  {
    name: '8 images of 9x7, 40 to 72 channels',
    x: [2, 4, 40, 9, 7],
    w: [72, 40, 3, 3],
    transformed: true,
    tiles: true,
  },
  { name: '5 images of 6x8, 65 to 33 channels', x: [5, 65, 6, 8], w: [33, 65, 3, 3], transformed: true },
  {
    name: '20 images of 4x4, 264 to 260 channels',
    x: [20, 264, 4, 4],
    w: [260, 264, 3, 3],
    transformed: true,
    tiles: true,
    large: true,
  },
  { name: '5 images of 4x4, 136 to 132 channels', x: [5, 136, 4, 4], w: [132, 136, 3, 3], transformed: true },
  { name: '4 wide images, 32 to 34 channels', x: [4, 32, 5, 150], w: [34, 32, 3, 3], transformed: true },
  { name: '16 to 80 channels, many pixels', x: [2, 16, 130, 130], w: [80, 16, 1, 1], large: true },
  { name: '16 to 80 channels, 1x1 kernels', x: [2, 16, 25, 31], w: [80, 16, 1, 1] },
];
const cases = allCases.filter(({ large }) => !large || process.env.SPIKELOOM_CUDA !== 'emulated');
/** Of a CPU alone. */
const tableCases: Case[] = [
  { name: '61 images, 33 to 35 channels, 5x3 kernels, stride 3', x: [61, 33, 13, 10], w: [35, 33, 5, 3], stride: 3 },
  { name: '32 images, 300 to 17 channels', x: [32, 300, 4, 4], w: [17, 300, 3, 3] },
  { name: '27 wide images, 50 to 64 channels, 1x7 kernels', x: [27, 50, 2, 39], w: [64, 50, 1, 7] },
  { name: '128 images of 3x2, 288 to 33 channels, 2x1 kernels', x: [4, 32, 288, 3, 2], w: [33, 288, 2, 1], stride: 2 },
  { name: '160 images of 2x2, 130 to 66 channels', x: [5, 32, 130, 2, 2], w: [66, 130, 3, 3] },
  // few channels under wide kernels, which lie side by side along a kernel row
  { name: '36 images, 12 to 40 channels, 5x5 kernels', x: [3, 12, 12, 9, 8], w: [40, 12, 5, 5] },
  { name: '64 images, 2 to 33 channels, 5x7 kernels, stride 2', x: [2, 32, 2, 11, 13], w: [33, 2, 5, 7], stride: 2 },
  { name: '32 images, 16 to 8 channels, 2x4 kernels, stride 3', x: [32, 16, 7, 10], w: [8, 16, 2, 4], stride: 3 },
  { name: '7 images, 31 to 10 channels, 5x4 kernels', x: [7, 31, 6, 7], w: [10, 31, 5, 4] },
].map((one) => ({ ...one, tables: true }));

/** What the factors were rounded to is exact; y is then rounded once (2^-8), and f32 sums differ in their order. */
const AT_REST = 2 ** -8;
const SUMS = 1e-5;
/**
 * Of 3x3 kernels of stride 1 weights and output gradients may be rounded to bf16 after they were transformed instead of
 * before (docs/numerics.md). The roundings of both then stand in the gradient with respect to x, each with 25/9 of the
 * variance that rounding plain weights has.
 */
const TRANSFORMED = 2 ** -7;
/**
 * Weight gradients by tiles on the CPU: there both factors are rounded to 16-bit integers, but spikes are not. On AVX2
 * this is so of all spikes, on AVX-512 where these choose out of tables, and of the weights in their forward pass, which
 * are rounded to steps instead of to bf16 (docs/numerics.md).
 */
const TILES = { spikes: 2 ** -9, numbers: 2 ** -7 };
const inSteps = (on: string, tables = false) =>
  on === 'cpu' && (native().level === 'avx2' || (tables && ['avx512', 'avx512bf16'].includes(native().level)));
/** Many, and few: on a CPU these may be summed in another way. */
const RATES = { spikes: 0.3, 'few spikes': 0.1 };

/** Averages of spikes: multiples of 1 / of. */
const parts = (shape: number[], of: number): HostTensor => ({
  shape,
  kind: 'real',
  data: noise(shape, 3).data.map((v) => Math.min(of, Math.floor(Math.abs(v) * of)) / of),
});

for (const on of testDevices) {
  describe(`on ${on}`, () => {
    before(function () {
      if (on === 'cuda' && cudaBackend().score === 0) this.skip();
    });

    for (const kind of ['spikes', 'few spikes', 'real', 'bf16'] as const) {
      if (kind === 'few spikes' && on === 'cuda') continue;
      describe(`conv2d in bf16, ${kind} in`, () => {
        for (const each of [...cases, ...(on === 'cpu' && kind in RATES ? tableCases : [])]) {
          const { name, x: shape, w: kernel, stride = 1, transformed = false, tiles = false, tables = false } = each;
          it(name, async () => {
            const rate = kind in RATES ? RATES[kind as keyof typeof RATES] : undefined;
            const x = rate ? spikes(shape, rate, 3) : noise(shape, 3);
            const w = noise(kernel, 5);
            const options = { stride, padding: 1 };
            const steps = rate !== undefined && inSteps(on, tables);
            const factors = { x: rate ? x : rounded(x), w: steps ? w : rounded(w) };
            const [expected] = table.twin(factors, options);
            const gy = noise(expected!.shape, 9);
            // The gradient of the sums over rounded factors, in f64.
            const exact = {
              x: toDevice(rate ? { ...x, kind: 'real' } : rounded(x), 'f64', 'cpu'),
              w: toDevice(rounded(w), 'f64', 'cpu'),
            };
            const given = {
              x: kind === 'bf16' ? bf16Tensor(x, on) : toDevice(x, 'f32', on),
              w: toDevice(w, 'f32', on),
            };
            for (const t of [...Object.values(exact), ...Object.values(given)]) t.requiresGrad = true;
            scope(() => backward(conv2d(exact.x, exact.w, options), toDevice(rounded(gy), 'f64', 'cpu')));
            const y = scope(() => {
              const made = conv2d(given.x, given.w, { ...options, precision: 'bf16' });
              backward(made, bf16Tensor(gy, on));
              return made;
            });
            expect(y.dtype).to.equal('bf16');
            expect(given.x.grad!.dtype).to.equal(kind === 'real' ? 'f32' : 'bf16');
            expect(difference(await values(y), expected!.data)).to.be.below(AT_REST);
            expect(difference(await values(given.x.grad!), await values(exact.x.grad!))).to.be.below(
              kind === 'real' ? SUMS : transformed ? TRANSFORMED : AT_REST,
            );
            expect(difference(await values(given.w.grad!), await values(exact.w.grad!))).to.be.below(
              steps ? TILES.spikes : tiles && on === 'cpu' ? TILES[rate ? 'spikes' : 'numbers'] : SUMS,
            );
            for (const t of [y, ...Object.values(exact), ...Object.values(given)]) t.dispose();
          });
        }
      });
    }

    describe('conv2d of spikes in bf16', () => {
      const x = (rate: number, C = 40, B = 3) => spikes([2, B, C, 8, 11], rate, 3);
      const currents = async (host: HostTensor, w: HostTensor) => {
        const y = scope(() =>
          conv2d(toDevice(host, 'f32', on), toDevice(w, 'f32', on), { padding: 1, precision: 'bf16' }),
        );
        const found = await values(y);
        y.dispose();
        return found;
      };

      for (const [C, B] of [
        [40, 3],
        [64, 3],
        [128, 3],
        [70, 13],
      ] as const) {
        it(`equal spikes of ${2 * B} images and ${C} channels give equal currents, wherever they are`, async () => {
          const found = await currents(x(1, C, B), noise([40, C, 3, 3], 5));
          const inside = new Set<number>();
          for (let at = 0; at < found.length; at++) {
            const [q, p, o] = [at % 11, Math.floor(at / 11) % 8, Math.floor(at / 88) % 40];
            if (o === 17 && p > 0 && p < 7 && q > 0 && q < 10) inside.add(found[at]!);
          }
          expect(inside.size).to.equal(1);
        });
      }

      for (const [name, W, columns, stride, padding] of [
        ['a kernel of 70 columns', 80, 70, 1, 3],
        ['a stride of 1030', 2100, 3, 1030, 1],
      ] as const) {
        it(name, async () => {
          const x = spikes([5, 3, 1, W], 0.3, 3);
          const w = noise([18, 3, 1, columns], 5);
          const at = { stride, padding: [0, padding] as const };
          const steps = inSteps(on) && columns <= 64;
          const y = scope(() => conv2d(toDevice(x, 'f32', on), toDevice(w, 'f32', on), { ...at, precision: 'bf16' }));
          const exact = scope(() =>
            conv2d(toDevice({ ...x, kind: 'real' }, 'f64', 'cpu'), toDevice(steps ? w : rounded(w), 'f64', 'cpu'), at),
          );
          expect(difference(await values(y), await values(exact))).to.be.below(AT_REST);
          for (const t of [y, exact]) t.dispose();
        });
      }

      it('the same bits of many spikes as of few images or few spikes (avx2)', async function () {
        if (!inSteps(on)) this.skip();
        const [images, size] = [18, 40 * 8 * 11];
        const w = noise([36, 40, 3, 3], 5);
        const many = spikes([images, 40, 8, 11], 0.4, 3);
        const all = await currents(many, w);
        const one = { ...many, shape: [1, 40, 8, 11], data: many.data.slice(0, size) };
        const padded = { ...many, data: many.data.map((v, i) => (i < size ? v : 0)) };
        const few = await currents(padded, w);
        expect(await currents(one, w)).to.deep.equal(all.slice(0, 36 * 88));
        expect(few.slice(0, 36 * 88)).to.deep.equal(all.slice(0, 36 * 88));
      });

      for (const [stride, H, W] of [
        [1, 2, 3],
        [1, 3, 13],
        [2, 5, 4],
      ] as const) {
        it(`weight gradients with the same bits of many spikes as of few, ${H}x${W}, stride ${stride} (avx2)`, async function () {
          if (!inSteps(on)) this.skip();
          // so many channels that the sum is not cut in slices, whose number depends on the images
          const C = 192;
          const [P, Q] = [Math.ceil(H / stride), Math.ceil(W / stride)];
          const gradients = async (images: number) => {
            const x = spikes([32, C, H, W], 0.4, 3);
            const gy = noise([160, C, P, Q], 6);
            const data = new Float64Array(images * C * H * W);
            data.set(x.data);
            const w = toDevice(noise([C, C, 3, 3], 5), 'f32', on);
            w.requiresGrad = true;
            scope(() => {
              const bits = toDevice({ ...x, shape: [images, C, H, W], data }, 'f32', on);
              const y = conv2d(bits, w, { stride, padding: 1, precision: 'bf16' });
              const given = { ...gy, shape: [images, C, P, Q], data: gy.data.slice(0, images * C * P * Q) };
              backward(y, bf16Tensor(given, on));
            });
            const found = await values(w.grad!);
            w.dispose();
            return found;
          };
          const [many, few] = [await gradients(32), await gradients(160)];
          expect(many.some((v) => v !== 0)).to.equal(true);
          expect(few).to.deep.equal(many);
        });
      }

      for (const bad of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
        it(`a weight of ${bad} shows in its output, and only there`, async () => {
          const w = noise([36, 40, 3, 3], 5);
          w.data[(17 * 40 + 3) * 9 + 4] = bad;
          for (const B of [3, 9, 14]) {
            const found = await currents(x(1, 40, B), w);
            const wrong = new Set<number>();
            found.forEach((v, i) => {
              if (!Number.isFinite(v)) wrong.add(Math.floor(i / 88) % 36);
            });
            expect([...wrong]).to.deep.equal([17]);
          }
        });
      }

      it('weights of any size', async () => {
        for (const scale of [2 ** -100, 2 ** -40, 2 ** 60]) {
          const w = noise([36, 40, 3, 3], 5);
          for (const B of [3, 9, 14]) {
            const [once, scaled] = [
              await currents(x(0.3, 40, B), w),
              await currents(x(0.3, 40, B), { ...w, data: w.data.map((v) => v * scale) }),
            ];
            expect(
              difference(
                scaled.map((v) => v / scale),
                once,
              ),
            ).to.be.below(AT_REST);
          }
        }
      });
    });

    describe('conv2d of averages of spikes in bf16', () => {
      const currents = async (x: HostTensor, w: HostTensor) => {
        const y = scope(() => conv2d(bf16Tensor(x, on), toDevice(w, 'f32', on), { padding: 1, precision: 'bf16' }));
        const found = await values(y);
        y.dispose();
        return found;
      };

      for (const of of [4, 16, 32]) {
        for (const [H, W] of [
          [8, 11],
          [4, 4],
          [3, 37],
        ] as const) {
          it(`multiples of 1/${of}, ${H}x${W}`, async () => {
            const x = parts([2, 8, 40, H, W], of);
            const w = noise([36, 40, 3, 3], 5);
            const [expected] = table.twin({ x, w: rounded(w) }, { stride: 1, padding: 1 });
            expect(difference(await currents(x, w), expected!.data)).to.be.below(AT_REST);
          });
        }
      }

      it('equal averages give equal currents, wherever they are', async () => {
        const x = parts([2, 3, 40, 8, 11], 4);
        const found = await currents({ ...x, data: x.data.map(() => 0.75) }, noise([36, 40, 3, 3], 5));
        const inside = new Set<number>();
        for (let at = 0; at < found.length; at++) {
          const [q, p, o] = [at % 11, Math.floor(at / 11) % 8, Math.floor(at / 88) % 36];
          if (o === 17 && p > 0 && p < 7 && q > 0 && q < 10) inside.add(found[at]!);
        }
        expect(inside.size).to.equal(1);
      });
    });

    describe('conv2dWithMoments', () => {
      const kinds = [
        ['f64', 'spikes'],
        ['f32', 'spikes'],
        ['bf16', 'spikes'],
        ['bf16', 'bf16'],
      ] as const;
      for (const [real, kind] of kinds) {
        for (const { name, x: shape, w: kernel, stride = 1 } of cases) {
          it(`${real}, ${kind} in, ${name}: mean and variance of y`, async () => {
            const bias = noise([kernel[0]!], 8, real === 'bf16' ? 0.5 : 50);
            const made = scope(() => {
              const type = real === 'f64' ? 'f64' : 'f32';
              const x = kind === 'spikes' ? toDevice(spikes(shape, 0.3, 3), type, on) : bf16Tensor(parts(shape, 4), on);
              return conv2dWithMoments(x, toDevice(noise(kernel, 5), type, on), {
                bias: toDevice(bias, type, on),
                stride,
                padding: 1,
                ...(real === 'bf16' ? { precision: 'bf16' as const } : {}),
              });
            });
            const y = await values(made.y);
            const [C, area] = [kernel[0]!, made.y.shape.at(-1)! * made.y.shape.at(-2)!];
            const means = new Float64Array(C);
            const variances = new Float64Array(C);
            const count = y.length / C;
            y.forEach((v, i) => {
              means[Math.floor(i / area) % C]! += v / count;
            });
            y.forEach((v, i) => {
              const c = Math.floor(i / area) % C;
              variances[c]! += (v - means[c]!) ** 2 / count;
            });
            const limit = { f64: 1e-12, f32: 1e-4, bf16: 1e-3 }[real];
            expect(difference(Float64Array.from(await made.moments.mean.array()), means)).to.be.below(limit);
            expect(difference(Float64Array.from(await made.moments.var.array()), variances)).to.be.below(limit * 20);
            for (const t of [made.y, made.moments.mean, made.moments.var]) t.dispose();
          });
        }
      }
    });
  });
}
