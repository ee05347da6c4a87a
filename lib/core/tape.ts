// The autograd tape: every tensor computed from one that needs a gradient remembers how; backward() walks back in
// order.
import type { DType, RealType } from './dtype.ts';
import { SpikeloomError } from './errors.ts';
import { isGenerator, isPromise, kindOf, needArguments } from './options.ts';
import { noteGradient, recordingUnderWay, timesWritten } from './step.ts';
import { describe, isTensor, keep, needTensors, scope, type Tensor } from './tensor.ts';
import { runToEnd } from './turns.ts';

/**
 * Gradients of the outputs (undefined: none arrived) to an array of gradients of the inputs (undefined: none), each of
 * its input's shape and type; those of f32 and bf16 may be either, those of spikes f32, f64 or bf16.
 *
 * A tensor that several nodes read gets the sum of their gradients, by a pass of its own for each but the first. A node
 * whose kernel can add as it writes calls take(i): it gets what has arrived so far for input i (undefined: nothing) and
 * thereby promises to give back the sum of that and its own gradient. What was taken stays the tape's.
 */
export type Backward = (
  grads: (Tensor | undefined)[],
  needs: boolean[],
  take: (input: number) => Tensor | undefined,
) => (Tensor | undefined)[];

export interface Node {
  order: number;
  inputs: (Tensor | undefined)[];
  outputs: Tensor[];
  /** How often each input had been written; undefined: its gradient does not read it. */
  writes: (number | undefined)[];
  /** The recording that it was made in, whose writes these are. */
  step: object | undefined;
  backward: Backward;
  /** Whether inputs stand for what is never made, and gradients have shapes and types of their own. */
  standIns: boolean;
  done: boolean;
}

let recording = true;
let order = 0;

/**
 * Runs `body` without recording: for evaluation and for updates. `body` is synchronous: a promise or a generator is
 * refused, since what it does later would be recorded.
 */
export function noGrad<R>(body: () => R): R {
  needArguments('noGrad()', 'a function', { body });
  const before = recording;
  recording = false;
  try {
    const result = body();
    if (isPromise(result) || isGenerator(result)) refuseLater(result);
    return result;
  } finally {
    recording = before;
  }
}

function refuseLater(result: unknown): never {
  if (isPromise(result)) Promise.resolve(result).catch(() => {}); // what it says is not what was wrong
  throw new SpikeloomError(
    `noGrad() ends when its function returns, and what follows is recorded again, but this one returned ${kindOf(result)}; call noGrad() within it, around what is computed between two turns`,
  );
}

/** The turns of a generator without recording; what runs between them is recorded as before. */
export function* noGradInTurns<R>(turns: Generator<void, R, void>): Generator<void, R, void> {
  for (let turn = noGrad(() => turns.next()); ; turn = noGrad(() => turns.next())) {
    if (turn.done) return turn.value;
    yield;
  }
}

export const isRecording = (): boolean => recording;

/** Whether a gradient will be asked for through any of these. */
export const needsGrad = (...inputs: (Tensor | undefined)[]): boolean =>
  recording && inputs.some((t) => t?.requiresGrad);

/**
 * Enters `outputs = f(inputs)` on the tape, if any input needs a gradient.
 * @param unread numbers of the inputs that `backward` does not read: they may be written before it runs
 * @throws SpikeloomError for an output that was entered before or is a parameter: its gradient would be lost; from
 * backward() where `backward` gives anything but gradients that fit the inputs, and where
 * set() or an optimizer has written into an input that it reads
 */
export function record(
  outputs: Tensor[],
  inputs: (Tensor | undefined)[],
  backward: Backward,
  unread: readonly number[] = [],
): void {
  enter(outputs, inputs, backward, unread, false);
}

/** @internal record() with inputs that stand for what is never made: their gradients may have any shape and type. */
export function recordStandIns(outputs: Tensor[], inputs: (Tensor | undefined)[], backward: Backward): void {
  enter(outputs, inputs, backward, [], true);
}

function enter(
  outputs: Tensor[],
  inputs: (Tensor | undefined)[],
  backward: Backward,
  unread: readonly number[],
  standIns: boolean,
): void {
  needArguments('record()', 'an array', { outputs, inputs });
  needArguments('record()', 'a function', { backward });
  if (!needsGrad(...inputs)) return;
  outputs.forEach(refuseHistory);
  const writes = inputs.map((input, i) => (input && !unread.includes(i) ? timesWritten(input) : undefined));
  const step = recordingUnderWay();
  const node: Node = { order: order++, inputs, outputs, writes, step, backward, standIns, done: false };
  for (const output of outputs) {
    output.requiresGrad = true;
    output.node = node;
  }
}

/** Refuses an output whose own gradient would be lost. */
function refuseHistory(output: Tensor, i: number): void {
  if (!output.requiresGrad) return;
  const what = output.node ? 'was entered before' : 'is a parameter';
  throw new SpikeloomError(
    `record() enters what was made by calls that are not recorded, but output ${i}, ${describe(output)}, ${what}; make it within noGrad()`,
  );
}

/** Tensors that the backward pass recomputes. */
const recomputed = new WeakMap<Tensor, { again: () => Tensor; made?: Tensor | undefined }>();

/**
 * Makes gradients that ask for `t` by {@link forBackward} recompute it instead of keeping it since the forward pass: a
 * recorded step holds no memory for it between the two passes. For what is cheap to compute for its size. A tensor that
 * is not on the tape stays as it is.
 * @param again makes t once more, to the same bits
 */
export function recomputeForBackward(t: Tensor, again: () => Tensor): void {
  if (t.node) recomputed.set(t, { again });
}

/**
 * `t` for a gradient: itself, or recomputed at the first call and freed when backward() reaches the node that made t.
 */
export function forBackward(t: Tensor): Tensor {
  const held = recomputed.get(t);
  if (!held) return t;
  held.made ??= keep(noGrad(held.again));
  return held.made;
}

function dropRecomputed(t: Tensor): void {
  const held = recomputed.get(t);
  held?.made?.dispose();
  if (held) held.made = undefined;
}

function reachable(from: Tensor): Node[] {
  const found = new Set<Node>();
  const open = [from.node];
  while (open.length > 0) {
    const node = open.pop();
    if (!node || found.has(node)) continue;
    found.add(node);
    for (const input of node.inputs) if (input?.node) open.push(input.node);
  }
  return [...found].sort((a, b) => b.order - a.order);
}

/** @internal The tensors that backward() will leave a gradient with: parameters that `loss` was computed from. */
export function leavesOf(loss: Tensor): Set<Tensor> {
  const inputs = reachable(loss).flatMap((node) => node.inputs);
  return new Set(inputs.filter((input) => input?.requiresGrad && !input.node) as Tensor[]);
}

/** How gradients are summed and converted and how 1 is made; set by lib/ops/add.ts, since core knows no op. */
export interface Sums {
  add(a: Tensor, b: Tensor): Tensor;
  inReal(x: Tensor, real: RealType): Tensor;
  one(like: Tensor): Tensor;
}
let sums: Sums | undefined;
/** @internal */
export const provideSums = (provided: Sums): void => {
  sums = provided;
};

function deliver(arrived: Map<Tensor, Tensor>, input: Tensor, grad: Tensor): void {
  const before = arrived.get(input);
  if (!before) {
    arrived.set(input, grad);
    return;
  }
  const sum = scope(() => sums!.add(before, inTypeOf(before.dtype, grad)));
  arrived.set(input, sum);
  before.dispose();
  grad.dispose();
}

/** A gradient as one of f64 where `type` is that, of f32 where it is f32 or bf16. */
function inTypeOf(type: DType, grad: Tensor): Tensor {
  if (fits(grad.dtype, type)) return grad;
  return sums!.inReal(grad, type === 'f64' ? 'f64' : 'f32');
}

/** What arrived for spikes, in the type of who read them, in that of the node, unless the node only moves them. */
function inTypeFor({ inputs }: Node, spikes: Tensor, grad: Tensor): Tensor {
  const type = inputs.find((input) => input && REAL.includes(input.dtype))?.dtype;
  return spikes.dtype === 'spike' && type ? inTypeOf(type, grad) : grad;
}

const REAL: readonly DType[] = ['f32', 'f64', 'bf16'];

/** Whether tensors of a type may have gradients of another one: f32 and bf16 go together, spikes have any. */
const fits = (grad: DType, of: DType): boolean =>
  grad === of || (REAL.includes(grad) && (!REAL.includes(of) || (grad !== 'f64' && of !== 'f64')));

const isGradientOf = (grad: Tensor, of: Tensor): boolean =>
  isTensor(grad) &&
  fits(grad.dtype, of.dtype) &&
  grad.shape.length === of.shape.length &&
  grad.shape.every((size, i) => size === of.shape[i]);

/** Refuses what a gradient gives for input number `i`, if it is none of that input. */
function checkGradient(grad: Tensor, input: Tensor, i: number): void {
  if (isGradientOf(grad, input)) return;
  const given = isTensor(grad) ? describe(grad) : kindOf(grad);
  throw new SpikeloomError(
    `what record() was given gives gradients of the shapes and types of the inputs, or undefined for none, but for input ${i}, ${describe(input)}, it gave ${given}`,
  );
}

/** Calls one node's gradient. Temporaries are freed, and every result is a handle of its own. */
function gradientsOf(node: Node, grads: (Tensor | undefined)[], arrived: Map<Tensor, Tensor>): (Tensor | undefined)[] {
  const needs = node.inputs.map((input) => input?.requiresGrad ?? false);
  const taken = new Map<number, Tensor>();
  const take = (i: number): Tensor | undefined => {
    const input = node.inputs[i];
    const grad = input && arrived.get(input);
    if (!grad || !needs[i]) return undefined;
    arrived.delete(input);
    taken.set(i, grad);
    return inTypeFor(node, input, grad);
  };
  const results = scope(() => {
    const own = grads.map((grad, i) => grad && inTypeFor(node, node.outputs[i]!, grad));
    const given = node.backward(own, needs, take);
    if (!Array.isArray(given))
      throw new SpikeloomError(
        `what record() was given gives an array, a tensor or undefined for every input, but it gave ${kindOf(given)}`,
      );
    const seen = new Set<Tensor | undefined>([...grads, ...taken.values()]);
    return node.inputs.map((input, i) => {
      const grad = given[i];
      if (grad === undefined || grad === null || !needs[i]) return undefined;
      if (!node.standIns) checkGradient(grad, input!, i);
      const shared = seen.has(grad);
      seen.add(grad);
      return shared ? grad.alias(grad.shape) : grad;
    });
  });
  for (const [i, grad] of taken) {
    if (!results[i])
      throw new SpikeloomError(
        `a gradient that takes what arrived for input ${i} must give back the sum, but it gave nothing`,
      );
    grad.dispose();
  }
  return results;
}

/**
 * Computes the derivative of `loss` with respect to every tensor it was computed from that has requiresGrad and was not
 * computed itself (parameters), and adds it to their `grad`. The graph can be walked once.
 *
 * @param loss one element, unless `gradient` (dL/dloss, same shape and dtype; real for spikes) is given
 * @throws SpikeloomError for a loss or a gradient that is none, for a graph that was walked before, and where set() has
 * written into what it was computed from
 */
export function backward(loss: Tensor, gradient?: Tensor): void {
  runToEnd(backwardInTurns(loss, gradient));
}

/** The same as a generator that yields between the calls of two nodes, for {@link recordStepInTurns}. */
export function* backwardInTurns(loss: Tensor, gradient?: Tensor): Generator<void, void, void> {
  needTensors('backward()', { loss, ...(gradient && { gradient }) });
  if (!loss.requiresGrad)
    throw new SpikeloomError('backward() needs a tensor that was computed from parameters outside of noGrad()');
  if (!gradient && loss.size !== 1) {
    throw new SpikeloomError(
      `backward() starts at one number, not at ${describe(loss)}; reduce it or give the gradient to start with`,
    );
  }
  if (gradient && !isGradientOf(gradient, loss)) {
    throw new SpikeloomError(
      `backward() starts with a gradient of the shape and type of the tensor, ${describe(loss)}, not with ${describe(gradient)}`,
    );
  }
  if (loss.node?.done) throw new SpikeloomError('backward() was called before on this tensor; compute it again');
  const nodes = reachable(loss);
  nodes.forEach(refuseOverwritten);
  const start = () => (gradient ? gradient.alias(gradient.shape) : sums!.one(loss));
  const arrived = new Map<Tensor, Tensor>([[loss, noGrad(start)]]);
  for (const node of nodes) {
    refuseOverwritten(node); // by what ran between two turns
    noGrad(() => walk(node, arrived));
    yield;
  }
  noGrad(() => leaveWithLeaves(arrived));
}

/**
 * Refuses to go on from other numbers than those of the forward pass. A step that is recorded has none yet, and counts
 * what its calls write.
 */
function refuseOverwritten({ inputs, writes, step }: Node): void {
  if (step !== recordingUnderWay()) return;
  const i = inputs.findIndex((input, at) => writes[at] !== undefined && timesWritten(input!) !== writes[at]);
  if (i < 0) return;
  throw new SpikeloomError(
    `backward() reads what an op was computed from, but its input ${i}, ${describe(inputs[i]!)}, was written since, by set() or an optimizer's step; call backward() before that, or write into another tensor`,
  );
}

/** One node of the backward pass: from the gradients of its outputs to those of its inputs. */
function walk(node: Node, arrived: Map<Tensor, Tensor>): void {
  if (node.done)
    throw new SpikeloomError('backward() reached a part of the graph that was walked before; compute it again');
  const grads = node.outputs.map((output) => arrived.get(output));
  node.done = true;
  for (const output of node.outputs) dropRecomputed(output);
  if (grads.every((grad) => grad === undefined)) return;
  const results = gradientsOf(node, grads, arrived);
  node.inputs.forEach((input, i) => {
    const grad = results[i];
    if (input && grad) deliver(arrived, input, grad);
  });
  for (const output of node.outputs) {
    arrived.get(output)?.dispose();
    arrived.delete(output);
  }
}

function leaveWithLeaves(arrived: Map<Tensor, Tensor>): void {
  for (const [leaf, grad] of arrived) {
    noteGradient(leaf);
    const before = leaf.grad;
    leaf.grad = keep(before ? sums!.add(before, grad) : grad);
    if (!before) continue;
    before.dispose();
    grad.dispose();
  }
}
