// A whole training step beside the machine's ceilings: the calls it makes, what they need at the least, and where the
// rest goes.
import { table, writeJson, writeText } from '../lib/cli/output.ts';
import { type Device, type RecordedStep, recordStep, SpikeloomError } from '../lib/core/index.ts';
import { type Call, watchCalls } from './calls.ts';
import { attainable, type Ceilings, describeCeilings, measureCeilings } from './ceilings.ts';
import { costOf } from './cost.ts';
import { median, placeOf, type StepOptions } from './options.ts';
import { provenance } from './provenance.ts';
import { makeFolderOf, writeResult } from './result-file.ts';
import { prepareTraining } from './training.ts';

export interface RooflineOptions extends StepOptions {
  out?: string;
  json?: boolean;
}

/** All calls of an op in one step. */
export interface OpShare {
  op: string;
  calls: number;
  bytes: number;
  flops: number;
  measured_s: number;
  /** Each call's tensors in the smallest cache they fit into. */
  attainable_s?: number;
  /** All tensors from memory, as in a step that is larger than the caches. */
  from_memory_s?: number;
  /** Of the attainable time, that of calls which memory bounds. */
  memory_bound_s?: number;
}

/** Adds up the calls of a step by op, the slowest op first. */
export function sharesOf(
  calls: readonly Call[],
  seconds: ArrayLike<number>,
  ceilings: Ceilings | undefined,
): OpShare[] {
  const shares = new Map<string, OpShare>();
  for (const [i, call] of calls.entries()) {
    const cost = costOf(call);
    const share = shares.get(call.op) ?? { op: call.op, calls: 0, bytes: 0, flops: 0, measured_s: 0 };
    shares.set(call.op, share);
    share.calls++;
    share.bytes += cost.bytes;
    share.flops += cost.flops;
    share.measured_s += seconds[i]!;
    if (!ceilings) continue;
    const least = attainable(ceilings, cost);
    share.from_memory_s = (share.from_memory_s ?? 0) + attainable(ceilings, cost, Number.MAX_VALUE).seconds;
    share.attainable_s = (share.attainable_s ?? 0) + least.seconds;
    share.memory_bound_s = (share.memory_bound_s ?? 0) + (least.bound === 'memory' ? least.seconds : 0);
  }
  return [...shares.values()].sort((a, b) => b.measured_s - a.measured_s);
}

const sum = (numbers: readonly number[]): number => numbers.reduce((n, d) => n + d, 0);

async function timeSteps(device: Device, step: RecordedStep<unknown>, { warmup, repeats }: StepOptions) {
  const whole: number[] = [];
  const single: Float64Array[] = [];
  for (let i = 0; i < warmup + repeats; i++) {
    const start = performance.now();
    step.replay();
    await device.finish();
    if (i >= warmup) whole.push((performance.now() - start) / 1e3);
  }
  for (let i = 0; i < repeats; i++) single.push(await step.replayTimed());
  const seconds = Array.from({ length: step.calls }, (_, call) => median(single.map((run) => run[call]!)));
  return { step_s: median(whole), seconds };
}

export async function measureRoofline(options: StepOptions) {
  const ceilings = await measureCeilings(options);
  const { net, step: body } = prepareTraining(options);
  const calls: Call[] = [];
  const step = watchCalls(
    () => recordStep(net.device, body),
    (call) => calls.push(call),
  );
  if (calls.length !== step.calls)
    throw new SpikeloomError(`a step's calls are counted as it is recorded, but ${calls.length} are not ${step.calls}`);
  const { step_s, seconds } = await timeSteps(net.device, step, options);
  const ops = sharesOf(calls, seconds, ceilings);
  const attained = ceilings && sum(ops.map(({ attainable_s }) => attainable_s!));
  const fromMemory = ceilings && sum(ops.map(({ from_memory_s }) => from_memory_s!));
  return {
    ...provenance(options.device),
    options,
    ceilings: ceilings ?? null,
    calls: calls.length,
    bytes: sum(ops.map(({ bytes }) => bytes)),
    flops: sum(ops.map(({ flops }) => flops)),
    /** Replayed as in training. */
    step_s,
    /** Sum of the calls, each timed by itself. */
    kernels_s: sum(seconds),
    attainable_s: attained ?? null,
    roofline_share: attained === undefined ? null : attained / step_s,
    from_memory_s: fromMemory ?? null,
    from_memory_share: fromMemory === undefined ? null : fromMemory / step_s,
    ops,
  };
}

const ms = (seconds: number): string => (seconds * 1e3).toFixed(2);
const percent = (share: number): string => `${(share * 100).toFixed(0)} %`;

function show(found: Awaited<ReturnType<typeof measureRoofline>>): string {
  const { options, ceilings, step_s, kernels_s, attainable_s, from_memory_s, ops } = found;
  const first = ['op', 'calls', 'MB', 'GFLOP', 'ms'];
  const shares = ['attainable ms', 'of roofline', 'lost ms', 'of the loss', 'bound', 'from memory ms'];
  const head = ceilings ? [...first, ...shares] : first;
  const lost = step_s - (attainable_s ?? 0);
  const rows = ops.map((share) => {
    const numbers = [share.op, String(share.calls), (share.bytes / 1e6).toFixed(1), (share.flops / 1e9).toFixed(3)];
    if (share.attainable_s === undefined) return [...numbers, ms(share.measured_s)];
    const loss = share.measured_s - share.attainable_s;
    const bound = share.memory_bound_s! * 2 >= share.attainable_s ? 'memory' : 'compute';
    const ratio = percent(share.attainable_s / share.measured_s);
    return [
      ...numbers,
      ms(share.measured_s),
      ms(share.attainable_s),
      ratio,
      ms(loss),
      percent(loss / lost),
      bound,
      ms(share.from_memory_s!),
    ];
  });
  const between = step_s - kernels_s;
  const rest = ceilings ? ['', '', ms(between), percent(between / lost), '', ''] : [];
  const { model, steps, batch, size, precision } = options;
  const roofs: [string, number][] =
    attainable_s === null || from_memory_s === null
      ? []
      : [
          ['tensors in the caches they fit into', attainable_s],
          ['tensors from memory', from_memory_s],
        ];
  return [
    `${model}, T=${steps}, batch ${batch}, ${size}x${size}, ${placeOf(options)}, ${precision}`,
    describeCeilings(ceilings),
    table([head, ...rows, ['between calls', '', '', '', ms(between), ...rest]], [1, 2, 3, 4, 5, 6, 7, 8, 10]),
    `step: ${ms(step_s)} ms; ${(found.bytes / 1e6).toFixed(0)} MB, ${(found.flops / 1e9).toFixed(2)} GFLOP in ${found.calls} calls`,
    ...roofs.map(
      ([name, seconds]) => `roofline, ${name}: ${ms(seconds)} ms, ${percent(seconds / step_s)} of it reached`,
    ),
  ].join('\n');
}

export async function rooflineCommand({ out, json, ...options }: RooflineOptions): Promise<void> {
  if (out !== undefined) makeFolderOf(out);
  const found = await measureRoofline(options);
  if (out !== undefined) writeResult(out, found);
  if (json) writeJson(found);
  else writeText(show(found));
}
