// Recorded steps: the same bits as the calls themselves, memory known before, no misuse that harms.
import { setImmediate as nextTurn } from 'node:timers/promises';
import { expect } from 'chai';
import fc from 'fast-check';
import {
  backward,
  device,
  empty,
  keep,
  noGrad,
  parameter,
  planStep,
  type RecordedStep,
  recordStep,
  recordStepInTurns,
  SpikeloomError,
  scope,
  stepInput,
  type Tensor,
  tensor,
  zeros,
} from '../../lib/core/index.ts';
import { conv2d, define, dropout, globalAvgPool, lif, linear, meanOverTime, norm } from '../../lib/nn/index.ts';
import { add } from '../../lib/ops/add.ts';
import { crossEntropy } from '../../lib/ops/cross-entropy.ts';
import { mul } from '../../lib/ops/mul.ts';
import { sgdUpdate } from '../../lib/ops/optimizer-updates.ts';
import { relu } from '../../lib/ops/relu.ts';
import { adamw, lamb, sgd } from '../../lib/optim/index.ts';
import { freeGarbage } from '../support/garbage.ts';
import { bytesOf, noise, toDevice } from '../support/op-table.ts';
import { untilOver } from '../support/turns.ts';

const cpu = device();
const memory = () => {
  const { handles, bytesInUse } = cpu.stats();
  return { handles, bytesInUse };
};

/** What a random sequence of calls makes: each step takes two values by index and may free one. */
interface Move {
  op: number;
  a: number;
  b: number;
  free: number | undefined;
}
const moves = fc.array(
  fc.record({ op: fc.nat(2), a: fc.nat(), b: fc.nat(), free: fc.option(fc.nat(), { nil: undefined }) }),
  { minLength: 1, maxLength: 40 },
);

function play(inputs: readonly Tensor[], sequence: readonly Move[]): Tensor[] {
  const mine: Tensor[] = [];
  for (const { op, a, b, free } of sequence) {
    const all = [...inputs, ...mine];
    const [x, y] = [all[a % all.length]!, all[b % all.length]!];
    mine.push(op === 0 ? add(x, y) : op === 1 ? mul(x, y) : relu(x));
    if (free !== undefined && mine.length > 1) mine.splice(free % (mine.length - 1), 1)[0]!.dispose();
  }
  return mine;
}

describe('a recorded step', () => {
  it('of random calls with random lifetimes gives the bits of the calls, for every input', async () => {
    const inputs = [1, 2].map((seed) => toDevice(noise([3, 70], seed), 'f32', 'cpu'));
    await freeGarbage();
    const before = memory();
    await fc.assert(
      fc.asyncProperty(moves, async (sequence) => {
        const step = recordStep(cpu, () => play(inputs, sequence));
        for (const seed of [3, 4]) {
          for (const [i, x] of inputs.entries()) x.set(Float32Array.from(noise([3, 70], seed + i).data));
          step.replay();
          const direct = scope(() => play(inputs, sequence).map(bytesOf));
          expect(await Promise.all(step.result.map(bytesOf))).to.deep.equal(await Promise.all(direct));
        }
        step.dispose();
        expect(memory()).to.deep.equal(before);
      }),
      { numRuns: 60 },
    );
    for (const x of inputs) x.dispose();
  });

  it('plans two blocks for a chain, takes no memory in planStep(), and runs nothing while it is recorded', async () => {
    const x = tensor(new Float32Array(1024).fill(-1));
    const chain = () => {
      let y = relu(x);
      for (let i = 0; i < 20; i++) {
        const next = add(y, x);
        y.dispose();
        y = next;
      }
      return y;
    };
    await freeGarbage();
    const before = memory();
    const plan = planStep(cpu, chain);
    expect(memory()).to.deep.equal(before);
    expect(plan).to.deep.equal({
      calls: 21,
      leastBytes: 2 * 4096,
      workspaceBytes: 2 * 4096,
      resultBytes: 4096,
      peakBytes: 3 * 4096,
    });
    const step = recordStep(cpu, chain);
    expect(cpu.stats().bytesInUse - before.bytesInUse).to.equal(plan.peakBytes);
    x.set(new Float32Array(1024).fill(-2));
    step.replay();
    expect((await step.result.array())[0]).to.equal(-40);
    step.dispose();
    x.dispose();
  });

  it('is replayed in parts, with numbers read between them', async () => {
    const x = tensor([2]);
    const step = recordStep(cpu, (cut) => {
      const twice = add(x, x);
      const alias = twice.alias([1, 1]);
      cut();
      return { twice, square: mul(alias, alias) };
    });
    expect(step.parts).to.equal(2);
    step.replay(0);
    expect(await step.result.twice.item()).to.equal(4);
    step.replay(1);
    expect(await step.result.square.item()).to.equal(16);
    expect(() => step.replay(1)).to.throw(SpikeloomError, 'in their order');
    const other = recordStep(cpu, () => relu(x));
    step.replay(0);
    other.replay();
    expect(() => step.replay(1)).to.throw('no other recorded step between');
    expect(() => step.replay(2)).to.throw('has no part 2');
    for (const disposable of [step, other, x]) disposable.dispose();
  });

  it('shares one workspace with others, which moves when a larger one comes', async () => {
    const inputs = [64, 4096].map((size) => tensor(new Float32Array(size).fill(3)));
    const start = cpu.stats().bytesInUse;
    const steps = inputs.map((x) => recordStep(cpu, () => relu(add(add(x, x), x))));
    const results = steps.reduce((sum, { resultBytes }) => sum + resultBytes, 0);
    expect(cpu.stats().bytesInUse - start).to.equal(steps[1]!.workspaceBytes + results);
    for (const step of [...steps, steps[0]!]) {
      step.replay();
      expect(new Set(await step.result.array())).to.deep.equal(new Set([9]));
    }
    for (const disposable of [...steps, ...inputs]) disposable.dispose();
  });

  it('keeps what it uses, also where it was freed meanwhile', async () => {
    await freeGarbage();
    const before = memory();
    const x = tensor([5]);
    const step = recordStep(cpu, () => ({ y: mul(x, x) }));
    x.dispose();
    const others = [tensor([1]), tensor([1])];
    step.replay();
    expect(await step.result.y.item()).to.equal(25);
    step.result.y.dispose();
    const more = tensor([1]);
    step.replay();
    expect(await more.item()).to.equal(1);
    for (const disposable of [step, step, ...others, more]) disposable.dispose();
    expect(memory()).to.deep.equal(before);
    expect(() => step.replay()).to.throw(SpikeloomError, 'record it again');
  });

  it('makes zeros anew at every replay, whatever was written into them', async () => {
    const before = memory();
    const w = tensor([1, -1]);
    const rate = tensor([1]);
    const step = recordStep(cpu, () => {
      const state = zeros([2]);
      const [whole, spikes] = [zeros([3], 'i32'), zeros([1, 40], 'spike')];
      sgdUpdate(rate, { w: state, g: w, weightDecay: 0 });
      return { state, whole, spikes };
    });
    expect(await step.result.whole.array().catch(String)).to.match(/was not replayed yet; replay it first/);
    for (let i = 0; i < 2; i++) {
      step.replay();
      expect([...(await step.result.state.array())]).to.deep.equal([-1, 1]);
      expect([...(await step.result.whole.array())]).to.deep.equal([0, 0, 0]);
      expect([...(await step.result.spikes.array())]).to.deep.equal(new Array(40).fill(0));
    }
    for (const disposable of [step, w, rate]) disposable.dispose();
    expect(memory()).to.deep.equal(before);
  });

  it('refuses what cannot be recorded, and keeps nothing then', async () => {
    await freeGarbage();
    const before = memory();
    const x = parameter(tensor([1, 2]));
    const refused = (body: (cut: () => void) => unknown, message: string | RegExp) =>
      expect(() => recordStep(cpu, body)).to.throw(SpikeloomError, message);
    refused(() => recordStep(cpu, () => relu(x)), 'holds no other one');
    refused(() => relu(x).set(new Float32Array(2)), 'has no memory yet');
    refused(() => tensor([1]), 'make constants and inputs before');
    refused(async () => relu(x), 'must not be async');
    expect(() =>
      recordStep(cpu, () => {
        backward(relu(x), tensor([1, 1]));
      }),
    ).to.throw('has no memory yet');
    const ones = tensor([1, 1]);
    expect(() =>
      recordStep(cpu, () => {
        stepInput(() => tensor([1, 2, 3]));
        backward(relu(x), ones);
        throw new Error('on purpose');
      }),
    ).to.throw('on purpose');
    expect(x.grad).to.equal(undefined);
    scope(() => backward(relu(x), ones));
    refused(() => backward(relu(x), ones), 'begins without gradients');
    refused(() => void relu(x).array(), 'read results behind a replay');
    for (const disposable of [x, ones]) disposable.dispose();
    expect(memory()).to.deep.equal(before);
    const y = scope(() => relu(tensor([3])));
    expect(await y.item(), 'calls are queued again').to.equal(3);
    y.dispose();
  });

  it('that fails says where, runs nothing behind it, and can be replayed again', async () => {
    const [logits, labels] = [tensor([1, 2], { shape: [1, 2] }), tensor(Int32Array.of(5))];
    const counter = tensor([1]);
    const step = recordStep(cpu, () => {
      const loss = crossEntropy(logits, labels);
      return { loss, after: add(counter, loss) };
    });
    step.replay();
    const message = await step.result.after.item().then(
      () => 'no failure',
      (error: Error) => error.message,
    );
    expect(message).to.match(/^crossEntropy: .*5/);
    labels.set(Int32Array.of(1));
    step.replay();
    expect(await step.result.after.item()).to.equal(Math.fround(1 + (await step.result.loss.item())));
    for (const disposable of [step, logits, labels, counter]) disposable.dispose();
  });

  it('without memory is refused before anything ran', () => {
    const before = memory();
    const large = () => Array.from({ length: 40 }, () => relu(empty([2 ** 37]))); // more than there are addresses
    expect(planStep(cpu, large).peakBytes).to.equal(41 * 2 ** 39);
    expect(() => recordStep(cpu, large)).to.throw(SpikeloomError, 'out of memory');
    expect(memory()).to.deep.equal(before);
  });
});

const tiny = define('tiny', () => [
  conv2d(5, { kernel: 3, padding: 1 }),
  norm(),
  lif(),
  dropout(0.3),
  globalAvgPool(),
  linear(3),
  meanOverTime(),
]);

describe('a recorded training step', () => {
  /** Losses of some steps and the weights, statistics and counts behind them. */
  async function trained(record: boolean) {
    const net = tiny({ steps: 2, channels: 3, size: [6, 7], classes: 3, seed: 2 });
    const optimizer = adamw({ lr: 0.05, clipNorm: 1 })(net.parameters());
    const x = keep(empty([4, 3, 6, 7]));
    const labels = tensor(Int32Array.of(0, 1, 2, 1));
    const body = () => {
      const losses = [1, 2].map(() => crossEntropy(net(x), labels)); // two passes with masks of their own
      const loss = add(losses[0]!, losses[1]!);
      backward(loss);
      optimizer.step();
      return loss;
    };
    const step = record ? recordStep(net.device, body) : undefined;
    const losses: number[] = [];
    for (let i = 0; i < 5; i++) {
      x.set(Float32Array.from(noise([4, 3, 6, 7], 10 + i).data));
      optimizer.lr = 0.05 / (i + 1);
      const loss = step ? step.result : scope(body);
      step?.replay();
      losses.push(await loss.item());
      if (!step) loss.dispose();
    }
    const held = [...net.parameters(), ...net.buffers()];
    const values = await Promise.all(held.map(async ({ tensor: t }) => bytesOf(t)));
    const counts = { passes: net.passes, steps: optimizer.stepCount };
    for (const disposable of [step, optimizer, net, x, labels]) disposable?.dispose();
    return { losses, values, counts };
  }

  it('has the bits of the plain one: losses, weights, masks of dropout, learning rates, counts', async () => {
    await freeGarbage();
    const before = memory();
    const plain = await trained(false);
    expect(await trained(true)).to.deep.equal(plain);
    expect(plain.counts).to.deep.equal({ passes: 10, steps: 5 });
    expect(memory()).to.deep.equal(before);
  });

  it('in evaluation numbers no pass', () => {
    const net = tiny({ steps: 2, channels: 3, size: [6, 7], classes: 3 }).eval();
    const x = tensor(new Float32Array(3 * 6 * 7), { shape: [1, 3, 6, 7] });
    const step = recordStep(net.device, () => noGrad(() => net(x)));
    step.replay();
    expect(net.passes).to.equal(0);
    for (const disposable of [step, net, x]) disposable.dispose();
  });

  for (const [name, make] of Object.entries({ sgd, adamw, lamb })) {
    it(`makes several updates by ${name} as the calls do`, async () => {
      const updated = async (replays: number) => {
        const [w, x, seed] = [parameter(tensor([1, 3])), tensor([2, -1]), tensor([1, 1])];
        using optimizer = make({ lr: 0.1, clipNorm: 1 })([{ name: 'w', tensor: w }]);
        const body = () => {
          for (let i = 0; i < 2; i++) {
            backward(mul(mul(w, x), x), seed);
            optimizer.step();
          }
        };
        if (replays === 0) for (let i = 0; i < 3; i++) scope(body);
        else {
          using step = recordStep(cpu, body);
          for (let i = 0; i < replays; i++) step.replay();
        }
        expect(optimizer.stepCount).to.equal(6);
        return Array.from(await w.array());
      };
      expect(await updated(3)).to.deep.equal(await updated(0));
    });
  }
});

describe('a step recorded in turns', () => {
  it('lets others work, record and replay in between, and takes none of it', async () => {
    await freeGarbage();
    const before = memory();
    const x = tensor(Float32Array.of(-1, 2, 3));
    const other = tensor(Float32Array.of(5));
    const turns: string[] = [];
    const promise = recordStepInTurns(cpu, function* (cut) {
      turns.push('a');
      const y = add(x, x);
      cut();
      yield* untilOver();
      turns.push('b');
      const z = relu(y);
      yield* untilOver();
      turns.push('c');
      return z;
    });
    await nextTurn();
    turns.push('between');
    const inner = recordStep(cpu, () => mul(other, other));
    inner.replay();
    expect(await inner.result.item()).to.equal(25);
    inner.dispose();
    const product = mul(other, other);
    expect(await product.item()).to.equal(25);
    product.dispose();
    const step = await promise;
    expect(turns[0]).to.equal('a');
    expect(turns.indexOf('between')).to.be.within(1, turns.length - 2);
    expect(step.calls).to.equal(2);
    expect(step.parts).to.equal(2);
    step.replay();
    expect([...(await step.result.array())]).to.deep.equal([0, 4, 6]);
    step.dispose();
    for (const t of [x, other]) t.dispose();
    expect(memory()).to.deep.equal(before);
  });

  it('takes inputs that are written meanwhile', async () => {
    const [w, x] = [parameter(tensor([3])), tensor([2])];
    const promise = recordStepInTurns(cpu, function* () {
      const y = mul(w, x);
      yield* untilOver();
      backward(y);
    });
    x.set(Float32Array.of(5));
    const step = await promise;
    step.replay();
    expect(await w.grad!.item()).to.equal(5);
    for (const disposable of [step, w, x]) disposable.dispose();
  });

  it('goes on where two are recorded at once, and keeps nothing of one that fails', async () => {
    const x = tensor(Float32Array.of(-1, 2, 3));
    await freeGarbage();
    const before = memory();
    const chain = function* () {
      const y = add(x, x);
      yield;
      const z = mul(y, x);
      yield;
      return z;
    };
    const failing = function* () {
      add(x, x);
      yield;
      throw new Error('half way');
    };
    const [first, failed, second] = await Promise.allSettled([
      recordStepInTurns(cpu, chain),
      recordStepInTurns(cpu, failing),
      recordStepInTurns(cpu, chain),
    ]);
    expect(failed).to.have.nested.property('reason.message', 'half way');
    for (const { value: step } of [first, second] as PromiseFulfilledResult<RecordedStep<Tensor>>[]) {
      step.replay();
      expect([...(await step.result.array())]).to.deep.equal([2, 8, 18]);
      step.dispose();
    }
    expect(memory()).to.deep.equal(before);
    x.dispose();
  });
});
