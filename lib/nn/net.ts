// A model with memory: parameters, running statistics and the forward pass. The gradients are the tape's.
import { OutOfMemoryError, SpikeloomError } from '../core/errors.ts';
import {
  beforeReplay,
  type Device,
  describe,
  device,
  elements,
  isRecording,
  isStepRecording,
  keep,
  needTensors,
  noGrad,
  parameter,
  type RealType,
  runToEnd,
  scope,
  stepInput,
  type Tensor,
  tensor,
} from '../core/index.ts';
import { given, kindOf, needOptions } from '../core/options.ts';
import { repeatOverTime } from '../ops/repeat-over-time.ts';
import { reshape } from '../ops/reshape.ts';
import { spikeCount } from '../ops/spike-count.ts';
import { realGradient, toReal } from '../ops/to-real.ts';
import { type FiringGroup, firingGroup, runGroup } from './fused.ts';
import { fillInitial, hashName } from './init.ts';
import type { PlannedLayer, Run } from './layer.ts';
import { type ModelJson, ModelPlan, type PlanOptions } from './plan.ts';
import type { Summary, SummaryOptions } from './summary.ts';

/**
 * 'bf16': what convolutions make, and the gradients with respect to it and to what they read, are stored as bf16, and
 * their factors are rounded to it; likewise of linear layers in front of neurons, but for the gradients with respect to
 * what they read, which are f32. Other linear layers (heads) compute in f32. Parameters, their gradients, statistics,
 * membranes and all sums stay f32.
 */
export type Precision = 'fp32' | 'bf16';

export interface NetOptions {
  /** Of the start values and of dropout; an integer from 0 to 2^53 - 1. Default 0. */
  seed?: number | undefined;
  /** Type of parameters and arithmetic. Default 'f32'. */
  dtype?: RealType | undefined;
  /** Of convolutions and linear layers. Default 'fp32'; 'bf16' needs dtype 'f32'. */
  precision?: Precision | undefined;
  /**
   * Recompute the convolutions in front of lif(), ifNode() and plif() in the backward pass instead of keeping their
   * outputs: less memory for more time (`npm run bench -- step --recompute` measures both). The numbers stay the same. Default false.
   */
  recompute?: boolean | undefined;
  /** Default 'cpu'. */
  device?: string | Device | undefined;
}

/** @internal */
export const NET_DEFAULTS = { seed: 0, dtype: 'f32', precision: 'fp32', recompute: false, device: 'cpu' } as const;

export interface NamedTensor {
  /** Path of the layer and role, e.g. `layer1.0.conv1.weight`. */
  name: string;
  tensor: Tensor;
}

/** Spikes of one neuron layer in the last forward pass. */
export interface FiringCount {
  /** Path of the layer. */
  name: string;
  /** Their number, over T and the batch, on the device: see spikeCount() in the ops. */
  spikes: Tensor;
  /** Neurons; the firing rate is spikes / (T batch neurons). */
  neurons: number;
}

/** @internal Refuses what is not a network. */
export function needNet(of: string, net: unknown): void {
  if (typeof (net as Net | undefined)?.forwardInTurns !== 'function')
    throw new SpikeloomError(`${of} takes a network, as define() and Net.fromJSON() make it`);
}

/** Memory for the start values of the largest tensor. @throws OutOfMemoryError for more than JavaScript has in one piece */
function roomFor(bytes: number): ArrayBuffer {
  try {
    return new ArrayBuffer(bytes, { maxByteLength: bytes });
  } catch (error) {
    const message = `out of memory: the largest tensor of a network starts in one piece of memory, but there is none of ${bytes} bytes; make it smaller`;
    throw new OutOfMemoryError(message, { cause: error });
  }
}

/** Functions that are instances of their class: what makes `net(x)` work. */
const Callable = class {
  constructor() {
    const call = (x: Tensor): Tensor => (call as unknown as Net).forward(x);
    // biome-ignore lint/correctness/noConstructorReturn: the instance is the function
    return Object.setPrototypeOf(call, new.target.prototype);
  }
};

/** `net(x)` is `net.forward(x)`. */
export interface Net extends Compute {}
type Compute = (x: Tensor) => Tensor;

/** What a pass does otherwise than the net is set to; passes of a net may be under way at the same time. */
export interface PassOptions {
  /** Whether batch norm uses the batch's statistics and dropout drops. Default: net.training. */
  training?: boolean | undefined;
  /** Takes the spikes of every neuron layer, which are the caller's to free. Default: net.firing with trackFiring. */
  firing?: FiringCount[] | undefined;
}

/** State of a forward pass. An image is computed for one step until a layer needs all of them. */
interface Pass {
  readonly training: boolean;
  readonly firing: FiringCount[] | undefined;
  /** Number of this pass, for dropout. */
  readonly counter: Tensor;
  /** How many equal time steps the single one represents: T at first, then 1. */
  repeats: number;
  /** Whether what flows now was made by an op that takes its gradient in bf16. */
  rounded: boolean;
}

/** Whether the layers that read a network's input, which plans call numbers, take spikes for them. */
function takesSpikes(layers: readonly PlannedLayer[]): boolean {
  const first = layers.find(({ layer }) => layer.kind !== 'flatten');
  if (first?.layer.kind === 'residual') return Object.values(first.children).every(takesSpikes);
  return first === undefined || first.kind.readsSpikes === true;
}

function freeAll(counts: readonly FiringCount[]): void {
  for (const { spikes } of counts) spikes.dispose();
}

/**
 * A network that computes. Made by a factory of define(), by Net.fromJSON(), or from a plan.
 * @example const logits = net(images); backward(crossEntropy(logits, labels));
 */
// biome-ignore lint/suspicious/noUnsafeDeclarationMerging: the call signature is Callable's
export class Net extends Callable {
  readonly plan: ModelPlan;
  readonly dtype: RealType;
  readonly precision: Precision;
  readonly recompute: boolean;
  readonly device: Device;
  /** Whether convolution, norm, residual sum, attention and neurons run together: see lib/nn/fused.ts. */
  fused = true;
  readonly seed: number;
  /** Whether batch norm uses the batch's statistics and dropout drops: train() and eval(). */
  training = true;
  /** Whether forward() counts spikes into `firing`. */
  trackFiring = false;
  /** Spikes per neuron layer of the last forward pass with trackFiring. The net owns the tensors until the next one. */
  firing: FiringCount[] = [];
  /**
   * Called with the path and output of every layer as it is queued (one time step, until an image is repeated over
   * time), and whether the pass is one of training. Under noGrad() the output is freed soon after the call.
   */
  onLayer: ((path: string, output: Tensor, training: boolean) => void) | undefined;
  /** Training passes so far. It numbers the masks of dropout: a resumed run sets it to where it was. */
  passes = 0;
  readonly #tensors = new Map<string, Tensor>();
  readonly #parameters: NamedTensor[] = [];
  readonly #buffers: NamedTensor[] = [];

  constructor(plan: ModelPlan, options: NetOptions = {}) {
    super();
    if (typeof plan?.walk !== 'function') {
      throw new SpikeloomError('a network is made of a ModelPlan; of JSON by Net.fromJSON(), of a design by define()');
    }
    needOptions('a network', options, NET_DEFAULTS);
    const { seed, dtype, precision, recompute, device: on } = { ...NET_DEFAULTS, ...given(options) };
    if (!Number.isSafeInteger(seed) || seed < 0)
      throw new SpikeloomError(`a seed is an integer from 0 to 2^53 - 1, not ${kindOf(seed)}`);
    if (dtype !== 'f32' && dtype !== 'f64')
      throw new SpikeloomError(`a network computes in 'f32' or 'f64', not ${kindOf(dtype)}`);
    if (typeof recompute !== 'boolean')
      throw new SpikeloomError(`recompute is true or false, not ${kindOf(recompute)}`);
    if (precision !== 'fp32' && precision !== 'bf16')
      throw new SpikeloomError(`a network's precision is 'fp32' or 'bf16', not ${kindOf(precision)}`);
    if (precision === 'bf16' && dtype !== 'f32')
      throw new SpikeloomError(`precision 'bf16' goes with dtype 'f32', not '${dtype}'`);
    this.plan = plan;
    this.dtype = dtype;
    this.precision = precision;
    this.recompute = recompute;
    this.device = typeof on === 'string' ? device(on) : on;
    this.seed = seed;
    const sizes = [...plan.walk()].flatMap((p) => [...p.parameters, ...p.buffers].map(({ shape }) => elements(shape)));
    const Kind = dtype === 'f64' ? Float64Array : Float32Array;
    const room = roomFor(Math.max(1, ...sizes) * Kind.BYTES_PER_ELEMENT);
    try {
      for (const planned of plan.walk()) this.#allocate(planned, new Kind(room));
    } catch (error) {
      this.dispose();
      throw error;
    } finally {
      room.resize(0); // given back now, not when it is collected
    }
  }

  /**
   * A network from what toJSON() gave; layers of your own are known by `layers`.
   * @throws SpikeloomError that names the layer, for anything else
   */
  static fromJSON(json: unknown, options: NetOptions & PlanOptions = {}): Net {
    needOptions('a network', options, { ...NET_DEFAULTS, layers: true });
    const { layers, ...rest } = options;
    return new Net(new ModelPlan(json, { layers }), rest);
  }

  /** The model, without weights: JSON.stringify(net) is a model file. */
  toJSON(): ModelJson {
    return this.plan.toJSON();
  }

  summary(options: SummaryOptions = {}): Summary {
    return this.plan.summary({ dtype: this.dtype, ...options });
  }

  /** Trainable tensors, in the order of the layers. */
  parameters(): readonly NamedTensor[] {
    return this.#parameters;
  }

  /** Running statistics. */
  buffers(): readonly NamedTensor[] {
    return this.#buffers;
  }

  train(): this {
    this.training = true;
    return this;
  }

  eval(): this {
    this.training = false;
    return this;
  }

  /**
   * @param x images [B,C,H,W], shown at every time step, or frames [T,B,C,H,W]; of the net's dtype, frames also as
   * spikes
   * @returns what the last layer makes: [B,...] after meanOverTime(), else [T,B,...]
   */
  forward(x: Tensor): Tensor {
    return runToEnd(this.forwardInTurns(x));
  }

  /** forward() as a generator that yields between and within layers of the model, for recordStepInTurns(). */
  *forwardInTurns(x: Tensor, options: PassOptions = {}): Generator<void, Tensor, void> {
    this.#check(x);
    needOptions('forwardInTurns()', options, { training: true, firing: true });
    const { training = this.training, firing } = options;
    if (firing) return yield* this.#pass(x, training, firing);
    const own: FiringCount[] = [];
    let y: Tensor | undefined;
    try {
      y = yield* this.#pass(x, training, this.trackFiring ? own : undefined);
      return y;
    } finally {
      this.#forget();
      if (y) this.firing = own;
      else freeAll(own);
    }
  }

  *#pass(x: Tensor, training: boolean, firing: FiringCount[] | undefined): Generator<void, Tensor, void> {
    const isImage = x.shape.length === 4;
    const counter = this.#counter(training);
    const pass: Pass = { training, firing, counter, repeats: isImage ? this.plan.steps : 1, rounded: false };
    const isUnpacked = x.dtype === 'spike' && !takesSpikes(this.plan.layers);
    const given = isUnpacked ? toReal(x, { real: this.dtype }) : x;
    const start = isImage ? reshape(given, [1, ...x.shape]) : given;
    let y = yield* this.#list(this.plan.layers, start, pass);
    if (pass.repeats > 1 && this.plan.output.timed) y = this.#repeated(y, pass);
    if (!isRecording()) {
      if (!isStepRecording()) counter.dispose();
      if (start !== x && start !== y) start.dispose();
    }
    return y;
  }

  /** Frees parameters, gradients and statistics. The net computes no more. */
  dispose(): void {
    this.#forget();
    for (const held of this.#tensors.values()) held.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  /** @param room for the numbers of one tensor, used for all */
  #allocate({ path, parameters, buffers, constants }: PlannedLayer, room: Float32Array | Float64Array): void {
    const make = ({ name, shape, init }: PlannedLayer['parameters'][number]) => {
      const values = room.subarray(0, elements(shape));
      fillInitial(values, name, init, this.seed);
      return tensor(values, { shape, dtype: this.dtype, device: this.device });
    };
    for (const plan of parameters) this.#hold(this.#parameters, plan.name, parameter(make(plan)));
    for (const plan of buffers) this.#hold(this.#buffers, plan.name, keep(make(plan)));
    for (const { role, shape, values } of constants) {
      const made = tensor(Array.from(values()), { shape, dtype: this.dtype, device: this.device });
      this.#tensors.set(`${path}.${role}`, keep(made));
    }
  }

  #hold(list: NamedTensor[], name: string, made: Tensor): void {
    list.push({ name, tensor: made });
    this.#tensors.set(name, made);
  }

  /** The number of this pass on the device; in a recorded step that of the replay. */
  #counter(training: boolean): Tensor {
    const words = (pass: number) => Int32Array.of(pass, Math.floor(pass / 2 ** 32));
    const on = { device: this.device };
    if (!isStepRecording()) return tensor(words(training ? this.passes++ : 0), on);
    const counter = stepInput(() => tensor(words(0), on));
    if (training) beforeReplay(() => counter.set(words(this.passes++)));
    return counter;
  }

  #forget(): void {
    freeAll(this.firing);
    this.firing = [];
  }

  #check(x: Tensor): void {
    needTensors(this.plan.model, { x });
    const { steps, input } = this.plan;
    const size = [input.channels, input.height, input.width];
    const isImage = x.shape.length === 4;
    const fits =
      (isImage || (x.shape.length === 5 && x.shape[0] === steps)) && x.shape.slice(-3).join() === size.join();
    if (!fits) {
      throw new SpikeloomError(
        `${this.plan.model}: takes images [B,${size}] or frames [${steps},B,${size}] (T = ${steps}), not ${describe(x)}; resize the input or make the model for it`,
      );
    }
    if (x.dtype !== this.dtype && !(x.dtype === 'spike' && !isImage)) {
      throw new SpikeloomError(
        `${this.plan.model}: computes in ${this.dtype}, but the input is ${x.dtype}; make both the same type`,
      );
    }
  }

  /**
   * Runs layers one after the other. Without the tape, what one layer made is freed as soon as the next one is queued.
   * @param forGroup whether a group of layers (see fused.ts) reads what the last layer makes
   */
  *#list(layers: readonly PlannedLayer[], x: Tensor, pass: Pass, forGroup = false): Generator<void, Tensor, void> {
    let current = x;
    for (let at = 0; at < layers.length; at++) {
      const group = this.#groupAt(layers, at, pass);
      const y = group ? yield* this.#group(group, current, pass) : this.#layer(layers, at, current, pass, forGroup);
      if (!isRecording() && current !== x && current !== y) current.dispose();
      current = y;
      if (group) at += group.length - 1;
      yield;
    }
    return current;
  }

  /** The group that starts here, where it runs as one. */
  #groupAt(layers: readonly PlannedLayer[], at: number, { repeats, rounded }: Pass): FiringGroup | undefined {
    const group = this.fused && !this.onLayer ? firingGroup(layers, at) : undefined;
    if (!group || (repeats > 1 && group.residual)) return undefined;
    // a residual that is no spikes has the type of what it is added to
    const isPlain = group.residual === 'identity' && !layers[at]!.input.spikes;
    return isPlain && this.precision === 'bf16' && !rounded ? undefined : group;
  }

  #layer(layers: readonly PlannedLayer[], at: number, x: Tensor, pass: Pass, forGroup: boolean): Tensor {
    const planned = layers[at]!;
    const { kind } = planned;
    const isRepeated = kind.overTime === 'all' && pass.repeats > 1 && planned.input.timed;
    const input = isRepeated ? this.#repeated(x, pass) : x;
    const reader = this.#reader(layers, at + 1, pass, forGroup);
    const isConvolution = kind.kind === 'conv2d';
    // in front of a convolution averages are stored as bf16, and the gradients of pools
    const isPool = kind.kind === 'avgPool2d' || (kind.kind === 'maxPool2d' && x.dtype === 'spike');
    const isProduct = isConvolution || (kind.kind === 'linear' && (layers[at + 1]?.neurons ?? 0) > 0);
    const isStored = isProduct ? this.precision === 'bf16' : isPool && pass.rounded && reader === 'conv2d';
    const run = { ...this.#run(planned, pass), precision: isStored ? ('bf16' as const) : undefined };
    const forward = () => {
      const made = kind.forward(planned.layer, isConvolution ? this.#rounding(input, pass) : input, run);
      return made.dtype === 'bf16' && !reader ? toReal(made) : made;
    };
    const y = isRecording() ? forward() : scope(forward);
    if (!isRecording() && input !== x && input !== y) input.dispose();
    const takesBf16 = this.precision === 'bf16' && kind.readsBf16 === true;
    pass.rounded = y.dtype === 'bf16' || (y.dtype === 'spike' && takesBf16);
    if (planned.neurons > 0) this.#count(planned, y, pass);
    this.onLayer?.(planned.path, y, pass.training);
    return y;
  }

  /** The kind of what reads at this place of a list, where that reads bf16. */
  #reader(layers: readonly PlannedLayer[], at: number, pass: Pass, forGroup: boolean): string | undefined {
    if (this.precision !== 'bf16' || this.onLayer) return undefined;
    if (at === layers.length) return forGroup ? 'conv2d' : undefined;
    const group = this.#groupAt(layers, at, pass);
    if (group) return group.start === 'conv2d' ? 'conv2d' : undefined;
    const { kind, readsBf16, overTime } = layers[at]!.kind;
    return readsBf16 && (overTime === 'each' || pass.repeats === 1) ? kind : undefined;
  }

  /** What a convolution reads in bf16: its gradient becomes f32 where the maker of x knows no other. */
  #rounding(x: Tensor, pass: Pass): Tensor {
    return this.precision === 'bf16' && !pass.rounded && isRecording() ? realGradient(x) : x;
  }

  *#group(group: FiringGroup, x: Tensor, pass: Pass): Generator<void, Tensor, void> {
    const isRounded = this.precision === 'bf16';
    const input = this.#rounding(x, pass);
    const before = { ...pass, rounded: isRounded };
    const context = {
      steps: pass.repeats > 1 ? pass.repeats : x.shape[0]!,
      precision: this.precision,
      recompute: this.recompute,
      run: (planned: PlannedLayer) => this.#run(planned, pass),
      list: (layers: readonly PlannedLayer[], from: Tensor) => {
        const within = { ...before };
        const made = runToEnd(this.#list(layers, from, within, true));
        return isRounded && !within.rounded && isRecording() ? realGradient(made) : made;
      },
    };
    const run = () => runGroup(group, input, context);
    const spikes = isRecording() ? yield* run() : scope(() => runToEnd(run()));
    pass.repeats = 1;
    pass.rounded = isRounded;
    this.#count(group.neuron, spikes, pass);
    return spikes;
  }

  #repeated(x: Tensor, pass: Pass): Tensor {
    const y = repeatOverTime(x, pass.repeats);
    pass.repeats = 1;
    return y;
  }

  #count({ path, neurons }: PlannedLayer, y: Tensor, { firing }: Pass): void {
    firing?.push({ name: path, spikes: noGrad(() => keep(spikeCount(y))), neurons });
  }

  #run(planned: PlannedLayer, pass: Pass): Run {
    const { training, counter } = pass;
    return {
      steps: this.plan.steps,
      training,
      real: this.dtype,
      counter,
      seed: hashName(`${this.seed} ${planned.path}`),
      planned,
      tensor: (role) => this.#tensors.get(`${planned.path}.${role}`)!,
      list: (layers, x) => runToEnd(this.#list(layers, x, { ...pass, repeats: 1, rounded: false })),
    };
  }
}
