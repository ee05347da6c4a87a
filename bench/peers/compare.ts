// Our training step against PyTorch's: every side in processes of its own, in turn, so that a slow minute of the machine hits all.
import { execFile } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { asUsage, EXIT, UsageError } from '../../lib/cli/exit.ts';
import { table, writeJson, writeText } from '../../lib/cli/output.ts';
import { SpikeloomError } from '../../lib/core/errors.ts';
import { describeEnvironment } from '../../lib/train/environment.ts';
import { asArguments, median, type StepOptions } from '../options.ts';

export interface PeerOptions extends StepOptions {
  python?: string;
  forms: string[];
  rounds: number;
  out?: string;
  json?: boolean;
}

/** What both sides print, among other things. */
interface Measured {
  step_s: number;
  min_s: number;
  images_per_s: number;
  peak_bytes: number;
  parameters: number;
}

interface Side {
  name: string;
  /** The program as it is started, and as it is written down: without the places of this machine. */
  program: string;
  shown: string;
  args: string[];
  runs: Measured[];
}

const start = promisify(execFile);
const root = fileURLToPath(new URL('../../', import.meta.url));
const FORMS = ['expanded', 'collapsed'];
const INSTALL =
  "'python3 -m venv peers && peers/bin/pip install torch' installs it, '--python peers/bin/python' or SPIKELOOM_PEERS_PYTHON names it";

async function findPython(given: string | undefined): Promise<string> {
  const python = given || process.env.SPIKELOOM_PEERS_PYTHON;
  if (!python) throw new UsageError(`the peer needs a Python with PyTorch, and none is named; ${INSTALL}`);
  await start(python, ['-c', 'import torch'], { cwd: root }).catch((error: Error) => {
    const why = lastLine(error);
    throw new UsageError(`the peer needs a Python with PyTorch, but '${python}' has none: ${why}; ${INSTALL}`);
  });
  return python;
}

const lastLine = (error: Error & { stderr?: string }): string =>
  (error.stderr?.trim() || error.message)
    .split('\n')
    .at(-1)!
    .replace(/^bench: /, '');

function sidesOf(options: PeerOptions, python: string): Side[] {
  const args = asArguments(options);
  const ours = ['--import', 'tsx', 'bench/main.ts', 'step', '--json', ...args];
  const peers = options.forms.map((form) => ({
    name: `torch ${form}`,
    program: python,
    shown: 'python',
    args: ['bench/peers/torch_step.py', '--form', form, ...args],
    runs: [],
  }));
  return [{ name: 'spikeloom', program: process.execPath, shown: 'node', args: ours, runs: [] }, ...peers];
}

async function runSide({ name, program, args, runs }: Side): Promise<void> {
  const { stdout } = await start(program, args, { cwd: root, maxBuffer: 2 ** 24 }).catch(
    (error: Error & { code?: unknown }) => {
      const Kind = error.code === EXIT.usage ? UsageError : SpikeloomError;
      throw new Kind(`a run of ${name} failed: ${lastLine(error)}`, { cause: error });
    },
  );
  runs.push(JSON.parse(stdout.trim().split('\n').at(-1)!) as Measured);
}

/** Both sides must train the same network: the number of parameters tells. */
function checkSame(sides: readonly Side[]): void {
  const counts = sides.map(({ name, runs }) => `${name} ${runs[0]!.parameters}`);
  if (new Set(sides.map(({ runs }) => runs[0]!.parameters)).size === 1) return;
  throw new SpikeloomError(`the sides must train the same network, but their parameters are ${counts.join(', ')}`);
}

const NUMBERS = ['step_s', 'min_s', 'images_per_s', 'peak_bytes'] as const;

function medians(runs: readonly Measured[]) {
  const of = (key: (typeof NUMBERS)[number]) => median(runs.map((run) => run[key]));
  return { step_s: of('step_s'), min_s: of('min_s'), images_per_s: of('images_per_s'), peak_bytes: of('peak_bytes') };
}

function report(options: PeerOptions, sides: readonly Side[]) {
  const { node, git, date, cpu, cores, memory_bytes, platform, arch, os } = describeEnvironment();
  const { python: _python, out: _out, json: _json, ...settings } = options;
  const ours = medians(sides[0]!.runs);
  return {
    date,
    machine: { cpu, cores, memory_bytes, platform, arch, os },
    node,
    commit: git?.commit ?? null,
    modified: git?.modified ?? null,
    options: settings,
    sides: sides.map(({ name, shown, args, runs }) => {
      const mine = medians(runs);
      return {
        name,
        command: [shown, ...args].join(' '),
        ...mine,
        /** Ours over this side's: above 1, we are faster; below 1, we need less memory. */
        images_per_s_ratio: ours.images_per_s / mine.images_per_s,
        peak_bytes_ratio: ours.peak_bytes / mine.peak_bytes,
        runs,
      };
    }),
  };
}

function show({ sides, options }: ReturnType<typeof report>): string {
  const head = ['', 'step ms', 'minimum ms', 'images/s', 'peak MiB', 'images/s ratio', 'peak ratio'];
  const rows = sides.map((side) => [
    side.name,
    (side.step_s * 1e3).toFixed(1),
    (side.min_s * 1e3).toFixed(1),
    side.images_per_s.toFixed(1),
    (side.peak_bytes / 2 ** 20).toFixed(1),
    side.images_per_s_ratio.toFixed(2),
    side.peak_bytes_ratio.toFixed(2),
  ]);
  const { model, steps, batch, size, threads, precision, rounds } = options;
  const title = `${model}, T=${steps}, batch ${batch}, ${size}x${size}, ${threads} threads, ${precision}, medians of ${rounds} rounds`;
  return `${title}\n${table([head, ...rows], [1, 2, 3, 4, 5, 6])}\nratios: spikeloom over the row's`;
}

function refuseUnknownForms(forms: readonly string[]): void {
  const unknown = forms.find((form) => !FORMS.includes(form));
  if (unknown !== undefined) throw new UsageError(`--forms takes ${FORMS.join(' and ')}, not '${unknown}'`);
}

function makeFolder(file: string): void {
  try {
    mkdirSync(dirname(file), { recursive: true });
  } catch (error) {
    throw new SpikeloomError(`--out cannot make its folder: ${(error as Error).message}`, { cause: error });
  }
}

export async function peersCommand(options: PeerOptions): Promise<void> {
  const { out, rounds, json } = options;
  refuseUnknownForms(options.forms);
  if (out !== undefined) asUsage(() => makeFolder(out));
  const sides = sidesOf(options, await findPython(options.python));
  for (let round = 1; round <= rounds; round++) {
    for (const side of sides) {
      process.stderr.write(`round ${round} of ${rounds}: ${side.name}\n`);
      await runSide(side);
    }
    if (round === 1) checkSame(sides);
  }
  const found = report(options, sides);
  if (out !== undefined) writeFileSync(out, `${JSON.stringify(found, null, 2)}\n`);
  if (json) writeJson(found);
  else writeText(show(found));
}
