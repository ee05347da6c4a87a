#!/usr/bin/env node
// npm run sanitize: the native code under AddressSanitizer and UndefinedBehaviorSanitizer.
// First native/test/self_check, which needs no Node, and a short run of the event decoders on damaged inputs
// (scripts/fuzz.mjs); then the addon itself in the op tables, in recorded steps and in bf16 convolutions that these do
// not reach, on processors with AVX2 at every level from it, as many side by side as there are processors: AVX-512 and
// the matrix unit are in software (native/cpu/software_vectors.inl, software_tiles.inl). Everything lies in
// build/sanitize.
//   node scripts/sanitize.mjs             both
//   node scripts/sanitize.mjs --quick     what needs no Node
// Needs g++ with its sanitizer libraries. SPIKELOOM_CPU chooses one instruction-set level for the op tables.
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { compiler, compileStale, isCurrent } from './compile.mjs';

const require = createRequire(import.meta.url);
const { sources } = require('./sources.cjs');
const root = join(fileURLToPath(import.meta.url), '../..');
const folder = 'build/sanitize';
const checkFolder = 'native/test/self_check';
const addonSource = 'native/core/addon.cpp';

const sanitizers = ['-fsanitize=address,undefined', '-fno-sanitize-recover=all'];
const flags = [
  ...['-std=c++20', '-Og', '-finline-small-functions', '-g1', '-fno-omit-frame-pointer', '-fPIC', '-pthread'],
  ...['-Wall', '-Wextra', '-Wno-missing-field-initializers', '-ffp-contract=off', '-Inative', ...sanitizers],
  ...['-DSPIKELOOM_SOFTWARE_LEVELS', '-Wno-psabi', '-Wno-ignored-attributes'],
];

function addonFlags() {
  const includes = [require('node-addon-api').include_dir, require('node-api-headers').include_dir];
  return [
    ...includes.map((path) => `-I${path}`),
    '-DNAPI_VERSION=8',
    '-DNODE_ADDON_API_CPP_EXCEPTIONS',
    '-DNODE_ADDON_API_CPP_EXCEPTIONS_ALL',
  ];
}

const product = (source) => `${folder}/${source.replaceAll('/', '.').replace(/\.cpp$/, '.o')}`;

function ran(command, result) {
  if (result.error) throw new Error(`${command} could not be started: ${result.error.message}`);
  if (result.status === 0) return;
  throw new Error(`${command} ended with ${result.signal ?? `status ${result.status}`}`);
}

function run(command, args, env = {}) {
  const options = { cwd: root, stdio: 'inherit', env: { ...process.env, ...env } };
  ran(command, spawnSync(command, args, options));
}

async function compileAll(files) {
  const units = files.map((source) => ({
    source,
    product: product(source),
    flags: [...flags, ...(source === addonSource ? addonFlags() : [])],
  }));
  await compileStale('sanitize', units, 'scripts/sanitize.mjs');
}

function link(output, files, extra) {
  const objects = files.map(product);
  if (isCurrent(output, objects)) return;
  mkdirSync(dirname(join(root, output)), { recursive: true });
  run(compiler, [...sanitizers, '-pthread', ...extra, '-o', output, ...objects, '-ldl']);
}

async function selfCheck(native) {
  const checks = readdirSync(join(root, checkFolder)).filter((name) => name.endsWith('.cpp'));
  const files = [...native, ...checks.map((name) => `${checkFolder}/${name}`)];
  await compileAll(files);
  link(`${folder}/self_check`, files, []);
  // One check asks for more memory than there is: the answer is to be null, not the end.
  run(join(root, folder, 'self_check'), [], { ASAN_OPTIONS: 'allocator_may_return_null=1' });
}

function library(name) {
  const { stdout } = spawnSync(compiler, [`-print-file-name=${name}`], { encoding: 'utf8' });
  const path = stdout?.trim() ?? '';
  if (!path.includes('/'))
    throw new Error(`${compiler} has no ${name}; install the sanitizer libraries of the compiler`);
  return path;
}

async function opTables(native) {
  const files = [...native, addonSource];
  await compileAll(files);
  link(`${folder}/Release/spikeloom.node`, files, ['-shared']);
  const mocha = [
    'node_modules/mocha/bin/mocha.js',
    '--no-config',
    '--exit',
    '--timeout',
    '300000',
    '--reporter',
    'dot',
  ];
  const env = {
    ...process.env,
    // Node frees much of its own memory by ending: leaks are not looked for here, the self-check does that.
    ASAN_OPTIONS: 'detect_leaks=0:allocator_may_return_null=1',
    LD_PRELOAD: ['libasan.so', 'libubsan.so'].map(library).join(':'),
    SPIKELOOM_BUILD: join(root, folder, 'Release'),
  };
  const tests = ['test/ops/all', 'test/unit/step', 'test/unit/conv2d-filled-groups'];
  const args = ['--import', 'tsx', ...mocha, ...tests.map((name) => `${name}.test.ts`)];
  const waiting = levels();
  const next = async () => {
    while (waiting.length > 0) await runLabelled(waiting.shift(), args, env);
  };
  await Promise.all(Array.from({ length: availableParallelism() }, next));
}

/** A run of the op tables at a level; with its name before each line, so that runs side by side tell apart. */
async function runLabelled(level, args, env) {
  const label = level || 'best';
  const child = spawn(process.execPath, args, {
    cwd: root,
    env: level ? { ...env, SPIKELOOM_CPU: level } : env,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  for (const output of [child.stdout, child.stderr]) {
    createInterface({ input: output }).on('line', (line) => line && console.log(`${label} | ${line}`));
  }
  const [status, signal] = await once(child, 'close');
  ran(`the op tables at level ${label}`, { status, signal });
}

/** The levels of the op tables' runs, the longest first; undefined: the best one. */
function levels() {
  const cpuinfo = '/proc/cpuinfo';
  const hasAvx2 = existsSync(cpuinfo) && /\bavx2\b/.test(readFileSync(cpuinfo, 'utf8'));
  if (process.env.SPIKELOOM_CPU || !hasAvx2) return [process.env.SPIKELOOM_CPU];
  return ['amx', 'avx512bf16', 'avx512', 'avx2'];
}

try {
  const unknown = process.argv.slice(2).find((argument) => argument !== '--quick');
  if (unknown) throw new Error(`unknown argument '${unknown}'; known: --quick`);
  const native = sources('cpu').filter((file) => file !== addonSource);
  await selfCheck(native);
  run(process.execPath, ['scripts/fuzz.mjs', '--plain', '--runs', '4000']);
  if (!process.argv.includes('--quick')) await opTables(native);
  console.log('sanitize: nothing found');
} catch (error) {
  console.error(`sanitize: ${error.message}`);
  process.exitCode = 1;
}
