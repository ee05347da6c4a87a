#!/usr/bin/env node
// npm run fuzz: the native event decoders under AddressSanitizer and UBSan on inputs that a fuzzer makes (native/test/fuzz_events.cpp).
//   node scripts/fuzz.mjs [DECODER ...] [--runs N] [--plain]      no decoder named: all; a million inputs each
// With clang and its libFuzzer the inputs follow what the code does (Debian: apt install clang libclang-rt-14-dev); without, or with --plain, g++ and
// a driver that changes the seeds, the same way every time. Seeds are the recordings in test/golden/events. Everything lies in build/fuzz.
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { find } from './build.mjs';
import { compiler } from './compile.mjs';

const { sources } = createRequire(import.meta.url)('./sources.cjs');
const root = join(fileURLToPath(import.meta.url), '../..');
const folder = 'build/fuzz';

/** Each decoder's recording, the last bytes of its header, and a sensor of kSensors in fuzz_events.cpp. */
const SEEDS = {
  nmnist: { file: 'nmnist.bs2', header: '', sensor: 0 },
  aedat2: { file: 'dvs128.aedat', header: 'is 1 us\r\n', sensor: 1 },
  aedat3: { file: 'gesture.aedat', header: '#!END-HEADER\r\n', sensor: 1 },
  aedat4: { file: 'none.aedat4', header: '', sensor: 6 },
  dat: { file: 'cars.dat', header: '% Width 120\n\x0c\x08', sensor: 5 },
  evt2: { file: 'evt2.raw', header: '% end\n', sensor: 6 },
  evt3: { file: 'evt3.raw', header: '% end\n', sensor: 2 },
};

function run(command, args, env = {}) {
  const result = spawnSync(command, args, {
    cwd: root,
    stdio: ['ignore', 'inherit', 'pipe'],
    encoding: 'utf8',
    env: { ...process.env, ...env },
  });
  if (result.error) throw new Error(`${command} could not be started: ${result.error.message}`);
  if (result.status === 0) return result.stderr;
  throw new Error(`${command} ended with ${result.signal ?? `status ${result.status}`}\n${result.stderr.slice(-8000)}`);
}

/** Writes the seeds of a decoder: a recording without its header, in pieces of a size that fuzzers like. */
function writeSeeds(decoder) {
  const { file, header, sensor } = SEEDS[decoder];
  const bytes = readFileSync(join(root, 'test/golden/events', file));
  const data = bytes.subarray(header === '' ? 0 : bytes.indexOf(header, 'latin1') + header.length);
  const place = join(root, folder, 'seeds', decoder);
  mkdirSync(place, { recursive: true });
  for (const length of [64, 400, data.length]) {
    writeFileSync(join(place, String(length)), Buffer.concat([Buffer.from([sensor, 7]), data.subarray(0, length)]));
  }
  return place;
}

function build(plain) {
  const product = `${folder}/${plain ? 'driver' : 'libfuzzer'}`;
  mkdirSync(join(root, folder), { recursive: true });
  const files = sources('cpu').filter((file) => file.startsWith('native/events/'));
  const flags = ['-std=c++20', '-O1', '-g1', '-fno-omit-frame-pointer', '-Inative', '-fno-sanitize-recover=all'];
  const kind = plain
    ? ['-fsanitize=address,undefined', '-DSPIKELOOM_FUZZ_DRIVER']
    : ['-fsanitize=fuzzer,address,undefined'];
  run(plain ? compiler : 'clang++', [...flags, ...kind, '-o', product, 'native/test/fuzz_events.cpp', ...files]);
  return join(root, product);
}

function fuzz(program, decoder, runs, plain) {
  const seeds = writeSeeds(decoder);
  const env = { SPIKELOOM_FUZZ: decoder };
  if (plain) return run(program, [String(runs), ...readdirSync(seeds).map((name) => join(seeds, name))], env);
  const found = join(root, folder, 'found', decoder);
  mkdirSync(found, { recursive: true });
  const options = [
    `-runs=${runs}`,
    '-seed=1',
    '-max_len=1024',
    '-rss_limit_mb=512',
    '-timeout=10',
    `-artifact_prefix=${found}/failed-`,
  ];
  const told = run(program, [...options, found, seeds], env);
  console.log(`${decoder}: ${told.match(/Done .*/)?.[0] ?? ''}; ${told.match(/cov: \d+ ft: \d+/g)?.at(-1) ?? ''}`);
}

try {
  const named = process.argv.slice(2);
  const at = named.indexOf('--runs');
  const runs = at < 0 ? 1_000_000 : Number(named.splice(at, 2)[1]);
  if (!Number.isInteger(runs) || runs < 1) throw new Error('--runs is followed by a number of inputs, at least 1');
  const plain = named.includes('--plain') || !find('clang++');
  const decoders = named.filter((name) => name !== '--plain');
  const unknown = decoders.find((name) => !(name in SEEDS));
  if (unknown)
    throw new Error(`unknown argument '${unknown}'; known: ${Object.keys(SEEDS).join(', ')}, --runs, --plain`);
  if (plain && !named.includes('--plain'))
    console.log('fuzz: clang++ was not found; the plain driver, which does not follow the code, runs instead');
  const program = build(plain);
  for (const decoder of decoders.length > 0 ? decoders : Object.keys(SEEDS)) fuzz(program, decoder, runs, plain);
  console.log('fuzz: nothing found');
} catch (error) {
  console.error(`fuzz: ${error.message}`);
  process.exitCode = 1;
}
