// In a recorded step an update runs as soon as its gradient is whole, if the device does not run updates in rows: less
// memory, the same bits.
import { expect } from 'chai';
import fc from 'fast-check';
import {
  backward,
  device,
  keep,
  NotFiniteError,
  nativeOp,
  parameter,
  planStep,
  recordStep,
  scope,
  type Tensor,
  tensor,
} from '../../lib/core/index.ts';
import { add } from '../../lib/ops/add.ts';
import { linear } from '../../lib/ops/linear.ts';
import { meanOverTime } from '../../lib/ops/mean-over-time.ts';
import { mul, scale } from '../../lib/ops/mul.ts';
import { needFinite } from '../../lib/ops/need-finite.ts';
import { relu } from '../../lib/ops/relu.ts';
import { adamw, lamb, type OptimizerFactory, sgd } from '../../lib/optim/index.ts';
import { bytesOf, noise, toDevice } from '../support/op-table.ts';

const cpu = device();
const drawn = (shape: number[], seed: number): Tensor => keep(toDevice(noise(shape, seed), 'f32', 'cpu'));
const disposeAll = (tensors: readonly { dispose(): void }[]) => {
  for (const t of tensors) t.dispose();
};

const WIDTH = 64;
const LAYERS = 6;

/** Layers of one width, whose weights take far more memory than the numbers between them. */
function stack(factory: OptimizerFactory) {
  const weights = Array.from({ length: LAYERS }, (_, i) => parameter(drawn([WIDTH, WIDTH], 10 + i)));
  const optimizer = factory(weights.map((t, i) => ({ name: `w${i}`, tensor: t })));
  const x = drawn([2, WIDTH], 1);
  const gradient = drawn([2, WIDTH], 2);
  /** `order`: the weights of the layers, by number; one may come twice. */
  const body = (order: readonly number[]) => {
    const y = order.reduce((input, i) => relu(scale(linear(input, weights[i]!), 0.2)), x);
    backward(y, gradient);
    optimizer.step();
    return y;
  };
  const dispose = () => disposeAll([...weights, x, gradient, optimizer]);
  return { weights, optimizer, x, body, dispose };
}

const ALL = Array.from({ length: LAYERS }, (_, i) => i);

/** Results, weights and moments after some steps. */
async function trained(factory: OptimizerFactory, order: readonly number[], record: boolean) {
  const { weights, optimizer, x, body, dispose } = stack(factory);
  const step = record ? recordStep(cpu, () => body(order)) : undefined;
  const results: Buffer[] = [];
  for (let i = 0; i < 3; i++) {
    x.set(Float32Array.from(noise([2, WIDTH], 30 + i).data));
    optimizer.lr = 0.02 / (i + 1);
    step?.replay();
    const y = step ? step.result : scope(() => body(order));
    results.push(await bytesOf(y));
    if (!step) y.dispose();
  }
  for (const t of [...weights, ...Object.values(optimizer.state())]) results.push(await bytesOf(t));
  step?.dispose();
  dispose();
  return results;
}

/** The plan's workspace, in gradients of a weight. */
function gradientsAlive(factory: OptimizerFactory, order = ALL): number {
  const { body, dispose } = stack(factory);
  const { workspaceBytes } = planStep(cpu, () => body(order));
  dispose();
  return workspaceBytes / (WIDTH * WIDTH * 4);
}

const RULES: [string, OptimizerFactory][] = [
  ['sgd', sgd({ lr: 0.02, weightDecay: 0.01 })],
  ['momentum', sgd({ lr: 0.02, momentum: 0.9, weightDecay: 0.01 })],
  ['nesterov', sgd({ lr: 0.02, momentum: 0.9, nesterov: true })],
  ['adamw', adamw({ lr: 0.02 })],
  ['lamb', lamb({ lr: 0.02, weightDecay: 0.01 })],
];

describe('updates in a recorded step', () => {
  for (const [name, factory] of RULES) {
    it(`of ${name} have the bits of those of single calls, with one gradient alive at a time`, async () => {
      expect(await trained(factory, ALL, true)).to.deep.equal(await trained(factory, ALL, false));
      expect(gradientsAlive(factory)).to.be.within(1, 2);
    });
  }

  it('wait for all gradients where their norm clips them', async () => {
    const factory = sgd({ lr: 0.02, momentum: 0.9, clipNorm: 0.5 });
    expect(await trained(factory, ALL, true)).to.deep.equal(await trained(factory, ALL, false));
    expect(gradientsAlive(factory)).to.be.within(LAYERS, LAYERS + 1);
  });

  it('wait with a large gradient until what the forward pass kept is gone', async () => {
    const frames = 128;
    const run = async (outputs: number, record: boolean) => {
      const weights = ALL.map((i) => parameter(drawn([WIDTH, WIDTH], 10 + i)));
      const head = parameter(drawn([outputs, WIDTH], 9));
      const optimizer = sgd({ lr: 0.02, momentum: 0.9 })(
        [head, ...weights].map((t, i) => ({ name: `w${i}`, tensor: t })),
      );
      const [x, gradient] = [drawn([frames, 1, WIDTH], 1), drawn([1, outputs], 2)];
      const body = () => {
        const last = weights.reduce((y, w) => relu(scale(linear(y, w), 0.2)), x);
        const y = linear(meanOverTime(last), head);
        backward(y, gradient);
        optimizer.step();
      };
      const { workspaceBytes } = planStep(cpu, body);
      const step = record ? recordStep(cpu, body) : undefined;
      for (let i = 0; i < 2; i++) step ? step.replay() : scope(body);
      const found = await Promise.all([head, ...weights].map(bytesOf));
      disposeAll([...(step ? [step] : []), optimizer, ...weights, head, x, gradient]);
      return { workspaceBytes, found };
    };
    const [few, many] = [await run(8, true), await run(1024, true)];
    const gradientBytes = 1016 * WIDTH * 4;
    expect(frames * WIDTH * 4 * LAYERS).to.be.below(gradientBytes); // they make room for most of it
    expect(many.workspaceBytes - few.workspaceBytes).to.be.below(gradientBytes / 2);
    expect(many.found).to.deep.equal((await run(1024, false)).found);
  });

  it('wait for the last layer of those that share a weight', async () => {
    const shared = [0, 1, 2, 0, 3, 1];
    for (const [, factory] of RULES)
      expect(await trained(factory, shared, true)).to.deep.equal(await trained(factory, shared, false));
  });

  it('wait for what reads a weight that is no input of its node', async () => {
    const run = async (record: boolean) => {
      const [a, b] = [parameter(drawn([8, 8], 1)), parameter(drawn([8, 8], 2))];
      const optimizer = sgd({ lr: 0.1 })([a, b].map((t, i) => ({ name: `p${i}`, tensor: t })));
      const ones = tensor(new Float32Array(64).fill(1), { shape: [8, 8] });
      const body = () => {
        const still = b.alias(b.shape); // the same memory, and nothing that the tape knows of
        const y = mul(mul(a, still), add(b, ones));
        backward(y, ones);
        const [ga, gb] = [a.grad!.alias([8, 8]), b.grad!.alias([8, 8])];
        optimizer.step();
        return { y, ga, gb, after: add(a, b) };
      };
      const step = record ? recordStep(cpu, body) : undefined;
      step?.replay();
      const { y, ga, gb, after } = step ? step.result : scope(body);
      const found = await Promise.all([a, b, y, ga, gb, after].map(bytesOf));
      disposeAll([...(step ? [step] : [y, ga, gb, after]), a, b, ones, optimizer]);
      return found;
    };
    expect(await run(true)).to.deep.equal(await run(false));
  });

  for (const late of [false, true]) {
    for (const remembered of [false, true]) {
      it(`stay behind needFinite() ${late ? 'behind' : 'before'} backward()${remembered ? ', with what it found' : ''}`, async () => {
        const w = parameter(drawn([4, 4], 1));
        const x = tensor(new Float32Array(16).fill(Number.NaN), { shape: [4, 4] });
        const found = remembered ? tensor([0]) : undefined;
        const optimizer = sgd({ lr: 0.1 })([{ name: 'w', tensor: w }]);
        const step = recordStep(cpu, () => {
          const y = mul(w, x);
          if (!late) needFinite(y, found);
          backward(y, x);
          if (late) needFinite(y, found);
          optimizer.step();
        });
        const before = await bytesOf(w);
        step.replay();
        const failure = await cpu.finish().catch((error: unknown) => error);
        expect(failure).to.be.instanceOf(NotFiniteError);
        expect(await bytesOf(w)).to.deep.equal(before);
        disposeAll([step, optimizer, w, x, ...(found ? [found] : [])]);
      });
    }
  }

  it('stay in their part', async () => {
    const w = tensor([1]);
    const g = tensor([3]);
    const hyper = tensor([1]);
    const step = recordStep(cpu, (cut) => {
      const first = add(w, g);
      cut();
      const second = add(g, g);
      sgdUpdate.run({ w, g, hyper }, { weightDecay: 0 });
      return { first, second };
    });
    step.replay(0);
    expect(await w.item()).to.equal(1);
    step.replay(1);
    expect(await w.item()).to.equal(-2);
    disposeAll([step, w, g, hyper]);
  });

  const sgdUpdate = nativeOp('sgdUpdate');
  const moves = fc.array(
    fc.record({ op: fc.nat(3), a: fc.nat(), b: fc.nat(), free: fc.option(fc.nat(), { nil: undefined }) }),
    { minLength: 1, maxLength: 40 },
  );

  it('of random weights by random values, among random calls with random lifetimes, have the bits of the calls', async () => {
    const weights = [1, 2, 3].map((seed) => drawn([3, 40], seed));
    const hyper = tensor([0.25]);
    const reset = () => {
      for (const [i, w] of weights.entries()) w.set(Float32Array.from(noise([3, 40], i).data));
    };
    await fc.assert(
      fc.asyncProperty(moves, async (sequence) => {
        const play = () => {
          const mine: Tensor[] = [];
          for (const { op, a, b, free } of sequence) {
            const all = [...weights, ...mine];
            const [x, y] = [all[a % all.length]!, all[b % all.length]!];
            if (op < 2) sgdUpdate.run({ w: weights[a % 3]!, g: y, hyper }, { weightDecay: 0 });
            else mine.push(op === 2 ? add(x, y) : relu(x));
            if (free !== undefined && mine.length > 1) mine.splice(free % (mine.length - 1), 1)[0]!.dispose();
          }
          return mine;
        };
        const step = recordStep(cpu, play);
        reset();
        for (let i = 0; i < 2; i++) step.replay();
        const recorded = await Promise.all([...weights, ...step.result].map(bytesOf));
        reset();
        scope(() => void play());
        const direct = scope(() => [...weights, ...play()].map(bytesOf));
        expect(recorded).to.deep.equal(await Promise.all(direct));
        step.dispose();
      }),
      { numRuns: 100 },
    );
    disposeAll([...weights, hyper]);
  });
});
