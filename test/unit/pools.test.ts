import { expect } from 'chai';
import { backward, describe as described, scope, type Tensor, tensor } from '../../lib/core/index.ts';
import { openSafetensors } from '../../lib/core/safetensors.ts';
import { avgPool2d } from '../../lib/ops/avg-pool2d.ts';
import { globalAvgPool } from '../../lib/ops/global-avg-pool.ts';
import { maxPool2d } from '../../lib/ops/max-pool2d.ts';
import type { PoolOptions } from '../../lib/ops/pool-window.ts';
import { realGradient } from '../../lib/ops/to-real.ts';
import { difference, spikes, toDevice } from '../support/op-table.ts';

interface Attributes {
  kernel: number;
  stride: number;
  padding: number;
  ceil_mode: boolean;
  count_include_pad?: boolean;
}

/** Output and gradient of one case of a fixture against PyTorch's. `kind` is the type x is given as. */
async function checkGolden(
  op: string,
  name: string,
  pool: (x: Tensor, options: PoolOptions) => Tensor,
  kind: 'f64' | 'spike' = 'f64',
) {
  const file = openSafetensors(new URL(`../golden/op-${op}.safetensors`, import.meta.url).pathname);
  const { cases } = JSON.parse(file.metadata.config!) as { cases: Record<string, Attributes> };
  const { kernel, stride, padding, ceil_mode: ceilMode, count_include_pad: countIncludePad } = cases[name]!;
  const read = (part: string) => ({
    data: file.read(`${name}.${part}`) as Float64Array,
    shape: file.entries.get(`${name}.${part}`)!.shape,
  });
  const [given, expected, gy, gx] = ['x', 'y', 'gy', 'grad.x'].map(read) as [
    ReturnType<typeof read>,
    ReturnType<typeof read>,
    ReturnType<typeof read>,
    ReturnType<typeof read>,
  ];
  file.close();
  const x = tensor(kind === 'spike' ? Uint8Array.from(given.data) : given.data, { shape: given.shape, dtype: kind });
  x.requiresGrad = true;
  const y = scope(() => {
    const made = pool(x, {
      kernel,
      stride,
      padding,
      ceilMode,
      ...(countIncludePad === undefined ? {} : { countIncludePad }),
    });
    backward(made, tensor(gy.data, { shape: gy.shape, dtype: 'f64' }));
    return made;
  });
  expect(described(y)).to.equal(`${kind}[${expected.shape}]`);
  expect(difference(Float64Array.from(await y.array()), expected.data)).to.be.below(1e-12);
  expect(described(x.grad!)).to.equal(`f64[${given.shape}]`);
  expect(difference(Float64Array.from(await x.grad!.array()), gx.data)).to.be.below(1e-12);
  y.dispose();
  x.dispose();
}

const names = (op: string): string[] => {
  const file = openSafetensors(new URL(`../golden/op-${op}.safetensors`, import.meta.url).pathname);
  file.close();
  return Object.keys((JSON.parse(file.metadata.config!) as { cases: object }).cases);
};

describe('pools against PyTorch', () => {
  for (const name of names('avg-pool2d')) it(`avgPool2d ${name}`, () => checkGolden('avg-pool2d', name, avgPool2d));
  for (const name of names('max-pool2d')) it(`maxPool2d ${name}`, () => checkGolden('max-pool2d', name, maxPool2d));
  it('maxPool2d spikes, as bits', () => checkGolden('max-pool2d', 'spikes', maxPool2d, 'spike'));
});

describe('maxPool2d', () => {
  it('without a gradient to come, gives the same', async () => {
    const [values, bits] = await scope(() => {
      const x = tensor(
        Float64Array.from({ length: 99 }, (_, i) => Math.sin(i)),
        { shape: [1, 1, 33, 1, 3] },
      );
      const s = tensor(
        Uint8Array.from({ length: 99 }, (_, i) => Number(i % 3 === 2)),
        { shape: [1, 1, 33, 1, 3], dtype: 'spike' },
      );
      const options = { kernel: [1, 3] as const };
      return [maxPool2d(x, options), maxPool2d(s, options)].map((y) => y);
    }).reduce<Promise<number[][]>>(async (list, y) => [...(await list), [...(await y.array())]], Promise.resolve([]));
    expect(values).to.deep.equal(
      Array.from({ length: 33 }, (_, c) => Math.max(...[0, 1, 2].map((i) => Math.sin(3 * c + i)))),
    );
    expect(bits).to.deep.equal(Array.from({ length: 33 }, () => 1));
  });

  it('hands a NaN on, as PyTorch does', async () => {
    const x = tensor(Float64Array.of(1, Number.NaN, 3, 2), { shape: [1, 1, 1, 2, 2] });
    const y = maxPool2d(x, { kernel: 2 });
    expect(await y.item()).to.be.NaN;
    x.dispose();
    y.dispose();
  });
});

describe('options of the pools', () => {
  const x = () => tensor(new Float32Array(30), { shape: [1, 1, 2, 5, 3] });
  const refused: [string, PoolOptions, RegExp][] = [
    ['kernel 0', { kernel: 0 }, /kernel and stride are whole numbers from 1 on/],
    ['a fraction', { kernel: 1.5 }, /whole numbers/],
    ['NaN', { kernel: 2, stride: Number.NaN }, /whole numbers/],
    ['stride 0', { kernel: 2, stride: [1, 0] }, /stride \[1,0\]/],
    ['padding below 0', { kernel: 2, padding: -1 }, /padding from 0 on/],
    ['padding over half of the kernel', { kernel: [3, 4], padding: [2, 2] }, /more than half of the kernel 3,4/],
    ['no room', { kernel: [2, 4] }, /a 2x4 window does not fit into 5x3/],
    ['no room, ceil', { kernel: 8, stride: 1, ceilMode: true }, /a 8x8 window does not fit/],
  ];
  for (const [name, options, message] of refused) {
    it(`${name} is refused`, () =>
      scope(() => {
        expect(() => avgPool2d(x(), options)).to.throw(message);
        expect(() => maxPool2d(x(), options)).to.throw(message);
      }));
  }

  it('another rank is refused', () =>
    scope(() => {
      const image = tensor(new Float32Array(30), { shape: [1, 2, 5, 3] });
      expect(() => avgPool2d(image, { kernel: 2 })).to.throw(/takes \[T,B,C,H,W\], not f32\[1,2,5,3\]/);
      expect(() => maxPool2d(image, { kernel: 2 })).to.throw(/takes \[T,B,C,H,W\]/);
      expect(() => globalAvgPool(image)).to.throw(/4 dimensions, expected 5/);
    }));
});

describe('avgPool2d in bf16', () => {
  for (const channels of [31, 32, 64]) {
    it(`${channels} channels of spikes: quarters are exact, and so is the gradient of what bf16 can hold`, async () => {
      const x = toDevice(spikes([2, 3, channels, 6, 4], 0.4), 'f32', 'cpu');
      x.requiresGrad = true;
      const run = (precision?: 'bf16') =>
        scope(() => {
          const y = avgPool2d(x, { kernel: 2, precision });
          const gy = tensor(
            Float32Array.from({ length: y.size }, (_, i) => (i % 13) - 6),
            { shape: y.shape },
          );
          backward(y, gy);
          return y;
        });
      const exact = run();
      const gradient = await x.grad!.array();
      x.grad!.dispose();
      x.grad = undefined;
      const rounded = run('bf16');
      expect([rounded.dtype, x.grad!.dtype]).to.deep.equal(['bf16', 'bf16']);
      const widened = async (t: Tensor) => {
        const words = await t.array();
        return [...new Float32Array(Uint32Array.from(words, (word) => (word << 16) >>> 0).buffer)];
      };
      expect(await widened(rounded)).to.deep.equal([...(await exact.array())]);
      expect(await widened(x.grad!)).to.deep.equal([...gradient]);
      for (const t of [x, exact, rounded]) t.dispose();
    });
  }

  it('a gradient of bf16 goes on as f32 behind realGradient()', async () => {
    const x = tensor(Float32Array.of(1, 2, 3), {});
    x.requiresGrad = true;
    scope(() => {
      const gy = tensor(Uint16Array.of(0x3f80, 0x4000, 0xbf00), { dtype: 'bf16' });
      backward(realGradient(x), gy);
    });
    expect(x.grad!.dtype).to.equal('f32');
    expect([...(await x.grad!.array())]).to.deep.equal([1, 2, -0.5]);
    x.dispose();
  });
});
