import { availableParallelism } from 'node:os';
import { expect } from 'chai';
import { processorQuota, processorsOf } from '../../lib/core/cpu-quota.ts';
import { usualThreads } from '../../lib/core/index.ts';

describe('the processor time of a container', () => {
  for (const [limit, processors] of [
    ['200000 100000', 2],
    ['250000 100000', 3],
    ['5000 100000', 1],
    ['max 100000', Number.POSITIVE_INFINITY],
    ['-1 100000', Number.POSITIVE_INFINITY],
    ['', Number.POSITIVE_INFINITY],
    [' ', Number.POSITIVE_INFINITY],
  ] as const) {
    it(`is ${processors} processors' where the kernel says '${limit}'`, () =>
      expect(processorsOf(limit)).to.equal(processors));
  }

  it('limits the usual number of threads', () => {
    expect(processorQuota()).to.be.at.least(1);
    expect(usualThreads()).to.equal(Math.min(availableParallelism(), processorQuota(), 256));
  });
});
