import {
  beforeReplay,
  describe,
  empty,
  type HostArray,
  isStepRecording,
  keep,
  type RealType,
  runToEnd,
  SpikeloomError,
  scope,
  stepInput,
  type Tensor,
  zeros,
} from '../core/index.ts';
import { kindOf, needArguments } from '../core/options.ts';
import { isTensor } from '../core/tensor.ts';
import { clipFactor } from '../ops/optimizer-updates.ts';
import { groupsOf } from './groups.ts';
import { type Rule, ruleOf } from './rules.ts';
import { checkRate, type MomentOptions, type OptimizerSettings, resolveSettings, type SgdOptions } from './settings.ts';

export interface NamedParameter {
  readonly name: string;
  readonly tensor: Tensor;
}

/**
 * Makes the optimizer of a network's parameters; `settings` is plain data from which optimizerFrom() makes the same
 * again.
 */
export interface OptimizerFactory {
  (parameters: readonly NamedParameter[]): Optimizer;
  readonly settings: OptimizerSettings;
}

interface Slot extends NamedParameter {
  /** Factor of the learning rate. */
  readonly lrScale: number;
  readonly weightDecay: number;
  readonly buffers: readonly Tensor[];
}

/** What updates read from the device, by the factor of their learning rate. */
type Hypers = ReadonlyMap<number, Tensor>;

/**
 * Updates parameters by the gradients that backward() left in them. Weight decay leaves out parameters of one dimension
 * or none, but for those whose group says otherwise. The bias corrections of AdamW and LAMB count the optimizer's steps, those in which a parameter had no
 * gradient too.
 */
export class Optimizer implements Disposable {
  readonly settings: OptimizerSettings;
  private readonly rule: Rule;
  private readonly slots: readonly Slot[];
  private readonly hypers: Hypers;
  private rate: number;
  private steps = 0;

  /**
   * @throws SpikeloomError for no parameters, a name given twice, parameters of several types or on several devices, and
   *   a group that names none of them; and in a step that is being recorded
   */
  constructor(parameters: readonly NamedParameter[], settings: OptimizerSettings) {
    if (isStepRecording())
      throw new SpikeloomError(
        'an optimizer keeps its state from step to step, but what a recorded step makes is made anew by every replay; make it before the step',
      );
    this.settings = settings;
    this.rate = settings.lr;
    this.rule = ruleOf(settings);
    const like = checkParameters(parameters);
    const names = parameters.map(({ name }) => name);
    const groups = groupsOf(settings.kind, settings.groups ?? [], names);
    const size = this.rule.hyper(0, 1).length;
    const scales = new Set(groups.map((group) => group?.lrScale ?? 1));
    this.hypers = new Map([...scales].map((scale) => [scale, keep(zeros([size], like.dtype, like.device))]));
    this.slots = parameters.map(({ name, tensor }, i) => ({
      name,
      tensor,
      lrScale: groups[i]?.lrScale ?? 1,
      weightDecay: groups[i]?.weightDecay ?? (tensor.shape.length > 1 ? settings.weightDecay : 0),
      buffers: this.rule.buffers.map(() => keep(zeros(tensor.shape, tensor.dtype, tensor.device))),
    }));
  }

  /** The learning rate of the next step; groups may have a multiple of it. */
  get lr(): number {
    return this.rate;
  }

  set lr(value: number) {
    checkRate(this.settings, value);
    this.rate = value;
  }

  /**
   * @internal What an optimizer updates, as it was given; of one that is the user's own from the ground up that is not
   * known. Not a getter: subclasses may have any name for it.
   */
  static updatedBy(optimizer: Optimizer): readonly NamedParameter[] {
    return optimizer.slots ?? [];
  }

  /** How many steps were made. */
  get stepCount(): number {
    return this.steps;
  }

  /**
   * Makes one step and consumes the gradients: they are freed, and the parameters have none afterwards. A parameter
   * without a gradient stays as it is. Everything is queued, nothing is waited for. In a recorded step every replay
   * makes a step, with the learning rate of that moment.
   * @throws SpikeloomError when no parameter has a gradient
   */
  step(): void {
    scope(() => runToEnd(this.stepInTurns()));
  }

  /**
   * step() as a generator that yields between the updates of two parameters, for recordStepInTurns(). An optimizer of
   * your own overrides this one, which step() calls, or step(), which train() then calls in its place. One that holds
   * more state than the buffers here overrides state() and load() too: what they leave out is lost to a resumed run.
   */
  *stepInTurns(): Generator<void, void, void> {
    const ready = this.slots.filter(({ tensor }) => tensor.grad !== undefined);
    if (ready.length === 0)
      throw new SpikeloomError('step() found no gradient in any parameter; call backward() first');
    const hypers = this.prepared();
    const factor = this.clipping(ready);
    for (const { tensor, lrScale, weightDecay, buffers } of ready) {
      this.rule.update(hypers.get(lrScale)!, buffers, { w: tensor, g: tensor.grad!, factor, weightDecay });
      yield;
    }
    for (const { tensor } of ready) tensor.freeGrad();
  }

  /** The numbers of this step, which counts; in a recorded step those of the replay, which may make several. */
  private prepared(): Hypers {
    if (!isStepRecording()) {
      this.count(this.hypers);
      return this.hypers;
    }
    const inputs = [...this.hypers].map(([scale, { shape, dtype, device }]) => {
      return [scale, stepInput(() => zeros(shape, dtype, device))] as const;
    });
    const hypers = new Map(inputs);
    beforeReplay(() => this.count(hypers));
    return hypers;
  }

  private count(hypers: Hypers): void {
    this.steps++;
    for (const [scale, hyper] of hypers) {
      hyper.set(hostNumbers(hyper, this.rule.hyper(this.rate * scale, this.steps)));
    }
  }

  private clipping(ready: readonly Slot[]): Tensor | undefined {
    if (this.settings.clipNorm === 0) return undefined;
    const gradients = ready.map(({ tensor }) => tensor.grad!);
    const { dtype, device } = ready[0]!.tensor;
    const norms = empty([gradients.length], dtype as RealType, device);
    return clipFactor(gradients, norms, this.settings.clipNorm).factor;
  }

  /**
   * What the next steps depend on besides the parameters: the buffers as `BUFFER.PARAMETER` ('m.head.weight'). They
   * stay the optimizer's.
   */
  state(): Record<string, Tensor> {
    const named = this.slots.flatMap(({ name, buffers }) =>
      buffers.map((buffer, i) => [`${this.rule.buffers[i]}.${name}`, buffer] as const),
    );
    return Object.fromEntries(named);
  }

  /**
   * Continues where another optimizer of the same settings and parameters stood.
   *
   * @param state the numbers of its state(), as array() gave them
   * @param stepCount its stepCount
   * @throws SpikeloomError when a tensor is missing, unknown or of another size or type; nothing is changed then
   */
  load(state: Readonly<Record<string, HostArray>>, stepCount: number): void {
    if (!Number.isSafeInteger(stepCount) || stepCount < 0) {
      throw new SpikeloomError(`an optimizer's step count is a whole number of at least 0, not ${kindOf(stepCount)}`);
    }
    needArguments("an optimizer's load()", 'an object', { state });
    const mine = this.state();
    const problems = [
      ...Object.keys(mine)
        .filter((name) => !Object.hasOwn(state, name))
        .map((name) => `'${name}' is missing`),
      ...Object.keys(state)
        .filter((name) => !Object.hasOwn(mine, name))
        .map((name) => `there is no '${name}'`),
      ...Object.entries(mine).flatMap(([name, tensor]) => mismatch(name, tensor, state[name])),
    ];
    if (problems.length > 0) {
      const more = problems.length > 5 ? ` and ${problems.length - 5} more` : '';
      const shown = problems.slice(0, 5).join('; ');
      throw new SpikeloomError(`this is not the state of this optimizer (${this.settings.kind}): ${shown}${more}`);
    }
    for (const [name, tensor] of Object.entries(mine)) tensor.set(state[name]!);
    this.steps = stepCount;
  }

  /** Frees the buffers. The parameters are left alone. */
  dispose(): void {
    for (const hyper of this.hypers.values()) hyper.dispose();
    for (const { buffers } of this.slots) for (const buffer of buffers) buffer.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

function checkParameters(parameters: readonly NamedParameter[]): Tensor {
  const list: readonly NamedParameter[] = Array.isArray(parameters) ? parameters : [];
  const first = list[0]?.tensor;
  if (!first) throw new SpikeloomError('an optimizer needs at least one parameter, as in sgd()(net.parameters())');
  const wrong = list.findIndex((given) => typeof given?.name !== 'string' || !isTensor(given.tensor));
  if (wrong >= 0) {
    throw new SpikeloomError(
      `an optimizer's parameters are { name, tensor }, as net.parameters() gives them, but number ${wrong} is ${kindOf(list[wrong])}`,
    );
  }
  const names = new Set<string>();
  const known = new Map<Tensor['writes'], string>(); // views of one memory share it
  for (const { name, tensor } of list) {
    if (names.has(name)) {
      throw new SpikeloomError(
        `an optimizer needs distinct names, but two parameters are called '${name}'; give those of several networks a prefix each`,
      );
    }
    names.add(name);
    const other = known.get(tensor.writes);
    if (other !== undefined) {
      throw new SpikeloomError(
        `an optimizer updates a parameter once a step, but '${name}' and '${other}' are the same; name it once`,
      );
    }
    known.set(tensor.writes, name);
    if (tensor.dtype !== 'f32' && tensor.dtype !== 'f64') {
      throw new SpikeloomError(`an optimizer updates f32 or f64, but '${name}' is ${describe(tensor)}`);
    }
    if (tensor.dtype !== first.dtype || tensor.device !== first.device) {
      const [a, b] = [first, tensor].map((t) => `${t.dtype} on ${t.device.name}`);
      throw new SpikeloomError(
        `an optimizer's parameters are of one type and on one device, but '${name}' is ${b} where another is ${a}`,
      );
    }
  }
  return first;
}

const hostNumbers = (like: Tensor, numbers: number[]): HostArray =>
  like.dtype === 'f64' ? Float64Array.from(numbers) : Float32Array.from(numbers);

function mismatch(name: string, tensor: Tensor, data: HostArray | undefined): string[] {
  if (!data) return [];
  const fits = data.length === tensor.size && data instanceof (tensor.dtype === 'f64' ? Float64Array : Float32Array);
  return fits ? [] : [`'${name}' is ${describe(tensor)}, the data a ${data.constructor.name} of ${data.length}`];
}

/** @internal Whether it is what sgd(), adamw() or lamb() makes: the function alone, as in `optimizer: sgd`, is not. */
export const isOptimizerFactory = (make: unknown): boolean =>
  typeof make === 'function' && typeof (make as Partial<OptimizerFactory>).settings?.kind === 'string';

/** @internal What a factory, which may be the user's, makes. @throws SpikeloomError for what is no optimizer */
export function makeOptimizer(of: string, factory: OptimizerFactory, parameters: readonly NamedParameter[]): Optimizer {
  const given: Partial<Optimizer> | null | undefined = factory(parameters);
  if (typeof given?.step === 'function' && typeof given.dispose === 'function') return given as Optimizer;
  throw new SpikeloomError(
    `${of}: optimizer is a function that makes one, with step() and dispose(), but this one returned ${kindOf(given)}; return what sgd()(parameters) gives`,
  );
}

const made = new WeakSet<OptimizerFactory>();

/** @internal Whether its settings say all of it; not so of a function of the user's. */
export const isMadeBySettings = (factory: OptimizerFactory): boolean => made.has(factory);

function factory(settings: OptimizerSettings): OptimizerFactory {
  const make = (parameters: readonly NamedParameter[]) => new Optimizer(parameters, settings);
  const all = Object.assign(make, { settings });
  made.add(all);
  return all;
}

/**
 * Stochastic gradient descent as PyTorch has it: d = g + weightDecay w, m = momentum m + d, w -= lr m (Nesterov:
 * w -= lr (d + momentum m)).
 * Defaults: lr 0.1, momentum 0, no Nesterov, no decay, no clipping.
 *
 * @example const optimizer = sgd({ lr: 0.1, momentum: 0.9, nesterov: true })(parameters);
 * @example sgd({ lr: 0.1, groups: [{ names: 'head.*', lrScale: 10 }, { names: '*.bias', weightDecay: 0 }] })
 */
export const sgd = (options: SgdOptions = {}): OptimizerFactory => factory(resolveSettings('sgd', options));

/** AdamW (arXiv 1711.05101). Defaults: lr 1e-3, betas 0.9 and 0.999, eps 1e-8, weightDecay 0.01, no clipping. */
export const adamw = (options: MomentOptions = {}): OptimizerFactory => factory(resolveSettings('adamw', options));

/**
 * LAMB (arXiv 1904.00962) with bias correction; parameters without decay skip the trust ratio.
 * Defaults: lr 1e-3, betas 0.9 and 0.999, eps 1e-8, weightDecay 0.01, no clipping.
 */
export const lamb = (options: MomentOptions = {}): OptimizerFactory => factory(resolveSettings('lamb', options));

/** The factory that these settings came from. */
export function optimizerFrom(settings: OptimizerSettings): OptimizerFactory {
  needArguments('optimizerFrom()', 'an object', { settings });
  const { kind, ...options } = settings;
  return factory(resolveSettings(kind, options));
}
