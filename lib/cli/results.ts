// Accuracies, firing rates and memory as text and as JSON.
import { binaryBytes } from '../nn/summary.ts';
import type { TrainingMemory } from '../train/memory.ts';
import { table } from './output.ts';

export const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;

/** One line per neuron layer. */
export function firingTable(rates: Readonly<Record<string, number>>, mean: number): string {
  const layers = Object.entries(rates).map(([layer, rate]) => [layer, percent(rate)]);
  return table([['neuron layer', 'firing rate'], ...layers, ['all neurons', percent(mean)]], [1]);
}

/** The memory that training takes, in one line; `device`: the memory of a device with its own. */
export function memoryLine(
  { batch, bytes, weightBytes, optimizerBytes, stepBytes, dataBytes }: TrainingMemory,
  device?: { freeBytes: number; totalBytes: number },
): string {
  const [all, weights, state, step, sets] = [bytes, weightBytes, optimizerBytes, stepBytes, dataBytes].map(binaryBytes);
  const data = dataBytes > 0 ? `, images ${sets}` : '';
  const line = `training with batch ${batch} takes ${all}, as planned: weights ${weights}, optimizer ${state}, a step ${step}${data}`;
  if (!device) return line;
  return `${line}; the device has ${binaryBytes(device.freeBytes)} left of ${binaryBytes(device.totalBytes)}`;
}

/** Samples of an epoch, or of an evaluation, that data.broken: skip has replaced. */
export const replacedLine = (skipped: number): string =>
  `${skipped} samples could not be read and were replaced by others; with data.broken=error the first is named`;

/** A report's keys as in JSON output: `firingRate` -> `firing_rate`. Paths of layers are not changed. */
export function snakeCase(report: object): Record<string, unknown> {
  const named = Object.entries(report).map(([key, value]) => [
    key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
    value,
  ]);
  return Object.fromEntries(named);
}
