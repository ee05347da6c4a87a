// What a recorded step makes, used where it is not, and what its calls write: refused, and counted at every replay.
import { setImmediate as nextTurn } from 'node:timers/promises';
import { expect } from 'chai';
import {
  backward,
  backwardInTurns,
  device,
  parameter,
  recordStep,
  recordStepInTurns,
  SpikeloomError,
  scope,
  stepInput,
  type Tensor,
  tensor,
  zeros,
} from '../../lib/core/index.ts';
import '../../lib/ops/add.ts';
import { sum } from '../../lib/ops/index.ts';
import { mul } from '../../lib/ops/mul.ts';
import { sgdUpdate } from '../../lib/ops/optimizer-updates.ts';
import { relu } from '../../lib/ops/relu.ts';
import { sgd } from '../../lib/optim/index.ts';
import { untilOver } from '../support/turns.ts';

const cpu = device();
const NO_MEMORY = /made while a step is recorded has no memory .* compute it again outside of the recording$/;

describe('what a recorded step makes', () => {
  const x = tensor([1, -2, 3]);
  after(() => x.dispose());

  it('is refused where an input of the step is made of it', () => {
    const body = () => {
      const y = relu(x);
      return stepInput(() => relu(y));
    };
    expect(() => recordStep(cpu, body)).to.throw(SpikeloomError, NO_MEMORY);
  });

  it('is refused where its numbers are read in passing, and nothing is rejected beside that', async () => {
    const UNMADE = /^what is made while a step is recorded has no memory yet, so its numbers cannot be written or read/;
    const read = (y: Tensor) => void y.item().then(String);
    const later = async (y: Tensor) => void [await y.array()];
    const handles = cpu.stats().handles;
    for (const look of [read, later]) {
      const body = () => {
        const y = relu(x.alias([3]));
        look(sum(y));
        return y;
      };
      expect(() => recordStep(cpu, body)).to.throw(SpikeloomError, UNMADE);
      const turns = recordStepInTurns(cpu, function* () {
        yield;
        return body();
      });
      expect(await turns.catch(String)).to.match(/SpikeloomError: what is made while a step is recorded has no memory/);
    }
    await nextTurn(); // an unhandled rejection would end the test
    expect(cpu.stats().handles).to.equal(handles);
    using step = recordStep(cpu, () => relu(x)); // the one before is over
    step.replay();
    expect([...(await step.result.array())]).to.deep.equal([1, 0, 3]);
  });

  it('is refused by calls and by recordings between two turns, and the step is as without them', async () => {
    let made: Tensor | undefined;
    const recorded = recordStepInTurns(cpu, function* () {
      made = relu(x);
      yield* untilOver();
      return relu(made);
    });
    while (!made) await nextTurn();
    expect(() => relu(made!)).to.throw(SpikeloomError, NO_MEMORY);
    expect(() => recordStep(cpu, () => relu(made!))).to.throw(SpikeloomError, NO_MEMORY);
    using step = await recorded;
    step.replay();
    expect([...(await step.result.array())]).to.deep.equal([1, 0, 3]);
  });

  it('is refused before its first replay, but for what else is recorded', async () => {
    const AWAITED = /^f32\[3\] is made by a recorded step that was not replayed yet; replay it first$/;
    using step = recordStep(cpu, () => ({ y: relu(x), same: x.alias([3, 1]) }));
    using next = recordStep(cpu, () => mul(step.result.y, step.result.y));
    const error = await step.result.y.array().then(String, (reason: Error) => reason);
    expect(error).to.be.instanceOf(SpikeloomError).with.property('message').that.matches(AWAITED);
    expect(() => relu(step.result.y)).to.throw(SpikeloomError, AWAITED);
    expect([...(await step.result.same.array())]).to.deep.equal([1, -2, 3]);
    step.replay();
    next.replay();
    expect([...(await next.result.array())]).to.deep.equal([1, 0, 9]);
  });

  it('is refused as the gradient that another backward pass between two turns adds to', async () => {
    const w = parameter(tensor([2, 3]));
    const given = tensor([1, 1]);
    const recorded = recordStepInTurns(cpu, function* () {
      yield* backwardInTurns(mul(w, w), given);
      yield* untilOver();
      return { g: w.grad! };
    });
    while (!w.grad) await nextTurn();
    expect(() => scope(() => backward(mul(w, w), given))).to.throw(SpikeloomError, NO_MEMORY);
    const step = await recorded;
    step.replay();
    expect([...(await step.result.g.array())]).to.deep.equal([4, 6]);
    for (const each of [step, w, given]) each.dispose();
  });
});

describe('what lives on from step to step', () => {
  it('is no parameter that a recorded step makes', () => {
    expect(() => recordStep(cpu, () => parameter(zeros([2])))).to.throw(
      SpikeloomError,
      /^a parameter keeps .* before the/,
    );
    expect(() => recordStep(cpu, () => parameter(relu(zeros([2]))))).to.throw(SpikeloomError, /^a parameter keeps/);
    const before = tensor([1, 2]);
    using step = recordStep(cpu, () => ({ y: mul(parameter(before), before) }));
    expect(step.calls).to.equal(1);
    before.dispose();
  });

  it('is no optimizer that a recorded step makes, whose state would begin anew at every replay', () => {
    const w = parameter(tensor([2, 3]));
    const body = () => void sgd({ lr: 0.5, momentum: 0.9 })([{ name: 'w', tensor: w }]);
    expect(() => recordStep(cpu, body)).to.throw(SpikeloomError, /^an optimizer keeps its state .* before the step$/);
    w.dispose();
  });
});

describe('what the calls of a recorded step write', () => {
  const OVERWRITTEN = /^backward\(\) reads what an op was computed from, but its input \d, f32\[2\], was written since/;
  const given = tensor([1, 1]);
  after(() => given.dispose());

  it('is refused as what a backward pass behind them reads, in the same step', () => {
    const w = parameter(tensor([2, 3]));
    using optimizer = sgd({ lr: 1 })([{ name: 'w', tensor: w }]);
    const body = () => {
      const [first, second] = [mul(w, w), mul(w, w)];
      backward(first, given);
      optimizer.step();
      backward(second, given);
    };
    expect(() => recordStep(cpu, body)).to.throw(SpikeloomError, OVERWRITTEN);
    w.dispose();
  });

  it('counts at every replay, so that a graph made before one cannot be walked behind it', async () => {
    const w = parameter(tensor([2, 3]));
    using optimizer = sgd({ lr: 0.5 })([{ name: 'w', tensor: w }]);
    using step = recordStep(cpu, () => {
      backward(mul(w, w), given);
      optimizer.step();
    });
    scope(() => backward(mul(w, w), given)); // recording has written nothing
    w.freeGrad();
    for (let i = 0; i < 2; i++) {
      scope(() => {
        const y = mul(w, w);
        step.replay();
        expect(() => backward(y, given)).to.throw(SpikeloomError, OVERWRITTEN);
      });
    }
    scope(() => backward(mul(w, w), given));
    expect([...(await w.array())]).to.deep.equal([0, 0]);
    w.dispose();
  });

  it('counts for updates without an optimizer, too', () => {
    const w = parameter(tensor([2, 3]));
    scope(() => {
      const y = mul(w, w);
      sgdUpdate(tensor([1]), { w, g: given, weightDecay: 0 });
      expect(() => backward(y, given)).to.throw(SpikeloomError, OVERWRITTEN);
    });
    w.dispose();
  });
});
