// The neuron against fixtures, the example worked by hand, a naive gradient with both outputs and the detached reset,
// exact float32 arithmetic, NaN and wrong options.
import { expect } from 'chai';
import {
  backward,
  device,
  nativeOp,
  type RealType,
  SpikeloomError,
  type Tensor,
  tensor,
} from '../../lib/core/index.ts';
import { openSafetensors } from '../../lib/core/safetensors.ts';
import { ifNode, type LifOptions, lif, lifWithState, plif, type Surrogate, surrogates } from '../../lib/ops/lif.ts';
import { freeGarbage } from '../support/garbage.ts';
import { difference, noise } from '../support/op-table.ts';

const arrays = { f32: Float32Array, f64: Float64Array } as const;
const make = (data: ArrayLike<number>, shape: readonly number[], real: RealType = 'f64'): Tensor =>
  tensor(arrays[real].from(data), { shape, dtype: real });
const read = async (t: Tensor): Promise<Float64Array> => Float64Array.from(await t.array());

const slopes: Record<Surrogate, (z: number, k: number) => number> = {
  tanh: (z, k) => (Math.abs(z) <= 0.5 ? (k * (1 - Math.tanh(k * z) ** 2)) / (2 * Math.tanh(k / 2)) : 0),
  atan: (z, k) => k / 2 / (1 + ((Math.PI / 2) * k * z) ** 2),
  sigmoid: (z, k) => k / (1 + Math.exp(-k * z)) / (1 + Math.exp(k * z)),
  triangle: (z, k) => Math.max(0, 1 - Math.abs(z) / k) / k,
  rectangle: (z, k) => (Math.abs(z) < k / 2 ? 1 / k : 0),
  fastSigmoid: (z, k) => 1 / (1 + k * Math.abs(z)) ** 2,
};

interface Setting {
  steps: number;
  decay: number;
  vth: number;
  threshold: number;
  soft: boolean;
  detachReset: boolean;
  surrogate: Surrogate;
  temperature: number;
}

type Numbers = Float64Array;

/** Back through time, neuron by neuron, with gradients of the spikes and of the last membrane. */
function naiveGradient(o: Setting, x: Numbers, v0: Numbers, gs: Numbers, gv: Numbers) {
  const n = v0.length;
  const gx = new Float64Array(x.length);
  const gv0 = new Float64Array(n);
  let gdecay = 0;
  for (let i = 0; i < n; i++) {
    const u: number[] = [];
    const v = [v0[i]!];
    for (let t = 0; t < o.steps; t++) {
      u.push(o.decay * v[t]! + x[t * n + i]!);
      const fired = u[t]! / o.vth > o.threshold;
      v.push(!fired ? u[t]! : o.soft ? u[t]! - o.threshold * o.vth : 0);
    }
    let g = gv[i]!;
    for (let t = o.steps - 1; t >= 0; t--) {
      const s = u[t]! / o.vth > o.threshold ? 1 : 0;
      const d = slopes[o.surrogate](u[t]! / o.vth - o.threshold, o.temperature) / o.vth;
      const viaSpike = o.detachReset ? 0 : o.soft ? o.threshold * o.vth * d : u[t]! * d;
      const gu = gs[t * n + i]! * d + g * ((o.soft ? 1 : 1 - s) - viaSpike);
      gx[t * n + i] = gu;
      gdecay += gu * v[t]!;
      g = gu * o.decay;
    }
    gv0[i] = g;
  }
  return { gx, gv0, gdecay };
}

const nativeGradient = nativeOp<'gx' | 'gv0' | 'glogit'>('lifGrad');
const openHandles = () => device('cpu').stats().handles;

describe('lif', () => {
  let handles = 0;
  before(async () => {
    await freeGarbage();
    handles = openHandles();
  });
  after(() => expect(openHandles()).to.equal(handles));

  for (const name of ['default', 'temperature3', 'vth', 't1']) {
    for (const real of ['f64', 'f32'] as const) {
      it(`equals the fixture lif-${name} in ${real}`, async () => {
        const file = openSafetensors(new URL(`../golden/lif-${name}.safetensors`, import.meta.url).pathname);
        const config = JSON.parse(file.metadata.config!) as { decay: number; v_th: number; temperature: number };
        const [xs, gys, ys, grads] = ['x', 'gy', 'y', 'grad.x'].map((n) =>
          Float64Array.from(file.read(n) as Float64Array),
        );
        const shape = file.entries.get('x')!.shape;
        file.close();
        using x = make(xs!, shape, real);
        using gy = make(gys!, shape, real);
        x.requiresGrad = true;
        using s = lif(x, { decay: config.decay, vth: config.v_th, temperature: config.temperature });
        backward(s, gy);
        expect([...(await read(s))]).to.deep.equal([...ys!]);
        expect(difference(await read(x.grad!), grads!)).to.be.below(real === 'f64' ? 1e-13 : 1e-6);
      });
    }
  }

  it('equals the example worked by hand', async () => {
    using x = make([0.3, 0.45, 0.2, 0.8, -0.4, 0.55, 0.5, 0.1], [8, 1, 1]);
    using gy = make([1, 2, 3, 4, 5, 6, 7, 8], [8, 1, 1]);
    x.requiresGrad = true;
    using s = lif(x);
    backward(s, gy);
    expect([...(await read(s))]).to.deep.equal([0, 1, 0, 1, 0, 0, 1, 0]);
    // The digits of the example carry single precision: neighboring numbers near 7.28 are 4.8e-7 apart. The fixtures
    // are sharper.
    const expected = [1.3223368, 1.6423794, 3.6655824, 3.4670275, 1.8203736, 7.2814943, 6.267133, 7.4062499];
    expect(difference(await read(x.grad!), Float64Array.from(expected))).to.be.below(2 ** -24);
  });

  for (const surrogate of surrogates) {
    for (const reset of ['hard', 'soft'] as const) {
      for (const detachReset of [false, true]) {
        it(`${surrogate}, ${reset} reset${detachReset ? ', detached' : ''}: the gradient from s and v equals the naive one`, async () => {
          const logit = -0.3;
          const slope = { surrogate, temperature: 1.7 };
          const shared = { decay: 1 / (1 + Math.exp(-logit)), vth: 1.25, threshold: 0.6 };
          const o: Setting = { ...shared, ...slope, steps: 4, soft: reset === 'soft', detachReset };
          const shape = [4, 2, 33];
          const [xs, v0s, gss, gvs] = [noise(shape, 1, 1.5), noise([2, 33], 2), noise(shape, 3), noise([2, 33], 4)].map(
            (h) => h.data,
          );
          const expected = naiveGradient(o, xs!, v0s!, gss!, gvs!);
          using x = make(xs!, shape);
          using v0 = make(v0s!, [2, 33]);
          using gs = make(gss!, shape);
          using gv = make(gvs!, [2, 33]);
          using l = make([logit], [1]);
          using s = plif(x, l, { vth: 1.25, threshold: 0.6, reset, v0 });
          const attributes = {
            ...shared,
            soft: o.soft,
            detachReset,
            surrogate: surrogates.indexOf(surrogate),
            temperature: 1.7,
          };
          const wanted = { want: ['gv0', 'glogit'], types: { gx: x.dtype } };
          const made = nativeGradient.run({ gs, gv, x, s, v0, logit: l }, attributes, wanted);
          using gx = made.gx;
          using gv0 = made.gv0;
          using glogit = made.glogit;
          expect(difference(await read(gx), expected.gx)).to.be.below(1e-13);
          expect(difference(await read(gv0), expected.gv0)).to.be.below(1e-13);
          const dlogit = expected.gdecay * o.decay * (1 - o.decay);
          expect(Math.abs((await glogit.item()) - dlogit)).to.be.below(1e-12 * Math.max(1, Math.abs(dlogit)));
        });
      }
    }
  }

  it('passes detachReset, surrogate and default temperature from the options to the gradient', async () => {
    const xs = noise([3, 1, 5], 6).data;
    const none = new Float64Array(5);
    const ones = new Float64Array(15).fill(1);
    const o = {
      steps: 3,
      decay: 1,
      vth: 1,
      threshold: 0.5,
      soft: true,
      detachReset: true,
      surrogate: 'atan',
      temperature: 2,
    } as const;
    using x = make(xs, [3, 1, 5]);
    using gy = make(ones, [3, 1, 5]);
    x.requiresGrad = true;
    using s = ifNode(x, { reset: 'soft', detachReset: true, surrogate: 'atan' });
    backward(s, gy);
    expect(difference(await read(x.grad!), naiveGradient(o, xs, none, ones, none).gx)).to.be.below(1e-13);
  });

  it('goes on from a membrane as if it had not stopped', async () => {
    const xs = noise([6, 2, 7], 5).data;
    using whole = make(xs, [6, 2, 7], 'f32');
    using first = make(xs.subarray(0, 28), [2, 2, 7], 'f32');
    using second = make(xs.subarray(28), [4, 2, 7], 'f32');
    const a = lifWithState(first, { decay: 0.9 });
    const b = lifWithState(second, { decay: 0.9, v0: a.v });
    const all = lifWithState(whole, { decay: 0.9 });
    expect([...(await read(a.s)), ...(await read(b.s))]).to.deep.equal([...(await read(all.s))]);
    expect(await read(b.v)).to.deep.equal(await read(all.v));
    for (const t of [a.s, a.v, b.s, b.v, all.s, all.v]) t.dispose();
  });

  it('computes the float32 membrane to the bit: one product and one sum, each rounded, and a true division', async () => {
    const f = Math.fround;
    const [steps, n] = [5, 1000];
    const xs = noise([steps, n], 21).data;
    using x = make(xs, [steps, n], 'f32');
    const { s, v } = lifWithState(x, { decay: 0.3, vth: 0.7, threshold: 0.4 });
    const membrane = new Float64Array(n);
    const spikes = xs.map((current, i) => {
      const u = f(f(f(0.3) * membrane[i % n]!) + current);
      const fired = f(u / f(0.7)) > f(0.4);
      membrane[i % n] = fired ? 0 : u;
      return fired ? 1 : 0;
    });
    expect(await read(s)).to.deep.equal(spikes);
    expect(await read(v)).to.deep.equal(membrane);
    s.dispose();
    v.dispose();
  });

  it('is silent at the threshold itself', async () => {
    using x = make([0.5, 0.5 + 2 ** -24, 0.5 - 2 ** -25], [1, 1, 3], 'f32');
    using s = lif(x);
    expect([...(await read(s))]).to.deep.equal([0, 1, 0]);
  });

  it('does not fire for NaN, and leaves the other neurons alone', async () => {
    const xs = noise([3, 2, 40], 9).data;
    using clean = make(xs, [3, 2, 40], 'f32');
    using expected = lif(clean);
    const spoilt = xs.slice();
    spoilt[3] = Number.NaN;
    spoilt[45] = Number.POSITIVE_INFINITY;
    using x = make(spoilt, [3, 2, 40], 'f32');
    using gy = make(new Float64Array(240).fill(1), [3, 2, 40], 'f32');
    x.requiresGrad = true;
    using s = lif(x);
    backward(s, gy);
    const got = await read(s);
    for (const t of [0, 1, 2]) expect(got[80 * t + 3]).to.equal(0);
    expect(got[45]).to.equal(1);
    const want = await read(expected);
    for (const [i, value] of want.entries())
      if (i % 80 !== 3 && i !== 45) expect(got[i], `element ${i}`).to.equal(value);
    const gradient = await read(x.grad!);
    for (const [i, value] of gradient.entries())
      if (i % 80 !== 3 && i % 80 !== 45) expect(value, `gradient ${i}`).to.be.finite;
  });

  it('has finite gradients far away from the threshold', async () => {
    for (const surrogate of surrogates) {
      using x = make([1e30, -1e30, 1e4, -1e4], [1, 1, 4], 'f32');
      using gy = make([1, 1, 1, 1], [1, 1, 4], 'f32');
      x.requiresGrad = true;
      using s = lif(x, { surrogate });
      backward(s, gy);
      for (const g of await read(x.grad!)) expect(g, surrogate).to.be.within(0, 1e-6);
    }
  });

  it('refuses what makes no sense, by name', () => {
    using x = make(new Float64Array(6), [1, 2, 3]);
    using image = make(new Float64Array(24), [1, 2, 3, 4]);
    using other = make(new Float64Array(6), [3, 2]);
    using single = make([0], [1], 'f32');
    const refused = (options: LifOptions, message: RegExp, input = x) =>
      expect(() => lif(input, options)).to.throw(SpikeloomError, message);
    refused({ vth: 0 }, /vth is above 0, not 0/);
    refused({ vth: Number.NaN }, /vth is a finite number/);
    refused({ threshold: Number.POSITIVE_INFINITY }, /threshold is a finite number/);
    refused({ temperature: -1 }, /temperature is above 0/);
    refused({ decay: 1.5 }, /decay is between 0 and 1, not 1.5/);
    refused(
      { surrogate: 'relu' as 'tanh' },
      /one of tanh, atan, sigmoid, triangle, rectangle, fastSigmoid, not "relu"/,
    );
    refused({ reset: 'none' as 'hard' }, /'hard' or 'soft', not "none"/);
    refused({ v0: other }, /the axes \.\.\.R are \[2,3\] elsewhere but \[3,2\] in 'v0'/);
    refused({ logit: single }, /'logit' is f32 where another input is f64/);
    refused({ logit: other, decay: 0.5 }, /give one of them/);
    refused({}, /\[1,2,3,4\]; reshape it/, image);
  });
});
