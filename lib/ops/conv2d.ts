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

const kernels = (name: string) => ({
  forward: nativeOp<'y' | 'mean' | 'var'>(name),
  gradX: nativeOp<'gx'>(`${name}GradX`),
  gradW: nativeOp<'gw' | 'gb'>(`${name}GradW`),
});
const whole = kernels('conv2d');
/** With groups or dilation. */
const grouped = kernels('groupConv2d');

/** One number for both axes, or [vertical, horizontal]. */
export type Pair = number | readonly [number, number];

/** @throws SpikeloomError for an array of other than two */
export function pair(value: Pair): readonly [number, number] {
  if (!Array.isArray(value)) return [value as number, value as number];
  if (value.length !== 2)
    throw new SpikeloomError(
      `what a window has for its two axes is one number or [vertical, horizontal], not ${contentOf(value)}`,
    );
  return value as [number, number];
}

export interface Conv2dOptions {
  /** One number per output channel, [O]. */
  bias?: Tensor | undefined;
  stride?: Pair;
  /** Zeros around the picture. */
  padding?: Pair;
  /** Channels are cut into so many groups, each convolved by itself; it divides C and O. C: depthwise. Default 1. */
  groups?: number | undefined;
  /** Pixels from one kernel element to the next. Default 1. */
  dilation?: Pair | undefined;
  /**
   * 'bf16' (with weights in f32): y is stored as bf16, and so is the gradient of spikes or of a bf16 x; activations,
   * weights and gradients are rounded to bf16 as factors (not with groups or dilation), all sums are f32. Default:
   * everything in the weights' type.
   */
  precision?: 'bf16' | undefined;
}

const KNOWN: Record<keyof Conv2dOptions, true> = {
  ...({ bias: true, stride: true, padding: true, groups: true, dilation: true, precision: true } as const),
};

/** Mean and biased variance of y per output channel, over everything else, [O]. They carry no gradient. */
export interface ChannelMoments {
  mean: Tensor;
  var: Tensor;
}

/** Pixels that a kernel covers along one axis: dilation (kernel - 1) + 1. */
export const coveredSize = (kernel: number, dilation: number): number => dilation * (kernel - 1) + 1;

/** Output size along one axis: floor((size + 2 padding - covered) / stride) + 1. */
export function convolvedSize(size: number, covered: number, stride: number, padding: number): number {
  return Math.floor((size + 2 * padding - covered) / stride) + 1;
}

/** With groups or dilation a row is laid out from its first to its last tap, whatever lies between. */
const MOST_BESIDE = 2 ** 16;

/** @throws SpikeloomError where channels and weights do not fit the groups */
function needGroups(x: Tensor, w: Tensor, groups: number): void {
  if (!Number.isSafeInteger(groups) || groups < 1)
    throw new SpikeloomError(`conv2d: groups is a whole number of at least 1, not ${contentOf(groups)}`);
  const C = x.shape.at(-3)!;
  const [O, inputs] = w.shape as [number, number];
  if (C % groups !== 0 || O % groups !== 0) {
    throw new SpikeloomError(
      `conv2d: groups divides the input and the output channels, but there are ${groups} groups, ${C} inputs (${describe(x)}) and ${O} outputs (${describe(w)}); change the channels or the groups`,
    );
  }
  if (inputs !== C / groups) {
    throw new SpikeloomError(
      `conv2d: weights are [O,C/groups,kh,kw], and ${C} channels in ${groups} groups make ${C / groups}, but w has ${inputs} (${describe(w)}); make w [${[O, C / groups, ...w.shape.slice(2)]}]`,
    );
  }
}

function geometry(x: Tensor, w: Tensor, options: Conv2dOptions) {
  needTensors('conv2d', { x, w });
  if (x.shape.length < 4)
    throw new SpikeloomError(
      `conv2d: takes pictures [..., C, H, W] of four axes or more, not ${describe(x)}; reshape() adds one`,
    );
  const [sh, sw] = pair(options.stride ?? 1);
  const [ph, pw] = pair(options.padding ?? 0);
  const [dh, dw] = pair(options.dilation ?? 1);
  const groups = options.groups ?? 1;
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
  if (![dh, dw].every((d) => Number.isSafeInteger(d) && d >= 1 && d < 2 ** 20)) {
    throw new SpikeloomError(
      `conv2d: dilation is a whole number of at least 1, below 2^20, not ${contentOf([dh, dw])}`,
    );
  }
  const isWhole = groups === 1 && dh === 1 && dw === 1;
  const [C, inputs] = [x.shape.at(-3)!, w.shape.at(-3)!];
  if (groups === 1 && C > inputs && C % inputs === 0) {
    throw new SpikeloomError(
      `conv2d: w reads ${inputs} channels (${describe(w)}), but x has ${C} (${describe(x)}); make them equal, or give groups: ${C / inputs} where each group has weights of its own`,
    );
  }
  if (!isWhole && w.shape.length === 4) needGroups(x, w, groups);
  const covered = [coveredSize(kh, dh), coveredSize(kw, dw)] as const;
  if (!isWhole && [...covered, ph, pw].some((pixels) => pixels > MOST_BESIDE)) {
    throw new SpikeloomError(
      `conv2d: with groups or dilation a kernel covers at most ${MOST_BESIDE} pixels along an axis, and padding has at most as many; not ${covered} and ${ph},${pw}`,
    );
  }
  const dims = { P: convolvedSize(H, covered[0], sh, ph), Q: convolvedSize(W, covered[1], sw, pw) };
  if (dims.P < 1 || dims.Q < 1) {
    const dilated = dh * dw > 1 ? ` of dilation ${dh},${dw}` : '';
    throw new SpikeloomError(
      `conv2d: a ${kh}x${kw} kernel${dilated} does not fit into ${H}x${W} with padding ${ph},${pw}; make the input or the padding larger`,
    );
  }
  if (options.precision === 'bf16' && w.dtype !== 'f32') {
    throw new SpikeloomError(`conv2d: precision 'bf16' rounds weights in f32, not in ${w.dtype}; make the weights f32`);
  }
  const window = { sh, sw, ph, pw };
  return {
    ops: isWhole ? whole : grouped,
    attributes: isWhole ? window : { ...window, dh, dw },
    dims,
    source: { C, H, W },
    kernel: { G: inputs, kh, kw },
  };
}

function run(x: Tensor, w: Tensor, options: Conv2dOptions, wantMoments: boolean) {
  const { bias, precision } = options;
  const { ops, attributes, dims, source, kernel } = geometry(x, w, options);
  const real = w.dtype as RealType;
  const made = ops.forward.run({ x, w, bias }, attributes, {
    dims,
    types: { y: precision ?? real },
    want: wantMoments ? ['mean', 'var'] : [],
    calledAs: 'conv2d',
  });
  const gradientType = x.dtype === 'spike' ? (precision ?? real) : x.dtype;
  const backward: Backward = ([gy], [needX, needW, needBias], take) => {
    const add = needX ? take(0) : undefined;
    const { gx } = needX
      ? ops.gradX.run({ gy, w, add }, attributes, { dims: source, types: { gx: gradientType }, reuse: { gx: add } })
      : {};
    if (!needW && !needBias) return [gx];
    const { gw, gb } = ops.gradW.run({ gy, x: forBackward(x) }, attributes, {
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
 * y[n,o,p,q] = bias[o] + sum over k,i,j of w[o,k,i,j] x[n,c,p*stride+i*dilation-padding,q*stride+j*dilation-padding], x
 * being 0 outside of the picture (cross-correlation, as in PyTorch's conv2d). k counts the C / groups channels c of the
 * group that o belongs to; without groups it is c.
 *
 * @param x [..., C, H, W], real, bf16 or spikes: a spike's product with a weight is the weight itself, so nothing is
 * rounded but the sum
 * @param w [O, C / groups, kh, kw]
 * @returns [..., O, P, Q] of the weights' type, or bf16: see `precision`
 * @throws SpikeloomError when the kernel does not fit into the padded picture, or groups do not divide the channels
 * @example conv2d(x, w, { padding: 3, groups: x.shape.at(-3) }) // depthwise: w [C, 1, 7, 7]
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
