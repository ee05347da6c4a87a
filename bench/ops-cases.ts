// What `bench ops` times: the calls of one training step, as they are made there, and calls of the same sizes for the
// ops that the step does without.
import {
  backward,
  type Device,
  device,
  elements,
  type NativeOp,
  nativeOp,
  noGrad,
  type Tensor,
  tensor,
  zeros,
} from '../lib/core/index.ts';
import { philox } from '../lib/core/random.ts';
import { augmentation, drawPrograms } from '../lib/data/augment/augment.ts';
import {
  crossEntropy,
  encodePrograms,
  eventFrames,
  fire,
  globalAvgPool,
  mixImages,
  mixLabels,
  packEvent,
  takeImages,
  takeLabels,
} from '../lib/ops/index.ts';
import type { StepOptions } from './options.ts';
import { prepareTraining } from './training.ts';

/** Work whose calls are timed, run once to see them. */
export interface CaseSet {
  readonly name: string;
  readonly work: () => void;
  readonly dispose: () => void;
}

/** Why an op of the addon is not timed. */
export const NOT_TIMED: Readonly<Record<string, string>> = {
  adaptiveLifSmooth: 'serves tests of the gradient only',
  adaptiveLifSmoothGrad: 'serves tests of the gradient only',
  lifSmooth: 'serves tests of the gradient only',
  lifSmoothGrad: 'serves tests of the gradient only',
  recurrentLifSmooth: 'serves tests of the gradient only',
  recurrentLifSmoothGrad: 'serves tests of the gradient only',
};

/** Share of neurons that fire: what the networks show early in training. */
const RATE = 0.3;

/** First word of the stream that the numbers are drawn from. */
const NUMBERS = 0x6f707363;

type Maker = (shape: readonly number[]) => Tensor;

interface Makers {
  real: Maker;
  spikes: Maker;
  /** A tensor of these numbers. */
  given: (data: Float32Array | Int32Array | readonly number[]) => Tensor;
  cleared: Maker;
}

/** Numbers drawn once and laid end to end, since only their distribution matters. */
function repeated<A extends Float32Array | Int32Array | Uint8Array>(all: A, part: A): A {
  for (let i = 0; i < all.length; i += part.length) all.set(part.subarray(0, all.length - i), i);
  return all;
}

function makers(seed: number, on: Device): Makers {
  const drawn = philox(seed, NUMBERS);
  const normal = Float32Array.from({ length: 60_013 }, () => drawn.normal());
  const fired = Uint8Array.from({ length: 60_013 }, () => Number(drawn.uniform() < RATE));
  return {
    real: (shape) => tensor(repeated(new Float32Array(elements(shape)), normal), { shape, device: on }),
    spikes: (shape) => tensor(repeated(new Uint8Array(elements(shape)), fired), { shape, dtype: 'spike', device: on }),
    given: (data) => tensor(data, { device: on }),
    cleared: (shape) => zeros(shape, 'f32', on),
  };
}

const op = (name: string): NativeOp => nativeOp(name);

function elementwise({ real, spikes, given }: Makers, shape: number[]): void {
  const [x, y] = [real(shape), real(shape)];
  const s = spikes(shape);
  for (const other of [y, s]) op('add').run({ x, y: other }, {}, { types: { z: 'f32' } });
  op('fill').run({ x }, { value: 1 });
  op('zero').run({ y: real(shape) });
  op('mul').run({ x, y });
  op('scale').run({ x }, { factor: 2 });
  op('reluGrad').run({ gy: x, y: op('relu').run({ x }).y });
  op('sigmoidGrad').run({ gy: x, y: op('sigmoid').run({ x }).y });
  for (const name of ['exp', 'log', 'sqrt', 'abs', 'tanh']) op(name).run({ x });
  for (const name of ['sqrt', 'tanh']) op(`${name}Grad`).run({ gy: x, y });
  op('absGrad').run({ gy: x, x: y });
  op('pow').run({ x }, { exponent: 1.5 });
  op('powGrad').run({ gy: x, x: y }, { exponent: 1.5 });
  op('shift').run({ x }, { offset: 1 });
  op('sub').run({ x, y });
  op('divGradY').run({ gz: x, y, z: op('div').run({ x, y }).z });
  op('clamp').run({ x }, { min: -1, max: 1 });
  op('clampGrad').run({ gy: x, x: y }, { min: -1, max: 1 });
  op('toReal').run({ x: s }, {}, { real: 'f32' });
  op('toBf16').run({ x });
  op('convert').run({ x }, {}, { types: { y: 'f64' } });
  op('spikeCount').run({ x: s });
  const bytes = tensor(new Uint8Array(x.size), { shape, dtype: 'u8', device: x.device });
  op('bytesToReal').run({ x: bytes }, { unit: 1 }, { real: 'f32' });
  const counter = given(Int32Array.of(1));
  op('dropout').run({ x, counter }, { p: 0.1, seed: 7 });
  const [steps, ...rest] = shape;
  const flat = [steps!, elements(rest)];
  op('sumOverTime').run({ x: x.alias(flat) }, { divisor: steps! });
  op('repeatOverTime').run({ x: x.alias([flat[0]! * flat[1]!]) }, { divisor: 1 }, { dims: { T: steps! } });
  const perChannel = real([1, 1, rest[1]!, 1, 1]);
  for (const input of [x, s]) op('sum').run({ x: input, y: perChannel }, { divisor: 1 });
  op('sum').run({ x, y: real([1, 1, 1, 1, 1]) }, { divisor: 1 });
  op('expand').run({ x: perChannel, y }, { divisor: 1 });
  op('broadcast').run({ x, y: perChannel, z: y }, { kind: 2 });
  op('max').run({ x, y: perChannel });
  parts(x, s, [1, ...rest], real);
  op('reorder').run({ x, y: real([steps!, rest[0]!, flat[1]! / rest[0]!]) });
}

/** A time step of numbers and of spikes, cut out and put in place, and their axes in another order. */
function parts(x: Tensor, s: Tensor, step: number[], real: Maker): void {
  const one = { axis: 0, from: 0 };
  const part = real(step);
  op('slice').run({ x, y: part }, one);
  op('slice').run({ x: s, y: zeros(step, 'spike', s.device) }, one);
  for (const clear of [false, true]) op('place').run({ x: part, y: x }, { ...one, clear });
  op('addPart').run({ x: part, y: x }, one);
  const order = { a0: 0, a1: 1, a2: 3, a3: 4, a4: 2, a5: 5 }; // pixels in front of channels
  const [T, B, C, H, W] = x.shape as [number, number, number, number, number];
  op('permute').run({ x, y: real([T, B, H, W, C]) }, order);
  op('permute').run({ x: s, y: zeros([T, B, H, W, C], 'spike', s.device) }, order);
}

function pools({ real, spikes }: Makers, shape: number[]): void {
  const [H, W] = shape.slice(-2) as [number, number];
  const window = { kh: 2, kw: 2, sh: 2, sw: 2, ph: 0, pw: 0 };
  const dims = { P: Math.floor(H / 2), Q: Math.floor(W / 2) };
  const back = { dims: { H, W }, types: { gx: 'f32' } } as const;
  for (const x of [real(shape), spikes(shape)]) {
    op('avgPool2d').run({ x }, { ...window, countIncludePad: true }, { dims, types: { y: 'f32' } });
    const types = { y: x.dtype };
    const isSpikes = x.dtype === 'spike';
    const { y, index } = op('maxPool2d').run({ x }, window, { dims, types, want: isSpikes ? [] : ['index'] });
    const gy = real(y!.shape);
    if (isSpikes) op('spikeMaxPool2dGrad').run({ gy, x }, window, { types: { gx: 'f32' } });
    else op('maxPool2dGrad').run({ gy, index }, window, { ...back, types: { gx: 'f32' } });
    op('avgPool2dGrad').run({ gy }, { ...window, countIncludePad: true }, back);
    op('globalAvgPool').run({ x }, {}, { types: { y: 'f32' } });
  }
  op('globalAvgPoolGrad').run({ gy: real(shape.slice(0, 3)) }, {}, back);
}

/** Layer by layer, as a network does that shows what lies between. */
function layers({ real, spikes, given, cleared }: Makers, shape: number[]): void {
  const [steps, batch, C, H, W] = shape as [number, number, number, number, number];
  const [x, gy] = [real(shape), real(shape)];
  const [gamma, beta, runningMean, runningVar] = [
    real([C]),
    real([C]),
    cleared([C]),
    given(new Float32Array(C).fill(1)),
  ];
  const norm = { x, gamma, beta, runningMean, runningVar };
  const { mean, invStd } = op('batchNorm').run(norm, { eps: 1e-5, momentum: 0.1 });
  op('batchNormGrad').run({ gy, x, gamma, mean, invStd });
  const still = op('batchNormEval').run(norm, { eps: 1e-5 });
  op('batchNormEvalGrad').run({ gy, x, gamma, mean: runningMean, invStd: still.invStd });
  const neuron = { decay: 0.25, vth: 1, threshold: 0.5, soft: false };
  const back = { detachReset: false, surrogate: 0, temperature: 1 };
  const { s } = op('lif').run({ x }, neuron);
  op('lifGrad').run({ gs: gy, x, s }, { ...neuron, ...back }, { types: { gx: 'f32' } });
  const adaptive = { ...neuron, synapse: 0.5, adaptation: 0.9, strength: 0.1 };
  const { s: adapted } = op('adaptiveLif').run({ x }, adaptive);
  op('adaptiveLifGrad').run({ gs: gy, x, s: adapted }, { ...adaptive, ...back });
  const stats = op('fstaStats').run({ x });
  const scalar = () => real([1]);
  const { argmax, ...sums } = stats;
  const seen = { ...sums, alpha: scalar(), beta: scalar(), weight: real([steps, steps]) };
  const { a, S } = op('fstaSteps').run(seen);
  op('fstaStepsGrad').run({ ga: real([steps, batch]), gS: real(S!.shape), a, ...seen });
  const gate = { x, a, F: real([batch, 1, H, W]), m: scalar(), n: scalar() };
  op('fstaGate').run(gate);
  op('fstaGateGrad').run({ gy, ...gate }, {}, { want: ['gx'] });
  const arrived = { gmean: stats.mean, gpeak: stats.peak, gplane: stats.plane, argmax };
  op('fstaStatsGrad').run(arrived, {}, { dims: { C, H, W } });
  const w = real([C, C, 3, 3]);
  const window = { sh: 1, sw: 1, ph: 1, pw: 1 };
  for (const input of [x, spikes(shape)]) {
    op('conv2d').run({ x: input, w }, window, { dims: { P: H, Q: W }, types: { y: 'f32' } });
    op('conv2dGradW').run({ gy, x: input }, window, { dims: { kh: 3, kw: 3 } });
  }
  op('conv2dGradX').run({ gy, w }, window, { dims: { H, W }, types: { gx: 'f32' } });
  const depthwise = real([C, 1, 3, 3]);
  const spread = { ...window, dh: 1, dw: 1 };
  for (const input of [x, spikes(shape)]) {
    op('groupConv2d').run({ x: input, w: depthwise }, spread, { dims: { P: H, Q: W }, types: { y: 'f32' } });
    op('groupConv2dGradW').run({ gy, x: input }, spread, { dims: { G: 1, kh: 3, kw: 3 } });
  }
  op('groupConv2dGradX').run({ gy, w: depthwise }, spread, { dims: { C, H, W }, types: { gx: 'f32' } });
}

/** A layer from the convolution's output to spikes and back, as one: see fire() in lib/ops. */
function firing({ real, spikes, given, cleared }: Makers, shape: number[], precision: 'f32' | 'bf16'): void {
  const [steps, batch, C] = shape as [number, number, number];
  const learned = (t: Tensor) => Object.assign(t, { requiresGrad: true });
  const y = learned(op('add').run({ x: real(shape), y: real(shape) }, {}, { types: { z: precision } }).z!);
  const [runningMean, runningVar] = [cleared([C]), given(new Float32Array(C).fill(1))];
  const norm = { gamma: learned(real([C])), beta: learned(real([C])), runningMean, runningVar };
  const [alpha, beta, m, n] = [0.5, 0.5, 0.6, 0.5].map((value) => learned(given([value])));
  const scalars = { alpha: alpha!, beta: beta!, m: m!, n: n! };
  const params = { ...scalars, time: learned(real([steps, steps])), freq1: learned(real([1, 49, 7, 7])) };
  const s = fire(y, {
    norm: { ...norm, training: true },
    residual: spikes(shape),
    fsta: { params, basis: real([49, 1, 7, 7]) },
  });
  const labels = given(Int32Array.from({ length: batch }, (_, i) => i % C));
  backward(crossEntropy(globalAvgPool(s), labels));
  noGrad(() => fire(y, { norm: { ...norm, training: false } }));
}

function heads({ real, spikes, given }: Makers, [steps, batch]: number[], classes: number, features: number): void {
  const w = real([classes, features]);
  for (const x of [real([steps!, batch!, features]), spikes([steps!, batch!, features])]) {
    op('linear').run({ x, w, b: real([classes]) });
    op('linearGradW').run({ gy: real([steps!, batch!, classes]), x }, {}, { want: ['gb'] });
  }
  op('linearGradX').run({ gy: real([steps!, batch!, classes]), w });
  const labels = given(Int32Array.from({ length: batch! }, (_, i) => i % classes));
  const x = real([steps!, batch!, classes]);
  const gloss = real([1]);
  const { p } = op('crossEntropy').run({ x, labels }, { smoothing: 0.1 }, { want: ['p'] });
  op('crossEntropyGrad').run({ gloss, p, labels }, { smoothing: 0.1 });
  const logits = real([batch!, classes]);
  op('bceWithLogits').run({ x: logits, labels }, { smoothing: 0.1 });
  op('bceWithLogitsGrad').run({ gloss, x: logits, labels }, { smoothing: 0.1 });
  op('correctCount').run({ x: logits, labels });
  const { y } = op('softmax').run({ x: logits }, { log: true });
  op('softmaxGrad').run({ gy: logits, y }, { log: true });
  op('argmax').run({ x: logits });
  op('oneHot').run({ labels }, {}, { dims: { K: classes }, real: 'f32' });
  op('needFinite').run({ x: gloss });
  const [next, correct] = [given(Int32Array.of(0)), given(Int32Array.of(1))];
  op('logMetrics').run({ log: real([10, 2]), next, loss: gloss, correct });
}

/** A layer of `features` neurons that hear each other, over many steps. */
function recurrence({ real }: Makers, batch: number, features: number): void {
  const steps = 25;
  const [x, gs] = [real([steps, batch, features]), real([steps, batch, features])];
  const w = op('scale').run({ x: real([features, features]) }, { factor: 1 / features }).y!;
  const neuron = { decay: 0.25, synapse: 0.5, vth: 1, threshold: 0.5, soft: false };
  const { s } = op('recurrentLif').run({ x, w }, neuron);
  const back = { detachReset: false, surrogate: 0, temperature: 1 };
  const { gx } = op('recurrentLifGrad').run({ gs, x, w, s }, { ...neuron, ...back });
  op('recurrentLifGradW').run({ gx, s });
}

/** Attention of eight heads over a picture of 8 x 8 patches: scores of spikes, what they select, and a gradient. */
function attention({ real, spikes }: Makers, [steps, batch]: number[], features: number): void {
  const [heads, patches] = [8, 64];
  const each = [steps! * batch! * heads, patches, features / heads];
  const scores = real([each[0]!, patches, patches]);
  const [q, v] = [spikes(each), real(each)];
  op('matmul').run({ a: q, b: q, y: scores }, { ta: false, tb: true });
  op('matmul').run({ a: scores, b: q, y: v }, { ta: false, tb: false });
  op('matmul').run({ a: scores, b: v, y: real(each) }, { ta: true, tb: false });
}

/** A batch from a set of images on the device, which is as large as the batch. */
function batches({ real, given }: Makers, [batch, C, size]: [number, number, number], on: Device): void {
  const pixels = new Uint8Array(batch * C * size * size);
  const set = {
    images: tensor(pixels, { shape: [batch, C * size * size], dtype: 'u8', device: on }),
    table: real([C, 256]),
  };
  const draw = drawPrograms(augmentation('cifar10', 'published'), [size, size], 1, 0);
  const words = encodePrograms(Array.from({ length: batch }, (_, i) => draw(i)));
  const programmed = given(words).alias([batch, words.length / batch]);
  takeImages({ ...set, size: [size, size] }, programmed);
  takeLabels(given(new Int32Array(batch)), programmed);
  const mix = given(Float32Array.of(0.3, 0.3, 0, 0, 0, 0));
  mixImages(real([batch, C, size, size]), mix);
  mixLabels(given(new Int32Array(batch)), mix, 10);
}

/** Recordings of 200,000 events each, from twice the size. */
function eventBatches({ given }: Makers, [steps, batch, size]: [number, number, number]): void {
  const each = 200_000;
  const draws = philox(0, NUMBERS, 1);
  const drawn = Int32Array.from({ length: 60_013 }, () =>
    packEvent(draws.below(2 * size), draws.below(2 * size), draws.below(2)),
  );
  const events = repeated(new Int32Array(batch * each), drawn);
  const bounds = Int32Array.from({ length: batch * (steps + 1) }, (_, i) => {
    const slice = i % (steps + 1);
    return Math.floor(i / (steps + 1)) * each + Math.floor((slice * each) / steps);
  });
  eventFrames(given(events), given(bounds).alias([batch, steps + 1]), {
    window: [2 * size, 2 * size],
    size: [size, size],
  });
}

function updates({ real, given, cleared }: Makers, shape: number[]): void {
  const [w, m, g] = [real(shape), real(shape), real(shape)];
  const v = cleared(shape);
  const hyper = given(Float32Array.of(1e-3, 0.1, 0.001));
  const rate = given(Float32Array.of(1e-3));
  const moments = { beta1: 0.9, beta2: 0.999, eps: 1e-8, weightDecay: 0.01 };
  op('sgdUpdate').run({ w, g, hyper: rate }, { weightDecay: 5e-4 });
  op('momentumUpdate').run({ w, m, g, hyper: rate }, { momentum: 0.9, nesterov: true, weightDecay: 5e-4 });
  op('adamwUpdate').run({ w, m, v, g, hyper }, moments);
  op('lambUpdate').run({ w, m, v, g, hyper }, moments);
  const norms = cleared([64]);
  op('gradNorm').run({ g, norms }, { slot: 0 });
  op('clipFactor').run({ norms }, { limit: 1 });
}

/** Calls of the sizes that a step has in its first stage, its head and its largest weight. */
function others(options: StepOptions): CaseSet {
  const { steps, batch, size, channels, classes, width = 64, seed } = options;
  const shape = [steps, batch, width, size, size];
  const work = () => {
    const on = device(options.device);
    const make = makers(seed, on);
    batches(make, [batch, channels, size], on);
    eventBatches(make, [steps, batch, size]);
    elementwise(make, shape);
    pools(make, shape);
    layers(make, shape);
    for (const precision of ['f32', 'bf16'] as const) firing(make, shape, precision);
    heads(make, shape, classes, width * 8);
    recurrence(make, batch, width * 4);
    attention(make, shape, width * 8);
    updates(make, [width * 8, width * 8, 3, 3]);
  };
  return { name: 'single ops', work, dispose: () => {} };
}

function training(options: StepOptions, fused = true): CaseSet {
  const { net, step, dispose } = prepareTraining(options);
  net.fused = fused;
  const name = `a step in ${options.precision}${fused ? '' : ', layer by layer'}`;
  return { name, work: () => void step(), dispose };
}

/** Each set is made when it is asked for, and disposed of by who asked. */
export const caseSets = (options: StepOptions): (() => CaseSet)[] => [
  () => training({ ...options, precision: 'fp32' }),
  () => training({ ...options, precision: 'bf16' }),
  () => training({ ...options, precision: 'fp32' }, false),
  () => others(options),
];
