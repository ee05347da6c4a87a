import { nativeOp, type Tensor } from '../core/index.ts';

const check = nativeOp('needFinite');

/**
 * Fails where a number of `x` is not finite: the next read says so, and until then no weights are updated by what is
 * queued behind. For loops that queue steps without waiting for their losses. With `found`, whatever is queued and
 * whenever: weights stay those of the last step whose loss was finite.
 *
 * @param x f32 or f64, of any shape; a few numbers
 * @param found [1], of x's type, 0 at first: takes the first number that is not finite, and every call after that with
 * it fails, too
 * @throws NotFiniteError at the next read
 * @example
 * const found = zeros([1]); // before the loop
 * const loss = crossEntropy(net(images), labels);
 * needFinite(loss, found);
 * backward(loss);
 * optimizer.step();
 */
export function needFinite(x: Tensor, found?: Tensor): void {
  check.run({ x, found });
}
