// docs/support.md: which native op has kernels for which types where, and what of it has run on which hardware. From
// the addon, the sources, the op tables and the committed results; nothing is kept by hand.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { opTable } from '../../lib/core/index.ts';
import { native } from '../../lib/core/native.ts';
import type { Signature } from '../../lib/core/signature.ts';
import type { OpTable } from './op-table.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));

const YES = 'yes';
const NONE = '–';
const LACK = '🟥 no kernel';

/** Files below a folder whose names end so. */
function files(folder: string, ending: RegExp): string[] {
  return readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = `${folder}/${entry.name}`;
    if (entry.isDirectory()) return files(path, ending);
    return ending.test(entry.name) ? [path] : [];
  });
}

const text = (path: string): string => readFileSync(join(root, path), 'utf8');

/**
 * Ops whose kernels the CUDA library registers; a registration is for f32 (with bf16 at rest, where the signature has
 * it) and f64.
 */
export function cudaOps(): Set<string> {
  const names = new Map<string, string>();
  for (const path of files('native/ops', /\.h$/)) {
    for (const [, constant, op] of text(path).matchAll(/constexpr char (k\w+)\[\] =\s*"(\w+)\(/g))
      names.set(constant!, op!);
  }
  const registered = files('native/ops', /\.cu$/).flatMap((path) =>
    [...text(path).matchAll(/^SPIKELOOM_CUDA_KERNEL\((k\w+),/gm)].map(([, constant]) => names.get(constant!)!),
  );
  return new Set(registered);
}

interface HardwareRun {
  date: string;
  machine: { gpu: string };
  tables: { suites: Record<string, { passed: number; failed: number }> };
}

/**
 * Results of the op tables on a GPU that were committed, by op: where all of an op's tables passed, the GPU and the
 * day.
 */
function hardwareRuns(tables: readonly OpTable[]): Map<string, string> {
  const found = new Map<string, string>();
  for (const path of files('bench/results', /^\d{4}-\d\d-\d\d-tables-.*\.json$/).sort()) {
    const { date, machine, tables: counts } = JSON.parse(text(path)) as HardwareRun;
    if (/emulated/.test(machine.gpu)) continue;
    const failedOps = new Set<string>();
    const passedOps = new Set<string>();
    for (const { name, natives } of tables) {
      const suite = counts.suites[`${name} on cuda`];
      for (const op of natives) (suite && suite.failed === 0 && suite.passed > 0 ? passedOps : failedOps).add(op);
    }
    const gpu = machine.gpu.replace(/^cuda:0 /, '').replace(/,.*$/, '');
    for (const op of passedOps) if (!failedOps.has(op)) found.set(op, `${gpu}, ${date.slice(0, 10)}`);
  }
  return found;
}

const hasBf16 = ({ inputs, outputs }: Signature): boolean =>
  [...inputs, ...outputs].some(({ types }) => (types as readonly string[]).includes('bf16'));

/** The whole document. @param tables all op tables */
export function supportDocument(tables: readonly OpTable[]): string {
  const cuda = cudaOps();
  const emulated = existsSync(join(root, 'test/ops/cuda.test.ts'));
  const covered = new Set(tables.flatMap(({ natives }) => natives));
  const hardware = hardwareRuns(tables);
  const rows = [...opTable()]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([op, { signature }]) => {
      const bits = native().supports(native().cpu.index, op);
      const small = hasBf16(signature);
      const onCpu = [bits & 1, bits & 2].map((bit) => (bit ? YES : LACK));
      const onCuda = cuda.has(op) ? YES : LACK;
      const tested = hardware.get(op) ?? (emulated && covered.has(op) ? 'emulated only' : 'compiled only');
      return [
        `\`${op}\``,
        ...onCpu,
        small ? YES : NONE,
        onCuda,
        onCuda,
        small ? onCuda : NONE,
        cuda.has(op) ? tested : NONE,
      ];
    });
  const lacking = rows.filter((row) => row.includes(LACK)).length;
  const onHardware = rows.filter(([op]) => hardware.has(op!.replaceAll('`', ''))).length;
  const head = ['op', 'CPU f32', 'CPU f64', 'CPU bf16', 'CUDA f32', 'CUDA f64', 'CUDA bf16', 'CUDA has run on'];
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  return [
    '# What runs where',
    '',
    "Written by `npm run support` from the addon, the sources and bench/results; a test holds it to them. 'bf16': tensors of the op may rest as",
    "bfloat16, arithmetic is f32. 'emulated only': the kernel's source runs in the op tables on the emulated device, and has never run on a GPU.",
    "A GPU and a day: the op's kernels as they were then; [cuda.md](cuda.md) says what is newer and has run on the emulated device only.",
    '',
    `${rows.length} ops, ${lacking} of them lack a kernel; the CUDA kernels of ${onHardware} have run on a GPU, as they were then.`,
    '',
    line(head),
    line(head.map(() => '---')),
    ...rows.map(line),
    '',
  ].join('\n');
}
