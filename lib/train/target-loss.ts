// Losses of targets, real numbers in place of classes: by name, made of ops.
import { describe, type RealType, SpikeloomError, type Tensor } from '../core/index.ts';
import { kindOf, needOptions } from '../core/options.ts';
import { targetSteps } from '../data/numbers/targets.ts';
import type { ModelPlan } from '../nn/index.ts';
import { meanOverTime } from '../ops/mean-over-time.ts';
import { mul, scale } from '../ops/mul.ts';
import { abs, clamp, sub } from '../ops/pointwise.ts';
import { mean } from '../ops/sum.ts';
import { toReal } from '../ops/to-real.ts';

/** The mean over all numbers y of the output and t of the targets of (y - t)^2, of |y - t|, or of Huber's loss. */
export interface TargetLossSettings {
  kind: 'mse' | 'l1' | 'huber';
  /** Where Huber's loss goes over from (y - t)^2 / 2 to delta (|y - t| - delta / 2). Above 0; default 1. */
  delta?: number | undefined;
}

export const TARGET_KINDS: readonly unknown[] = ['mse', 'l1', 'huber'] satisfies TargetLossSettings['kind'][];

export const isTargetLoss = (loss: { kind?: unknown } | null): loss is TargetLossSettings =>
  TARGET_KINDS.includes(loss?.kind);

const KNOWN: Record<keyof TargetLossSettings, true> = { kind: true, delta: true };

/** Settings with their defaults. @throws SpikeloomError for unknown ones, and a delta that is none */
export function targetLossFrom(settings: Partial<TargetLossSettings>): TargetLossSettings {
  needOptions('loss', settings, KNOWN);
  const { kind = 'mse', delta = 1 } = settings;
  if (kind === 'huber' && Number.isFinite(delta) && delta > 0) return { kind, delta };
  if (kind === 'huber') throw new SpikeloomError(`loss.delta is a finite number above 0, not ${kindOf(delta)}`);
  if (settings.delta === undefined) return { kind };
  throw new SpikeloomError(`loss.delta is one of Huber's loss, but the loss is '${kind}'; leave it out`);
}

/** Huber's loss (Annals of Mathematical Statistics 35, 1964) of every number: m (|d| - m / 2), m = min(|d|, delta). */
function huber(d: Tensor, delta: number): Tensor {
  const size = abs(d);
  const m = clamp(size, { max: delta });
  return mul(m, sub(size, scale(m, 0.5)));
}

/**
 * The loss of a network's output.
 * @param output [B,...] or, with a time axis, [T,B,...]: of its mean over time where the targets have no time steps
 * @param targets [B,...] or [T,B,...], of the network's type
 * @param real that type: what spikes become
 * @returns [1]
 */
export function targetLossOf(settings: TargetLossSettings, output: Tensor, targets: Tensor, real: RealType): Tensor {
  const isMean = output.shape.length === targets.shape.length + 1;
  const steps = output.dtype === 'spike' ? toReal(output, { real }) : output;
  const y = isMean ? meanOverTime(steps) : steps;
  if (y.shape.join() !== targets.shape.join())
    throw new SpikeloomError(
      `a loss takes output and targets of one shape, not ${describe(y)} and ${describe(targets)}`,
    );
  const d = sub(y, targets);
  if (settings.kind === 'mse') return mean(mul(d, d));
  return mean(settings.kind === 'l1' ? abs(d) : huber(d, settings.delta ?? 1));
}

/** @throws SpikeloomError where a network's output has not the shape of such targets */
export function checkTargetOutput(plan: ModelPlan, targets: readonly number[]): void {
  const { shape, timed } = plan.output;
  const steps = targetSteps(targets);
  const rule = `the loss compares the output with the targets, [${targets.join(',')}] of a sample, number by number, but ${plan.model}`;
  if ((steps === undefined ? targets : targets.slice(1)).join() !== shape.join()) {
    const end = targets.length <= 2 ? `end it with linear(${targets.at(-1)})` : 'make the two the same';
    throw new SpikeloomError(`${rule} gives [${shape.join(',')}]; ${end}, or give a loss of your own`);
  }
  if (steps === undefined || (timed && plan.steps === steps)) return;
  const gives = timed ? `${plan.steps} time steps` : 'no time steps';
  throw new SpikeloomError(
    `${rule} gives ${gives}; ${timed ? 'make the two the same' : 'leave meanOverTime() out'}, or give a loss of your own`,
  );
}
