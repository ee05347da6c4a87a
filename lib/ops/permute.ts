import { empty, nativeOp, needTensors, record, SpikeloomError, type Tensor } from '../core/index.ts';
import { contentOf } from '../core/options.ts';
import { needAxes } from './axis.ts';

const native = nativeOp<never>('permute');

function moved(x: Tensor, axes: readonly number[]): Tensor {
  const y = empty(
    axes.map((axis) => x.shape[axis]!),
    x.dtype,
    x.device,
  );
  const attributes = Object.fromEntries([0, 1, 2, 3, 4, 5].map((i) => [`a${i}`, axes[i] ?? i]));
  native.run({ x, y }, attributes);
  return y;
}

/**
 * x with its axes in another order: axis i of y is axis axes[i] of x. It is a copy: tensors rest with their channels
 * last whatever their order. gx is gy with the axes back in their places. A matrix product needs no transposed copy:
 * {@link matmul} takes either factor transposed.
 *
 * @param x any type, any shape; spikes fastest where their channels stay (the last axis of up to three axes, the third
 * from the end of four and more)
 * @param axes all axes of x, each once; from the end where negative, -1 the last one
 * @throws SpikeloomError for other axes
 * @example ops.permute(x, [1, 0, 2]); // [T,B,F] to [B,T,F]
 */
export function permute(x: Tensor, axes: readonly number[]): Tensor {
  needTensors('permute', { x });
  const order = needAxes('permute', x, axes, 'each of them once');
  if (order.length !== x.shape.length) {
    throw new SpikeloomError(
      `permute: axes ${contentOf(axes)} are ${order.length} of the ${x.shape.length} axes of [${x.shape.join(',')}]; name each of them once`,
    );
  }
  const y = moved(x, order);
  const back = order.map((_, axis) => order.indexOf(axis));
  record([y], [x], ([gy]) => [moved(gy!, back)], [0]);
  return y;
}
