// How long the event loop is kept waiting while a recipe is trained: a timer of 2 ms beside it, on random pictures in
// CIFAR-10's format.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { asUsage } from '../lib/cli/exit.ts';
import { writeJson, writeText } from '../lib/cli/output.ts';
import { philox } from '../lib/core/random.ts';
import { trainRecipe } from '../lib/train/assemble.ts';
import { loadRecipe } from '../lib/train/recipe.ts';
import { provenance } from './provenance.ts';
import { makeFolderOf, writeResult } from './result-file.ts';

export interface LatenessOptions {
  /** Training images; a fifth as many are tested. */
  images: number;
  out?: string;
  json?: boolean;
}

const PERIOD_MS = 2;
const LIMIT_MS = 10;
/** A label and 3 planes of 32x32. */
const RECORD_BYTES = 3073;

/**
 * A delay over the limit: when, how long, and for how much of it the thread ran, or was ready to and had no core
 * (Linux).
 */
interface Late {
  at_s: number;
  late_ms: number;
  ran_ms?: number;
  no_core_ms?: number;
}

/** Milliseconds that this thread has run, and that it was ready to; undefined where the system does not say. */
function scheduled(): { ran: number; ready: number } | undefined {
  try {
    const [ran, ready] = readFileSync(`/proc/self/task/${process.pid}/schedstat`, 'utf8').split(' ', 2).map(Number);
    return { ran: ran! / 1e6, ready: ready! / 1e6 };
  } catch {
    return undefined;
  }
}

/** A timer's delays beyond its period. */
export class Lateness {
  readonly #start = performance.now();
  #due = this.#start + PERIOD_MS;
  readonly #timer = setInterval(() => this.#tick(), PERIOD_MS);
  #before = scheduled();
  readonly late: Late[] = [];
  most = 0;
  ticks = 0;

  #tick(): void {
    const now = performance.now();
    const late = now - this.#due;
    this.#due = now + PERIOD_MS;
    this.ticks++;
    this.most = Math.max(this.most, late);
    const [before, after] = [this.#before, scheduled()];
    this.#before = after;
    if (late <= LIMIT_MS) return;
    const times = before && after ? { ran_ms: after.ran - before.ran, no_core_ms: after.ready - before.ready } : {};
    this.late.push({ at_s: (now - this.#start) / 1e3, late_ms: late, ...times });
  }

  stop(): number {
    clearInterval(this.#timer);
    return (performance.now() - this.#start) / 1e3;
  }
}

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

function shown({ at_s, late_ms, ran_ms, no_core_ms }: Late): string {
  const times =
    ran_ms === undefined ? '' : `: ran ${ran_ms.toFixed(1)} ms, had no core for ${no_core_ms!.toFixed(1)} ms`;
  return `  ${late_ms.toFixed(1)} ms at ${at_s.toFixed(2)} s${times}`;
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
