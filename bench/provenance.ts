// Where a measurement comes from: the head of every result file.
import { native } from '../lib/core/index.ts';
import { describeEnvironment } from '../lib/train/environment.ts';

/** `modified`: tracked files differed from the commit. */
export function provenance() {
  const { node, git, date, cpu, cores } = describeEnvironment();
  return {
    date,
    machine: { cpu, cores, level: native().level },
    node,
    commit: git?.commit ?? null,
    modified: git?.modified ?? null,
  };
}
