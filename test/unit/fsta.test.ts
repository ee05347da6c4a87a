import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { backward, noGrad, SpikeloomError, scope, type Tensor, tensor } from '../../lib/core/index.ts';
import { openSafetensors } from '../../lib/core/safetensors.ts';
import { dctBasis, type FilterChoice } from '../../lib/ops/dct.ts';
import { type FstaParams, fsta } from '../../lib/ops/fsta.ts';
import { heldBasis } from '../support/fsta.ts';
import { difference } from '../support/op-table.ts';

const golden = fileURLToPath(new URL('../golden/', import.meta.url));
const names: Record<string, keyof FstaParams> = {
  alpha: 'alpha',
  beta: 'beta',
  t: 'm',
  s: 'n',
  'fc_t.weight': 'time',
  'freq_attention.freq_attention.0.weight': 'freq1',
  'freq_attention.freq_attention.2.weight': 'freq2',
};

const trainable = (data: Float64Array, shape: readonly number[]): Tensor => {
  const made = tensor(data, { shape });
  made.requiresGrad = true;
  return made;
};

interface Results {
  y: Float64Array;
  grads: Record<string, Float64Array>;
}

/** y and every gradient of sum(gy y). */
async function evaluate(
  x: Tensor,
  params: FstaParams,
  basis: Tensor | Float64Array,
  gy: Float64Array,
): Promise<Results> {
  const y = scope(() => {
    const made = fsta(x, params, { basis });
    backward(made, tensor(gy, { shape: x.shape }));
    return made;
  });
  const read = async (t: Tensor) => Float64Array.from(await t.array());
  const leaves = Object.entries({ x, ...params }).filter((leaf): leaf is [string, Tensor] => leaf[1] !== undefined);
  const grads: Record<string, Float64Array> = {};
  for (const [name, leaf] of leaves) {
    expect(leaf.grad, `gradient of ${name}`).to.not.equal(undefined);
    grads[name] = await read(leaf.grad!);
  }
  const values = await read(y);
  for (const t of [y, ...leaves.map(([, leaf]) => leaf)]) t.dispose();
  return { y: values, grads };
}

async function checkFixture(file: string): Promise<void> {
  const fixture = openSafetensors(golden + file);
  const config = JSON.parse(fixture.metadata.config!) as { basis: number; filters?: FilterChoice };
  const read = (name: string) => ({
    data: fixture.read(name) as Float64Array,
    shape: fixture.entries.get(name)!.shape,
  });
  const x = trainable(read('x').data, read('x').shape);
  const params: Partial<FstaParams> = {};
  for (const [theirs, ours] of Object.entries(names)) {
    if (!fixture.entries.has(`param.${theirs}`)) continue;
    const { data, shape } = read(`param.${theirs}`);
    params[ours] = trainable(data, shape);
  }
  const filters = dctBasis(config.basis, config.filters);
  const k = config.basis;
  const basis = tensor(filters, { shape: [filters.length / k ** 2, 1, k, k] });
  const { y, grads } = await evaluate(x, params as FstaParams, basis, read('gy').data);
  basis.dispose();
  expect(difference(y, read('y').data), 'y').to.be.below(1e-12);
  expect(difference(grads.x!, read('grad.x').data), 'gradient of x').to.be.below(1e-9);
  for (const [theirs, ours] of Object.entries(names)) {
    if (!fixture.entries.has(`param.${theirs}`)) continue;
    expect(difference(grads[ours]!, read(`grad.${theirs}`).data, 1e-12), `gradient of ${ours}`).to.be.below(1e-9);
  }
  fixture.close();
}

describe('dctBasis', () => {
  for (const k of [1, 3, 5, 7, 9]) {
    it(`${k}x${k}: the filters are orthonormal`, () => {
      const D = dctBasis(k);
      const n = k * k;
      for (let f = 0; f < n; f++)
        for (let g = 0; g < n; g++) {
          let product = 0;
          for (let p = 0; p < n; p++) product += D[f * n + p]! * D[g * n + p]!;
          expect(product).to.be.closeTo(f === g ? 1 : 0, 1e-14);
        }
    });
  }

  it('equals the defining formula, u along the rows and running fast', () => {
    const c = (u: number, k: number) => Math.sqrt((u === 0 ? 1 : 2) / k);
    for (const k of [3, 7]) {
      const D = dctBasis(k);
      D.forEach((value, at) => {
        const [filter, i, j] = [Math.floor(at / (k * k)), Math.floor(at / k) % k, at % k];
        const [u, v] = [filter % k, Math.floor(filter / k)];
        const direct =
          c(u, k) * c(v, k) * Math.cos((Math.PI * (i + 0.5) * u) / k) * Math.cos((Math.PI * (j + 0.5) * v) / k);
        expect(value).to.be.closeTo(direct, 1e-15);
      });
    }
  });

  it('filter 1 varies along rows only, filter k along columns only', () => {
    const vertical = dctBasis(3, 1);
    const horizontal = dctBasis(3, 3);
    expect([vertical[0]! - vertical[1]!, vertical[0]! + vertical[6]!]).to.deep.equal([0, 0]);
    expect([horizontal[0]! - horizontal[3]!, horizontal[0]! + horizontal[2]!]).to.deep.equal([0, 0]);
    expect(vertical[0]).to.be.above(0.4);
  });

  it('a list chooses in its order', () => {
    const all = dctBasis(7);
    const some = dctBasis(7, [30, 0, 8]);
    const filter = (f: number) => [...all.subarray(f * 49, f * 49 + 49)];
    expect([...some]).to.deep.equal([...filter(30), ...filter(0), ...filter(8)]);
    expect([...dctBasis(7, 8)]).to.deep.equal(filter(8));
  });

  it('refuses even sizes with the reason, and filters that do not exist', () => {
    for (const k of [2, 8]) expect(() => dctBasis(k)).to.throw(SpikeloomError, /is even; .* one pixel short/);
    for (const k of [0, -3, 2.5, Number.NaN]) expect(() => dctBasis(k)).to.throw(SpikeloomError, /whole number/);
    for (const filters of [9, -1, 1.5, [0, 9]])
      expect(() => dctBasis(3, filters)).to.throw(SpikeloomError, /filters 0 to 8/);
    expect(() => dctBasis(3, [])).to.throw(SpikeloomError, /empty/);
    expect(() => dctBasis(3, [1, 2, 1])).to.throw(SpikeloomError, /named twice/);
  });
});

describe('fsta against the fixtures', () => {
  const files = readdirSync(golden).filter((file) => /^fsta-.*\.safetensors$/.test(file));
  it('there are nine', () => expect(files).to.have.lengthOf(9));
  for (const file of files) it(file, () => checkFixture(file));
});

const indices = (n: number) => Array.from({ length: n }, (_, k) => k);

/** T = 2, B = 1, C = 2, 3x3 maps. */
function byHand() {
  const x = Float64Array.from(indices(36), (k) => {
    const [t, c, h, w] = [Math.floor(k / 18), Math.floor(k / 9) % 2, Math.floor(k / 3) % 3, k % 3];
    return 0.1 * (t + 1) + 0.05 * c - 0.02 * h + 0.03 * w;
  });
  const one = (v: number) => trainable(Float64Array.of(v), [1]);
  const params: FstaParams = {
    alpha: one(0.5),
    beta: one(0.5),
    m: one(0.6),
    n: one(0.5),
    time: trainable(Float64Array.of(0.5, -0.25, 0.1, 0.3), [2, 2]),
    freq1: trainable(
      Float64Array.from(indices(49 * 49), (i) => 0.01 * Math.cos(0.1 * i)),
      [1, 49, 7, 7],
    ),
  };
  return { x: trainable(x, [2, 1, 2, 3, 3]), params };
}

describe('fsta', () => {
  const free = (tensors: (Tensor | undefined)[]) => {
    for (const t of tensors) t?.dispose();
  };

  it('equals the numbers worked out by hand', async () => {
    const { x, params } = byHand();
    const { y, grads } = await evaluate(x, params, heldBasis, new Float64Array(36).fill(1));
    const sum = (numbers: Float64Array) => numbers.reduce((s, v) => s + v, 0);
    const near = (actual: ArrayLike<number>, expected: number[]) =>
      expected.forEach((e, i) => {
        expect(actual[i]).to.be.closeTo(e, 6e-10);
      });
    expect(sum(y)).to.be.closeTo(6.775772850857865, 1e-12);
    near(y, [0.101192519, 0.131458796, 0.161688959]);
    near(y.subarray(18 + 9 + 6), [0.214331358, 0.245003879, 0.275710063]);
    near(grads.m!, [5.049222099]);
    near(grads.n!, [7.492479183]);
    near(grads.alpha!, [0.062664602]);
    near(grads.beta!, [0.081804287]);
    near(grads.time!, [0.064812156, 0.105319754, 0.112609881, 0.182991057]);
    near([sum(grads.x!)], [36.742141557]);
  });

  it('takes the filters as numbers or as a tensor', async () => {
    const first = byHand();
    const asNumbers = await evaluate(first.x, first.params, heldBasis, new Float64Array(36).fill(1));
    const second = byHand();
    const basis = tensor(heldBasis, { shape: [49, 1, 7, 7] });
    expect(await evaluate(second.x, second.params, basis, new Float64Array(36).fill(1))).to.deep.equal(asNumbers);
    basis.dispose();
  });

  it('at a = G = 1/2 the gain is 1.0125', async () => {
    const { x, params } = byHand();
    params.time.set(new Float64Array(4));
    params.freq1.set(new Float64Array(49 * 49));
    const before = Float64Array.from(await x.array());
    const { y } = await evaluate(x, params, heldBasis, new Float64Array(36).fill(1));
    expect(
      difference(
        y,
        before.map((v) => v * 1.0125),
      ),
    ).to.be.below(1e-15);
  });

  it('computes no gradient that nobody asked for', () => {
    const { x, params } = byHand();
    for (const t of [x, ...Object.values(params)]) t.requiresGrad = t === params.m;
    const basis = tensor(heldBasis, { shape: [49, 1, 7, 7] });
    scope(() => backward(fsta(x, params, { basis }), x));
    for (const t of [x, basis, ...Object.values(params)]) expect(t.grad !== undefined).to.equal(t === params.m);
    free([x, basis, ...Object.values(params)]);
  });

  it('refuses a gradient for the filters, which are constant', () => {
    const { x, params } = byHand();
    const basis = tensor(heldBasis, { shape: [49, 1, 7, 7] });
    basis.requiresGrad = true;
    expect(() => scope(() => fsta(x, params, { basis }))).to.throw(SpikeloomError, /'basis' is constant/);
    expect(() => scope(() => noGrad(() => fsta(x, params, { basis })))).to.not.throw();
    free([x, basis, ...Object.values(params)]);
  });

  it('names what does not fit', () => {
    const { x, params } = byHand();
    const wrong =
      (change: Partial<FstaParams>, basis: Tensor | Float64Array = heldBasis) =>
      () =>
        scope(() => fsta(x, { ...params, ...change }, { basis }));
    const made = [
      [2, 49, 7, 7],
      [1, 49, 6, 6],
      [1, 9, 7, 7],
      [3, 3],
      [1, 2, 7, 7],
    ].map((shape) => tensor(new Float64Array(shape.reduce((n, d) => n * d, 1)), { shape }));
    const [two, even, nine, three, hidden] = made as [Tensor, Tensor, Tensor, Tensor, Tensor];
    expect(wrong({ freq1: two })).to.throw(SpikeloomError, /one map, 'freq1' makes 2; add 'freq2'/);
    expect(wrong({ freq1: even })).to.throw(SpikeloomError, /'freq1' holds square filters of odd size/);
    expect(wrong({ freq1: nine })).to.throw(SpikeloomError, /2401 numbers of 'basis' are not 9 square filters/);
    expect(wrong({ time: three })).to.throw(SpikeloomError, /fstaSteps: dimension T is 2 elsewhere but 3 in 'weight'/);
    expect(wrong({ freq2: two })).to.throw(SpikeloomError, /'freq2' makes 2; give it one output/);
    expect(wrong({ freq2: hidden })).to.throw(SpikeloomError, /conv2d: dimension C/);
    free([x, ...Object.values(params), ...made]);
  });
});
