import { describe, nativeOp, needsGrad, needTensors, record, SpikeloomError, type Tensor } from '../core/index.ts';
import { kindOf, needOptions } from '../core/options.ts';

const forward = nativeOp<'loss' | 'p'>('crossEntropy');
const gradient = nativeOp<'gx'>('crossEntropyGrad');

export interface LossOptions {
  /** Label smoothing, 0 to 1: the target becomes (1 - smoothing) target + smoothing / K. */
  smoothing?: number;
}

/** The options of a loss with their defaults, checked. */
export function lossOptions(name: string, options: LossOptions): Required<LossOptions> {
  needOptions(name, options, { smoothing: true });
  const { smoothing = 0 } = options;
  if (!Number.isFinite(smoothing) || smoothing < 0 || smoothing > 1) {
    throw new SpikeloomError(`${name}: smoothing is between 0 and 1, not ${kindOf(smoothing)}`);
  }
  return { smoothing };
}

/** Which kind of target the labels are: classes (i32) or one number for every class. */
export function targetInput(labels: Tensor): { labels: Tensor } | { target: Tensor } {
  if (labels.dtype !== 'i32' && labels.shape.length === 1) {
    throw new SpikeloomError(
      `labels are classes, i32 [B], as in tensor(Int32Array.of(3, 1)), or a weight for every class, [B,K]; not ${describe(labels)}`,
    );
  }
  return labels.dtype === 'i32' ? { labels } : { target: labels };
}

/**
 * Softmax cross-entropy, the mean over the batch, and over the time steps where the logits have them:
 *
 *     loss = -1/(T B) sum_tb sum_k q[b,k] log softmax(logits[t,b])[k],   q = (1 - smoothing) target + smoothing / K
 *
 * as PyTorch's cross_entropy with label_smoothing. It is computed in float64 whatever the type, and NaN stays NaN.
 *
 * @param logits [B,K] or [T,B,K], f32 or f64
 * @param labels classes, i32 [B], or a weight for every class, [B,K] of the logits' type (mixed labels); no gradient
 * flows to them
 * @returns [1]
 * @throws SpikeloomError for shapes and types that do not fit; at the next read for a label outside of 0..K-1
 */
export function crossEntropy(logits: Tensor, labels: Tensor, options: LossOptions = {}): Tensor {
  return run('crossEntropy', logits, labels, options);
}

function run(calledAs: string, logits: Tensor, labels: Tensor, options: LossOptions): Tensor {
  needTensors(calledAs, { logits, labels });
  const attributes = { ...lossOptions(calledAs, options) };
  if (logits.shape.length !== 2 && logits.shape.length !== 3) {
    throw new SpikeloomError(`${calledAs}: logits are [B,K] or [T,B,K], not ${describe(logits)}`);
  }
  const steps = logits.shape.length === 2 ? logits.alias([1, ...logits.shape]) : undefined;
  const want = needsGrad(logits) ? ['p'] : [];
  const { loss, p } = forward.run({ x: steps ?? logits, ...targetInput(labels) }, attributes, { want, calledAs });
  steps?.dispose();
  record([loss], [logits], ([gloss]) => {
    const { gx } = gradient.run({ gloss, p, ...targetInput(labels) }, attributes);
    return [gx.alias(logits.shape)];
  });
  return loss;
}

/**
 * The TET loss without its regularizer (Deng et al., arXiv 2202.11946, eq. 9): the mean over the steps of each step's
 * cross-entropy, where crossEntropy(meanOverTime(logits), labels) is the cross-entropy of the mean.
 *
 * @param logits [T,B,K], one row of logits for every step
 * @param labels as for crossEntropy()
 * @returns [1]
 */
export function tetLoss(logits: Tensor, labels: Tensor, options: LossOptions = {}): Tensor {
  needTensors('tetLoss', { logits });
  if (logits.shape.length !== 3) {
    throw new SpikeloomError(`tetLoss: logits are [T,B,K], not ${describe(logits)}; keep the time axis up to the loss`);
  }
  return run('tetLoss', logits, labels, options);
}
