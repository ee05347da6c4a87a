#!/usr/bin/env node
// npm test: installs and builds what is missing, then runs every test on the best instruction-set level of this
// machine, and the op tables, fused layers and whole networks again on the lower ones, op tables and fused layers also
// on the emulated CUDA device. Ends with 'N passed, N failed, N skipped'.
//   npm test                 everything
//   npm test -- FILE ...     these test files only, on the best level
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build, checkNode, install, root, run } from './prepare.mjs';

const total = { passed: 0, failed: 0, skipped: 0 };
const folder = mkdtempSync(join(tmpdir(), 'spikeloom-test-'));

function tests(path) {
  return readdirSync(join(root, path), { withFileTypes: true }).flatMap((entry) => {
    if (entry.isDirectory()) return tests(`${path}/${entry.name}`);
    return entry.name.endsWith('.test.ts') ? [`${path}/${entry.name}`] : [];
  });
}

function mocha(title, files, env = {}) {
  console.log(`\n== ${title}`);
  const counts = join(folder, 'counts.json');
  rmSync(counts, { force: true });
  const args = ['--import', 'tsx', 'node_modules/mocha/bin/mocha.js', '--no-config', '--timeout', '120000', '--exit'];
  const status = run(process.execPath, [...args, '--reporter', 'test/support/reporter.cjs', ...files], {
    env: { ...process.env, ...env, SPIKELOOM_TEST_COUNTS: counts },
  });
  const result = existsSync(counts) ? JSON.parse(readFileSync(counts, 'utf8')) : { passed: 0, failed: 1, skipped: 0 };
  if (status !== 0 && result.failed === 0) result.failed = 1;
  for (const name of Object.keys(total)) total[name] += result[name];
}

function lowerLevels() {
  const addon = createRequire(import.meta.url)(join(root, 'build/Release/spikeloom.node'));
  const levels = ['baseline', 'avx2', 'avx512', 'avx512bf16', 'amx'];
  return levels.slice(0, levels.indexOf(addon.bestLevel));
}

try {
  checkNode();
  install();
  build('--addon', '--cuda', '--js', '--emulated');
  const chosen = process.argv.slice(2);
  mocha('all tests, best level of this machine', chosen.length > 0 ? chosen : tests('test').sort());
  if (chosen.length === 0) {
    const fused = [
      'conv2d-bf16',
      'conv2d-single-terms',
      'current',
      'bf16-stores',
      'op-reuse',
      'nn-fused',
      'image-changes',
    ].map((name) => `test/unit/${name}.test.ts`);
    const portable = ['test/ops/all.test.ts', 'test/train/network-golden.test.ts', ...fused];
    for (const level of lowerLevels())
      mocha(`op tables, fused layers and whole networks, level ${level}`, portable, { SPIKELOOM_CPU: level });
    const convolutions = ['conv2d-bf16', 'conv2d-single-terms'];
    const units = [
      ...convolutions,
      'current',
      'lif-bits',
      'bad-data',
      'cuda-device',
      'merged-calls',
      'image-changes',
    ].map((name) => `test/unit/${name}.test.ts`);
    const networks = ['device', 'resident'].map((name) => `test/train/${name}.test.ts`);
    const onCuda = ['test/ops/cuda.test.ts', ...units, ...networks];
    mocha('op tables, fused layers and a network on the emulated CUDA device', onCuda, { SPIKELOOM_CUDA: 'emulated' });
  }
} catch (error) {
  console.error(`test: ${error.message}`);
  total.failed++;
}
rmSync(folder, { recursive: true, force: true });
console.log(`\n${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
process.exitCode = total.failed > 0 || total.passed === 0 ? 1 : 0;
