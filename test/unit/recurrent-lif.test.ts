// Layers of neurons that hear each other: PyTorch's spikes and gradients, fixed and by random cases; lif and cubaLif as
// their special cases; examples by hand; the same bits on CUDA and on any number of threads; wrong input.
import { expect } from 'chai';
import { backward, cudaBackend, device, type RealType, SpikeloomError, scope, tensor } from '../../lib/core/index.ts';
import { cubaLif } from '../../lib/ops/adaptive-lif.ts';
import { lif, surrogates } from '../../lib/ops/lif.ts';
import { type RecurrentLifOptions, recurrentLif } from '../../lib/ops/recurrent-lif.ts';
import { freeGarbage } from '../support/garbage.ts';
import { goldenCases } from '../support/golden-ops.ts';
import { difference, type HostTensor, host, noise, toDevice } from '../support/op-table.ts';

interface Outcome {
  spikes: number[];
  gx: Float64Array;
  gw: Float64Array;
}

/** Spikes, and the gradients of x and w that gs brings. */
async function outcome(
  { x, w, gs }: { x: HostTensor; w: HostTensor; gs: HostTensor },
  options: RecurrentLifOptions,
  on = 'cpu',
  real: RealType = 'f64',
  fire = recurrentLif,
): Promise<Outcome> {
  using input = toDevice(x, real, on);
  using weights = toDevice(w, real, on);
  using arrived = toDevice(gs, real, on);
  input.requiresGrad = weights.requiresGrad = true;
  using s = scope(() => {
    const made = fire(input, weights, options);
    backward(made, arrived);
    return made;
  });
  const [gx, gw] = [input.grad, weights.grad].map(async (g) => Float64Array.from(g ? await g.array() : []));
  return { spikes: [...(await s.array())], gx: await gx!, gw: await gw! };
}

/** Back through time, every derivative by itself, with triangles of width 1 as surrogate. One sample. */
function naiveGradients(
  { x, w, gs }: { x: HostTensor; w: HostTensor; gs: HostTensor },
  o: Required<RecurrentLifOptions>,
): { gx: Float64Array; gw: Float64Array } {
  const [T, , F] = x.shape as [number, number, number];
  const all = () => Array.from({ length: T }, () => new Float64Array(F));
  const [u, s, toS, toI, toV] = [all(), all(), all(), all(), all()];
  const [i, v] = [new Float64Array(F), new Float64Array(F)];
  const gw = new Float64Array(F * F);
  for (let t = 0; t < T; t++) {
    for (let f = 0; f < F; f++) {
      let c = x.data[t * F + f]!;
      for (let g = 0; t > 0 && g < F; g++) c += w.data[f * F + g]! * s[t - 1]![g]!;
      i[f] = o.synapticDecay * i[f]! + c;
      u[t]![f] = o.decay * v[f]! + i[f]!;
      s[t]![f] = u[t]![f]! / o.vth > o.threshold ? 1 : 0;
      v[f] = o.reset === 'soft' ? u[t]![f]! - s[t]![f]! * o.threshold * o.vth : u[t]![f]! * (1 - s[t]![f]!);
    }
  }
  for (let t = T - 1; t >= 0; t--) {
    for (let f = 0; f < F; f++) {
      const resetBySpike = o.reset === 'soft' ? -o.threshold * o.vth : -u[t]![f]!;
      const arrived = gs.data[t * F + f]! + toS[t]![f]! + (o.detachReset ? 0 : toV[t]![f]! * resetBySpike);
      const slope = Math.max(0, 1 - Math.abs(u[t]![f]! / o.vth - o.threshold)) / o.vth;
      const toU = arrived * slope + toV[t]![f]! * (o.reset === 'soft' ? 1 : 1 - s[t]![f]!);
      toI[t]![f] = toI[t]![f]! + toU;
      if (t === 0) continue;
      toV[t - 1]![f] = o.decay * toU;
      toI[t - 1]![f] = o.synapticDecay * toI[t]![f]!;
      for (let g = 0; g < F; g++) {
        toS[t - 1]![g] = toS[t - 1]![g]! + toI[t]![f]! * w.data[f * F + g]!;
        gw[f * F + g] = gw[f * F + g]! + toI[t]![f]! * s[t - 1]![g]!;
      }
    }
  }
  return { gx: Float64Array.from(toI.flatMap((row) => [...row])), gw };
}

const inputs = (shape: [number, number, number], reach = 1.2) => ({
  ...{ x: noise(shape, 1, 1.2), gs: noise(shape, 2) },
  w: noise([shape[2], shape[2]], 3, reach / Math.sqrt(shape[2])),
});
const usual = {
  ...{ decay: 0.7, synapticDecay: 0.6, vth: 1.25, threshold: 0.6 },
  ...({ surrogate: 'triangle', temperature: 1, reset: 'hard', detachReset: false } as const),
};

/** The fixture's names of the options. */
const optionsOf = (p: Record<string, never>): RecurrentLifOptions => ({
  ...{ decay: p.decay, synapticDecay: p.synaptic_decay, vth: p.v_th, threshold: p.threshold },
  ...{ reset: p.soft ? 'soft' : 'hard', detachReset: p.detach_reset },
  ...{ surrogate: p.surrogate, temperature: p.temperature },
});

describe('recurrentLif', () => {
  let handles = 0;
  before(async () => {
    await freeGarbage();
    handles = device('cpu').stats().handles;
  });
  after(() => expect(device('cpu').stats().handles).to.equal(handles));

  for (const { name, attributes, tensors } of goldenCases('op-recurrent-lif')) {
    for (const on of ['cpu', 'cuda']) {
      it(`${name}: spikes and gradients on ${on} are PyTorch's`, async function () {
        if (on === 'cuda' && cudaBackend().score === 0) return this.skip();
        const [x, w, gs] = [tensors.x!, tensors.w!, tensors.gy!].map(({ shape, data }) => host(shape, data));
        const { spikes, gx, gw } = await outcome({ x: x!, w: w!, gs: gs! }, optionsOf(attributes), on);
        expect(spikes).to.deep.equal([...tensors.y!.data]);
        expect(difference(gx, tensors['grad.x']!.data)).to.be.below(1e-13);
        expect(difference(gw, tensors['grad.w']!.data)).to.be.below(1e-13);
      });
    }
  }

  for (const reset of ['hard', 'soft'] as const) {
    for (const detachReset of [false, true]) {
      it(`${reset} reset${detachReset ? ', detached' : ''}: the gradients equal the naive ones`, async () => {
        const [given, options] = [inputs([7, 1, 33]), { ...usual, reset, detachReset }];
        const [found, expected] = [await outcome(given, options), naiveGradients(given, options)];
        expect(found.spikes).to.include(1);
        expect(difference(found.gx, expected.gx)).to.be.below(1e-13);
        expect(difference(found.gw, expected.gw)).to.be.below(1e-13);
      });
    }
  }

  it('without weights they have the spikes of lif, and with a current those of cubaLif', async () => {
    for (const real of ['f32', 'f64'] as const)
      for (const reset of ['hard', 'soft'] as const) {
        const given = inputs([6, 3, 65], 0);
        const plain = { reset, surrogate: 'atan', decay: 0.6 } as const;
        const alone = await outcome(given, plain, 'cpu', real, (x, _w, options) => lif(x, options));
        const found = await outcome(given, plain, 'cpu', real);
        expect(found.spikes).to.include(1).and.to.deep.equal(alone.spikes);
        expect(difference(found.gx, alone.gx)).to.be.below(real === 'f32' ? 1e-6 : 1e-14);
        expect(found.gw.some((value) => value !== 0)).to.equal(true);
        const withCurrent = { ...plain, synapticDecay: 0.8 };
        const current = await outcome(given, withCurrent, 'cpu', real, (x, _w, options) => cubaLif(x, options));
        expect((await outcome(given, withCurrent, 'cpu', real)).spikes).to.deep.equal(current.spikes);
      }
  });

  it('a spike goes round a ring of neurons', async () => {
    const [x, w] = [new Float64Array(6 * 3), [0, 0, 1, 1, 0, 0, 0, 1, 0]]; // 0 hears 2, 1 hears 0, 2 hears 1
    x[0] = 1;
    const ring = { x: host([6, 1, 3], x), w: host([3, 3], w), gs: host([6, 1, 3], new Float64Array(18)) };
    const { spikes } = await outcome(ring, {});
    expect(spikes).to.deep.equal([1, 0, 0, 0, 1, 0, 0, 0, 1, 1, 0, 0, 0, 1, 0, 0, 0, 1]);
  });

  it('one step: nothing is heard, and the weights have a gradient of 0', async () => {
    const { gx, gw } = await outcome(inputs([1, 2, 5]), usual);
    expect(gx.some((value) => value !== 0)).to.equal(true);
    expect([...gw]).to.deep.equal(new Array(25).fill(0));
  });

  it('a NaN never fires, and stays in its sample', async () => {
    const given = inputs([6, 3, 33]);
    const clean = await outcome(given, usual);
    given.x.data[33 + 3] = Number.NaN; // sample 1
    const found = await outcome(given, usual);
    for (const [at, spike] of clean.spikes.entries()) {
      const [sample, neuron] = [Math.floor(at / 33) % 3, at % 33];
      if (sample !== 1) expect(found.spikes[at], `element ${at}`).to.equal(spike);
      else if (neuron === 3) expect(found.spikes[at], `element ${at}`).to.equal(0);
    }
  });

  it('has the same bits on any number of threads', async () => {
    const given = inputs([5, 37, 70]);
    device('cpu').setThreads(1);
    const one = await outcome(given, usual, 'cpu', 'f32');
    for (const threads of [2, 3, 8]) {
      device('cpu').setThreads(threads);
      expect(await outcome(given, usual, 'cpu', 'f32'), `${threads} threads`).to.deep.equal(one);
    }
    device('cpu').setThreads(2);
  });

  it('has the spikes of the CPU on cuda, to the bit', async function () {
    if (cudaBackend().score === 0) return this.skip();
    for (const size of [
      [1, 2, 8],
      [6, 2, 33],
      [4, 3, 65],
    ] as [number, number, number][])
      for (const surrogate of surrogates)
        for (const reset of ['hard', 'soft'] as const) {
          const options = { ...usual, reset, surrogate, temperature: 2.5, threshold: 0.3 };
          const [gpu, cpu] = [
            await outcome(inputs(size), options, 'cuda', 'f32'),
            await outcome(inputs(size), options, 'cpu', 'f32'),
          ];
          expect(gpu.spikes).to.deep.equal(cpu.spikes);
          expect(difference(gpu.gx, cpu.gx)).to.be.below(1e-5);
          expect(difference(gpu.gw, cpu.gw)).to.be.below(1e-5);
        }
    await device('cuda').finish();
  });

  it('refuses what makes no sense, by name', () => {
    using x = tensor(new Float64Array(6), { shape: [1, 2, 3] });
    using flat = tensor(new Float64Array(6), { shape: [2, 3] });
    using w = tensor(new Float64Array(9), { shape: [3, 3] });
    using narrow = tensor(new Float64Array(6), { shape: [3, 2] });
    using single = tensor(new Float32Array(9), { shape: [3, 3] });
    using spikes = tensor(new Uint8Array(6), { shape: [1, 2, 3], dtype: 'spike' });
    const refused = (options: RecurrentLifOptions, message: RegExp, input = x, weights = w) =>
      expect(() => recurrentLif(input, weights, options)).to.throw(SpikeloomError, message);
    refused({ synapticDecay: 1.5 }, /^recurrentLif: synapticDecay is between 0 and 1, not 1.5$/);
    refused({ decay: -1 }, /^recurrentLif: decay is between 0 and 1, not -1$/);
    refused({ vth: 0 }, /^recurrentLif: vth is above 0, not 0$/);
    refused({ surrogate: 'relu' as 'tanh' }, /^recurrentLif: the surrogate is one of tanh, atan/);
    refused({ v0: x } as never, /^recurrentLif has no option v0; it has synapticDecay, decay/);
    refused({}, /^recurrentLif: x is \[T,B,F\] with time in front, not f64\[2,3\]; reshape it$/, flat);
    refused({}, /^recurrentLif: dimension F is 3 elsewhere but 2 in 'w' \(f64\[3,2\] vs \[F,F\]\)/, x, narrow);
    refused({}, /^recurrentLif: .*f32/, x, single);
    refused({}, /^recurrentLif: 'x' .*spike/, spikes);
    expect(() => recurrentLif(x, undefined as never)).to.throw(SpikeloomError, /^recurrentLif: 'w' is a tensor, not/);
  });
});
