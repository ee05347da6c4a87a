// Line charts as self-contained SVG; the page's script shows values under the pointer.

export interface Series {
  name: string;
  /** By epoch; null: nothing is known. */
  values: readonly (number | null)[];
  /** A CSS color; default: the next of the page's own. */
  colour?: string;
  /** Index of a value to be marked. */
  mark?: number | undefined;
}

export interface Chart {
  title: string;
  /** Whether values are shares, written in percent. */
  percent?: boolean;
  /** The axis begins at 0 even where all values lie above it. */
  fromZero?: boolean;
  series: readonly Series[];
}

const [WIDTH, HEIGHT] = [640, 260];
const PLOT = { left: 58, right: 12, top: 10, bottom: 28 };
const COLOURS = 6;

export const escaped = (text: string): string =>
  text.replace(/[&<>"]/g, (mark) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' })[mark]!);

/** JSON that may stand in a script element. */
export const scriptJson = (value: unknown): string => JSON.stringify(value).replaceAll('<', '\\u003c');

/** Steps of 1, 2 or 5 times a power of ten that divide a range into about `count` parts. */
export function ticks(low: number, high: number, count = 5): number[] {
  const raw = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = ([1, 2, 5, 10].find((factor) => factor * power >= raw * 0.999) ?? 10) * power;
  const [first, last] = [Math.ceil(low / step - 1e-9), Math.floor(high / step + 1e-9)];
  return Array.from({ length: Math.max(0, last - first + 1) }, (_, i) => Number(((first + i) * step).toPrecision(12)));
}

function rangeOf({ series, fromZero }: Chart): [number, number] {
  const values = series.flatMap((line) => line.values.filter((value) => value !== null));
  let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const value of values) [low, high] = [Math.min(low, value), Math.max(high, value)];
  if (values.length === 0) return [0, 1];
  if (fromZero) low = Math.min(0, low);
  if (low === high) return low === 0 ? [0, 1] : [Math.min(low, 0), Math.max(low, 0)];
  const room = 0.04 * (high - low);
  return [fromZero && low === 0 ? 0 : low - room, high + room];
}

export function label(value: number, percent = false): string {
  if (percent) return `${Number((100 * value).toPrecision(4))} %`;
  return Math.abs(value) >= 1e5 || (value !== 0 && Math.abs(value) < 1e-3)
    ? value.toExponential(2).replace(/\.?0+e/, 'e')
    : String(Number(value.toPrecision(4)));
}

const colourOf = ({ colour }: Series, index: number): string => colour ?? `var(--c${index % COLOURS})`;
const at = (value: number): string => value.toFixed(1);

/** Points of a line; it is broken where a value is missing, and a value alone is drawn as a dot. */
function pathOf(values: readonly (number | null)[], x: (i: number) => number, y: (value: number) => number): string {
  let path = '';
  for (const [i, value] of values.entries()) {
    if (value === null) continue;
    const open = i > 0 && values[i - 1] !== null;
    path += `${open ? 'L' : 'M'}${at(x(i))} ${at(y(value))}`;
    if (!open && (i + 1 === values.length || values[i + 1] === null)) path += 'h0';
  }
  return path;
}

function drawAxes(chart: Chart, count: number, x: (i: number) => number, y: (value: number) => number): string[] {
  const [low, high] = rangeOf(chart);
  const right = WIDTH - PLOT.right;
  const horizontal = ticks(low, high).flatMap((tick) => [
    `<line x1="${PLOT.left}" x2="${right}" y1="${at(y(tick))}" y2="${at(y(tick))}" class="grid"/>`,
    `<text x="${PLOT.left - 6}" y="${at(y(tick) + 4)}" text-anchor="end">${label(tick, chart.percent)}</text>`,
  ]);
  const epochs = count === 1 ? [1] : ticks(1, count, 8).filter((tick) => Number.isInteger(tick) && tick >= 1);
  const vertical = epochs.map(
    (tick) => `<text x="${at(x(tick - 1))}" y="${HEIGHT - 8}" text-anchor="middle">${tick}</text>`,
  );
  return [...horizontal, ...vertical];
}

/** A figure: title, chart, and a legend with the last values. */
export function drawChart(chart: Chart): string {
  const { title, percent, series } = chart;
  const count = Math.max(1, ...series.map(({ values }) => values.length));
  const [low, high] = rangeOf(chart);
  const x = (i: number) => PLOT.left + (count === 1 ? 0.5 : i / (count - 1)) * (WIDTH - PLOT.left - PLOT.right);
  const y = (value: number) => PLOT.top + ((high - value) / (high - low)) * (HEIGHT - PLOT.top - PLOT.bottom);
  const lines = series.map((line, i) => `<path d="${pathOf(line.values, x, y)}" style="stroke:${colourOf(line, i)}"/>`);
  const marks = series.flatMap((line, i) => {
    const value = line.mark === undefined ? null : (line.values[line.mark] ?? null);
    if (value === null) return [];
    return [`<circle cx="${at(x(line.mark!))}" cy="${at(y(value))}" r="4" style="stroke:${colourOf(line, i)}"/>`];
  });
  const legend = series.map((line, i) => {
    const last = line.values.findLast((value) => value !== null);
    const shown = last === undefined || last === null ? '' : label(last, percent);
    return `<li><i style="background:${colourOf(line, i)}"></i>${escaped(line.name)} <b>${shown}</b></li>`;
  });
  const rounded = series.map(({ values }) =>
    values.map((value) => (value === null ? null : Number(value.toPrecision(5)))),
  );
  const data = scriptJson({ left: PLOT.left, right: WIDTH - PLOT.right, percent: percent ?? false, series: rounded });
  return [
    '<figure>',
    `<figcaption>${escaped(title)} <span>by epoch</span></figcaption>`,
    `<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${escaped(title)} by epoch">`,
    ...drawAxes(chart, count, x, y),
    ...lines,
    ...marks,
    `<line class="cursor" y1="${PLOT.top}" y2="${HEIGHT - PLOT.bottom}" x1="-9" x2="-9"/>`,
    '</svg>',
    `<ul>${legend.join('')}</ul>`,
    `<script type="application/json">${data}</script>`,
    '</figure>',
  ].join('\n');
}
