// How long the event loop is kept waiting while a recipe is trained: a timer of 2 ms beside it, on random pictures in
// CIFAR-10's format.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { asUsage } from '../lib/cli/exit.ts';
import { writeJson, writeText } from '../lib/cli/output.ts';
import { philox } from '../lib/core/random.ts';
import { trainRecipe } from '../lib/train/assemble.ts';
import { loadRecipe } from '../lib/train/recipe.ts';
import { type Late, Lateness, LIMIT_MS, PERIOD_MS } from './late-timer.ts';
import { provenance } from './provenance.ts';
import { makeFolderOf, writeResult } from './result-file.ts';

export interface LatenessOptions {
  /** Training images; a fifth as many are tested. */
  images: number;
  out?: string;
  json?: boolean;
}

/** A label and 3 planes of 32x32. */
const RECORD_BYTES = 3073;

function writeRecords(file: string, count: number, seed: number): void {
  const drawn = philox(seed, 0x6c617465);
  const bytes = new Uint8Array(count * RECORD_BYTES);
  for (let i = 0; i < bytes.length; i++)
    bytes[i] = i % RECORD_BYTES === 0 ? (i / RECORD_BYTES) % 10 : drawn.uint32() & 255;
  writeFileSync(file, bytes);
}

function writePictures(folder: string, images: number): void {
  mkdirSync(folder);
  const each = Math.ceil(images / 5);
  for (let i = 1; i <= 5; i++) writeRecords(join(folder, `data_batch_${i}.bin`), each, i);
  writeRecords(join(folder, 'test_batch.bin'), each, 6);
}

/** Of a delay, what the thread spent neither running nor waiting for a core: it slept, or the whole machine stood still. */
const stillMs = ({ late_ms, ran_ms = late_ms, no_core_ms = 0 }: Late) => Math.max(0, late_ms - ran_ms - no_core_ms);

function shown(late: Late): string {
  const { at_s, late_ms, ran_ms, no_core_ms } = late;
  const parts = [
    `ran ${ran_ms?.toFixed(1)}`,
    `had no core for ${no_core_ms?.toFixed(1)}`,
    `neither for ${stillMs(late).toFixed(1)}`,
  ];
  return `  ${late_ms.toFixed(1)} ms at ${at_s.toFixed(2)} s${ran_ms === undefined ? '' : `: ${parts.join(', ')}`}`;
}

export async function latenessCommand(recipe: string, overrides: string[], options: LatenessOptions): Promise<void> {
  const { images, out, json } = options;
  if (out !== undefined) makeFolderOf(out);
  const folder = mkdtempSync(join(tmpdir(), 'spikeloom-lateness-'));
  try {
    const data = join(folder, 'data');
    writePictures(data, images);
    const own = [`data.root=${data}`, `out=${join(folder, 'runs')}`];
    const settings = asUsage(() => loadRecipe(recipe, [...overrides, ...own]));
    let watch: Lateness | undefined;
    const { epochs } = await trainRecipe(settings, {
      onStart: () => {
        watch = new Lateness();
      },
    });
    const seconds = watch!.stop();
    const found = {
      ...provenance(settings.device),
      recipe: settings.name,
      overrides,
      images,
      seconds,
      ticks: watch!.ticks,
      most_ms: watch!.most,
      over_10_ms: watch!.late.length,
      late: watch!.late,
      images_per_s: epochs.map((epoch) => epoch.imagesPerSecond),
    };
    if (out !== undefined) writeResult(out, found);
    if (json) writeJson(found);
    else {
      const late = watch!.late.map(shown);
      const first = `a timer of ${PERIOD_MS} ms was ${found.most_ms.toFixed(1)} ms late at most, ${late.length} times over ${LIMIT_MS} ms in ${seconds.toFixed(1)} s`;
      writeText([first, ...late].join('\n'));
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
