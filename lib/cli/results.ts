// Accuracies and firing rates as text and as JSON.
import { table } from './output.ts';

export const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;

/** One line per neuron layer. */
export function firingTable(rates: Readonly<Record<string, number>>, mean: number): string {
  const layers = Object.entries(rates).map(([layer, rate]) => [layer, percent(rate)]);
  return table([['neuron layer', 'firing rate'], ...layers, ['all neurons', percent(mean)]], [1]);
}

/** A report's keys as JSON for machines has them: `firingRate` -> `firing_rate`. The paths of layers stay. */
export function snakeCase(report: object): Record<string, unknown> {
  const named = Object.entries(report).map(([key, value]) => [
    key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
    value,
  ]);
  return Object.fromEntries(named);
}
