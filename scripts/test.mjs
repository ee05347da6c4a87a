#!/usr/bin/env node
// npm test: installs and builds what is missing, then runs every test on the best instruction-set level of this
// machine, and the op tables, fused layers and whole networks again on the lower ones, op tables and fused layers also
// on the emulated CUDA device; as many runs side by side as there are processors. Ends with what failed, if anything did,
// and 'N passed, N failed, N skipped'.
//   npm test                 everything
//   npm test -- FILE ...     these test files only, on the best level
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { build, checkNode, install, root } from './prepare.mjs';

const total = { passed: 0, failed: 0, skipped: 0 };
const failures = [];
const folder = mkdtempSync(join(tmpdir(), 'spikeloom-test-'));
const units = (...names) => names.map((name) => `test/unit/${name}.test.ts`);

function tests(path) {
  return readdirSync(join(root, path), { withFileTypes: true }).flatMap((entry) => {
    if (entry.isDirectory()) return tests(`${path}/${entry.name}`);
    return entry.name.endsWith('.test.ts') ? [`${path}/${entry.name}`] : [];
  });
}

/** One run of mocha over `files`. With a label each line of its output begins with that, so that runs tell apart. */
async function mocha({ title, label, files, env = {} }) {
  console.log(`\n== ${title}`);
  const counts = join(folder, `${label ?? 'all'}.json`);
  const args = ['--import', 'tsx', 'node_modules/mocha/bin/mocha.js', '--no-config', '--timeout', '600000', '--exit'];
  const child = spawn(process.execPath, [...args, '--reporter', 'test/support/reporter.cjs', ...files], {
    cwd: root,
    env: { ...process.env, ...env, SPIKELOOM_TEST_COUNTS: counts, SPIKELOOM_TEST_BUILT: '1' },
    stdio: label ? ['ignore', 'pipe', 'pipe'] : 'inherit',
  });
  for (const output of [child.stdout, child.stderr]) {
    if (output) createInterface({ input: output }).on('line', (line) => line && console.log(`${label} | ${line}`));
  }
  const [status, signal] = await once(child, 'close');
  const told = existsSync(counts);
  const nothing = { passed: 0, failed: 0, skipped: 0, failures: [] };
  const result = told ? JSON.parse(readFileSync(counts, 'utf8')) : nothing;
  if (!told || (status !== 0 && result.failed === 0)) {
    result.failed++;
    result.failures.push({ title: 'the whole run', error: `ended with ${signal ?? `exit code ${status}`}` });
  }
  for (const name of Object.keys(total)) total[name] += result[name];
  failures.push(...result.failures.map(({ title, error }) => `${label ?? 'best'} | ${title}\n${error}\n`));
}

async function sideBySide(runs) {
  const waiting = [...runs];
  const next = async () => {
    while (waiting.length > 0) await mocha(waiting.shift());
  };
  await Promise.all(Array.from({ length: availableParallelism() }, next));
}

function lowerLevels() {
  const addon = createRequire(import.meta.url)(join(root, 'build/Release/spikeloom.node'));
  const levels = ['baseline', 'avx2', 'avx512', 'avx512bf16', 'amx'];
  return levels.slice(0, levels.indexOf(addon.bestLevel));
}

/** The longest first. */
function againRuns() {
  const convolutions = units(
    'conv2d-bf16',
    'conv2d-added-gradient',
    'conv2d-input-gradient',
    'conv2d-single-terms',
    'group-conv2d',
  );
  const cuda = { SPIKELOOM_CUDA: 'emulated' };
  const fused = units(
    'current',
    'bf16-stores',
    'op-reuse',
    'nn-fused',
    'image-changes',
    'linear',
    'conv2d-many-channels',
    'loss-ops',
  );
  const portable = ['test/ops/all.test.ts', 'test/train/network-golden.test.ts', ...convolutions, ...fused];
  const others = units('current', 'lif-bits', 'bad-data', 'cuda-device', 'merged-calls', 'image-changes', 'loss-ops');
  const networks = ['test/train/device.test.ts', 'test/train/resident.test.ts'];
  const emulated = {
    convolutions,
    tables: ['test/ops/cuda.test.ts'],
    networks: [...networks, ...others],
  };
  return [
    ...Object.entries(emulated).map(([name, files]) => ({
      ...{ title: `emulated CUDA device: ${name}`, label: `emulated ${name}`, files, env: cuda },
    })),
    ...lowerLevels().map((level) => ({
      title: `level ${level}: op tables, fused layers and whole networks`,
      ...{ label: level, files: portable, env: { SPIKELOOM_CPU: level } },
    })),
  ];
}

try {
  checkNode();
  install();
  build('--addon', '--cuda', '--js', '--emulated');
  const chosen = process.argv.slice(2);
  const files = chosen.length > 0 ? chosen : tests('test').sort();
  const best = { title: 'all tests, best level of this machine', files };
  if (chosen.length > 0) await mocha(best);
  else await sideBySide([{ ...best, label: 'best' }, ...againRuns()]); // one run alone takes a GPU, if there is one
} catch (error) {
  failures.push(`test: ${error.message}\n`);
  total.failed++;
}
rmSync(folder, { recursive: true, force: true });
if (failures.length > 0) console.log(`\n== failed\n${failures.join('\n')}`);
console.log(`\n${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
process.exitCode = total.failed > 0 || total.passed === 0 ? 1 : 0;
