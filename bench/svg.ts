// What the pictures of results share: a style that reads on light and dark pages, and text.

export const WIDTH = 800;
export const MARGIN = 24;

const STYLE = `
    text { font: 13px system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif; fill: #1f2328; }
    .title { font-size: 17px; font-weight: 600; }
    .panel { font-weight: 600; }
    .value { font-variant-numeric: tabular-nums; }
    .small { font-size: 11px; fill: #59636e; }
    .ours { fill: #1a7f64; }
    .theirs { fill: #afb8c1; }
    .grid { stroke: #d1d9e0; }
    .curve { fill: none; stroke-width: 2.5; }
    .seed { fill: none; stroke-width: 1; opacity: 0.45; }
    .side0 { stroke: #1a7f64; } .dot0 { fill: #1a7f64; }
    .side1 { stroke: #bf5b04; } .dot1 { fill: #bf5b04; }
    .side2 { stroke: #5b5bd6; } .dot2 { fill: #5b5bd6; }
    .side3 { stroke: #8a8a8a; } .dot3 { fill: #8a8a8a; }
    @media (prefers-color-scheme: dark) {
      text { fill: #e6edf3; }
      .small { fill: #9198a1; }
      .ours { fill: #3fb58f; }
      .theirs { fill: #59636e; }
      .grid { stroke: #3d444d; }
      .side0 { stroke: #3fb58f; } .dot0 { fill: #3fb58f; }
      .side1 { stroke: #f0883e; } .dot1 { fill: #f0883e; }
    }`;

export const escaped = (text: string): string =>
  text.replace(/[&<>"]/g, (mark) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' })[mark]!);

export const text = (x: number, y: number, kind: string, content: string, more = ''): string =>
  `<text x="${x}" y="${y}" class="${kind}"${more}>${escaped(content)}</text>`;

/** Lines of whole words for the small print. */
function wrapped(line: string, most = 125): string[] {
  const lines = [''];
  for (const word of line.split(' ')) {
    if (lines.at(-1)!.length + word.length < most) lines.push(`${lines.pop()} ${word}`.trim());
    else lines.push(word);
  }
  return lines;
}

/** A whole picture: its parts, below them the small print, and a title for who cannot see it. */
export function picture(parts: readonly string[], top: number, small: readonly string[], title: string): string {
  const lines = small.flatMap((line) => wrapped(line));
  const print = lines.map((line, i) => text(MARGIN, top + 16 * i, 'small', line));
  const height = top + 16 * lines.length + 4;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img">`,
    `  <title>${escaped(title)}</title>`,
    `  <style>${STYLE}\n  </style>`,
    ...[...parts, ...print].map((part) => `  ${part}`),
    '</svg>',
    '',
  ].join('\n');
}
