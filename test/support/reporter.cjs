// Mocha's dot reporter, which also leaves the counts in the file SPIKELOOM_TEST_COUNTS names.
const { writeFileSync } = require('node:fs');
const Mocha = require('mocha');

module.exports = class Counting extends Mocha.reporters.Dot {
  constructor(runner, options) {
    super(runner, options);
    runner.once('end', () => {
      const { passes, failures, pending } = this.stats;
      const file = process.env.SPIKELOOM_TEST_COUNTS;
      if (file) writeFileSync(file, JSON.stringify({ passed: passes, failed: failures, skipped: pending }));
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
