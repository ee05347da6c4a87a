// How long the event loop is kept waiting while a recipe is trained: a timer of 2 ms beside it, on random pictures in
// CIFAR-10's format. The package is built and trains in a process of its own, as it does for those who use it.
import { execFileSync, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { asUsage } from '../lib/cli/exit.ts';
import { writeJson, writeText } from '../lib/cli/output.ts';
import { SpikeloomError } from '../lib/core/index.ts';
import { philox } from '../lib/core/random.ts';
import { loadRecipe } from '../lib/train/recipe.ts';
import type { LateRun } from './late-run.ts';
import { type Late, LIMIT_MS, PERIOD_MS } from './late-timer.ts';
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

/** Compiles what the process runs beside the package into a folder. */
function compileRun(folder: string): string {
  const compilerOptions = {
    target: ts.ScriptTarget.ES2023,
    module: ts.ModuleKind.ESNext,
    rewriteRelativeImportExtensions: true,
  };
  mkdirSync(folder);
  writeFileSync(join(folder, 'package.json'), '{"type":"module"}');
  for (const name of ['late-run', 'late-timer']) {
    const source = readFileSync(new URL(`./${name}.ts`, import.meta.url), 'utf8');
    writeFileSync(join(folder, `${name}.js`), ts.transpileModule(source, { compilerOptions }).outputText);
  }
  return join(folder, 'late-run.js');
}

async function runApart(program: string, recipe: string, overrides: string[]): Promise<LateRun> {
  const dist = new URL('../dist', import.meta.url).href;
  const child = fork(program, [dist, recipe, ...overrides], { execArgv: [] });
  let found: LateRun | undefined;
  child.on('message', (message: LateRun) => {
    found = message;
  });
  const [code, signal] = await once(child, 'close');
  if (found === undefined || code !== 0)
    throw new SpikeloomError(`the training ended with ${signal ?? `status ${code}`}`);
  return found;
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
    const build = fileURLToPath(new URL('../scripts/build.mjs', import.meta.url));
    execFileSync(process.execPath, [build, '--js'], { stdio: ['ignore', 'ignore', 'inherit'] });
    const run = await runApart(compileRun(join(folder, 'program')), recipe, [...overrides, ...own]);
    const found = { ...provenance(settings.device), recipe: settings.name, overrides, images, ...run };
    if (out !== undefined) writeResult(out, found);
    if (json) writeJson(found);
    else {
      const first = `a timer of ${PERIOD_MS} ms was ${run.most_ms.toFixed(1)} ms late at most, ${run.over_10_ms} times over ${LIMIT_MS} ms in ${run.seconds.toFixed(1)} s`;
      writeText([first, ...run.late.map(shown)].join('\n'));
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
