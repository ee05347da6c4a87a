import { expect } from 'chai';
import type { Call } from '../../bench/calls.ts';
import { describeCall, watchCalls } from '../../bench/calls.ts';
import { attainable, bandwidthAt, type Ceilings, computeCeiling } from '../../bench/ceilings.ts';
import { bytesOf, costedOps, costOf } from '../../bench/cost.ts';
import { collectCases, disposeCases, refuseUntimed } from '../../bench/ops.ts';
import { caseSets, NOT_TIMED } from '../../bench/ops-cases.ts';
import { median } from '../../bench/options.ts';
import { sharesOf } from '../../bench/roofline.ts';
import { prepareTraining } from '../../bench/training.ts';
import { keep, opTable, recordStep, scope, zeros } from '../../lib/core/index.ts';
import { add } from '../../lib/ops/index.ts';

const tiny = {
  model: 'fsta-resnet20',
  steps: 2,
  batch: 2,
  size: 16,
  channels: 3,
  classes: 10,
  width: 8,
  attention: 'fsta',
  device: 'cpu',
  threads: 1,
  precision: 'fp32',
  warmup: 0,
  repeats: 1,
  seed: 0,
} as const;

const f32 = (...shape: number[]) => ({ dtype: 'f32', shape }) as const;

const ceilings: Ceilings = {
  threads: 1,
  vectors: 'avx2',
  bandwidth: [
    { bytes: 1000, copy: 90, triad: 100, update: 120, read: 200 },
    { bytes: 10_000, copy: 50, triad: 40, update: 60, read: 80 },
  ],
  f32: 10,
  bf16: 100,
};

describe('bench: what calls cost', () => {
  it('the median lies between the middle numbers and leaves the list alone', () => {
    const numbers = [10, 2, 9];
    expect(median(numbers)).to.equal(9);
    expect(median([4, 1, 2, 3])).to.equal(2.5);
    expect(numbers).to.deep.equal([10, 2, 9]);
  });

  it('spikes cost a bit each, in words of 32 channels', () => {
    expect(bytesOf({ dtype: 'spike', shape: [2, 3, 33, 5, 5] })).to.equal(2 * 3 * 25 * 2 * 4);
    expect(bytesOf({ dtype: 'bf16', shape: [2, 3, 33, 5, 5] })).to.equal(2 * 3 * 25 * 33 * 2);
  });

  it('a part of a tensor costs the part, and zeros around it the whole', () => {
    const [whole, part] = [f32(8, 100), f32(1, 100)];
    const bytes = (op: string, inputs: Call['inputs'], attributes: Call['attributes'] = {}) =>
      costOf({ op, inputs, outputs: {}, attributes: { axis: 0, from: 2, ...attributes } }).bytes;
    expect(bytes('slice', { x: whole, y: part })).to.equal(2 * 400);
    expect(bytes('addPart', { x: part, y: whole })).to.equal(3 * 400);
    expect(bytes('place', { x: part, y: whole }, { clear: false })).to.equal(2 * 400);
    expect(bytes('place', { x: part, y: whole }, { clear: true })).to.equal(9 * 400);
    expect(bytes('permute', { x: whole, y: f32(100, 8) })).to.equal(2 * 3200);
  });

  it('a product counts every batch, of a shared factor as well', () => {
    const flops = (a: number[], b: number[], attributes: Call['attributes']) =>
      costOf({ op: 'matmul', inputs: { a: f32(...a), b: f32(...b), y: f32(1) }, outputs: {}, attributes }).flops;
    expect(flops([3, 4, 5], [3, 5, 6], { ta: false, tb: false })).to.equal(2 * 3 * 4 * 5 * 6);
    expect(flops([3, 5, 4], [6, 5], { ta: true, tb: true })).to.equal(2 * 3 * 4 * 5 * 6);
    expect(flops([5, 4], [3, 5, 6], { ta: true, tb: false })).to.equal(2 * 3 * 4 * 5 * 6);
  });

  it('a convolution counts the products that meet the picture', () => {
    const window = { sh: 1, sw: 1, ph: 1, pw: 1 };
    const on = (size: number): Call => ({
      op: 'conv2d',
      inputs: { x: f32(1, 1, 4, size, size), w: f32(8, 4, 3, 3) },
      outputs: { y: f32(1, 1, 8, size, size) },
      attributes: window,
    });
    expect(costOf(on(1)).flops).to.equal(2 * 4 * 8);
    expect(costOf(on(3)).flops).to.equal(2 * 4 * 8 * 7 * 7);
    expect(costOf(on(3)).bytes).to.equal(4 * (4 * 9 + 8 * 4 * 9 + 8 * 9));
    expect(costOf(on(3)).products).to.equal('split');
  });

  it('with groups it counts the products of a group, with dilation those taps that meet the picture', () => {
    const call = (dilation: number): Call => ({
      op: 'groupConv2d',
      inputs: { x: f32(1, 1, 4, 5, 5), w: f32(8, 2, 3, 3) },
      outputs: { y: f32(1, 1, 8, 5, 5) },
      attributes: { sh: 1, sw: 1, ph: dilation, pw: dilation, dh: dilation, dw: dilation },
    });
    expect(costOf(call(1)).flops).to.equal(2 * 2 * 8 * 13 * 13);
    expect(costOf(call(2)).flops).to.equal(2 * 2 * 8 * 11 * 11);
    expect(costOf(call(2)).products).to.equal('plain');
  });

  it('what is updated in place is read and written', () => {
    const inputs = { w: f32(100), g: f32(100), hyper: f32(1) };
    const cost = costOf({ op: 'sgdUpdate', inputs, outputs: {}, attributes: { weightDecay: 0 } });
    expect(cost).to.include({ bytes: 1204, traffic: 'update' });
  });

  it('what makes little of much is read, what makes another array is streamed', () => {
    const call = (op: string, y: number[]): Call => ({
      op,
      inputs: { x: f32(2, 3, 4, 8, 8) },
      outputs: { y: f32(...y) },
      attributes: {},
    });
    expect(costOf(call('globalAvgPool', [2, 3, 4])).traffic).to.equal('read');
    expect(costOf(call('relu', [2, 3, 4, 8, 8])).traffic).to.equal('stream');
  });

  it('ceilings lie between the measured sizes, and the slower of bytes and operations bounds', () => {
    expect(bandwidthAt(ceilings, 1, 'stream')).to.equal(100);
    expect(bandwidthAt(ceilings, 1e9, 'stream')).to.equal(50);
    expect(bandwidthAt(ceilings, Math.sqrt(1000 * 10_000), 'stream')).to.be.closeTo(75, 1e-9);
    expect(bandwidthAt(ceilings, 1, 'update')).to.equal(120);
    expect(bandwidthAt(ceilings, 1e9, 'read')).to.equal(80);
    expect(computeCeiling(ceilings, 'bits')).to.be.closeTo(100 / 3, 1e-9);
    expect(computeCeiling({ ...ceilings, bf16: undefined }, 'bf16')).to.equal(10);
    expect(computeCeiling({ ...ceilings, bf16: undefined, i16: 20 }, 'bf16')).to.equal(20);
    expect(computeCeiling({ ...ceilings, bf16: undefined, i16: 20 }, 'bits')).to.equal(10);
    expect(attainable(ceilings, { bytes: 1000, flops: 1, products: 'plain', traffic: 'stream' })).to.include({
      seconds: 10,
      bound: 'memory',
    });
    expect(attainable(ceilings, { bytes: 1000, flops: 5000, products: 'bf16', traffic: 'read' })).to.include({
      seconds: 50,
      bound: 'compute',
    });
  });

  it('a call is described by its large tensors', () => {
    const call: Call = { op: 'lif', inputs: { x: f32(2, 500), logit: f32(1) }, outputs: {}, attributes: {} };
    expect(describeCall({ ...call, outputs: { s: { dtype: 'spike', shape: [2, 500] } } })).to.equal(
      'x 2x500 -> s spike 2x500',
    );
  });
});

describe('bench: calls of a step', () => {
  it('watching notes every call and ends with the work', () => {
    const seen: string[] = [];
    const x = keep(zeros([4]));
    scope(() =>
      watchCalls(
        () => add(x, x),
        ({ op }) => void seen.push(op),
      ),
    );
    scope(() => add(x, x));
    expect(() =>
      watchCalls(
        () => {
          throw new Error('stop');
        },
        () => {},
      ),
    ).to.throw('stop');
    scope(() => add(x, x));
    expect(seen).to.deep.equal(['add']);
    x.dispose();
  });

  it('every op of the addon has a cost, and a case or a reason', () => {
    expect([...opTable().keys()].filter((name) => !costedOps().includes(name))).to.deep.equal([]);
    expect(costedOps().filter((name) => !opTable().has(name))).to.deep.equal([]);
    expect(Object.keys(NOT_TIMED).filter((name) => !opTable().has(name))).to.deep.equal([]);
    const timed = new Set<string>();
    const known = new Set<string>();
    for (const makeSet of caseSets(tiny)) {
      const set = makeSet();
      const cases = collectCases(set, known);
      for (const { call } of cases) {
        const { bytes, flops } = costOf(call);
        expect(bytes, call.op).to.be.greaterThan(0);
        expect(flops, call.op).to.be.at.least(0);
        timed.add(call.op);
      }
      disposeCases(cases);
      set.dispose();
    }
    refuseUntimed(timed);
    timed.delete('lif');
    expect(() => refuseUntimed(timed)).to.throw('nothing calls lif;');
  });

  it('a timed replay of a step times every call that the recording noted, and trains', async () => {
    const { net, step: body, dispose } = prepareTraining(tiny);
    const calls: Call[] = [];
    const step = watchCalls(
      () => recordStep(net.device, body),
      (call) => void calls.push(call),
    );
    const before = await net.parameters()[0]!.tensor.array();
    const seconds = await step.replayTimed();
    expect(seconds.length).to.equal(step.calls).and.to.equal(calls.length);
    expect([...seconds].every((s) => s > 0 && s < 60)).to.equal(true);
    expect(await net.parameters()[0]!.tensor.array()).to.not.deep.equal(before);
    const shares = sharesOf(calls, seconds, ceilings);
    expect(shares.reduce((n, { calls: count }) => n + count, 0)).to.equal(calls.length);
    const total = seconds.reduce((n, s) => n + s, 0);
    expect(shares.reduce((n, { measured_s }) => n + measured_s, 0)).to.be.closeTo(total, 1e-9);
    step.dispose();
    await expectRejection(step.replayTimed());
    dispose();
  });
});

async function expectRejection(promise: Promise<unknown>): Promise<void> {
  const error = await promise.then(
    () => undefined,
    (reason: Error) => reason,
  );
  expect(error?.message).to.include('dispose()');
}
