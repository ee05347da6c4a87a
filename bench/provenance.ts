// Machine, date and commit of a measurement: the head of every result file.
import { device, native } from '../lib/core/index.ts';
import { describeEnvironment } from '../lib/train/environment.ts';

/** `modified`: tracked files differed from the commit. */
export function provenance(on = 'cpu') {
  const { node, git, date, cpu, cores } = describeEnvironment();
  return {
    date,
    machine: { cpu, cores, level: native().level, ...(on === 'cpu' ? {} : { gpu: device(on).backend.description }) },
    node,
    commit: git?.commit ?? null,
    modified: git?.modified ?? null,
  };
}
