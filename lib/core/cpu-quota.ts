// How much of a machine a container may use: the kernel's limit of processor time, which the number of processors does
// not show.
import { readFileSync } from 'node:fs';

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch {
    return ''; // another system, or no such limit
  }
}

/**
 * Processors' worth of time in `quota period` of microseconds, as cpu.max of cgroups has it; Infinity: no limit.
 * @example processorsOf('250000 100000') // 3
 */
export function processorsOf(limit: string): number {
  const [quota, period] = limit.split(' ').map(Number);
  return quota! > 0 && period! > 0 ? Math.ceil(quota! / period!) : Number.POSITIVE_INFINITY;
}

/** The limit of this process: of its own cgroup and of the one that it sees as the root; cgroups of version 2 and 1. */
export function processorQuota(): number {
  const own = /^0::(\/.*)$/m.exec(read('/proc/self/cgroup'))?.[1] ?? '/';
  const first = '/sys/fs/cgroup/cpu/cpu.cfs_';
  const limits = [
    ...[own, '/'].map((path) => read(`/sys/fs/cgroup${path}/cpu.max`)),
    `${read(`${first}quota_us`)} ${read(`${first}period_us`)}`,
  ];
  return Math.min(...limits.map(processorsOf));
}
