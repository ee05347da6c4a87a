// Times every native op at the sizes of a training step, beside what the machine's ceilings allow.
import { table, writeJson, writeText } from '../lib/cli/output.ts';
import { type Device, device, keep, nativeOp, opTable, SpikeloomError, scope } from '../lib/core/index.ts';
import { type Arguments, type Call, describeCall, identityOf, watchCalls } from './calls.ts';
import {
  type Attainable,
  attainable,
  bandwidthAt,
  type Ceilings,
  computeCeiling,
  describeCeilings,
  measureCeilings,
} from './ceilings.ts';
import { type Cost, costOf } from './cost.ts';
import { type CaseSet, caseSets, NOT_TIMED } from './ops-cases.ts';
import { median, type StepOptions } from './options.ts';
import { provenance } from './provenance.ts';
import { makeFolderOf, writeResult } from './result-file.ts';

export interface OpsOptions extends StepOptions {
  out?: string;
  json?: boolean;
}

/** A call that is timed, with tensors of its own. */
interface Case {
  call: Call;
  made: Arguments;
  on: Device;
}

export interface TimedCase extends Cost {
  op: string;
  case: string;
  /** Where the call comes from. */
  set: string;
  seconds: number;
  bytes_per_s: number;
  flops_per_s: number;
  bandwidth_share?: number;
  compute_share?: number;
  bound?: Attainable['bound'];
  /** Attainable over measured time. */
  roofline_share?: number;
}

/** Work shorter than this is repeated within a measurement. */
const LEAST_SECONDS = 0.004;

/** One case for every kind of call in the work; their tensors are kept until disposeCases(). */
export function collectCases({ work }: Pick<CaseSet, 'work'>, known: Set<string> = new Set()): Case[] {
  const cases: Case[] = [];
  scope(() => {
    watchCalls(work, (call, { inputs, attributes, options: { reuse: _reuse, ...options } }) => {
      const identity = identityOf(call);
      if (known.has(identity) || call.op in NOT_TIMED) return;
      known.add(identity);
      const held = Object.entries(inputs).map(([name, t]) => [name, t && keep(t.alias([...t.shape]))] as const);
      const on = held.find(([, t]) => t)![1]!.device;
      cases.push({ call, made: { inputs: Object.fromEntries(held), attributes, options: wanting(call, options) }, on });
    });
  });
  return cases;
}

/** The sizes and types that the call came out with, so that it can be made again. */
function wanting({ op, outputs }: Call, options: Arguments['options']): Arguments['options'] {
  const optional = opTable()
    .get(op)!
    .signature.outputs.filter((spec) => spec.optional && outputs[spec.name]);
  return { ...options, want: optional.map(({ name }) => name) };
}

export function disposeCases(cases: readonly Case[]): void {
  for (const { made } of cases) for (const t of Object.values(made.inputs)) t?.dispose();
}

async function secondsFor({ call, made, on }: Case, times: number): Promise<number> {
  const op = nativeOp(call.op);
  const start = performance.now();
  for (let i = 0; i < times; i++) scope(() => void op.run(made.inputs, made.attributes, made.options));
  await on.finish();
  return (performance.now() - start) / 1e3;
}

/** Median seconds of one call. */
async function timeCase(item: Case, repeats: number): Promise<number> {
  const first = await secondsFor(item, 1);
  const again = Math.min(first, await secondsFor(item, 1));
  const times = Math.min(1000, Math.max(1, Math.ceil(LEAST_SECONDS / again)));
  const seconds: number[] = [];
  for (let i = 0; i < repeats; i++) seconds.push((await secondsFor(item, times)) / times);
  return median(seconds);
}

function judge(set: string, call: Call, seconds: number, ceilings: Ceilings | undefined): TimedCase {
  const cost = costOf(call);
  const rates = { bytes_per_s: cost.bytes / seconds, flops_per_s: cost.flops / seconds };
  const found = { op: call.op, case: describeCall(call), set, seconds, ...cost, ...rates };
  if (!ceilings) return found;
  const least = attainable(ceilings, cost);
  return {
    ...found,
    bandwidth_share: rates.bytes_per_s / bandwidthAt(ceilings, cost.bytes, cost.traffic),
    compute_share: rates.flops_per_s / computeCeiling(ceilings, cost.products),
    bound: least.bound,
    roofline_share: least.seconds / seconds,
  };
}

/** @throws SpikeloomError naming the ops that no case calls and NOT_TIMED does not excuse */
export function refuseUntimed(timed: Iterable<string>): void {
  const covered = new Set([...timed, ...Object.keys(NOT_TIMED)]);
  const missing = [...opTable().keys()].filter((name) => !covered.has(name));
  if (missing.length > 0)
    throw new SpikeloomError(
      `every op of the addon is timed or excused, but nothing calls ${missing.join(', ')}; add a call to bench/ops-cases.ts, or the reason to NOT_TIMED there`,
    );
}

async function timeSet(makeSet: () => CaseSet, known: Set<string>, repeats: number, ceilings: Ceilings | undefined) {
  const set = makeSet();
  const cases = collectCases(set, known);
  await cases[0]?.on.finish();
  const found: TimedCase[] = [];
  process.stderr.write(`${set.name}: ${cases.length} kinds of calls\n`);
  for (const item of cases) found.push(judge(set.name, item.call, await timeCase(item, repeats), ceilings));
  disposeCases(cases);
  set.dispose();
  return found;
}

const percent = (share: number | undefined): string => (share === undefined ? '-' : `${(share * 100).toFixed(0)} %`);

function show(cases: readonly TimedCase[]): string {
  const head = ['op', 'case', 'ms', 'GB/s', 'of bandwidth', 'GFLOP/s', 'of compute', 'bound', 'of roofline'];
  const rows = cases.map((found) => [
    found.op,
    found.case,
    (found.seconds * 1e3).toFixed(3),
    (found.bytes_per_s / 1e9).toFixed(1),
    percent(found.bandwidth_share),
    (found.flops_per_s / 1e9).toFixed(1),
    percent(found.compute_share),
    found.bound ?? '-',
    percent(found.roofline_share),
  ]);
  return table([head, ...rows], [2, 3, 4, 5, 6, 8]);
}

export async function opsCommand({ out, json, ...options }: OpsOptions): Promise<void> {
  if (out !== undefined) makeFolderOf(out);
  if (options.device === 'cpu') device().setThreads(options.threads);
  const ceilings = await measureCeilings(options);
  const known = new Set<string>();
  const cases: TimedCase[] = [];
  for (const makeSet of caseSets(options)) cases.push(...(await timeSet(makeSet, known, options.repeats, ceilings)));
  refuseUntimed(cases.map(({ op }) => op));
  cases.sort((a, b) => a.op.localeCompare(b.op) || b.seconds - a.seconds);
  const found = {
    ...provenance(options.device),
    options,
    ceilings: ceilings ?? null,
    not_timed: NOT_TIMED,
    cases,
  };
  if (out !== undefined) writeResult(out, found);
  if (json) return writeJson(found);
  const excused = Object.entries(NOT_TIMED).map(([name, why]) => `not timed: ${name} (${why})`);
  writeText([describeCeilings(ceilings), show(cases), ...excused].join('\n'));
}
