// Our training step against PyTorch's: every run a process of its own, the sides in turn, so that a slow minute of the
// machine hits all.
import { asUsage, UsageError } from '../../lib/cli/exit.ts';
import { table, writeJson, writeText } from '../../lib/cli/output.ts';
import { SpikeloomError } from '../../lib/core/errors.ts';
import { describeEnvironment } from '../../lib/train/environment.ts';
import { planOf } from '../networks.ts';
import { libraryOf, median, placeOf, type StepOptions } from '../options.ts';
import { provenance } from '../provenance.ts';
import { makeFolderOf, writeResult } from '../result-file.ts';
import { findBest, LIBRARY_SPEEDUPS, TORCH_SPEEDUPS, type Tried } from './best.ts';
import {
  commandOf,
  findPython,
  type Measured,
  ourSide,
  packagesOf,
  peerOf,
  runSide,
  type Side,
  torchSide,
} from './sides.ts';

export interface PeerOptions extends StepOptions {
  python?: string;
  /** Default: see formsOf(). */
  forms?: string[];
  /** Ours; PyTorch's plain forms are fp64 where --precision is, else fp32. */
  precisions?: StepOptions['precision'][];
  rounds: number;
  /** Another batch at which only memory is measured. */
  memoryBatch?: number;
  out?: string;
  json?: boolean;
}

/** The forms that there are of a network, and those that take part unless others are asked for. */
export function formsOf(model: string): { all: string[]; usual: string[] } {
  if (libraryOf(model)) return { all: ['plain', 'best'], usual: ['plain', 'best'] };
  return { all: ['expanded', 'expanded-amp', 'collapsed', 'best'], usual: ['expanded', 'collapsed'] };
}

/**
 * A form with speed-ups joined to it: 'collapsed+bf16+graphs'; of another library's network, which has one form, they
 * stand alone: 'bf16+compile'.
 */
function joined(model: string, form: string): { base: string; speedups: string[] } | undefined {
  const speedups = form.split('+');
  const [base, known] = libraryOf(model) ? ['plain', LIBRARY_SPEEDUPS] : [speedups.shift()!, TORCH_SPEEDUPS];
  const isForm = libraryOf(model) !== undefined || ['expanded', 'collapsed'].includes(base);
  return isForm && speedups.length > 0 && speedups.every((word) => known.includes(word))
    ? { base, speedups }
    : undefined;
}

interface Runs {
  side: Side;
  runs: Measured[];
}

/** Both sides must train the same network: the number of parameters tells. */
function checkSame(sides: readonly Runs[]): void {
  const counts = sides.map(({ side, runs }) => `${side.name} ${runs[0]!.parameters}`);
  if (new Set(sides.map(({ runs }) => runs[0]!.parameters)).size === 1) return;
  throw new SpikeloomError(`the sides must train the same network, but their parameters are ${counts.join(', ')}`);
}

async function takeTurns(sides: readonly Side[], rounds: number): Promise<Runs[]> {
  const all: Runs[] = sides.map((side) => ({ side, runs: [] }));
  for (let round = 1; round <= rounds; round++) {
    for (const { side, runs } of all) {
      process.stderr.write(`round ${round} of ${rounds}: ${side.name}\n`);
      runs.push(await runSide(side));
    }
    if (round === 1) checkSame(all);
  }
  return all;
}

const NUMBERS = ['step_s', 'min_s', 'images_per_s', 'peak_bytes'] as const;

function medians(runs: readonly Measured[]) {
  const of = (key: (typeof NUMBERS)[number]) => median(runs.map((run) => run[key]));
  return { step_s: of('step_s'), min_s: of('min_s'), images_per_s: of('images_per_s'), peak_bytes: of('peak_bytes') };
}

/** Each of ours over this side: above 1 we are faster, or need more memory. */
function ratios(all: readonly Runs[], key: 'images_per_s' | 'peak_bytes', value: number): Record<string, number> {
  const ours = all.filter(({ side }) => side.isOurs);
  return Object.fromEntries(ours.map(({ side, runs }) => [side.name, medians(runs)[key] / value]));
}

const described = (all: readonly Runs[]) =>
  all.map(({ side, runs }) => {
    const mine = medians(runs);
    return {
      name: side.name,
      command: commandOf(side),
      ...mine,
      images_per_s_ratio: ratios(all, 'images_per_s', mine.images_per_s),
      peak_bytes_ratio: ratios(all, 'peak_bytes', mine.peak_bytes),
      runs,
    };
  });

/** One process for each side, one at a time, at another batch. */
async function measureMemory(batch: number, sidesAt: (options: Partial<StepOptions>) => Side[]) {
  const all: Runs[] = [];
  for (const side of sidesAt({ batch, warmup: 1, repeats: 2 })) {
    process.stderr.write(`memory at batch ${batch}: ${side.name}\n`);
    all.push({ side, runs: [await runSide(side)] });
  }
  const sides = described(all).map(({ name, command, peak_bytes, peak_bytes_ratio }) => {
    return { name, command, peak_bytes, peak_bytes_ratio };
  });
  return { batch, sides };
}

/** The command as it was typed, without paths of this machine. */
export function shownCommand(words: readonly string[]): string {
  const isPlace = (word: string | undefined) => word === '--python' || word === '--out';
  const kept = words.filter((word, i) => !isPlace(word) && !isPlace(words[i - 1]) && !/^--(python|out)=/.test(word));
  return ['npm run bench --', ...kept].join(' ');
}

/** 'expanded-amp': as the authors run it on a GPU, in mixed precision. */
export function plainSide(options: StepOptions, python: string, form: string): Side {
  const found = form === 'expanded-amp' ? { base: 'expanded', speedups: ['amp'] } : joined(options.model, form);
  if (!found) return torchSide(options, python, form);
  const { base, speedups } = found;
  const name = [peerOf(options.model), ...(base === 'plain' ? [] : [base]), `(${speedups.join(', ')})`].join(' ');
  return torchSide(options, python, base, speedups, name);
}

async function compare(options: PeerOptions, python: string) {
  const { rounds, memoryBatch, python: _python, out: _out, json: _json, ...settings } = options;
  const {
    precision,
    forms = formsOf(options.model).usual,
    precisions = precision === 'fp32' ? ['fp32', 'bf16'] : [precision],
  } = options;
  const theirs = { precision: precision === 'bf16' ? 'fp32' : precision } as const;
  const best = forms.includes('best') ? await findBest({ ...options, ...theirs }, python) : undefined;
  const plain = forms.filter((form) => form !== 'best');
  const sidesAt = (changes: Partial<StepOptions>) => {
    const changed = { ...options, ...changes };
    const ours = precisions.map((type) => ourSide(changed, type));
    return [...ours, ...plain.map((form) => plainSide({ ...changed, ...theirs }, python, form))];
  };
  const all = await takeTurns([...sidesAt({}), ...(best ? [best.side] : [])], rounds);
  const memory = memoryBatch === undefined ? null : await measureMemory(memoryBatch, sidesAt);
  const { node, git, date, memory_bytes, platform, arch, os } = describeEnvironment();
  return {
    date,
    command: shownCommand(process.argv.slice(2)),
    machine: { ...provenance(options.device).machine, memory_bytes, platform, arch, os },
    node,
    commit: git?.commit ?? null,
    modified: git?.modified ?? null,
    options: { ...settings, forms, precisions, rounds },
    sides: described(all),
    /** The short runs that chose the best of the peer. */
    tried: best?.tried ?? null,
    memory,
  };
}

export type Comparison = Awaited<ReturnType<typeof compare>>;

const mib = (bytes: number): string => (bytes / 2 ** 20).toFixed(1);
const fixed = (numbers: Record<string, number>): string[] => Object.values(numbers).map((n) => n.toFixed(2));
const columns = (count: number): number[] => Array.from({ length: count }, (_, i) => i + 1);

function showTried(tried: readonly Tried[]): string {
  const rows = tried.map(({ name, step_s, images_per_s, peak_bytes, failed }) =>
    step_s === undefined
      ? [name, 'failed', '', '', failed!]
      : [name, (step_s * 1e3).toFixed(1), images_per_s!.toFixed(1), mib(peak_bytes!)],
  );
  return table([['tried once', 'step ms', 'images/s', 'peak MiB'], ...rows], [1, 2, 3]);
}

function showMemory({ batch, sides }: NonNullable<Comparison['memory']>): string {
  const ours = Object.keys(sides[0]!.peak_bytes_ratio);
  const head = [`batch ${batch}`, 'peak MiB', ...ours.map((name) => `${name} over it`)];
  const rows = sides.map((side) => [side.name, mib(side.peak_bytes), ...fixed(side.peak_bytes_ratio)]);
  return table([head, ...rows], columns(1 + ours.length));
}

function show({ sides, options, tried, memory }: Comparison): string {
  const ours = Object.keys(sides[0]!.images_per_s_ratio);
  const heads = ours.flatMap((name) => [`${name}: faster`, 'memory']);
  const head = ['', 'step ms', 'minimum ms', 'images/s', 'peak MiB', ...heads];
  const rows = sides.map((side) => [
    side.name,
    (side.step_s * 1e3).toFixed(1),
    (side.min_s * 1e3).toFixed(1),
    side.images_per_s.toFixed(1),
    mib(side.peak_bytes),
    ...ours.flatMap((name) => [side.images_per_s_ratio[name]!.toFixed(2), side.peak_bytes_ratio[name]!.toFixed(2)]),
  ]);
  const { model, steps, batch, size, rounds } = options;
  const title = `${model}, T=${steps}, batch ${batch}, ${size}x${size}, ${placeOf(options)}, medians of ${rounds} rounds`;
  const parts = [title, table([head, ...rows], columns(4 + heads.length)), 'ratios: ours over the row'];
  return [...parts, ...(tried ? ['', showTried(tried)] : []), ...(memory ? ['', showMemory(memory)] : [])].join('\n');
}

export function refuseUnknownForms({ model, forms = [] }: Pick<PeerOptions, 'model' | 'forms'>): void {
  const { all } = formsOf(model);
  const unknown = forms.find((form) => !all.includes(form) && !joined(model, form));
  if (unknown === undefined) return;
  const [what, known] = libraryOf(model)
    ? ['speed-ups', LIBRARY_SPEEDUPS]
    : ["'expanded' or 'collapsed' with speed-ups", TORCH_SPEEDUPS];
  const more = `${what} of ${known.join(', ')} joined by '+'`;
  throw new UsageError(`--forms takes ${all.join(', ')} and ${more} for ${model}, not '${unknown}'`);
}

export async function peersCommand(options: PeerOptions): Promise<void> {
  const { out, json } = options;
  asUsage(() => planOf(options));
  refuseUnknownForms(options);
  if (out !== undefined) makeFolderOf(out);
  const found = await compare(options, await findPython(options.python, packagesOf(options.model)));
  if (out !== undefined) writeResult(out, found);
  if (json) writeJson(found);
  else writeText(show(found));
}
