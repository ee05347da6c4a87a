// One table per op gives all of its tests, on every device: see describeOp(). A table is a plain object, so benchmarks
// can read it too.
import { expect } from 'chai';
import { backward, device, type RealType, type Shape, scope, type Tensor, tensor } from '../../lib/core/index.ts';

/** A tensor on the host, in float64: what twins compute with. `kind` says what it becomes on the device ('real': f32 or f64). */
export interface HostTensor {
  shape: Shape;
  data: Float64Array;
  kind: 'real' | 'f32' | 'spike' | 'i32' | 'u8';
}

export type HostInputs = Record<string, HostTensor>;
export type Tensors = Record<string, Tensor>;

export interface OpCase {
  name: string;
  inputs: () => HostInputs;
  /** Passed to `run` and `twin`. */
  options?: Record<string, unknown>;
}

export interface OpTable {
  /** The public function under test. */
  name: string;
  /** The native ops this table covers (an op no table covers fails the suite). */
  natives: string[];
  cases: OpCase[];
  /** The function under test: outputs in a fixed order. Spike outputs and integers are compared exactly. */
  run(inputs: Tensors, options: Record<string, unknown>): Tensor[];
  /** The same outputs from plain TypeScript in float64, written for clarity. */
  twin(inputs: HostInputs, options: Record<string, unknown>): HostTensor[];
  /** Inputs to differentiate; each gradient is compared with finite differences of the function itself in f64. */
  gradients?: string[];
  /**
   * For functions whose forward is not differentiable (a neuron): the smooth function whose gradient is the one under
   * test.
   */
  smooth?: (inputs: Tensors, options: Record<string, unknown>) => Tensor[];
  /** Relative to the largest element. */
  tolerance?: { f32?: number; f64?: number; difference?: number };
}

const hostType = { f32: Float32Array, spike: Uint8Array, i32: Int32Array, u8: Uint8Array } as const;

export function toDevice(host: HostTensor, real: RealType, on: string): Tensor {
  const { shape, kind } = host;
  if (kind === 'real') {
    const data = real === 'f64' ? host.data : new Float32Array(host.data);
    return tensor(data, { shape, dtype: real, device: device(on) });
  }
  return tensor(new hostType[kind](host.data), { shape, dtype: kind, device: device(on) });
}

export async function toHost(t: Tensor): Promise<HostTensor> {
  const kind = t.dtype === 'f32' || t.dtype === 'f64' ? 'real' : (t.dtype as HostTensor['kind']);
  return { shape: t.shape, kind, data: new Float64Array(await t.array()) };
}

/** The elements as bytes, to be compared to the bit. */
export const bytesOf = async (t: Tensor): Promise<Buffer> => Buffer.from((await t.array()).buffer as ArrayBuffer);

/** The largest difference, relative to the largest magnitude of `expected` (at least `floor`). */
export function difference(actual: Float64Array, expected: Float64Array, floor = 1e-3): number {
  let worst = 0;
  let scale = floor;
  for (let i = 0; i < expected.length; i++) {
    scale = Math.max(scale, Math.abs(expected[i]!));
    const d = Math.abs(actual[i]! - expected[i]!);
    worst = Number.isNaN(d) ? Number.POSITIVE_INFINITY : Math.max(worst, d);
  }
  return worst / scale;
}

/** Weights for the outputs, so that every element of every output counts differently in the loss. Not to be changed. */
function weights(size: number, output: number): Float64Array {
  const key = `${size}, ${output}`;
  let made = madeWeights.get(key);
  if (!made) {
    made = new Float64Array(size);
    for (let i = 0; i < size; i++) made[i] = Math.sin(0.7 * i + output) + 0.3;
    madeWeights.set(key, made);
  }
  return made;
}
const madeWeights = new Map<string, Float64Array>();

export interface Result {
  outputs: HostTensor[];
  gradients: Record<string, Float64Array>;
}

/** The inputs of a case, made once for its tests, which follow each other. Not to be changed. */
function inputsOf(item: OpCase): HostInputs {
  if (latest?.item !== item) latest = { item, inputs: item.inputs() };
  return latest.inputs;
}
let latest: { item: OpCase; inputs: HostInputs } | undefined;

/** Outputs, and the gradients of sum(weights * outputs) over the outputs that carry one. */
export async function evaluate(
  table: OpTable,
  item: OpCase,
  real: RealType,
  on: string,
  run = table.run,
): Promise<Result> {
  const made: Tensors = {};
  for (const [name, host] of Object.entries(inputsOf(item))) made[name] = toDevice(host, real, on);
  try {
    return await evaluateOn(table, item, real, on, run, made);
  } finally {
    for (const t of Object.values(made)) t.dispose();
  }
}

async function evaluateOn(
  table: OpTable,
  item: OpCase,
  real: RealType,
  on: string,
  run: OpTable['run'],
  made: Tensors,
): Promise<Result> {
  const wanted = (table.gradients ?? []).filter((name) => made[name] !== undefined);
  for (const [name, t] of Object.entries(made)) t.requiresGrad = wanted.includes(name);
  const outputs = scope(() => {
    const results = run(made, item.options ?? {});
    results.forEach((y, i) => {
      if (!y.requiresGrad) return;
      const type = y.dtype === 'f32' || y.dtype === 'f64' ? y.dtype : real;
      const gy = toDevice({ shape: y.shape, kind: 'real', data: weights(y.size, i) }, type, on);
      backward(y, gy);
    });
    return results;
  });
  const result: Result = { outputs: await Promise.all(outputs.map(toHost)), gradients: {} };
  for (const name of wanted) {
    const grad = made[name]!.grad;
    result.gradients[name] = grad ? new Float64Array(await grad.array()) : new Float64Array(made[name]!.size);
  }
  for (const t of outputs) t.dispose();
  return result;
}

async function lossAt(table: OpTable, item: OpCase, inputs: HostInputs, on: string): Promise<number> {
  const run = table.smooth ?? table.run;
  const made = Object.fromEntries(Object.entries(inputs).map(([name, host]) => [name, toDevice(host, 'f64', on)]));
  for (const name of table.gradients ?? []) if (made[name]) made[name].requiresGrad = true;
  const outputs = scope(() => run(made, item.options ?? {}));
  const counted = outputs.map((y) => y.requiresGrad);
  let loss = 0;
  for (const [i, y] of outputs.entries()) {
    const values = await y.array();
    y.dispose();
    if (!counted[i]) continue;
    const factors = weights(values.length, i);
    for (let k = 0; k < values.length; k++) loss += factors[k]! * values[k]!;
  }
  for (const t of Object.values(made)) t.dispose();
  return loss;
}

/** Central differences at up to `probes` elements of one input. */
async function checkDifferences(
  table: OpTable,
  item: OpCase,
  on: string,
  name: string,
  gradient: Float64Array,
): Promise<void> {
  const size = gradient.length;
  const probes = Math.min(size, 12);
  const limit = table.tolerance?.difference ?? 1e-6;
  const scale = Math.max(1e-2, ...gradient.map(Math.abs));
  for (let k = 0; k < probes; k++) {
    const i = probes === size ? k : (k * 7919 + 13) % size;
    const h = 1e-5;
    const [up, down] = await Promise.all(
      [h, -h].map((step) => {
        const inputs = inputsOf(item);
        const data = inputs[name]!.data.slice();
        data[i]! += step;
        return lossAt(table, item, { ...inputs, [name]: { ...inputs[name]!, data } }, on);
      }),
    );
    const numeric = (up! - down!) / (2 * h);
    expect(
      Math.abs(numeric - gradient[i]!) / scale,
      `d/d${name}[${i}]: ${gradient[i]}, by differences ${numeric}`,
    ).to.be.below(limit);
  }
}

/** The gradient of a spike input equals that of the same numbers given as a real tensor. */
async function checkSpikeGradient(
  table: OpTable,
  item: OpCase,
  on: string,
  name: string,
  gradient: Float64Array,
): Promise<void> {
  const inputs = inputsOf(item);
  const asReal: OpCase = { ...item, inputs: () => ({ ...inputs, [name]: { ...inputs[name]!, kind: 'real' } }) };
  const real = await evaluate(table, asReal, 'f64', on);
  const limit = gradient.every((g) => g === Math.fround(g)) ? 1e-6 : 1e-12; // what is made of spikes may be f32
  expect(difference(gradient, real.gradients[name]!), `gradient of the spikes '${name}'`).to.be.below(limit);
  await checkDifferences(table, asReal, on, name, gradient);
}

export function compareOutputs(actual: HostTensor[], expected: HostTensor[], limit: number): void {
  expect(actual.length, 'number of outputs').to.equal(expected.length);
  expected.forEach((e, i) => {
    const a = actual[i]!;
    expect(a.shape, `shape of output ${i}`).to.deep.equal(e.shape);
    if (e.kind !== 'real') expect([...a.data], `output ${i}`).to.deep.equal([...e.data]);
    else expect(difference(a.data, e.data), `output ${i}, largest relative difference`).to.be.below(limit);
  });
}

function describeCase(table: OpTable, item: OpCase, on: string): void {
  const f32 = table.tolerance?.f32 ?? 1e-5;
  const f64 = table.tolerance?.f64 ?? 1e-12;

  it(`${item.name}: forward equals the twin`, async () => {
    const expected = table.twin(item.inputs(), item.options ?? {});
    compareOutputs((await evaluate(table, item, 'f64', on)).outputs, expected, f64);
    compareOutputs((await evaluate(table, item, 'f32', on)).outputs, expected, f32);
  });

  it(`${item.name}: twice, and on one thread, the same bits`, async () => {
    const first = await evaluate(table, item, 'f32', on);
    device(on).setThreads(1);
    const second = await evaluate(table, item, 'f32', on);
    device(on).setThreads(2);
    expect(await evaluate(table, item, 'f32', on)).to.deep.equal(first);
    expect(second).to.deep.equal(first);
  });

  if (!table.gradients?.length) return;
  it(`${item.name}: gradients equal finite differences, and f32 follows f64`, async () => {
    const run = table.smooth ?? table.run;
    const exact = await evaluate(table, item, 'f64', on, run);
    const given = inputsOf(item);
    for (const [name, gradient] of Object.entries(exact.gradients)) {
      if (given[name]!.kind === 'real') await checkDifferences(table, item, on, name, gradient);
      else await checkSpikeGradient(table, item, on, name, gradient);
    }
    const single = await evaluate(table, item, 'f32', on);
    const double = await evaluate(table, item, 'f64', on);
    for (const name of Object.keys(exact.gradients)) {
      expect(difference(single.gradients[name]!, double.gradients[name]!), `f32 gradient of ${name}`).to.be.below(
        f32 * 10,
      );
    }
  });
}

/** Makes the tests of a table for one device. Call inside a describe(). */
export function describeOp(table: OpTable, on = 'cpu'): void {
  describe(`${table.name} on ${on}`, () => {
    let handles = 0;
    before(() => {
      handles = device(on).stats().handles;
    });
    for (const item of table.cases) describeCase(table, item, on);
    // fewer are fine: what earlier tests dropped is collected at any time
    it('no tensor handle is left over', () => expect(device(on).stats().handles).to.be.at.most(handles));
  });
}

// ---- inputs

/** A small generator for test inputs: the same numbers everywhere, no two alike. */
export function noise(shape: Shape, seed = 1, scale = 1): HostTensor {
  const data = new Float64Array(shape.reduce((n, d) => n * d, 1));
  let state = (seed * 2654435761) >>> 0;
  for (let i = 0; i < data.length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    const a = state / 2 ** 32;
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    data[i] = Math.fround(scale * (a + state / 2 ** 32 - 1) * 2);
  }
  return { shape, data, kind: 'real' };
}

/** Spikes at a rate of 0 (silent) to 1 (all firing). */
export function spikes(shape: Shape, rate: number, seed = 1): HostTensor {
  const { data } = noise(shape, seed);
  const sorted = data.slice().sort();
  const threshold = rate >= 1 ? Number.POSITIVE_INFINITY : sorted[Math.floor(rate * data.length)]!;
  return { shape, kind: 'spike', data: data.map((x) => (x < threshold ? 1 : 0)) };
}

export const host = (shape: Shape, data: ArrayLike<number>, kind: HostTensor['kind'] = 'real'): HostTensor => ({
  shape,
  kind,
  data: Float64Array.from(data),
});
