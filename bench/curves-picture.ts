// The test accuracies that `bench accuracy --out` wrote, as curves over the epochs: thin ones for the seeds, thick ones
// for their means.
import type { AccuracyResult } from './accuracy.ts';
import { MARGIN, picture, text, WIDTH } from './svg.ts';

const [LEFT, RIGHT, TOP, BOTTOM] = [MARGIN + 44, WIDTH - MARGIN - 8, 56, 316];
const MOST_LINES = 6;

/** A step of 1, 2 or 5 times a power of ten that gives a few lines. */
function stepOf(range: number): number {
  const power = 10 ** Math.floor(Math.log10(range / 2));
  return [1, 2, 5, 10].map((n) => n * power).find((step) => range / step <= MOST_LINES)!;
}

interface Axes {
  x: (epoch: number) => string;
  y: (percent: number) => string;
}

function grid(low: number, high: number, step: number, epochs: number, { x, y }: Axes): string[] {
  const rows = Array.from({ length: Math.round((high - low) / step) + 1 }, (_, i) => low + i * step);
  const every = Math.max(1, Math.ceil(epochs / 12));
  const columns = Array.from({ length: epochs }, (_, i) => i + 1).filter((e) => e === 1 || e % every === 0);
  return [
    ...rows.flatMap((percent) => [
      `<line x1="${LEFT}" x2="${RIGHT}" y1="${y(percent)}" y2="${y(percent)}" class="grid"/>`,
      text(LEFT - 8, Number(y(percent)) + 4, 'small', `${Number(percent.toFixed(2))} %`, ' text-anchor="end"'),
    ]),
    ...columns.map((epoch) => text(Number(x(epoch)), BOTTOM + 18, 'small', String(epoch), ' text-anchor="middle"')),
  ];
}

const path = (percents: readonly number[], { x, y }: Axes, kind: string): string =>
  `<polyline points="${percents.map((p, i) => `${x(i + 1)},${y(p)}`).join(' ')}" class="${kind}"/>`;

export function drawCurves({ command, date, commit, machine, recipe, vary, sides, runs }: AccuracyResult): string {
  const percents = runs.map(({ accuracy }) => accuracy.map((share) => 100 * share));
  const [least, most] = [Math.min(...percents.flat()), Math.max(...percents.flat())];
  const step = stepOf(Math.max(most - least, 1));
  const low = Math.floor(least / step) * step;
  const high = Math.max(low + step, Math.ceil(most / step) * step);
  const epochs = Math.max(...percents.map(({ length }) => length));
  const axes: Axes = {
    x: (epoch) => (LEFT + ((RIGHT - LEFT) * (epoch - 1)) / Math.max(1, epochs - 1)).toFixed(1),
    y: (percent) => (BOTTOM - ((BOTTOM - TOP) * (percent - low)) / (high - low)).toFixed(1),
  };
  const named = (value: string) => percents.filter((_, i) => runs[i]!.value === value);
  const mean = (curves: number[][]) =>
    curves[0]!.map((_, epoch) => curves.reduce((sum, curve) => sum + curve[epoch]!, 0) / curves.length);
  const title = `Test accuracy by epoch: ${recipe.replace(/^.*\//, '')}, ${vary}`;
  const key = sides.flatMap(({ value, last, best }, i) => {
    const at = BOTTOM + 48 + 20 * i;
    const share = (of: { mean: number; deviation: number }) =>
      `${(100 * of.mean).toFixed(2)} % (s = ${(100 * of.deviation).toFixed(2)})`;
    return [
      `<rect x="${LEFT}" y="${at - 9}" width="14" height="8" class="dot${i % 4}"/>`,
      text(LEFT + 22, at, 'value', `${value}: last ${share(last)}, best ${share(best)}`),
    ];
  });
  const seeds = new Set(runs.map(({ seed }) => seed)).size;
  const where = `${machine.cpu}, ${machine.cores} cores; ${seeds} seeds; ${date.slice(0, 10)}${commit ? `, commit ${commit.slice(0, 10)}` : ''}`;
  const parts = [
    text(MARGIN, 34, 'title', title),
    ...grid(low, high, step, epochs, axes),
    ...sides.flatMap(({ value }, i) => named(value).map((curve) => path(curve, axes, `seed side${i % 4}`))),
    ...sides.map(({ value }, i) => path(mean(named(value)), axes, `curve side${i % 4}`)),
    ...key,
  ];
  return picture(parts, BOTTOM + 54 + 20 * sides.length, [where, command], title);
}
