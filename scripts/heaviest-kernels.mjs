#!/usr/bin/env node
// Adds up the time of every kernel in a list that ncu wrote (--csv --metrics gpu__time_duration.sum), writes the sums
// as JSON, and prints the names of the five heaviest as a regular expression.
//   node scripts/heaviest-kernels.mjs KERNELS.csv SUMS.json
import { readFileSync, writeFileSync } from 'node:fs';

const [list, sums] = process.argv.slice(2);
const MOST = 5;

/** The cells of a line: ncu puts all of them in quotes and writes a quote within as two. */
const cells = (line) => [...line.matchAll(/"((?:[^"]|"")*)"/g)].map(([, cell]) => cell.replaceAll('""', '"'));

const rows = readFileSync(list, 'utf8')
  .split('\n')
  .filter((line) => line.startsWith('"'))
  .map(cells);
const head = rows.shift() ?? [];
const column = (name) => head.indexOf(name);
const times = new Map();
for (const row of rows) {
  if (row[column('Metric Name')] !== 'gpu__time_duration.sum') continue;
  // 'void spikeloom::cuda::conv<float, 3>(int, float *)' -> the plain name, which --kernel-name matches
  const name = /([A-Za-z_]\w*)\s*(?:<.*>)?\s*\(/.exec(row[column('Kernel Name')])?.[1] ?? row[column('Kernel Name')];
  const found = times.get(name) ?? { name, launches: 0, seconds: 0 };
  times.set(name, found);
  found.launches++;
  found.seconds += Number(row[column('Metric Value')].replaceAll(',', '')) * 1e-9;
}
if (times.size === 0) {
  console.error(`heaviest-kernels: ${list} lists no kernel times`);
  process.exit(1);
}
const kernels = [...times.values()].sort((a, b) => b.seconds - a.seconds);
const all = kernels.reduce((sum, { seconds }) => sum + seconds, 0);
writeFileSync(sums, `${JSON.stringify({ seconds: all, kernels }, null, 2)}\n`);
console.log(
  kernels
    .slice(0, MOST)
    .map(({ name }) => name)
    .join('|'),
);
