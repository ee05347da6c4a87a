// The emulated device: the .cu files compiled by g++ into build/Release/libspikeloom_cuda_emulated.so, with every
// access to memory that the compiler cannot prove private calling native/emulated/access.cpp. A tool for tests;
// docs/cuda.md says what it finds.
import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { compiler as chosen, compileStale, isCurrent } from './compile.mjs';

const { sources } = createRequire(import.meta.url)('./sources.cjs');
const root = join(fileURLToPath(import.meta.url), '../..');
const script = 'scripts/emulated.mjs';
// The calls are asked for in the words of GCC.
const compiler = /clang/.test(chosen) ? 'g++' : chosen;

const common = ['-std=c++20', '-g1', '-fPIC', '-fvisibility=hidden', '-Inative/emulated', '-Inative'];
const own = [...common, '-O3', '-ffp-contract=off', '-Wall', '-Wextra'];
// -fsanitize=thread makes the calls; its library is never linked, native/emulated/access.cpp takes its place.
const kernels = [
  ...['-x', 'c++', '-include', 'emulated/copies.h', ...common, '-O1', '-Wno-unknown-pragmas', '-Wno-unused-function'],
  ...['-ffp-contract=off', '-fno-math-errno', '-fno-trapping-math'],
  ...['-fsanitize=thread', '-fsanitize=bounds,alignment', '--param', 'tsan-instrument-func-entry-exit=0'],
];

const unitsOf = (files, flags) =>
  files.map((source) => ({ source, flags, compiler, product: `build/emulated/${source.replaceAll('/', '.')}.o` }));

async function link(output, units, flags) {
  await compileStale('emulated device', units, script);
  const objects = units.map(({ product }) => product);
  if (isCurrent(output, [script, ...objects])) return;
  mkdirSync(dirname(join(root, output)), { recursive: true });
  const args = [...flags, '-pthread', '-Wl,-z,defs', '-o', output, ...objects, '-ldl'];
  const { status, error } = spawnSync(compiler, args, { cwd: root, stdio: 'inherit' });
  if (error) throw new Error(`${compiler} could not be started: ${error.message}`);
  if (status !== 0) throw new Error(`${output} could not be linked`);
}

// The emulator's own files come first: of a function that both have, the linker keeps the one without checks.
const emulator = () => unitsOf(sources('emulated'), own);

export function buildEmulated() {
  const units = [...emulator(), ...unitsOf(sources('cuda'), kernels)];
  return link('build/Release/libspikeloom_cuda_emulated.so', units, ['-shared']);
}

/**
 * A program that runs the kernels of test/emulated, faults and their twins, and prints what the emulator found in each.
 */
export async function buildEmulatedCases() {
  const output = 'build/emulated/cases';
  const files = ['memory', 'order', 'tiles', 'runtime'].map((name) => `test/emulated/${name}.cu`);
  await link(output, [...emulator(), ...unitsOf(files, [...kernels, '-Itest/emulated'])], []);
  return join(root, output);
}
