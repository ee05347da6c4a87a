#!/usr/bin/env node
// Builds the addon (build/Release/spikeloom.node), the CUDA backend where nvcc is found, and the JavaScript of lib/
// (dist/).
//   node scripts/build.mjs [--addon] [--cuda] [--js] [--emulated] [--cmake]
// No part named: the first three; the first two where the package is installed, which has its dist/ already.
// Needs Python 3, g++ and make; nothing is fetched: Node's own headers are not needed, Node-API's come with the npm
// packages.
import { spawnSync } from 'node:child_process';
import { chmodSync, cpSync, existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildCudaWith } from './cuda.mjs';
import { buildEmulated } from './emulated.mjs';

const require = createRequire(import.meta.url);
const root = join(fileURLToPath(import.meta.url), '../..');
const jobs = String(Math.max(1, availableParallelism()));

function run(command, args, options = {}) {
  const result = spawnSync(command, args, { cwd: root, stdio: 'inherit', ...options });
  if (result.error) throw new Error(`${command} could not be started: ${result.error.message}`);
  if (result.status !== 0)
    throw new Error(`${command} ${args[0] ?? ''} ended with ${result.signal ?? `status ${result.status}`}`);
}

export function find(program) {
  const places = (process.env.PATH ?? '').split(delimiter).map((folder) => join(folder, program));
  return places.find((place) => existsSync(place) && statSync(place).isFile());
}

function need(program, purpose, remedy) {
  if (!find(program)) throw new Error(`${purpose} needs ${program}, which is not on the PATH; ${remedy}`);
}

function writeIfChanged(file, text) {
  if (!existsSync(file) || readFileSync(file, 'utf8') !== text) writeFileSync(file, text);
}

/**
 * A folder of Node headers for node-gyp, which would download one. An addon that speaks only Node-API needs no more
 * than this.
 */
function headers() {
  const folder = join(root, 'build/node-headers');
  const include = join(folder, 'include/node');
  mkdirSync(include, { recursive: true });
  cpSync(require('node-api-headers').include_dir, include, { recursive: true, preserveTimestamps: true });
  const [major, minor, patch] = process.versions.node.split('.');
  const version = { MAJOR: major, MINOR: minor, PATCH: patch };
  const lines = Object.entries(version).map(([part, value]) => `#define NODE_${part}_VERSION ${value}\n`);
  writeIfChanged(join(include, 'node_version.h'), lines.join(''));
  writeIfChanged(join(include, 'config.gypi'), JSON.stringify({ variables: {}, target_defaults: {} }));
  const defaults = {
    target_defaults: {
      default_configuration: 'Release',
      cflags: ['-fPIC', '-pthread'],
      ldflags: ['-pthread'],
      configurations: { Release: { cflags: ['-O2'] }, Debug: { cflags: ['-g', '-O0'] } },
    },
  };
  writeIfChanged(join(include, 'common.gypi'), JSON.stringify(defaults));
  return folder;
}

export function buildAddon() {
  need('python3', 'node-gyp', 'install Python 3 (Debian: apt install python3)');
  need('make', 'node-gyp', 'install make (Debian: apt install make)');
  if (!process.env.CXX)
    need('g++', 'the addon', 'install a C++20 compiler (Debian: apt install g++) or name one in CXX');
  const gyp = join(require.resolve('node-gyp/package.json'), '../bin/node-gyp.js');
  const common = ['--loglevel', 'warn', `--nodedir=${headers()}`, '--release'];
  run(process.execPath, [gyp, 'configure', ...common]);
  run(process.execPath, [gyp, 'build', ...common, '--jobs', jobs]);
}

export function buildCmake() {
  need('cmake', 'cmake-js', 'install CMake (Debian: apt install cmake) or use npm run build, which needs none');
  run(process.execPath, [
    join(require.resolve('cmake-js/package.json'), '../bin/cmake-js'),
    'compile',
    '--out',
    'build/cmake',
    '--parallel',
    jobs,
  ]);
}

export function buildCuda() {
  const nvcc = find('nvcc');
  if (nvcc) return buildCudaWith(nvcc);
  console.log('CUDA: nvcc was not found, the CUDA backend is left out (the CPU does everything)');
}

export function buildJs() {
  rmSync(join(root, 'dist'), { recursive: true, force: true }); // what files of former names left
  run(process.execPath, [require.resolve('typescript/bin/tsc'), '-p', 'tsconfig.build.json']);
  const main = join(root, 'dist/cli/main.js');
  if (existsSync(main)) chmodSync(main, 0o755);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const parts = {
    '--addon': buildAddon,
    '--cuda': buildCuda,
    '--js': buildJs,
    '--emulated': buildEmulated,
    '--cmake': buildCmake,
  };
  const named = process.argv.slice(2);
  const usual = ['--addon', '--cuda', ...(existsSync(join(root, 'tsconfig.build.json')) ? ['--js'] : [])];
  const unknown = named.find((name) => !(name in parts));
  try {
    if (unknown) throw new Error(`unknown part '${unknown}'; known: ${Object.keys(parts).join(', ')}`);
    for (const part of named.length > 0 ? named : usual) await parts[part]();
  } catch (error) {
    console.error(`build: ${error.message}`);
    process.exitCode = 1;
  }
}
