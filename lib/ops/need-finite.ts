import { nativeOp, type Tensor } from '../core/index.ts';

const check = nativeOp('needFinite');

/**
 * Fails where a number of `x` is not finite: the next read says so, and until then no weights are updated by what is queued behind. For
 * loops that queue steps without waiting for their losses.
 *
 * @param x f32 or f64, of any shape; a few numbers
 * @throws NotFiniteError at the next read
 * @example
 * const loss = crossEntropy(net(images), labels);
 * needFinite(loss);
 * backward(loss);
 * optimizer.step();
 */
export function needFinite(x: Tensor): void {
  check.run({ x });
}
