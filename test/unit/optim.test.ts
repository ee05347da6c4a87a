import { expect } from 'chai';
import { device, keep, type RealType, SpikeloomError, scope, type Tensor, tensor } from '../../lib/core/index.ts';
import { adamw, lamb, type NamedParameter, type OptimizerFactory, optimizerFrom, sgd } from '../../lib/optim/index.ts';
import { freeGarbage } from '../support/garbage.ts';
import { type GoldenTensor, goldenCases, relative } from '../support/golden-ops.ts';
import { noise } from '../support/op-table.ts';

type Golden = Record<string, GoldenTensor>;
const rules = { sgd, adamw, lamb };
const tensorOf = (shape: readonly number[], data: ArrayLike<number>, dtype: RealType) =>
  tensor(Array.from(data), { shape, dtype });

/** Step i of what a golden tensor holds with the steps in front. */
function stepOf({ shape, data }: GoldenTensor, i: number): GoldenTensor {
  const size = data.length / shape[0]!;
  return { shape: shape.slice(1), data: data.slice(i * size, i * size + size) };
}

const parametersOf = (golden: Golden, dtype: RealType): NamedParameter[] =>
  Object.keys(golden)
    .filter((name) => name.startsWith('param.'))
    .map((name) => ({
      name: name.slice(6),
      tensor: tensorOf(golden[name]!.shape, golden[name]!.data, dtype),
    }));

const giveGradient = (t: Tensor, { shape, data }: GoldenTensor) => {
  t.grad = tensorOf(shape, data, t.dtype as RealType);
};

interface Attributes {
  rule: keyof typeof rules;
  steps: number;
  lr: number[];
  weight_decay: number;
  momentum?: number;
  nesterov?: boolean;
  betas?: [number, number];
  eps?: number;
}

function factoryOf({ rule, weight_decay: weightDecay, momentum, nesterov, betas, eps }: Attributes): OptimizerFactory {
  return rule === 'sgd' ? sgd({ weightDecay, momentum, nesterov }) : rules[rule]({ weightDecay, betas, eps });
}

/** Two parameters and a function that gives both a gradient that depends on the step. */
function small() {
  const parameters: NamedParameter[] = [
    { name: 'weight', tensor: tensor([...noise([3, 5]).data], { shape: [3, 5], dtype: 'f32' }) },
    { name: 'bias', tensor: tensor([1, -2, 3]) },
  ];
  const give = (i: number) => {
    for (const [k, { tensor: t }] of parameters.entries()) giveGradient(t, noise(t.shape, 100 + 10 * i + k));
  };
  const dispose = () => {
    for (const { tensor: t } of parameters) t.dispose();
  };
  return { parameters, give, dispose };
}

const read = (parameters: readonly NamedParameter[]) =>
  Promise.all(parameters.map(async ({ tensor: t }) => [...(await t.array())]));

describe('optimizers', () => {
  for (const { name, attributes, tensors } of goldenCases('op-optimizers')) {
    for (const [dtype, limit] of [
      ['f64', 1e-12],
      ['f32', 1e-5],
    ] as const) {
      it(`equal PyTorch over five steps: ${name}, ${dtype}`, async () => {
        const { steps, lr } = attributes as Attributes;
        const parameters = parametersOf(tensors, dtype);
        expect(parameters.map((p) => p.name)).to.have.members(['weight', 'zero', 'bias']);
        const optimizer = factoryOf(attributes as Attributes)(parameters);
        for (let i = 0; i < steps; i++) {
          for (const p of parameters) giveGradient(p.tensor, stepOf(tensors[`gradient.${p.name}`]!, i));
          optimizer.lr = lr[i]!;
          optimizer.step();
          for (const p of parameters) {
            const after = await p.tensor.array();
            expect(relative(after, stepOf(tensors[`after.${p.name}`]!, i)), `${p.name}, step ${i}`).to.be.at.most(
              limit,
            );
          }
        }
        expect(optimizer.stepCount).to.equal(steps);
        optimizer.dispose();
      });
    }
  }

  // With lr 1 and weights of 0, the weights after one step are the clipped gradients, negated.
  for (const { name, attributes, tensors } of goldenCases('op-clip-grad-norm')) {
    it(`clip by the global norm as PyTorch does: ${name}`, async () => {
      const names = ['weight', 'bias'];
      for (let i = 0; i < tensors.norm!.data.length; i++) {
        const gradients = names.map((n) => stepOf(tensors[`gradient.${n}`]!, i));
        const parameters = gradients.map(({ shape, data }, k) => ({
          name: names[k]!,
          tensor: tensorOf(shape, new Float64Array(data.length), 'f64'),
        }));
        for (const [k, p] of parameters.entries()) giveGradient(p.tensor, gradients[k]!);
        const optimizer = sgd({ lr: 1, clipNorm: (attributes as { max_norm: number }).max_norm })(parameters);
        optimizer.step();
        for (const p of parameters) {
          const clipped = (await p.tensor.array()).map((x) => -x) as Float64Array;
          expect(relative(clipped, stepOf(tensors[`after.${p.name}`]!, i)), `${p.name}, step ${i}`).to.be.at.most(
            1e-12,
          );
        }
        optimizer.dispose();
      }
    });
  }

  it('let a NaN in any gradient through the clipping to every weight', async () => {
    const { parameters, give, dispose } = small();
    const optimizer = sgd({ clipNorm: 1 })(parameters);
    give(0);
    parameters[1]!.tensor.grad!.set(Float32Array.of(0, Number.NaN, 0));
    optimizer.step();
    for (const values of await read(parameters)) expect(values.every(Number.isNaN)).to.equal(true);
    optimizer.dispose();
    dispose();
  });

  it('decay no parameter of one dimension', async () => {
    for (const factory of [sgd({ weightDecay: 0.5 }), adamw({ weightDecay: 0.5 }), lamb({ weightDecay: 0.5 })]) {
      const { parameters, dispose } = small();
      const before = await read(parameters);
      for (const { tensor: t } of parameters) giveGradient(t, { shape: t.shape, data: new Float64Array(t.size) });
      const optimizer = factory(parameters);
      optimizer.step();
      const [weight, bias] = await read(parameters);
      expect(bias, factory.settings.kind).to.deep.equal(before[1]);
      expect(
        weight!.every((w, i) => Math.abs(w) < Math.abs(before[0]![i]!)),
        factory.settings.kind,
      ).to.equal(true);
      optimizer.dispose();
      dispose();
    }
  });

  it('consume the gradients, skip parameters without one, and refuse a step without any', async () => {
    const { parameters, give, dispose } = small();
    const optimizer = sgd({ momentum: 0.9 })(parameters);
    expect(() => optimizer.step()).to.throw(SpikeloomError, /call backward\(\) first/);
    expect(optimizer.stepCount).to.equal(0);
    const before = await read(parameters);
    give(0);
    parameters[1]!.tensor.grad!.dispose();
    parameters[1]!.tensor.grad = undefined;
    optimizer.step();
    const after = await read(parameters);
    expect(after[1]).to.deep.equal(before[1]);
    expect(after[0]).to.not.deep.equal(before[0]);
    expect(parameters[0]!.tensor.grad).to.equal(undefined);
    optimizer.dispose();
    dispose();
  });

  it('give the same bits when continued from their state', async () => {
    for (const made of [sgd({ momentum: 0.9, nesterov: true, clipNorm: 1 }), adamw(), lamb({ lr: 0.01 })]) {
      const whole = small();
      const optimizer = made(whole.parameters);
      for (let i = 0; i < 5; i++) {
        whole.give(i);
        optimizer.step();
      }
      const cut = small();
      const first = made(cut.parameters);
      for (let i = 0; i < 2; i++) {
        cut.give(i);
        first.step();
      }
      const state = Object.fromEntries(
        await Promise.all(Object.entries(first.state()).map(async ([name, t]) => [name, await t.array()] as const)),
      );
      const settings = JSON.parse(JSON.stringify(made.settings)) as typeof made.settings;
      const second = optimizerFrom(settings)(cut.parameters);
      second.load(state, first.stepCount);
      first.dispose();
      for (let i = 2; i < 5; i++) {
        cut.give(i);
        second.step();
      }
      expect(second.stepCount).to.equal(5);
      expect(await read(cut.parameters), made.settings.kind).to.deep.equal(await read(whole.parameters));
      for (const done of [optimizer, second, whole, cut]) done.dispose();
    }
  });

  it('refuse a state that is not theirs, and change nothing', async () => {
    const { parameters, give, dispose } = small();
    const optimizer = adamw()(parameters);
    give(0);
    optimizer.step();
    const named = optimizer.state();
    expect(Object.keys(named)).to.have.members(['m.weight', 'v.weight', 'm.bias', 'v.bias']);
    const before = [...(await named['m.bias']!.array())];
    const good = { 'm.weight': new Float32Array(15), 'v.weight': new Float32Array(15), 'm.bias': new Float32Array(3) };
    const full = { ...good, 'v.bias': new Float32Array(3) };
    expect(() => optimizer.load(good, 1)).to.throw(SpikeloomError, /'v.bias' is missing/);
    expect(() => optimizer.load({ ...full, 'm.head': new Float32Array(3) }, 1)).to.throw(SpikeloomError, /no 'm.head'/);
    expect(() => optimizer.load({ ...full, 'v.bias': new Float32Array(4) }, 1)).to.throw(
      SpikeloomError,
      /'v.bias' is f32\[3\], the data a Float32Array of 4/,
    );
    expect(() => optimizer.load({ ...full, 'v.bias': new Float64Array(3) }, 1)).to.throw(
      SpikeloomError,
      /Float64Array/,
    );
    expect(() => optimizer.load(full, 1.5)).to.throw(SpikeloomError, /whole number/);
    expect([...(await named['m.bias']!.array())]).to.deep.equal(before);
    expect(optimizer.stepCount).to.equal(1);
    optimizer.dispose();
    dispose();
  });

  it('live outside of the scope they were made in, leave no handle and allocate nothing after the first step', async () => {
    await freeGarbage();
    const handles = device().stats().handles;
    const { parameters, give, dispose } = small();
    for (const { tensor: t } of parameters) keep(t);
    const optimizer = scope(() => lamb({ clipNorm: 1 })(parameters));
    const made = device().stats().handles;
    const step = (i: number) => {
      give(i);
      optimizer.step();
      return device().finish();
    };
    await step(0);
    const { systemAllocations } = device().stats();
    for (let i = 1; i < 6; i++) await step(i);
    expect(device().stats().handles).to.equal(made);
    expect(device().stats().systemAllocations).to.equal(systemAllocations);
    optimizer.dispose();
    dispose();
    expect(device().stats().handles).to.equal(handles);
  });

  it('refuse options that there are not', () => {
    for (const make of [sgd, adamw, lamb] as ((options: object) => OptimizerFactory)[]) {
      const { name } = make;
      expect(() => make({ weight_decay: 0.1 })).to.throw(
        SpikeloomError,
        new RegExp(`^${name} has no option weight_decay; it has lr, .*clipNorm`),
      );
      for (const options of [0.1, 'fast', null]) {
        expect(() => make(options as unknown as object)).to.throw(
          SpikeloomError,
          `the options of ${name} are an object`,
        );
      }
    }
    expect(() => adamw({ momentum: 0.9 } as object)).to.throw(SpikeloomError, 'adamw has no option momentum');
    for (const betas of [null, 0.9, [0.9], ['a', 0.9]] as unknown as [number, number][]) {
      expect(() => lamb({ betas })).to.throw(SpikeloomError, /lamb: (betas are two numbers|a beta is at least 0)/);
    }
  });

  it('refuse settings and parameters that make no sense', () => {
    expect(() => sgd({ lr: -1 })).to.throw(SpikeloomError, 'sgd: lr is a finite number of at least 0, not -1');
    expect(() => sgd({ nesterov: true })).to.throw(SpikeloomError, /nesterov needs a momentum/);
    expect(() => sgd({ momentum: 1 })).to.throw(SpikeloomError, /momentum is at least 0 and below 1/);
    expect(() => adamw({ betas: [0.9, 1] })).to.throw(SpikeloomError, /a beta is at least 0 and below 1, not 1/);
    expect(() => lamb({ eps: 0 })).to.throw(SpikeloomError, /eps is a number above 0/);
    expect(() => lamb({ clipNorm: Number.NaN })).to.throw(SpikeloomError, /clipNorm/);
    expect(() => sgd()([])).to.throw(SpikeloomError, /at least one parameter/);
    const one = tensor([1]);
    const named = (name: string, t: Tensor) => ({ name, tensor: t });
    expect(() => sgd()([named('a', one), named('a', one)])).to.throw(SpikeloomError, /two parameters are called 'a'/);
    for (const same of [one, one.alias([1, one.size])]) {
      expect(() => sgd()([named('a', one), named('b', same)])).to.throw(SpikeloomError, /'b' and 'a' are the same;/);
    }
    expect(() => sgd()([named('a', tensor(Int32Array.of(1)))])).to.throw(SpikeloomError, /'a' is i32\[1\]/);
    const double = tensor(Float64Array.of(1));
    expect(() => sgd()([named('a', one), named('b', double)])).to.throw(SpikeloomError, /'b' is f64 on cpu/);
    const optimizer = sgd()([named('a', one)]);
    expect(() => {
      optimizer.lr = Number.POSITIVE_INFINITY;
    }).to.throw(SpikeloomError, /lr is a finite number of at least 0, not Infinity/);
    optimizer.dispose();
  });
});
