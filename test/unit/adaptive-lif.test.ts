// The neurons with a synaptic current and with a threshold that adapts: PyTorch's gradients, a naive one with the
// detached reset, the LIF neuron as their special case, an example by hand, the same bits on CUDA, wrong options.
import { expect } from 'chai';
import { backward, cudaBackend, device, type RealType, SpikeloomError, scope, tensor } from '../../lib/core/index.ts';
import { type AlifOptions, alif, cubaLif } from '../../lib/ops/adaptive-lif.ts';
import { lif, surrogates } from '../../lib/ops/lif.ts';
import { freeGarbage } from '../support/garbage.ts';
import { goldenCases } from '../support/golden-ops.ts';
import { difference, type HostTensor, host, noise, toDevice } from '../support/op-table.ts';

interface Outcome {
  spikes: number[];
  gradient: Float64Array;
}

/** Spikes, and the gradient of x that gs brings. */
async function outcome(
  x: HostTensor,
  gs: HostTensor,
  fire: typeof alif,
  options: AlifOptions,
  on = 'cpu',
  real: RealType = 'f64',
): Promise<Outcome> {
  using input = toDevice(x, real, on);
  using arrived = toDevice(gs, real, on);
  input.requiresGrad = true;
  using s = scope(() => {
    const made = fire(input, options);
    backward(made, arrived);
    return made;
  });
  return { spikes: [...(await s.array())], gradient: Float64Array.from(await input.grad!.array()) };
}

/** Back through time, neuron by neuron: every derivative by itself, with triangles of width 1 as surrogate. */
function naiveGradient(
  { shape, data: x }: HostTensor,
  { data: gs }: HostTensor,
  o: Required<AlifOptions>,
): Float64Array {
  const steps = shape[0]!;
  const n = x.length / steps;
  const gx = new Float64Array(x.length);
  for (let k = 0; k < n; k++) {
    const [u, a, s]: [number[], number[], number[]] = [[], [0], []];
    let [i, v] = [0, 0];
    for (let t = 0; t < steps; t++) {
      i = o.synapticDecay * i + x[t * n + k]!;
      u.push(o.decay * v + i);
      s.push(u[t]! / o.vth > o.threshold + o.adaptationStrength * a[t]! ? 1 : 0);
      v = o.reset === 'soft' ? u[t]! - s[t]! * o.threshold * o.vth : u[t]! * (1 - s[t]!);
      a.push(o.adaptationDecay * a[t]! + s[t]!);
    }
    const [toV, toI, toA] = [0, 0, 0].map(() => new Float64Array(steps + 1));
    for (let t = steps - 1; t >= 0; t--) {
      const z = u[t]! / o.vth - o.threshold - o.adaptationStrength * a[t]!;
      const resetBySpike = o.reset === 'soft' ? -o.threshold * o.vth : -u[t]!;
      const toS = gs[t * n + k]! + toA![t + 1]! + (o.detachReset ? 0 : toV![t]! * resetBySpike);
      const toZ = toS * Math.max(0, 1 - Math.abs(z));
      const toU = toZ / o.vth + toV![t]! * (o.reset === 'soft' ? 1 : 1 - s[t]!);
      if (t > 0) toV![t - 1] = o.decay * toU;
      toI![t] = toU + o.synapticDecay * toI![t + 1]!;
      toA![t] = o.adaptationDecay * toA![t + 1]! - o.adaptationStrength * toZ;
      gx[t * n + k] = toI![t]!;
    }
  }
  return gx;
}

const shape = [6, 2, 33];
const [x, gs] = [noise(shape, 1, 1.2), noise(shape, 2)];
const usual = {
  ...{ decay: 0.7, synapticDecay: 0.6, adaptationDecay: 0.85, adaptationStrength: 0.3, vth: 1.25, threshold: 0.6 },
  ...({ surrogate: 'triangle', temperature: 1, reset: 'hard', detachReset: false } as const),
};

/** The fixture's names of the options. */
const optionsOf = (p: Record<string, never>): AlifOptions => ({
  ...{ decay: p.decay, synapticDecay: p.synaptic_decay, vth: p.v_th, threshold: p.threshold },
  ...{ adaptationDecay: p.adaptation_decay, adaptationStrength: p.adaptation_strength },
  ...{ reset: p.soft ? 'soft' : 'hard', detachReset: p.detach_reset },
  ...{ surrogate: p.surrogate, temperature: p.temperature },
});

describe('cubaLif and alif', () => {
  let handles = 0;
  before(async () => {
    await freeGarbage();
    handles = device('cpu').stats().handles;
  });
  after(() => expect(device('cpu').stats().handles).to.equal(handles));

  for (const { name, attributes, tensors } of goldenCases('op-adaptive-lif')) {
    for (const on of ['cpu', 'cuda']) {
      it(`${name}: spikes and gradient on ${on} are PyTorch's`, async function () {
        if (on === 'cuda' && cudaBackend().score === 0) return this.skip();
        const [x, gy] = [tensors.x!, tensors.gy!].map(({ shape, data }) => host(shape, data));
        const { spikes, gradient } = await outcome(x!, gy!, alif, optionsOf(attributes), on);
        expect(spikes).to.deep.equal([...tensors.y!.data]);
        expect(difference(gradient, tensors['grad.x']!.data)).to.be.below(1e-13);
      });
    }
  }

  for (const reset of ['hard', 'soft'] as const) {
    for (const detachReset of [false, true]) {
      it(`${reset} reset${detachReset ? ', detached' : ''}: the gradient equals the naive one`, async () => {
        const options = { ...usual, reset, detachReset };
        const { gradient } = await outcome(x, gs, alif, options);
        expect(difference(gradient, naiveGradient(x, gs, options))).to.be.below(1e-13);
      });
    }
  }

  it('without current and adaptation they are lif', async () => {
    const { spikes, gradient } = await outcome(x, gs, lif, { decay: 0.7 });
    expect(spikes).to.include(1);
    const none = { decay: 0.7, synapticDecay: 0 };
    for (const found of [
      await outcome(x, gs, cubaLif, none),
      await outcome(x, gs, alif, { ...none, adaptationStrength: 0 }),
    ]) {
      expect(found.spikes).to.deep.equal(spikes);
      expect(difference(found.gradient, gradient)).to.be.below(1e-14);
    }
  });

  it('an input that comes once is spread over the steps by the current', async () => {
    const pulse = host([6, 1], [0.75, 0, 0, 0, 0, 0]);
    const spikes = async (fire: typeof alif, options: AlifOptions) =>
      (await outcome(pulse, noise([6, 1]), fire, options)).spikes;
    expect(await spikes(lif, { decay: 1 })).to.deep.equal([1, 0, 0, 0, 0, 0]);
    // i = 0.75 0.6 0.48 0.384 ...; u = 0.75! 0.6! 0.48 0.864! 0.3072 0.55296!
    expect(await spikes(cubaLif, { decay: 1, synapticDecay: 0.8 })).to.deep.equal([1, 1, 0, 1, 0, 1]);
  });

  it('a steady input makes fewer and fewer spikes', async () => {
    const steady = host([9, 1], new Array(9).fill(0.75));
    const spikes = async (options: AlifOptions) => (await outcome(steady, noise([9, 1]), alif, options)).spikes;
    expect(await spikes({ decay: 1, adaptationStrength: 0 })).to.deep.equal(new Array(9).fill(1));
    // u is 0.75 after a spike, then 1.5; the level 0.5, and with each spike 0.75, 1, 1.25, 1.5
    expect(await spikes({ decay: 1, adaptationDecay: 1, adaptationStrength: 0.25 })).to.deep.equal([
      1, 0, 1, 0, 1, 0, 1, 0, 0,
    ]);
  });

  it('a NaN never fires and leaves the other neurons alone', async () => {
    const spoilt = { ...x, data: x.data.slice() };
    spoilt.data[3] = Number.NaN;
    const [clean, found] = [await outcome(x, gs, alif, usual), await outcome(spoilt, gs, alif, usual)];
    for (const [i, spike] of clean.spikes.entries())
      expect(found.spikes[i], `element ${i}`).to.equal(i % 66 === 3 ? 0 : spike);
    for (const [i, value] of clean.gradient.entries()) if (i % 66 !== 3) expect(found.gradient[i]).to.equal(value);
  });

  it('has the bits of the CPU on cuda', async function () {
    if (cudaBackend().score === 0) return this.skip();
    for (const size of [
      [1, 2, 8, 3, 3],
      [4, 1, 33, 2, 2],
      [5, 3, 65],
      [9, 31],
    ])
      for (const surrogate of surrogates)
        for (const reset of ['hard', 'soft'] as const) {
          const options = { ...usual, reset, surrogate, temperature: 2.5, threshold: 0.3 };
          const given = [noise(size, 7, 1.5), noise(size, 8), alif, options] as const;
          expect(await outcome(...given, 'cuda', 'f32')).to.deep.equal(await outcome(...given, 'cpu', 'f32'));
        }
    await device('cuda').finish();
  });

  it('refuse what makes no sense, by name', () => {
    using current = tensor(new Float64Array(6), { shape: [1, 2, 3] });
    using image = tensor(new Float64Array(24), { shape: [1, 2, 3, 4] });
    const refused = (fire: typeof alif, options: AlifOptions, message: RegExp, input = current) =>
      expect(() => fire(input, options)).to.throw(SpikeloomError, message);
    refused(cubaLif, { synapticDecay: 1.5 }, /^cubaLif: synapticDecay is between 0 and 1, not 1.5$/);
    refused(cubaLif, { decay: -1 }, /^cubaLif: decay is between 0 and 1, not -1$/);
    refused(alif, { adaptationDecay: Number.NaN }, /^alif: adaptationDecay is a finite number/);
    refused(alif, { adaptationStrength: -0.1 }, /^alif: adaptationStrength is 0 or more, not -0.1$/);
    refused(alif, { adaptationStrength: '1' as never }, /^alif: adaptationStrength is 0 or more, not "1"$/);
    refused(alif, { threshold: Number.POSITIVE_INFINITY }, /^alif: threshold is a finite number/);
    refused(alif, { vth: 0 }, /^alif: vth is above 0, not 0$/);
    refused(alif, { surrogate: 'relu' as 'tanh' }, /^alif: the surrogate is one of tanh, atan/);
    refused(alif, { reset: 'none' as 'hard' }, /^alif: the reset is 'hard' or 'soft', not "none"$/);
    refused(alif, {}, /^alif: x is .*\[1,2,3,4\]; reshape it$/, image);
  });
});
