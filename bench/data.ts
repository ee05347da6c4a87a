// Events and images per second, here and in Python's libraries, the sides in turn.
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { table, writeJson, writeText } from '../lib/cli/output.ts';
import { SpikeloomError } from '../lib/core/errors.ts';
import { casesOf, type DataOptions, FRAMES, type Rates, timeCases } from './data-cases.ts';
import { median } from './options.ts';
import { shownCommand } from './peers/compare.ts';
import { provenance } from './provenance.ts';
import { makeFolderOf, writeResult } from './result-file.ts';

export interface DataBenchOptions extends DataOptions {
  python?: string;
  libraries: string[];
  rounds: number;
  out?: string;
  json?: boolean;
}

/** What a side's process prints. */
interface Measured {
  versions?: Record<string, string>;
  rates: Rates;
}

interface Side {
  name: string;
  run: () => Promise<Measured>;
}

export const LIBRARIES = ['tonic', 'expelliarmus', 'spikingjelly', 'torchvision', 'pillow'];

const start = promisify(execFile);
const root = fileURLToPath(new URL('../', import.meta.url));

async function runProcess(program: string, args: string[], name: string): Promise<Measured> {
  try {
    const { stdout } = await start(program, args, { cwd: root, maxBuffer: 2 ** 24 });
    return JSON.parse(stdout.trim().split('\n').at(-1)!) as Measured;
  } catch (error) {
    const { stderr, message } = error as Error & { stderr?: string };
    throw new SpikeloomError(`a run of ${name} failed: ${(stderr?.trim() || message).split('\n').at(-1)}`, {
      cause: error,
    });
  }
}

function ourArguments({ recordings, cifar, imagenet, threads, seconds }: DataOptions): string[] {
  const given = { '--cifar': cifar, '--imagenet': imagenet, '--threads': threads, '--seconds': seconds };
  const options = Object.entries(given).flatMap(([flag, value]) => (value === undefined ? [] : [flag, String(value)]));
  return ['data', ...options, ...(recordings.length > 0 ? ['--recordings', ...recordings] : []), '--json'];
}

function sidesOf(options: DataBenchOptions, python: string): Side[] {
  const ours = ['--import', 'tsx', 'bench/main.ts', ...ourArguments(options)];
  const cases = JSON.stringify(casesOf(options));
  const { threads, seconds } = options;
  const common = ['--frames', JSON.stringify(FRAMES), '--threads', String(threads), '--seconds', String(seconds)];
  return [
    { name: 'spikeloom', run: () => runProcess(process.execPath, ours, 'spikeloom') },
    ...options.libraries.map((name) => {
      const args = ['bench/peers/data_peers.py', '--library', name, '--cases', cases, ...common];
      return { name, run: () => runProcess(python, args, name) };
    }),
  ];
}

/** Median over the rounds of every case; a failure where every round failed. */
function medians(runs: readonly Measured[]): Rates {
  const rates: Rates = {};
  for (const name of new Set(runs.flatMap((run) => Object.keys(run.rates)))) {
    const all = runs.map((run) => run.rates[name]!);
    const good = all.filter((found) => 'per_s' in found);
    rates[name] = good.length > 0 ? { per_s: median(good.map(({ per_s }) => per_s)), count: good[0]!.count } : all[0]!;
  }
  return rates;
}

async function compare(options: DataBenchOptions, python: string) {
  const sides = sidesOf(options, python).map((side) => ({ ...side, runs: [] as Measured[] }));
  for (let round = 1; round <= options.rounds; round++) {
    for (const side of sides) {
      process.stderr.write(`round ${round} of ${options.rounds}: ${side.name}\n`);
      side.runs.push(await side.run());
    }
  }
  return sides.map(({ name, runs }) => ({ name, versions: runs[0]!.versions ?? {}, rates: medians(runs), runs }));
}

const shown = (value: number): string =>
  value >= 1e6
    ? `${(value / 1e6).toFixed(value < 1e7 ? 2 : 1)} M`
    : value >= 1e4
      ? `${(value / 1e3).toFixed(1)} k`
      : value.toFixed(0);

type Compared = Awaited<ReturnType<typeof compare>>;

function show(cases: ReturnType<typeof casesOf>, sides: Compared): string {
  const head = ['per second', '', ...sides.map(({ name }) => name)];
  const rows = cases.map(({ name, unit }) => {
    const cells = sides.map(({ rates }) => {
      const found = rates[name];
      return found && 'per_s' in found ? shown(found.per_s) : '-';
    });
    return [name, unit, ...cells];
  });
  const failures = sides.flatMap(({ name, rates }) =>
    Object.entries(rates).flatMap(([at, found]) => ('failed' in found ? [`${name}, ${at}: ${found.failed}`] : [])),
  );
  const counts = cases.flatMap(({ name, unit, kind }) => {
    const seen = sides.flatMap(({ name: side, rates }) => {
      const found = rates[name];
      return found && 'count' in found ? [`${side} ${found.count}`] : [];
    });
    const numbersOnly = new Set(seen.map((text) => text.split(' ').at(-1)));
    return kind === 'decode' && numbersOnly.size > 1 ? [`${name}: not the same ${unit}: ${seen.join(', ')}`] : [];
  });
  const numbers = Array.from({ length: sides.length }, (_, i) => i + 2);
  return [table([head, ...rows], numbers), ...failures, ...counts].join('\n');
}

export async function dataCommand(options: DataBenchOptions): Promise<void> {
  const { python, out, json, threads, rounds, seconds } = options;
  if (out !== undefined) makeFolderOf(out);
  const cases = casesOf(options);
  if (python === undefined && json && out === undefined) return writeJson({ rates: await timeCases(options) });
  const sides =
    python === undefined
      ? [{ name: 'spikeloom', versions: {}, rates: await timeCases(options), runs: [] }]
      : await compare(options, python);
  const command = shownCommand(process.argv.slice(2));
  const found = {
    command,
    ...provenance(),
    threads,
    rounds,
    seconds,
    cases: cases.map(({ path: _, ...rest }) => rest),
    sides,
  };
  if (out !== undefined) writeResult(out, found);
  if (json) writeJson(found);
  else writeText(show(cases, sides));
}
