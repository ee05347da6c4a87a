// Updates happen in place: `run` returns the inputs it changed.
import { empty, type RealType, type Tensor, tensor } from '../../lib/core/index.ts';
import * as updates from '../../lib/ops/optimizer-updates.ts';
import { type HostInputs, host, noise, type OpTable, type Tensors } from '../support/op-table.ts';

const rates = [0.1, 0.03, 0.2];
const rule = { beta1: 0.8, beta2: 0.95, eps: 1e-3 };
const shapes = [[1], [5, 33], [3, 2, 3, 3], [40000]] as const;

interface Options {
  weightDecay: number;
  factor?: boolean;
  momentum?: number;
  nesterov?: boolean;
  zero?: boolean;
}

/** Weights, zero or noisy buffers, a gradient for each of three steps and, if asked for, a factor. */
function inputs(shape: readonly number[], options: Options, buffers: readonly string[]): () => HostInputs {
  return () => {
    const w = noise(shape, 11);
    if (options.zero) w.data.fill(0);
    const made: HostInputs = { w };
    rates.forEach((_, i) => {
      made[`g${i}`] = noise(shape, 20 + i);
    });
    for (const [i, name] of buffers.entries()) made[name] = host(shape, noise(shape, 30 + i).data.map(Math.abs));
    if (options.factor) made.factor = host([1], [0.375]);
    return made;
  };
}

const cases = (buffers: readonly string[], variants: Options[]) =>
  variants.flatMap((options) =>
    shapes.map((shape) => ({
      name: `[${shape}] ${JSON.stringify(options)}`,
      inputs: inputs(shape, options, buffers),
      options: { ...options },
    })),
  );

const numbers = (values: number[], like: Tensor) =>
  tensor(values, { dtype: like.dtype as RealType, device: like.device });

/** Bias corrections of step i, for buffers that started before the first one. */
const hyperOf = (i: number) => [rates[i]!, 1 - rule.beta1 ** (i + 1), 1 - rule.beta2 ** (i + 1)];

/** Runs an update for every step. */
function eachStep(
  t: Tensors,
  options: Options,
  update: (hyper: number[], g: Tensor, rest: { w: Tensor; factor: Tensor | undefined; weightDecay: number }) => void,
): void {
  const { w, factor } = t;
  rates.forEach((_, i) => {
    update(hyperOf(i), t[`g${i}`]!, { w: w!, factor, weightDecay: options.weightDecay });
  });
}

/** Runs a scalar update for every element and step; `state` starts as [w, ...buffers] and holds the results. */
function eachElement(
  t: HostInputs,
  buffers: readonly string[],
  update: (state: number[], d: number, i: number) => void,
): Float64Array[] {
  const factor = t.factor?.data[0] ?? 1;
  const results = ['w', ...buffers].map((name) => t[name]!.data.slice());
  t.w!.data.forEach((_, e) => {
    const state = results.map((data) => data[e]!);
    for (const i of rates.keys()) update(state, factor * t[`g${i}`]!.data[e]!, i);
    state.forEach((value, k) => {
      results[k]![e] = value;
    });
  });
  return results;
}

export const sgdTable: OpTable = {
  name: 'sgdUpdate',
  natives: ['sgdUpdate'],
  cases: cases([], [{ weightDecay: 0 }, { weightDecay: 0.05, factor: true }]),
  run(t, options) {
    eachStep(t, options as unknown as Options, ([lr], g, rest) => updates.sgdUpdate(numbers([lr!], g), { ...rest, g }));
    return [t.w!];
  },
  twin(t, { weightDecay }) {
    const results = eachElement(t, [], (state, g, i) => {
      state[0]! -= rates[i]! * (g + Number(weightDecay) * state[0]!);
    });
    return results.map((data) => host(t.w!.shape, data));
  },
};

export const momentumTable: OpTable = {
  name: 'momentumUpdate',
  natives: ['momentumUpdate'],
  cases: cases(
    ['m'],
    [
      { weightDecay: 0, momentum: 0.9, nesterov: false },
      { weightDecay: 0.05, momentum: 0.7, nesterov: true, factor: true },
    ],
  ),
  run(t, options) {
    const { momentum, nesterov } = options as unknown as Required<Options>;
    eachStep(t, options as unknown as Options, ([lr], g, rest) =>
      updates.momentumUpdate(numbers([lr!], g), t.m!, { ...rest, g }, { momentum, nesterov }),
    );
    return [t.w!, t.m!];
  },
  twin(t, options) {
    const { momentum, nesterov, weightDecay } = options as unknown as Required<Options>;
    const results = eachElement(t, ['m'], (state, g, i) => {
      const d = g + weightDecay * state[0]!;
      state[1] = momentum * state[1]! + d;
      state[0]! -= rates[i]! * (nesterov ? d + momentum * state[1] : state[1]);
    });
    return results.map((data) => host(t.w!.shape, data));
  },
};

/** The moments' part of AdamW and LAMB: returns m^ / (sqrt(v^) + eps). */
function moments(state: number[], d: number, i: number): number {
  state[1] = rule.beta1 * state[1]! + (1 - rule.beta1) * d;
  state[2] = rule.beta2 * state[2]! + (1 - rule.beta2) * d * d;
  const [, correction1, correction2] = hyperOf(i);
  return state[1] / correction1! / (Math.sqrt(state[2] / correction2!) + rule.eps);
}

export const adamwTable: OpTable = {
  name: 'adamwUpdate',
  natives: ['adamwUpdate'],
  cases: cases(['m', 'v'], [{ weightDecay: 0 }, { weightDecay: 0.05, factor: true }]),
  run(t, options) {
    eachStep(t, options as unknown as Options, (hyper, g, rest) =>
      updates.adamwUpdate(numbers(hyper, g), { m: t.m!, v: t.v! }, { ...rest, g }, rule),
    );
    return [t.w!, t.m!, t.v!];
  },
  twin(t, { weightDecay }) {
    const results = eachElement(t, ['m', 'v'], (state, g, i) => {
      state[0]! *= 1 - rates[i]! * Number(weightDecay);
      state[0]! -= rates[i]! * moments(state, g, i);
    });
    return results.map((data) => host(t.w!.shape, data));
  },
};

const norm = (data: ArrayLike<number>) => Math.sqrt(Array.from(data).reduce((sum, x) => sum + x * x, 0));

export const lambTable: OpTable = {
  name: 'lambUpdate',
  natives: ['lambUpdate'],
  cases: cases(
    ['m', 'v'],
    [{ weightDecay: 0 }, { weightDecay: 0.05, factor: true }, { weightDecay: 0.05, zero: true }],
  ),
  run(t, options) {
    eachStep(t, options as unknown as Options, (hyper, g, rest) =>
      updates.lambUpdate(numbers(hyper, g), { m: t.m!, v: t.v! }, { ...rest, g }, rule),
    );
    return [t.w!, t.m!, t.v!];
  },
  twin(t, options) {
    const weightDecay = Number(options.weightDecay);
    const [w, m, v] = ['w', 'm', 'v'].map((name) => t[name]!.data.slice()) as Float64Array[];
    rates.forEach((lr, i) => {
      const r = w!.map((weight, e) => {
        const state = [weight, m![e]!, v![e]!];
        const direction = moments(state, (t.factor?.data[0] ?? 1) * t[`g${i}`]!.data[e]!, i);
        m![e] = state[1]!;
        v![e] = state[2]!;
        return direction + weightDecay * weight;
      });
      const norms = [norm(w!), norm(r)];
      const ratio = weightDecay > 0 && norms[0]! > 0 && norms[1]! > 0 ? norms[0]! / norms[1]! : 1;
      r.forEach((direction, e) => {
        w![e]! -= lr * ratio * direction;
      });
    });
    return [w, m, v].map((data) => host(t.w!.shape, data!));
  },
};

export const clipTable: OpTable = {
  name: 'clipFactor',
  natives: ['gradNorm', 'clipFactor'],
  cases: [
    { name: 'one number, kept', inputs: () => ({ a: host([1], [-0.5]) }), options: { limit: 1 } },
    {
      name: 'three gradients, clipped',
      inputs: () => ({ a: noise([5, 33]), b: noise([40001], 2), c: noise([3, 2, 3, 3], 3) }),
      options: { limit: 1 },
    },
    { name: 'zero', inputs: () => ({ a: host([3], [0, 0, 0]), b: host([2], [0, 0]) }), options: { limit: 1e-9 } },
  ],
  run(t, { limit }) {
    const gradients = Object.values(t);
    const { dtype, device } = gradients[0]!;
    const { norm, factor } = updates.clipFactor(gradients, empty([gradients.length], dtype, device), Number(limit));
    return [norm, factor];
  },
  twin(t, { limit }) {
    const whole = norm(Object.values(t).flatMap(({ data }) => [...data]));
    return [host([1], [whole]), host([1], [Math.min(1, Number(limit) / (whole + 1e-6))])];
  },
};
