// Reads the golden fixtures of single operations: named cases of float64 tensors with their attributes.
import { fileURLToPath } from 'node:url';
import { openSafetensors } from '../../lib/core/safetensors.ts';
import { difference } from './op-table.ts';

export interface GoldenTensor {
  shape: readonly number[];
  data: Float64Array;
}

export interface GoldenCase {
  name: string;
  // biome-ignore lint/suspicious/noExplicitAny: every operation has attributes of its own
  attributes: any;
  tensors: Record<string, GoldenTensor>;
}

/** The cases of test/golden/FILE.safetensors. Labels (I64) become numbers too. */
export function goldenCases(file: string): GoldenCase[] {
  const opened = openSafetensors(fileURLToPath(new URL(`../golden/${file}.safetensors`, import.meta.url)));
  const { cases } = JSON.parse(opened.metadata.config!) as { cases: Record<string, unknown> };
  const found = Object.entries(cases).map(([name, attributes]) => {
    const mine = opened.names.filter((tensor) => tensor.startsWith(`${name}.`));
    const tensors = mine.map((tensor) => {
      const data = Float64Array.from(opened.read(tensor) as ArrayLike<number | bigint>, Number);
      return [tensor.slice(name.length + 1), { shape: opened.entries.get(tensor)!.shape, data }] as const;
    });
    return { name, attributes, tensors: Object.fromEntries(tensors) };
  });
  opened.close();
  return found;
}

/** The largest difference relative to the largest expected magnitude, with no floor but for zeros. */
export const relative = (actual: ArrayLike<number>, { data }: GoldenTensor): number =>
  difference(Float64Array.from(actual), data, Number.MIN_VALUE);
