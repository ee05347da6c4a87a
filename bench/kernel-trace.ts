// What bench/native/kernel-trace.cpp leaves behind: its lines, cut into the steps of a training.
import { SpikeloomError } from '../lib/core/errors.ts';

/** A kernel that ran, or a copy or fill (of 0 blocks). */
export interface Activity {
  name: string;
  /** Seconds since some moment. */
  begin: number;
  seconds: number;
  blocks: number;
  threads: number;
  registers: number;
}

/** What all runs of a kernel in one step took. */
export interface KernelTime {
  name: string;
  launches: number;
  seconds: number;
  /** The most of any launch. */
  blocks: number;
  threads: number;
  registers: number;
}

/** 'void ns::kernel<T, (int)4>(float *, long)' -> 'kernel<T, (int)4>' */
export function shortName(name: string): string {
  const plain = name.replace(/\(anonymous namespace\)::|spikeloom::(cuda::)?/g, '').replace(/^void /, '');
  let depth = 0;
  for (let i = 0; i < plain.length; i++) {
    if (plain[i] === '<') depth++;
    else if (plain[i] === '>') depth--;
    else if (plain[i] === '(' && depth === 0) return plain.slice(0, i);
  }
  return plain;
}

/** @throws SpikeloomError for a trace without a line, or with a complaint */
export function readTrace(text: string): Activity[] {
  const lines = text.split('\n').filter((line) => line !== '');
  const complaint = lines.find((line) => line.startsWith('!'));
  if (complaint) throw new SpikeloomError(`CUPTI could not trace the kernels: ${complaint.slice(1)}`);
  if (lines.length === 0) {
    throw new SpikeloomError(
      'CUDA wrote no trace of its kernels: another profiler holds the GPU, or the driver does not load CUDA_INJECTION64_PATH',
    );
  }
  const first = BigInt(lines[0]!.split('\t', 1)[0]!); // in nanoseconds since 1970, more than a number holds
  const seconds = (ns: string) => Number(BigInt(ns) - first) * 1e-9;
  const activities = lines.map((line) => {
    const [begin, end, blocks, threads, registers, name] = line.split('\t') as [string, ...string[]];
    const sizes = { blocks: Number(blocks), threads: Number(threads), registers: Number(registers) };
    return { name: shortName(name!), begin: seconds(begin), seconds: seconds(end!) - seconds(begin), ...sizes };
  });
  return activities.sort((a, b) => a.begin - b.begin);
}

/** From one loss to the next: of training steps as bench step makes them, which have one cross-entropy each. */
export function stepsOf(activities: readonly Activity[]): Activity[][] {
  const loss = activities.find(({ name }) => /^crossEntropy\w*Kernel\b/.test(name))?.name;
  const starts = activities.flatMap(({ name }, i) => (name === loss ? [i] : []));
  return starts.slice(1).map((next, i) => activities.slice(starts[i], next));
}

const busy = (step: readonly Activity[]): number => step.reduce((sum, { seconds }) => sum + seconds, 0);

/** The step whose kernels took the median of all steps' times. @throws SpikeloomError where there is no whole step */
export function medianStep(steps: readonly Activity[][]): Activity[] {
  const middle = [...steps].sort((a, b) => busy(a) - busy(b))[Math.floor(steps.length / 2)];
  if (!middle) throw new SpikeloomError('the trace holds no whole training step: take more --repeats');
  return middle;
}

/** By kernel, the one that takes the longest first. */
export function kernelTimes(step: readonly Activity[]): KernelTime[] {
  const found = new Map<string, KernelTime>();
  for (const { name, seconds, blocks, threads, registers } of step) {
    const sum = found.get(name) ?? { name, launches: 0, seconds: 0, blocks: 0, threads: 0, registers: 0 };
    found.set(name, sum);
    sum.launches++;
    sum.seconds += seconds;
    sum.blocks = Math.max(sum.blocks, blocks);
    sum.threads = Math.max(sum.threads, threads);
    sum.registers = Math.max(sum.registers, registers);
  }
  return [...found.values()].sort((a, b) => b.seconds - a.seconds);
}
