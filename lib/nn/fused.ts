// Groups of layers that run together: convolution, batch norm, residual sum, attention and neurons. What lies between
// the convolution and the spikes is never held in memory (see fire() in the ops). A net that shows its layers (onLayer)
// or has `fused` off runs them one by one; the result is the same function.
import { elements, type Tensor } from '../core/index.ts';
import { conv2dWithMoments } from '../ops/conv2d.ts';
import { fire, type Normalised } from '../ops/current.ts';
import type { PlannedLayer, Run } from './layer.ts';
import { convolutionOf } from './layers/conv2d.ts';
import { attentionOf } from './layers/fsta.ts';
import { neuronOf } from './layers/neurons.ts';
import { normOf } from './layers/norm.ts';

/** A list of layers that ends with a convolution and its norm. */
interface Branch {
  readonly before: readonly PlannedLayer[];
  readonly conv: PlannedLayer;
  readonly norm: PlannedLayer;
}

export interface FiringGroup {
  /** Kind of the layers that read the group's input, where all are of one kind. */
  readonly start: string | undefined;
  readonly main: Branch;
  /** What is added to the current: what the group starts from, or another branch from it. */
  readonly residual: Branch | 'identity' | undefined;
  readonly attention: PlannedLayer | undefined;
  readonly neuron: PlannedLayer;
  /** How many layers of the list it takes. */
  readonly length: number;
}

/**
 * A convolution of at most so many products an output (of an image's few channels, depthwise, or 1x1) is always recomputed
 * in the backward pass: it takes little time beside what its output takes of the memory.
 */
const CHEAP_PRODUCTS = 64;

/** Neurons that fire() has. Others run by themselves, behind a norm that is held in memory. */
const neurons = new Set(['lif', 'if', 'plif']);

function branchOf(layers: readonly PlannedLayer[]): Branch | undefined {
  const [conv, norm] = layers.slice(-2);
  if (conv?.layer.kind !== 'conv2d' || norm?.layer.kind !== 'norm') return undefined;
  return { before: layers.slice(0, -2), conv, norm };
}

function residualOf(planned: PlannedLayer): Pick<FiringGroup, 'main' | 'residual'> | undefined {
  const { body = [], shortcut = [] } = planned.children;
  const main = branchOf(body);
  const residual = shortcut.length > 0 ? branchOf(shortcut) : 'identity';
  return main && residual && { main, residual };
}

function groupAt(layers: readonly PlannedLayer[], at: number): FiringGroup | undefined {
  const isResidual = layers[at]?.layer.kind === 'residual';
  const main = isResidual ? undefined : branchOf(layers.slice(at, at + 2));
  const start = isResidual ? residualOf(layers[at]!) : main && { main, residual: undefined };
  if (!start) return undefined;
  const next = at + (isResidual ? 1 : 2);
  const attention = layers[next]?.layer.kind === 'fsta' ? layers[next] : undefined;
  const end = attention ? next + 1 : next;
  const neuron = layers[end];
  if (!neuron || !neurons.has(neuron.layer.kind)) return undefined;
  const readers = [start.main, start.residual].flatMap((branch) =>
    branch && branch !== 'identity' ? [(branch.before[0] ?? branch.conv).layer.kind] : [],
  );
  const kind = new Set(readers).size === 1 ? readers[0] : undefined;
  return { ...start, start: kind, attention, neuron, length: end + 1 - at };
}

const found = new WeakMap<readonly PlannedLayer[], (FiringGroup | undefined)[]>();

/** The group that starts at this place of a list, if there is one. */
export function firingGroup(layers: readonly PlannedLayer[], at: number): FiringGroup | undefined {
  let groups = found.get(layers);
  if (!groups) {
    groups = layers.map((_, i) => groupAt(layers, i));
    found.set(layers, groups);
  }
  return groups[at];
}

export interface GroupRun {
  /** Time steps of the result; an input of one step is used for all of them. */
  readonly steps: number;
  readonly precision: 'fp32' | 'bf16';
  /** Whether all convolutions are recomputed in the backward pass. */
  readonly recompute: boolean;
  run(planned: PlannedLayer): Run;
  list(layers: readonly PlannedLayer[], x: Tensor): Tensor;
}

function normalised(branch: Branch, x: Tensor, context: GroupRun): Normalised {
  const input = branch.before.length > 0 ? context.list(branch.before, x) : x;
  const { w, ...options } = convolutionOf(branch.conv.layer, context.run(branch.conv));
  const precision = context.precision === 'bf16' ? 'bf16' : undefined;
  const recompute = context.recompute || elements(w.shape.slice(1)) <= CHEAP_PRODUCTS;
  const made = conv2dWithMoments(input, w, { ...options, precision, recompute });
  return { ...made, norm: normOf(branch.norm.layer, context.run(branch.norm)) };
}

/** Spikes of a group, from its input; yields behind its convolutions. */
export function* runGroup(group: FiringGroup, x: Tensor, context: GroupRun): Generator<void, Tensor, void> {
  const { attention, neuron, residual } = group;
  const { y, ...main } = normalised(group.main, x, context);
  yield;
  const added = residual === 'identity' ? x : residual && normalised(residual, x, context);
  yield;
  return fire(y, {
    ...main,
    residual: added,
    fsta: attention && attentionOf(attention.layer, context.run(attention)),
    neuron: neuronOf(neuron.layer, context.run(neuron)),
    steps: context.steps,
  });
}
