// The minimal cost of a call: bytes between memory and kernel, and floating-point operations.
//
// Bytes: every tensor of the call crosses once, one that is updated in place twice. A kernel that reads a tensor more
// often pays for it.
// FLOPs: additions, multiplications, divisions, comparisons and elementary functions count 1 each. Products count as if
// spikes were numbers, but only those with a pixel of the picture: what lies outside of it is known to be 0.
import { elements, opTable, SpikeloomError } from '../lib/core/index.ts';
import type { Call, Operand } from './calls.ts';

export interface Cost {
  readonly bytes: number;
  readonly flops: number;
  /** What most bytes do: nearly all are read, or some are updated in place, or one array becomes another. */
  readonly traffic: 'read' | 'update' | 'stream';
  /**
   * How the products are made: 'plain' with f32 fused multiply-adds; 'bf16' with factors that are bf16; else f32
   * factors as sums of bf16 parts on a matrix unit, where that is faster: 'bits' with spikes on one side (3 products),
   * 'split' with f32 on both (6).
   */
  readonly products: 'plain' | 'bf16' | 'bits' | 'split';
}

const WIDTHS = { f32: 4, f64: 8, bf16: 2, u8: 1, i32: 4 } as const;

/** Bytes in memory: bits of spikes are packed along the channels, 32 in a word. */
export function bytesOf({ dtype, shape }: Operand): number {
  if (dtype !== 'spike') return elements(shape) * WIDTHS[dtype];
  const channels = shape[shape.length >= 4 ? shape.length - 3 : shape.length - 1] ?? 1;
  return (elements(shape) / channels) * Math.ceil(channels / 32) * 4;
}

/** How many (output, kernel element) pairs of an axis read a pixel of the picture. */
function insidePairs(
  size: number,
  outputs: number,
  kernel: number,
  stride: number,
  padding: number,
  dilation = 1,
): number {
  let pairs = 0;
  for (let p = 0; p < outputs; p++) {
    const start = p * stride - padding;
    const end = Math.min(kernel, Math.ceil((size - start) / dilation));
    pairs += Math.max(0, end - Math.max(0, Math.ceil(-start / dilation)));
  }
  return pairs;
}

type Flops = (call: Call) => number;

function operand({ op, inputs, outputs }: Call, name: string): Operand {
  const found = outputs[name] ?? inputs[name];
  if (!found) throw new SpikeloomError(`${op}: the call has no tensor '${name}'`);
  return found;
}

const elementsOf = (call: Call, name: string): number => elements(operand(call, name).shape);

/** `count` operations for each element of a tensor. */
const each =
  (name: string, count: number): Flops =>
  (call) =>
    count * elementsOf(call, name);

function convolution(picture: string, result: string): Flops {
  return (call) => {
    const x = operand(call, picture).shape;
    const y = operand(call, result).shape;
    const [H, W] = x.slice(-2) as [number, number];
    const [P, Q] = y.slice(-2) as [number, number];
    const w = operand(call, call.inputs.w ? 'w' : 'gw').shape;
    const [O, inputs, kh, kw] = w as [number, number, number, number];
    const { sh, sw, ph, pw, dh, dw } = call.attributes as Record<string, number>;
    const pairs = insidePairs(H, P, kh, sh!, ph!, dh) * insidePairs(W, Q, kw, sw!, pw!, dw);
    return 2 * elements(x.slice(0, -3)) * inputs * O * pairs;
  };
}

const pooled =
  (name: string): Flops =>
  (call) => {
    const { kh, kw } = call.attributes as Record<string, number>;
    return elementsOf(call, name) * kh! * kw!;
  };

const matrix =
  (rows: string, weights: string): Flops =>
  (call) => {
    const [O, F] = operand(call, weights).shape as [number, number];
    const { shape } = operand(call, rows);
    return 2 * (elements(shape) / shape.at(-1)!) * O * F;
  };

/** Neurons with `count` operations each that hear each other by the weights w. */
const recurrent =
  (count: number): Flops =>
  (call) =>
    each('x', count)(call) + matrix('x', 'w')(call);

/** Two convolutions of one channel in a row are one with a larger kernel of n x n, for each of `result`'s pixels. */
function mapProducts(call: Call, pictures: string, n: number, maps: number): number {
  const [batch, , H, W] = operand(call, pictures).shape as [number, number, number, number];
  const pairs = insidePairs(H, H, n, 1, (n - 1) / 2) * insidePairs(W, W, n, 1, (n - 1) / 2);
  return 2 * maps * batch * pairs;
}

/** FSTA's frequency map: E has n numbers for each class of rows, of which there are at most `outer`. */
const frequencyMap: Flops = (call) => {
  const [maps, Y] = operand(call, 'E').shape as [number, number];
  const H = operand(call, 'x').shape[2]!;
  return mapProducts(call, 'x', Y / Math.min(H, call.attributes.outer as number), maps);
};

/** As its definition has it: K products of an offset of w and one of the basis. */
const mixedFilters = (call: Call, weights: string): number =>
  (2 * elementsOf(call, weights) * elementsOf(call, 'basis')) / operand(call, 'basis').shape[0]!;

const frequencyGradient: Flops = (call) => {
  const [O, , q] = operand(call, 'gw').shape as [number, number, number];
  const n = q + operand(call, 'basis').shape.at(-1)! - 1;
  return mapProducts(call, 'gF', n, O) + mixedFilters(call, 'gw');
};

/** A factor of two axes is shared by all batches: the other one has them all. */
const batchedProduct: Flops = (call) => {
  const { ta, tb } = call.attributes;
  const M = operand(call, 'a').shape.at(ta ? -1 : -2)!;
  const N = operand(call, 'b').shape.at(tb ? -2 : -1)!;
  return 2 * Math.max(elementsOf(call, 'a') * N, elementsOf(call, 'b') * M);
};

const none: Flops = () => 0;

/** For every op; an op that is not here cannot be timed. */
const FLOPS: Readonly<Record<string, Flops>> = {
  abs: each('x', 1),
  absGrad: each('gy', 1),
  adamwUpdate: each('w', 13),
  adaptiveLif: each('x', 10),
  adaptiveLifGrad: each('x', 24),
  adaptiveLifSmooth: each('x', 14),
  adaptiveLifSmoothGrad: each('x', 24),
  add: each('z', 1),
  addPart: each('x', 1),
  argmax: each('x', 1),
  avgPool2d: pooled('y'),
  avgPool2dGrad: pooled('gy'),
  batchNorm: each('x', 5),
  batchNormEval: each('x', 2),
  batchNormEvalGrad: each('x', 6),
  batchNormGrad: each('x', 9),
  bceWithLogits: each('x', 8),
  bceWithLogitsGrad: each('x', 6),
  broadcast: each('z', 1),
  bytesToReal: each('y', 1),
  channelMoments: each('y', 3),
  clamp: each('x', 2),
  clampGrad: each('gy', 2),
  clipFactor: each('norms', 2),
  conv2d: convolution('x', 'y'),
  conv2dGradW: convolution('x', 'gy'),
  conv2dGradX: convolution('gx', 'gy'),
  convert: none,
  correctCount: each('x', 1),
  crossEntropy: each('x', 6),
  crossEntropyGrad: each('p', 4),
  currentFire: each('s', 8),
  currentFireGrad: each('s', 24),
  currentGrad: each('g', 8),
  currentStats: (call) => 5 * elementsOf(call, 'plane') * elementsOf(call, 'scale'),
  div: each('z', 1),
  divGradY: each('gy', 3),
  dropout: each('x', 1),
  eventFrames: each('events', 1),
  exp: each('x', 1),
  expand: each('y', 1),
  fill: none,
  fstaGate: each('x', 1),
  fstaGateGrad: each('x', 3),
  fstaKernels: (call) => mixedFilters(call, 'w'),
  fstaMap: frequencyMap,
  fstaMapGradW: frequencyGradient,
  fstaStats: each('x', 3),
  fstaStatsGrad: each('gx', 3),
  fstaSteps: each('plane', 2),
  fstaStepsGrad: each('plane', 4),
  globalAvgPool: each('x', 1),
  globalAvgPoolGrad: each('gx', 1),
  gradNorm: each('g', 2),
  groupConv2d: convolution('x', 'y'),
  groupConv2dGradW: convolution('x', 'gy'),
  groupConv2dGradX: convolution('gx', 'gy'),
  lambUpdate: each('w', 18),
  lif: each('x', 4),
  lifGrad: each('x', 12),
  lifSmooth: each('x', 8),
  lifSmoothGrad: each('x', 12),
  linear: matrix('x', 'w'),
  linearGradW: matrix('gy', 'gw'),
  linearGradX: matrix('gx', 'w'),
  log: each('x', 1),
  logMetrics: none,
  matmul: batchedProduct,
  max: each('x', 1),
  maxPool2d: pooled('y'),
  maxPool2dGrad: each('gy', 1),
  mixImages: each('y', 3),
  mixLabels: each('target', 1),
  momentumUpdate: each('w', 7),
  mul: each('z', 1),
  needFinite: each('x', 1),
  normAffine: each('gamma', 8),
  normAffineEval: each('gamma', 5),
  oneHot: none,
  permute: none,
  place: none,
  pow: each('x', 1),
  powGrad: each('gy', 3),
  recurrentLif: recurrent(8),
  recurrentLifGrad: recurrent(18),
  recurrentLifGradW: matrix('gx', 'gw'),
  recurrentLifSmooth: recurrent(12),
  recurrentLifSmoothGrad: recurrent(18),
  relu: each('x', 1),
  reluGrad: each('gy', 1),
  reorder: none,
  repeatOverTime: each('y', 1),
  scale: each('y', 1),
  sgdUpdate: each('w', 4),
  shift: each('y', 1),
  sigmoid: each('x', 3),
  sigmoidGrad: each('gy', 3),
  slice: none,
  softmax: each('x', 7),
  softmaxGrad: each('gy', 4),
  spikeMaxPool2dGrad: each('gy', 1),
  spikeCount: each('x', 1),
  sqrt: each('x', 1),
  sqrtGrad: each('gy', 2),
  sub: each('z', 1),
  sum: each('x', 1),
  sumOverTime: each('x', 1),
  takeImages: none,
  takeLabels: none,
  tanh: each('x', 1),
  tanhGrad: each('gy', 3),
  toReal: none,
  toBf16: none,
  zero: none,
};

/** Inputs of which only the shape is used, and memory that is filled, which crosses once. */
const UNREAD: Readonly<Record<string, readonly string[]>> = {
  broadcast: ['z'],
  expand: ['y'],
  fill: ['x'],
  matmul: ['y'],
  max: ['y'],
  permute: ['y'],
  sum: ['y'],
  zero: ['y'],
};

/** Ops that touch a part of a tensor: all their bytes. */
const TOUCHED: Readonly<Record<string, (call: Call) => number>> = {
  addPart: (call) => 3 * bytesOf(operand(call, 'x')),
  place: (call) => bytesOf(operand(call, 'x')) + bytesOf(operand(call, call.attributes.clear ? 'y' : 'x')),
  slice: (call) => 2 * bytesOf(operand(call, 'y')),
};

const PRODUCTS = /^(conv2d|linear|recurrentLifGradW)/;

function productsOf({ op, inputs, outputs }: Call): Cost['products'] {
  if (!PRODUCTS.test(op)) return 'plain';
  const types = [...Object.values(inputs), ...Object.values(outputs)].map(({ dtype }) => dtype);
  if (types.includes('bf16')) return 'bf16';
  if (types.includes('f64')) return 'plain';
  return types.includes('spike') ? 'bits' : 'split';
}

/** Names of the ops whose FLOPs are known. */
export const costedOps = (): string[] => Object.keys(FLOPS);

/** @throws SpikeloomError for an op without a line in FLOPS */
export function costOf(call: Call): Cost {
  const flops = FLOPS[call.op];
  if (!flops)
    throw new SpikeloomError(
      `the cost of a call is known by its op, but '${call.op}' has no line in bench/cost.ts; add it`,
    );
  const { inputs } = opTable().get(call.op)!.signature;
  const inPlace = new Set(inputs.filter((spec) => spec.inPlace).map(({ name }) => name));
  const unread = UNREAD[call.op] ?? [];
  const total = (tensors: Call['inputs'], counts: (name: string) => boolean) =>
    Object.entries(tensors).reduce((n, [name, tensor]) => n + (counts(name) ? bytesOf(tensor) : 0), 0);
  const updated = total(call.inputs, (name) => inPlace.has(name));
  const written = total(call.outputs, () => true);
  const bytes = TOUCHED[call.op]?.(call) ?? total(call.inputs, (name) => !unread.includes(name)) + updated + written;
  const traffic = updated > written ? 'update' : written < bytes / 10 ? 'read' : 'stream';
  return { bytes, flops: flops(call), traffic, products: productsOf(call) };
}
