// The frame of a report: one HTML file that loads nothing, in the reader's light or dark theme.
import { type Chart, drawChart, escaped } from './report-chart.ts';

export interface ReportPage {
  title: string;
  /** What a reader looks for first: name and value. */
  highlights: readonly (readonly [string, string])[];
  charts: readonly Chart[];
  /** Below the charts. */
  tables: readonly { title: string; head?: readonly string[]; rows: readonly (readonly string[])[] }[];
  /** Long texts, folded: title and content. */
  texts: readonly (readonly [string, string])[];
}

const STYLE = `
:root { color-scheme: light dark; --text: #1f2328; --soft: #59636e; --line: #d1d9e0; --page: #ffffff; --panel: #f6f8fa;
  --c0: #0969da; --c1: #bc4c00; --c2: #1a7f37; --c3: #8250df; --c4: #cf222e; --c5: #9a6700; }
@media (prefers-color-scheme: dark) { :root { --text: #e6edf3; --soft: #9198a1; --line: #3d444d; --page: #0d1117; --panel: #151b23;
  --c0: #58a6ff; --c1: #f0883e; --c2: #3fb950; --c3: #bc8cff; --c4: #ff7b72; --c5: #d29922; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem; max-width: 88rem; background: var(--page); color: var(--text);
  font: 15px/1.5 system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif; }
h1 { font-size: 1.4rem; margin: 0 0 1rem; } h2 { font-size: 1.05rem; margin: 1.5rem 0 .5rem; }
dl { display: flex; flex-wrap: wrap; gap: .75rem; margin: 0 0 1rem; }
dl div { background: var(--panel); border: 1px solid var(--line); border-radius: 6px; padding: .5rem .9rem; }
dt { color: var(--soft); font-size: .8rem; } dd { margin: 0; font-size: 1.15rem; font-variant-numeric: tabular-nums; }
main { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 34rem), 1fr)); gap: 1rem; }
figure { margin: 0; padding: .75rem; border: 1px solid var(--line); border-radius: 6px; }
figcaption { font-weight: 600; } figcaption span { color: var(--soft); font-weight: 400; }
svg { width: 100%; height: auto; display: block; } svg text { font-size: 11px; fill: var(--soft); }
path { fill: none; stroke-width: 1.6; stroke-linejoin: round; stroke-linecap: round; }
circle { fill: var(--page); stroke-width: 2; } .grid { stroke: var(--line); opacity: .6; } .cursor { stroke: var(--soft); stroke-dasharray: 3 3; }
ul { list-style: none; margin: .25rem 0 0; padding: 0; display: flex; flex-wrap: wrap; gap: .1rem 1rem; font-size: .85rem; }
li i { display: inline-block; width: .7rem; height: .7rem; border-radius: 2px; margin-right: .35rem; } li b { font-variant-numeric: tabular-nums; }
table { border-collapse: collapse; font-size: .9rem; } td, th { text-align: left; padding: .15rem 1rem .15rem 0; vertical-align: top; }
th { color: var(--soft); font-weight: 400; } td { font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
pre { background: var(--panel); border: 1px solid var(--line); border-radius: 6px; padding: .75rem; overflow-x: auto; font-size: .85rem; }
.wide { overflow-x: auto; }`;

/** Shows the values of the epoch under the pointer in place of the last ones. Plain text only is ever written. */
const SCRIPT = `
for (const figure of document.querySelectorAll('figure')) {
  const { left, right, percent, series } = JSON.parse(figure.querySelector('script').textContent);
  const svg = figure.querySelector('svg'), cursor = figure.querySelector('.cursor');
  const caption = figure.querySelector('figcaption span'), cells = [...figure.querySelectorAll('b')];
  const count = Math.max(1, ...series.map((values) => values.length)), last = cells.map((cell) => cell.textContent);
  const text = (value) => value == null ? '' : percent ? +(100 * value).toPrecision(4) + ' %' : String(value);
  svg.addEventListener('pointermove', (event) => {
    const box = svg.getBoundingClientRect(), x = (event.clientX - box.left) / box.width * svg.viewBox.baseVal.width;
    const i = Math.min(count - 1, Math.max(0, Math.round((x - left) / (right - left) * (count - 1))));
    const place = left + (count === 1 ? 0.5 : i / (count - 1)) * (right - left);
    cursor.setAttribute('x1', place); cursor.setAttribute('x2', place);
    caption.textContent = 'epoch ' + (i + 1);
    cells.forEach((cell, k) => { cell.textContent = text(series[k][i]); });
  });
  svg.addEventListener('pointerleave', () => {
    cursor.setAttribute('x1', -9); cursor.setAttribute('x2', -9);
    caption.textContent = 'by epoch';
    cells.forEach((cell, k) => { cell.textContent = last[k]; });
  });
}`;

/** Nothing may be loaded, whatever the content says. */
const POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'";

function drawTable({ title, head, rows }: ReportPage['tables'][number]): string {
  const line = (cells: readonly string[], tag: string) =>
    `<tr>${cells.map((cell) => `<${tag}>${escaped(cell)}</${tag}>`).join('')}</tr>`;
  const lines = [...(head ? [line(head, 'th')] : []), ...rows.map((row) => line(row, 'td'))];
  return `<h2>${escaped(title)}</h2>\n<div class="wide"><table>\n${lines.join('\n')}\n</table></div>`;
}

/** The page in parts, each made when it is asked for. */
export function* pageParts({ title, highlights, charts, tables, texts }: ReportPage): Generator<string, void, void> {
  const facts = highlights.map(([name, value]) => `<div><dt>${escaped(name)}</dt><dd>${escaped(value)}</dd></div>`);
  const folded = texts.map(
    ([name, text]) => `<details><summary>${escaped(name)}</summary><pre>${escaped(text)}</pre></details>`,
  );
  yield* [
    '<!doctype html>',
    '<html lang="en">',
    '<meta charset="utf-8">',
    `<meta http-equiv="Content-Security-Policy" content="${POLICY}">`,
    '<meta name="viewport" content="width=device-width">',
    `<title>${escaped(title)}</title>`,
    `<style>${STYLE}\n</style>`,
    `<h1>${escaped(title)}</h1>`,
    `<dl>${facts.join('\n')}</dl>`,
    '<main>',
  ];
  for (const chart of charts) yield drawChart(chart);
  yield* ['</main>', ...tables.map(drawTable), ...folded, `<script>${SCRIPT}\n</script>`, '</html>', ''];
}

export const renderPage = (page: ReportPage): string => [...pageParts(page)].join('\n');
