// Mocha's reporter of npm test: how far the run is, in a line for each tenth of its tests, then mocha's own epilogue. It
// leaves the counts, of all tests and of every describe() by its title, and what failed in the file that
// SPIKELOOM_TEST_COUNTS names.
const { writeFileSync } = require('node:fs');
const Mocha = require('mocha');

module.exports = class Counting extends Mocha.reporters.Base {
  constructor(runner, options) {
    super(runner, options);
    const suites = {};
    const count = (kind) => (test) => {
      const title = test.parent?.title ?? '';
      suites[title] ??= { passed: 0, failed: 0, skipped: 0 };
      suites[title][kind]++;
    };
    let ended = 0;
    runner.on('pass', count('passed'));
    runner.on('fail', count('failed'));
    runner.on('pending', count('skipped'));
    runner.on('test end', () => {
      const tenth = (n) => Math.floor((10 * n) / runner.total);
      ended++;
      if (tenth(ended) > tenth(ended - 1))
        console.log(`${ended} of ${runner.total} tests, ${this.failures.length} failed`);
    });
    runner.once('end', () => {
      const { passes, failures, pending } = this.stats;
      const told = this.failures.map((test) => ({
        title: test.fullTitle(),
        error: test.err.stack ?? test.err.message,
      }));
      const counts = { passed: passes, failed: failures, skipped: pending, suites, failures: told };
      const file = process.env.SPIKELOOM_TEST_COUNTS;
      if (file) writeFileSync(file, JSON.stringify(counts));
      this.epilogue();
    });
  }
};
