// Sums of one term in f32, where nothing else hides what a product loses: a spike gives its weight to the bit, and a
// product of two numbers keeps 21 bits, on matrix units (which multiply parts of 8 bits) as elsewhere. On the CPU and
// on a CUDA device (pending without one).
import { expect } from 'chai';
import { backward, cudaBackend, scope } from '../../lib/core/index.ts';
import { conv2d } from '../../lib/ops/conv2d.ts';
import { testDevices } from '../support/devices.ts';
import { type HostTensor, host, noise, toDevice } from '../support/op-table.ts';

const [N, C, O, SIZE] = [4, 40, 24, 3] as const;
const AREA = SIZE * SIZE;
const w = noise([O, C, 1, 1], 5);
const gy = noise([N, O, SIZE, SIZE], 9);

/**
 * A tensor [N, channels, SIZE, SIZE] that is `value` at one channel of each pixel, another one at every pixel, and 0
 * elsewhere.
 */
function oneChannel(channels: number, kind: HostTensor['kind'], value: (pixel: number) => number): HostTensor {
  const data = new Float64Array(N * channels * AREA);
  for (let pixel = 0; pixel < N * AREA; pixel++) data[place(pixel, pixel % channels, channels)] = value(pixel);
  return host([N, channels, SIZE, SIZE], data, kind);
}
const place = (pixel: number, c: number, channels: number) =>
  (Math.floor(pixel / AREA) * channels + c) * AREA + (pixel % AREA);

/** y, gx and gw of a 1x1 convolution in f32. */
async function run(on: string, input: HostTensor, gradient: HostTensor) {
  const given = { x: toDevice(input, 'f32', on), w: toDevice(w, 'f32', on) };
  given.x.requiresGrad = given.w.requiresGrad = true;
  const y = scope(() => {
    const made = conv2d(given.x, given.w);
    backward(made, toDevice(gradient, 'f32', on));
    return made;
  });
  const read = await Promise.all([y, given.x.grad!, given.w.grad!].map((t) => t.array()));
  for (const t of [y, given.x, given.w]) t.dispose();
  const [made, gx, gw] = read.map((values) => Float64Array.from(values));
  return { y: made!, gx: gx!, gw: gw! };
}

function expectProduct(actual: number, a: number, b: number): void {
  expect(Math.abs(actual - a * b), `${a} * ${b}, not ${actual}`).to.be.at.most(Math.abs(a * b) * 2 ** -21);
}

for (const on of testDevices) {
  describe(`conv2d with sums of one term on ${on}`, () => {
    before(function () {
      if (on === 'cuda' && cudaBackend().score === 0) this.skip();
    });

    it('a spike gives its weight, and a pixel its gradient, to the bit', async () => {
      const { y, gw } = await run(
        on,
        oneChannel(C, 'spike', () => 1),
        gy,
      );
      for (let pixel = 0; pixel < N * AREA; pixel++) {
        for (let o = 0; o < O; o++) {
          expect(y[place(pixel, o, O)]).to.equal(w.data[o * C + pixel]);
          expect(gw[o * C + pixel]).to.equal(gy.data[place(pixel, o, O)]);
        }
      }
    });

    it('products of two numbers keep 21 bits, forward and for weights', async () => {
      const numbers = noise([N * AREA], 11).data;
      const { y, gw } = await run(
        on,
        oneChannel(C, 'real', (pixel) => numbers[pixel]!),
        gy,
      );
      for (let pixel = 0; pixel < N * AREA; pixel++) {
        for (let o = 0; o < O; o++) {
          expectProduct(y[place(pixel, o, O)]!, numbers[pixel]!, w.data[o * C + pixel]!);
          expectProduct(gw[o * C + pixel]!, numbers[pixel]!, gy.data[place(pixel, o, O)]!);
        }
      }
    });

    it('products of two numbers keep 21 bits, back to the input', async () => {
      const numbers = noise([N * AREA], 12).data;
      const gradient = oneChannel(O, 'real', (pixel) => numbers[pixel]!);
      const { gx } = await run(on, noise([N, C, SIZE, SIZE], 3), gradient);
      for (let pixel = 0; pixel < N * AREA; pixel++) {
        for (let c = 0; c < C; c++)
          expectProduct(gx[place(pixel, c, C)]!, numbers[pixel]!, w.data[(pixel % O) * C + c]!);
      }
    });
  });
}
