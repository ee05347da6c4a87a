// Mocha's dot reporter, which also leaves the counts in the file SPIKELOOM_TEST_COUNTS names: all in all, and of every
// describe() by its title.
const { writeFileSync } = require('node:fs');
const Mocha = require('mocha');

module.exports = class Counting extends Mocha.reporters.Dot {
  constructor(runner, options) {
    super(runner, options);
    const suites = {};
    const count = (kind) => (test) => {
      const title = test.parent?.title ?? '';
      suites[title] ??= { passed: 0, failed: 0, skipped: 0 };
      suites[title][kind]++;
    };
    runner.on('pass', count('passed'));
    runner.on('fail', count('failed'));
    runner.on('pending', count('skipped'));
    runner.once('end', () => {
      const { passes, failures, pending } = this.stats;
      const file = process.env.SPIKELOOM_TEST_COUNTS;
      if (file) writeFileSync(file, JSON.stringify({ passed: passes, failed: failures, skipped: pending, suites }));
      this.epilogue();
    });
  }

  // Dot prints its epilogue at 'end' as well; once is enough.
  epilogue() {
    if (this.told) return;
    this.told = true;
    super.epilogue();
  }
};
