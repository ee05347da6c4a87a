// Results as SVG files: a comparison that `bench peers --out` wrote as bars, one that `bench accuracy --out` wrote as
// curves.
import { readFileSync } from 'node:fs';
import { UsageError } from '../lib/cli/exit.ts';
import { writeFileAtomic } from '../lib/core/atomic-file.ts';
import type { AccuracyResult } from './accuracy.ts';
import { drawCurves } from './curves-picture.ts';
import { makeFolderOf } from './result-file.ts';
import { MARGIN, picture, text, WIDTH } from './svg.ts';

/** What is read of a result file. */
export interface Pictured {
  date: string;
  command?: string;
  commit: string | null;
  machine: { cpu: string; cores: number };
  options: { model: string; steps: number; batch: number; size: number; threads: number; rounds: number };
  sides: { name: string; images_per_s: number; peak_bytes: number }[];
  memory?: { batch: number; sides: { name: string; peak_bytes: number }[] } | null;
}

interface Bar {
  name: string;
  value: number;
  label: string;
}

interface Panel {
  title: string;
  bars: Bar[];
}

const LABELS = 290;
const VALUES = 110;
const BAR = 20;
const ROW = 28;

/** Three significant digits, whole from 100 on. */
const short = (value: number): string => value.toFixed(value >= 100 ? 0 : value >= 10 ? 1 : 2);

const memoryLabel = (bytes: number): string =>
  bytes >= 2 ** 30 ? `${short(bytes / 2 ** 30)} GiB` : `${short(bytes / 2 ** 20)} MiB`;

function panelsOf({ sides, memory, options }: Pictured): Panel[] {
  const speed = sides.map(({ name, images_per_s: value }) => ({ name, value, label: short(value) }));
  const bars = (list: { name: string; peak_bytes: number }[]) =>
    list.map(({ name, peak_bytes: value }) => ({ name, value, label: memoryLabel(value) }));
  const panels = [
    { title: 'Images per second (more is better)', bars: speed },
    { title: `Peak memory at batch ${options.batch} (less is better)`, bars: bars(sides) },
  ];
  if (!memory) return panels;
  return [...panels, { title: `Peak memory at batch ${memory.batch} (less is better)`, bars: bars(memory.sides) }];
}

function drawPanel({ title, bars }: Panel, top: number): string[] {
  const most = Math.max(...bars.map(({ value }) => value));
  const room = WIDTH - 2 * MARGIN - LABELS - VALUES;
  const rows = bars.flatMap(({ name, value, label }, i) => {
    const y = top + 14 + i * ROW;
    const width = Math.max(2, (value / most) * room);
    const left = MARGIN + LABELS;
    const kind = name.startsWith('spikeloom') ? 'ours' : 'theirs';
    const middle = y + BAR / 2 + 4.5;
    return [
      text(left - 10, middle, 'name', name, ' text-anchor="end"'),
      `<rect x="${left}" y="${y}" width="${width.toFixed(1)}" height="${BAR}" rx="2" class="${kind}"/>`,
      text(Number((left + width + 8).toFixed(1)), middle, 'value', label),
    ];
  });
  return [text(MARGIN, top, 'panel', title), ...rows];
}

export function drawPicture(found: Pictured): string {
  const { model, steps, batch, size, threads, rounds } = found.options;
  const panels = panelsOf(found);
  const title = `A training step of ${model}: T = ${steps}, batch ${batch}, ${size}x${size}`;
  const parts: string[] = [text(MARGIN, 34, 'title', title)];
  let top = 70;
  for (const panel of panels) {
    parts.push(...drawPanel(panel, top));
    top += 14 + panel.bars.length * ROW + 30;
  }
  const { cpu, cores } = found.machine;
  const commit = found.commit ? `, commit ${found.commit.slice(0, 10)}` : '';
  const machine = `${cpu}, ${cores} cores, ${threads} threads; medians of ${rounds} rounds; ${found.date.slice(0, 10)}${commit}`;
  const speeds = panels[0]!.bars.map(({ name, label }) => `${name} ${label}`).join(', ');
  const small = [machine, ...(found.command ? [found.command] : [])];
  return picture(parts, top, small, `${title}. Images per second: ${speeds}`);
}

function readResult(file: string): Pictured | AccuracyResult {
  const refuse = (why: string): never => {
    const rule = "a picture is drawn from what 'bench peers --out' or 'bench accuracy --out' wrote";
    throw new UsageError(`${rule}, and '${file}' is neither: ${why}`);
  };
  try {
    const found = JSON.parse(readFileSync(file, 'utf8')) as Partial<Pictured> & Partial<AccuracyResult>;
    if (found.vary && found.runs?.length && found.sides?.length) return found as AccuracyResult;
    const drawable = found.sides?.every(({ images_per_s, peak_bytes }) => images_per_s > 0 && peak_bytes > 0);
    if (found.sides?.length && drawable && found.options?.rounds) return found as Pictured;
  } catch (error) {
    refuse((error as Error).message);
  }
  return refuse('it has no rounds of sides with images_per_s and peak_bytes, nor runs of one setting that varies');
}

export async function pictureCommand(file: string, { out }: { out: string }): Promise<void> {
  const found = readResult(file);
  makeFolderOf(out);
  writeFileAtomic(out, 'vary' in found ? drawCurves(found) : drawPicture(found));
}
