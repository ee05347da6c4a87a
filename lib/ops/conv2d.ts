import {
  type Backward,
  describe,
  forBackward,
  nativeOp,
  needTensors,
  type RealType,
  recomputeForBackward,
  record,
  SpikeloomError,
  type Tensor,
} from '../core/index.ts';
import { contentOf, needOptions } from '../core/options.ts';

const forward = nativeOp<'y' | 'mean' | 'var'>('conv2d');
const gradX = nativeOp<'gx'>('conv2dGradX');
const gradW = nativeOp<'gw' | 'gb'>('conv2dGradW');

/** One number for both axes, or [vertical, horizontal]. */
export type Pair = number | readonly [number, number];

export const pair = (value: Pair): readonly [number, number] =>
  Array.isArray(value) ? (value as [number, number]) : [value as number, value as number];

export interface Conv2dOptions {
  /** One number per output channel, [O]. */
  bias?: Tensor | undefined;
  stride?: Pair;
  /** Zeros around the picture. */
  padding?: Pair;
  /**
   * 'bf16' (with weights in f32): y is stored as bf16, and so is the gradient of spikes or of a bf16 x; activations,
   * weights and gradients are rounded to bf16 as factors, all sums are f32. Default: everything in the weights' type.
   */
  precision?: 'bf16' | undefined;
}

const KNOWN: Record<keyof Conv2dOptions, true> = { bias: true, stride: true, padding: true, precision: true };

/** Mean and biased variance of y per output channel, over everything else, [O]. They carry no gradient. */
export interface ChannelMoments {
  mean: Tensor;
  var: Tensor;
}

/** Output size along one axis: floor((size + 2 padding - kernel) / stride) + 1. */
export function convolvedSize(size: number, kernel: number, stride: number, padding: number): number {
  return Math.floor((size + 2 * padding - kernel) / stride) + 1;
}

function geometry(x: Tensor, w: Tensor, options: Conv2dOptions) {
  needTensors('conv2d', { x, w });
  if (x.shape.length < 4)
    throw new SpikeloomError(
      `conv2d: takes pictures [..., C, H, W] of four axes or more, not ${describe(x)}; reshape() adds one`,
    );
  const [sh, sw] = pair(options.stride ?? 1);
  const [ph, pw] = pair(options.padding ?? 0);
  const [H, W] = x.shape.slice(-2) as [number, number];
  const [kh, kw] = w.shape.slice(-2) as [number, number];
  if (
    ![sh, sw].every((s) => Number.isSafeInteger(s) && s >= 1 && s < 2 ** 31) ||
    ![ph, pw].every((p) => Number.isSafeInteger(p) && p >= 0 && p < 2 ** 20)
  ) {
    throw new SpikeloomError(
      `conv2d: stride is a whole number of at least 1, below 2^31, and padding of at least 0, below 2^20; not stride ${contentOf([sh, sw])}, padding ${contentOf([ph, pw])}`,
    );
  }
  const dims = { P: convolvedSize(H, kh, sh, ph), Q: convolvedSize(W, kw, sw, pw) };
  if (dims.P < 1 || dims.Q < 1) {
    throw new SpikeloomError(
      `conv2d: a ${kh}x${kw} kernel does not fit into ${H}x${W} with padding ${ph},${pw}; make the input or the padding larger`,
    );
  }
  if (options.precision === 'bf16' && w.dtype !== 'f32') {
    throw new SpikeloomError(`conv2d: precision 'bf16' rounds weights in f32, not in ${w.dtype}; make the weights f32`);
  }
  return { attributes: { sh, sw, ph, pw }, dims, source: { H, W }, kernel: { kh, kw } };
}

function run(x: Tensor, w: Tensor, options: Conv2dOptions, wantMoments: boolean) {
  const { bias, precision } = options;
  const { attributes, dims, source, kernel } = geometry(x, w, options);
  const real = w.dtype as RealType;
  const made = forward.run({ x, w, bias }, attributes, {
    dims,
    types: { y: precision ?? real },
    want: wantMoments ? ['mean', 'var'] : [],
  });
  const gradientType = x.dtype === 'spike' ? (precision ?? real) : x.dtype;
  const backward: Backward = ([gy], [needX, needW, needBias], take) => {
    const add = needX ? take(0) : undefined;
    const { gx } = needX
      ? gradX.run({ gy, w, add }, attributes, { dims: source, types: { gx: gradientType }, reuse: { gx: add } })
      : {};
    if (!needW && !needBias) return [gx];
    const { gw, gb } = gradW.run({ gy, x: forBackward(x) }, attributes, {
      dims: kernel,
      want: needBias ? ['gb'] : [],
      real,
    });
    return [gx, gw, gb];
  };
  record([made.y], [x, w, bias], backward, [2]);
  return made;
}

/**
 * y[n,o,p,q] = bias[o] + sum over c,i,j of w[o,c,i,j] x[n,c,p*stride+i-padding,q*stride+j-padding], x being 0 outside
 * of the picture (cross-correlation, as in PyTorch's conv2d; groups = 1, dilation 1).
 *
 * @param x [..., C, H, W], real, bf16 or spikes: a spike's product with a weight is the weight itself, so nothing is
 * rounded but the sum
 * @param w [O, C, kh, kw]
 * @returns [..., O, P, Q] of the weights' type, or bf16: see `precision`
 * @throws SpikeloomError when the kernel does not fit into the padded picture
 */
export function conv2d(x: Tensor, w: Tensor, options: Conv2dOptions = {}): Tensor {
  needOptions('conv2d', options, KNOWN);
  return run(x, w, options, false).y;
}

/**
 * conv2d() and the moments of its output, from the same pass over y: what batch normalization needs.
 *
 * @param options with `recompute`: gradients recompute y instead of keeping it, to the same bits
 */
export function conv2dWithMoments(
  x: Tensor,
  w: Tensor,
  options: Conv2dOptions & { recompute?: boolean } = {},
): { y: Tensor; moments: ChannelMoments } {
  needOptions('conv2dWithMoments', options, { ...KNOWN, recompute: true });
  const { y, mean, var: variance } = run(x, w, options, true);
  if (options.recompute) recomputeForBackward(y, () => run(forBackward(x), w, options, false).y);
  return { y, moments: { mean, var: variance } };
}
