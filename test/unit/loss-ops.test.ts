// What the tables of the ops that losses are made of do not say: edges, types, shared memory, refusals.
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect } from 'chai';
import fc from 'fast-check';
import {
  backward,
  cudaBackend,
  describe as described,
  device,
  native,
  SpikeloomError,
  scope,
  type Tensor,
  tensor,
  zeros,
} from '../../lib/core/index.ts';
import {
  abs,
  add,
  argmax,
  clamp,
  div,
  exp,
  expand,
  log,
  logSoftmax,
  max,
  mean,
  mul,
  oneHot,
  pow,
  shift,
  softmax,
  sqrt,
  sub,
  sum,
  tanh,
} from '../../lib/ops/index.ts';
import { expandTable, sumTable } from '../ops/sum.ts';
import { testDevices } from '../support/devices.ts';
import { lossOpsBits } from '../support/loss-ops-bits.ts';
import { compareOutputs, difference, evaluate, host, noise, spikes } from '../support/op-table.ts';

/** What a function gives of numbers, and its gradient where what arrives is 1. */
async function valueAndSlope(run: (x: Tensor) => Tensor, numbers: number[], on: string) {
  const x = tensor(Float32Array.from(numbers), { device: device(on) });
  x.requiresGrad = true;
  const y = scope(() => {
    const made = run(x);
    backward(made, tensor(new Float32Array(numbers.length).fill(1), { device: device(on) }));
    return made;
  });
  const both = { y: [...(await y.array())] as number[], gx: [...(await x.grad!.array())] as number[] };
  for (const t of [x.grad!, x, y]) t.dispose();
  return both;
}

const { NaN: nan, POSITIVE_INFINITY: inf } = Number;

for (const on of testDevices) {
  describe(`functions of single numbers on ${on}, at their edges`, () => {
    before(function () {
      if (on === 'cuda' && cudaBackend().score === 0) this.skip();
    });

    for (const [name, run, x, y, gx] of [
      ['exp', exp, [-inf, -200, 0, 200, inf, nan], [0, 0, 1, inf, inf, nan], [0, 0, 1, inf, inf, nan]],
      ['log', log, [0, -0, 1, inf, -1, nan], [-inf, -inf, 0, inf, nan, nan], [inf, -inf, 1, 0, -1, nan]],
      ['sqrt', sqrt, [0, 4, inf, -1, nan], [0, 2, inf, nan, nan], [inf, 0.25, 0, nan, nan]],
      ['abs', abs, [-2, -0, 0, 3, -inf, nan], [2, 0, 0, 3, inf, nan], [-1, 0, 0, 1, -1, 0]],
      ['tanh', tanh, [-inf, 0, 50, nan], [-1, 0, 1, nan], [0, 1, 0, nan]],
      ['pow', (t: Tensor) => pow(t, 2), [0, -3, inf, nan], [0, 9, inf, nan], [0, -6, inf, nan]],
      ['pow', (t: Tensor) => pow(t, 1.5), [0, 4, -1], [0, 8, nan], [0, 3, nan]],
      ['pow', (t: Tensor) => pow(t, -1), [0, -0, 2], [inf, -inf, 0.5], [-inf, -inf, -0.25]],
      ['pow', (t: Tensor) => pow(t, 0), [0, 5, nan], [1, 1, 1], [0, 0, 0]],
      [
        'clamp',
        (t: Tensor) => clamp(t, { min: -1, max: 1 }),
        [-inf, -1, 0, 1, 2, nan],
        [-1, -1, 0, 1, 1, nan],
        [0, 1, 1, 1, 0, 0],
      ],
      ['clamp', (t: Tensor) => clamp(t, { max: 0 }), [-inf, -1, 3], [-inf, -1, 0], [1, 1, 0]],
      ['shift', (t: Tensor) => shift(t, -1), [1, inf, nan], [0, inf, nan], [1, 1, 1]],
    ] as [string, (x: Tensor) => Tensor, number[], number[], number[]][]) {
      it(`${name} gives what PyTorch gives, of ${x}`, async () => {
        expect(await valueAndSlope(run, x, on)).to.deep.equal({ y, gx });
      });
    }

    if (on === 'cpu') {
      it('a denormal number counts as 0', async () => {
        expect(await valueAndSlope((t) => pow(t, 0.5), [1e-42], on)).to.deep.equal({ y: [0], gx: [inf] });
        expect(await valueAndSlope(log, [1e-42, -1e-42], on)).to.deep.equal({ y: [-inf, -inf], gx: [inf, -inf] });
      });
    }

    it('div by 0 is infinite, and NaN of 0', async () => {
      const by = (zero: number) => (t: Tensor) => div(t, tensor([zero, zero, zero], { device: t.device }));
      expect(await valueAndSlope(by(0), [1, -1, 0], on)).to.deep.equal({ y: [inf, -inf, nan], gx: [inf, inf, inf] });
      const into = (t: Tensor) => div(tensor([1, 0], { device: t.device }), t);
      expect(await valueAndSlope(into, [0, 0], on)).to.deep.equal({ y: [inf, nan], gx: [-inf, nan] });
    });
  });
}

describe('functions of two tensors', () => {
  it('refuse other shapes, other types and spikes', () =>
    scope(() => {
      const x = tensor([1, 2]);
      expect(() => sub(x, tensor([1, 2, 3]))).to.throw(
        /^sub: counted from the end axes agree, or one of them has length 1 and is repeated; those of f32\[2\] and f32\[3\] do not/,
      );
      expect(() => div(x, tensor([1, 2], { dtype: 'f64' }))).to.throw(/^div: 'y' is f64 where another input is f32/);
      expect(() => sub(x, tensor(Uint8Array.of(1, 0), { dtype: 'spike' }))).to.throw(/^sub: 'y' is real, not spike/);
      expect(() => shift(x, nan)).to.throw(/^shift: attribute 'offset' is float, not NaN/);
    }));
});

describe('functions of tensors of different shapes', () => {
  it('refuse axes that do not go together, mixed types, and spikes', () =>
    scope(() => {
      const x = zeros([2, 3]);
      for (const [name, run] of Object.entries({ add, sub, mul, div })) {
        const refuse = (y: Tensor, message: string) =>
          expect(() => run(x, y)).to.throw(SpikeloomError, `${name}: ${message}`);
        refuse(
          zeros([2]),
          'counted from the end axes agree, or one of them has length 1 and is repeated; those of f32[2,3] and f32[2] do not',
        );
        refuse(
          zeros([3], 'f64'),
          'tensors of different shapes are real numbers of one type, not f32[2,3] and f64[3]; toReal()',
        );
        refuse(
          zeros([2, 1], 'spike'),
          'tensors of different shapes are real numbers of one type, not f32[2,3] and spike[2,1]',
        );
        expect(() => run(x, 3 as unknown as Tensor)).to.throw(`${name}: 'y' is a tensor, not 3`);
      }
    }));

  it('give both the gradient where one tensor is both, and none to what needs none', async () => {
    const x = tensor([1, 2, 3], { shape: [1, 3] });
    x.requiresGrad = true;
    const y = zeros([2, 3]);
    scope(() => backward(sum(mul(add(x, y), x)))); // 2 x^2
    expect([...(await x.grad!.array())]).to.deep.equal([4, 8, 12]);
    for (const t of [x, y]) t.dispose();
  });
});

describe('max and argmax', () => {
  it('max shares its gradient out among equals, and has NaN where there is one', async () => {
    const x = tensor([3, 1, 3, 2, 2, nan], { shape: [2, 3] });
    x.requiresGrad = true;
    const y = scope(() => {
      const made = max(x, { axes: [1] });
      backward(made, tensor([1, 1]));
      return made;
    });
    expect([...(await y.array())]).to.deep.equal([3, nan]);
    expect([...(await x.grad!.array())].slice(0, 3)).to.deep.equal([0.5, 0, 0.5]);
    for (const t of [x, y]) t.dispose();
  });

  it('argmax has no gradient', () =>
    scope(() => {
      const x = zeros([2, 3]);
      x.requiresGrad = true;
      expect(argmax(x).requiresGrad).to.equal(false);
      expect(described(argmax(x))).to.equal('i32[2]');
      expect(described(argmax(x, { axis: 0 }))).to.equal('i32[3]');
    }));

  it('and clamp refuse what they cannot take', () =>
    scope(() => {
      const x = zeros([2, 3]);
      const refuse = (run: () => unknown, message: RegExp) => expect(run).to.throw(SpikeloomError, message);
      refuse(
        () => max(x, { axes: [2] }),
        /^max: axes are one or more whole numbers from -2 to 1 for f32\[2,3\], not \[2\]/,
      );
      refuse(() => max(zeros([2], 'spike')), /^max: 'x' is real, not spike; ops\.toReal\(\) makes numbers of spikes$/);
      refuse(() => max(3 as unknown as Tensor), /^max: 'x' is a tensor, not 3$/);
      refuse(() => argmax(zeros([1, 1, 1, 1, 2])), /^argmax: takes up to four axes, not f32\[1,1,1,1,2\]; reshape\(\)/);
      refuse(() => argmax(zeros([2], 'i32')), /^argmax: 'x' is real, not i32$/);
      refuse(() => clamp(x, { min: 2, max: 1 }), /^clamp: min and max are numbers, min not above max, not 2 and 1$/);
      refuse(() => clamp(x, { min: nan }), /^clamp: min and max are numbers, min not above max, not NaN and Infinity$/);
      refuse(() => clamp(x, undefined as never), /^the options of clamp are an object of min, max, not undefined$/);
    }));
});

describe('sums along axes', () => {
  it('are real of spikes, of the type that is asked for, and so is the gradient', async () => {
    const s = tensor(Uint8Array.of(1, 0, 1, 1, 0, 0), { shape: [2, 3], dtype: 'spike' });
    s.requiresGrad = true;
    scope(() => {
      expect(described(sum(s))).to.equal('f32[1]');
      expect(described(mean(s, { axes: [0], real: 'f64' }))).to.equal('f64[3]');
      expect(sum(s).requiresGrad).to.equal(true);
      backward(mean(s));
    });
    expect(described(s.grad!)).to.equal('f32[2,3]');
    expect([...(await s.grad!.array())]).to.deep.equal(new Array(6).fill(Math.fround(1 / 6)));
    s.dispose();
  });

  it('are rounded once: what f32 would lose on the way counts', async () => {
    const x = tensor(Float32Array.of(2 ** 24, 1, 1, 1, -(2 ** 24)));
    const [added, averaged] = scope(() => [sum(x), mean(x)]);
    expect((await added!.array())[0]).to.equal(3);
    expect((await averaged!.array())[0]).to.equal(Math.fround(0.6));
    for (const t of [x, added!, averaged!]) t.dispose();
  });

  it('refuse axes that are not there, twice there or none, and other types', () =>
    scope(() => {
      const x = zeros([2, 3]);
      expect(() => sum(x, { axes: [2] })).to.throw(
        SpikeloomError,
        /^sum: axes are one or more whole numbers from -2 to 1 for f32\[2,3\], not \[2\]; leave them out to take all$/,
      );
      for (const axes of [[], [0.5], 1, null, ['0']] as unknown as number[][])
        expect(() => mean(x, { axes })).to.throw(SpikeloomError, /^mean: axes are one or more whole numbers/);
      expect(() => sum(x, { axes: [1, -1] })).to.throw(/^sum: axes \[1,-1\] of f32\[2,3\] name one of them twice$/);
      expect(() => sum(zeros([3], 'i32'))).to.throw(/^sum: takes real numbers or spikes, not i32\[3\]$/);
      expect(() => mean(3 as unknown as Tensor)).to.throw(/^mean: 'x' is a tensor, not 3$/);
    }));

  it('expand refuses shapes that do not fit', () =>
    scope(() => {
      const x = zeros([2, 1]);
      for (const shape of [[2], [3, 4], [2, 0], [2, -1], [2.5, 1], []])
        expect(() => expand(x, shape)).to.throw(SpikeloomError, /^expand: f32\[2,1\] cannot become \[.*\]; only axes/);
      expect(() => expand(x, 4 as unknown as number[])).to.throw(/^expand: a shape is an array of sizes, not 4$/);
      expect(() => expand(zeros([1, 2], 'spike'), [2, 2])).to.throw(SpikeloomError, /'x' is real, not spike/);
    }));
});

for (const on of testDevices) {
  it(`sums along any axes of any shape equal their twin, on ${on}`, async function () {
    if (on === 'cuda' && cudaBackend().score === 0) this.skip();
    const axis = fc.record({
      size: fc.oneof({ weight: 5, arbitrary: fc.integer({ min: 1, max: 4 }) }, fc.constantFrom(31, 32, 33, 70)),
      isSummed: fc.boolean(),
    });
    const drawn = fc.array(axis, { minLength: 1, maxLength: 6 }).filter((all) => {
      return all.some(({ isSummed }) => isSummed) && all.reduce((n, { size }) => n * size, 1) < 20_000;
    });
    const property = fc.asyncProperty(drawn, fc.boolean(), async (all, areSpikes) => {
      const shape = all.map(({ size }) => size);
      const axes = all.flatMap(({ isSummed }, i) => (isSummed ? [i] : []));
      const inputs = () => ({ x: areSpikes ? spikes(shape, 0.4) : noise(shape) });
      const { outputs, gradients } = await evaluate(sumTable, { name: '', inputs, options: { axes } }, 'f64', on);
      compareOutputs(outputs, sumTable.twin(inputs(), { axes }), 1e-12);
      const wide = expandTable.twin(
        {
          x: host(
            shape.map((d, i) => (all[i]!.isSummed ? 1 : d)),
            Float64Array.from({ length: outputs[0]!.data.length }, (_, i) => Math.sin(0.7 * i) + 0.3),
          ),
        },
        { to: shape },
      );
      expect(difference(gradients.x!, wide[0]!.data)).to.be.below(areSpikes ? 1e-7 : 1e-12);
    });
    await fc.assert(property, { numRuns: 150, seed: 1 });
  });
}

describe('softmax', () => {
  it('has no overflow, keeps NaN, and takes minus infinity for a class that cannot be', async () => {
    const x = tensor(Float32Array.of(1000, 999, -inf, nan, 1, 2, -3e38, 3e38, 0), { shape: [3, 3] });
    x.requiresGrad = true;
    const [p, logs] = scope(() => {
      const made = [softmax(x), logSoftmax(x)] as const;
      backward(sum(made[0], { axes: [-1] }), tensor([1, 1, 1]));
      return made;
    });
    const e = Math.exp(-1);
    const shares = [...(await p.array())] as number[];
    const logShares = [...(await logs.array())] as number[];
    const gx = [...(await x.grad!.array())] as number[];
    expect(shares.slice(0, 3)).to.deep.equal([Math.fround(1 / (1 + e)), Math.fround(e / (1 + e)), 0]);
    expect(shares.slice(3)).to.deep.equal([nan, nan, nan, 0, 1, 0]);
    expect(logShares.slice(2)).to.deep.equal([-inf, nan, nan, nan, -inf, 0, Math.fround(-3e38)]);
    expect(Math.max(...gx.slice(0, 3).map(Math.abs))).to.be.below(1e-7); // the sum of shares is 1 wherever x is
    expect(gx.slice(3)).to.deep.equal([nan, nan, nan, 0, 0, 0]);
    for (const t of [x, p, logs]) t.dispose();
  });

  it('and oneHot refuse other shapes, types and classes', () =>
    scope(() => {
      for (const shape of [[3], [1, 2, 3, 4]])
        expect(() => softmax(zeros(shape))).to.throw(SpikeloomError, /^softmax: takes \[B,K\] or \[T,B,K\], not f32/);
      expect(() => logSoftmax(zeros([2, 3], 'spike'))).to.throw(/^logSoftmax: 'x' is real, not spike/);
      const labels = zeros([2], 'i32');
      expect(described(oneHot(labels, { classes: 3, real: 'f64' }))).to.equal('f64[2,3]');
      for (const classes of [0, 1.5, undefined, '3'] as number[])
        expect(() => oneHot(labels, { classes })).to.throw(
          SpikeloomError,
          /^oneHot: classes is a whole number from 1 on/,
        );
      expect(() => oneHot(zeros([2]), { classes: 3 })).to.throw(/^oneHot: 'labels' is i32, not f32/);
    }));
});

describe('the ops that losses are made of', () => {
  const run = promisify(execFile);
  const code = `
    import { lossOpsBits } from ${JSON.stringify(new URL('../support/loss-ops-bits.ts', import.meta.url).href)};
    process.stdout.write(JSON.stringify(await lossOpsBits()));`;

  it('have the same bits on every instruction-set level', async function () {
    if (process.env.SPIKELOOM_CPU || process.env.SPIKELOOM_CUDA) this.skip();
    const best = await lossOpsBits();
    const levels = ['baseline', 'avx2', 'avx512', 'avx512bf16', 'amx'];
    for (const level of levels.slice(0, levels.indexOf(native().bestLevel))) {
      const args = ['--import', 'tsx', '--input-type=module', '-e', code];
      const { stdout } = await run(process.execPath, args, { env: { ...process.env, SPIKELOOM_CPU: level } });
      expect(JSON.parse(stdout), level).to.deep.equal(best);
    }
  });
});
