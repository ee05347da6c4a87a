import {
  describe,
  empty,
  nativeOp,
  needTensors,
  type RealType,
  record,
  type Shape,
  SpikeloomError,
  type Tensor,
} from '../core/index.ts';
import { kindOf, needOptions } from '../core/options.ts';

const native = nativeOp<never>('matmul');

export interface MatmulOptions {
  /** Whether a holds its matrices transposed, [..., K, M]. Default: false. */
  transposeA?: boolean;
  /** Whether b holds its matrices transposed, [..., N, K]: that of scores is q kᵀ. Default: false. */
  transposeB?: boolean;
  /** Type of the product of spikes with spikes (default f32); otherwise that of the real factor. */
  real?: RealType;
}

const isReal = (t: Tensor): boolean => t.dtype === 'f32' || t.dtype === 'f64';

/** a b, each transposed where it says so, of a shape that tells what is shared by all batches and what is summed. */
function product(a: Tensor, ta: boolean, b: Tensor, tb: boolean, shape: Shape, real?: RealType): Tensor {
  const type = [a, b].find(isReal)?.dtype ?? real ?? 'f32';
  const y = empty(shape, type, a.device);
  native.run({ a, b, y }, { ta, tb });
  return y;
}

/** The shape of the product. */
function productShape(a: Tensor, ta: boolean, b: Tensor, tb: boolean): number[] {
  const refuse = (rule: string): never => {
    throw new SpikeloomError(
      `matmul: ${rule}, not ${describe(a)} by ${describe(b)}; reshape() or expand() one of them`,
    );
  };
  const [front, back] = [a.shape.slice(0, -2), b.shape.slice(0, -2)];
  if (a.shape.length < 2 || b.shape.length < 2) refuse('factors have two axes or more');
  if (back.length > 0 && front.join() !== back.join()) refuse('the axes before the last two agree, or b has two axes');
  const [rows, terms] = ta ? [a.shape.at(-1)!, a.shape.at(-2)!] : [a.shape.at(-2)!, a.shape.at(-1)!];
  const [others, columns] = tb ? [b.shape.at(-1)!, b.shape.at(-2)!] : [b.shape.at(-2)!, b.shape.at(-1)!];
  const side = (transposed: boolean, place: string) => (transposed ? `${place} (transposed)` : place);
  if (terms !== others)
    refuse(`${side(ta, 'columns of a')} are as many as ${side(tb, 'rows of b')}, ${terms} beside ${others}`);
  return [...front, rows, columns];
}

/**
 * Products of matrices, y[...,m,n] = sum over k of a[...,m,k] b[...,k,n], batch by batch: the axes before the last two
 * agree, or b has two axes and is shared by all. ga = gy bᵀ, gb = aᵀ gy, added over the batches where b is shared. A
 * factor may be spikes, which count as 0 and 1; their gradient is real. Sums are of the result's type, with fused
 * multiply-adds where the level has them; weights of a layer go through {@link linear}, which is faster.
 *
 * Batches in one axis, [B,M,K], are the fastest: tensors of four axes and more rest with the third from the end
 * innermost.
 *
 * @param a real or spikes, [...,M,K], or [...,K,M] with transposeA
 * @param b real or spikes, [...,K,N] or [K,N], or [...,N,K] with transposeB
 * @returns [...,M,N], real
 * @throws SpikeloomError when the sizes or types do not fit
 * @example const scores = ops.scale(ops.matmul(q, k, { transposeB: true }), 1 / Math.sqrt(D)); // [B,N,D] to [B,N,N]
 */
export function matmul(a: Tensor, b: Tensor, options: MatmulOptions = {}): Tensor {
  needTensors('matmul', { a, b });
  needOptions('matmul', options, { transposeA: true, transposeB: true, real: true });
  const { transposeA: ta = false, transposeB: tb = false, real } = options;
  for (const [name, value] of Object.entries({ transposeA: ta, transposeB: tb })) {
    if (typeof value !== 'boolean') throw new SpikeloomError(`matmul: ${name} is true or false, not ${kindOf(value)}`);
  }
  if (real !== undefined && real !== 'f32' && real !== 'f64')
    throw new SpikeloomError(`matmul: a real type is f32 or f64, not ${kindOf(real)}`);
  const y = product(a, ta, b, tb, productShape(a, ta, b, tb), real);
  record([y], [a, b], ([gy], [needA, needB]) => [
    needA ? (ta ? product(b, tb, gy!, true, a.shape) : product(gy!, false, b, !tb, a.shape)) : undefined,
    needB ? (tb ? product(gy!, true, a, ta, b.shape) : product(a, !ta, gy!, false, b.shape)) : undefined,
  ]);
  return y;
}
