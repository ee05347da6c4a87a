#!/usr/bin/env node
// npm run fuzz: the native event decoders, LZ4 and the JPEG path under AddressSanitizer and UBSan on inputs that a
// fuzzer makes (native/test/fuzz_events.cpp, fuzz_lz4.cpp, fuzz_images.cpp; libjpeg-turbo itself is the system's,
// without sanitizers).
//   node scripts/fuzz.mjs [DECODER | lz4 | jpeg ...] [--runs N] [--plain]      none named: all; a million inputs each
// With clang and its libFuzzer the inputs follow what the code does (Debian: apt install clang libclang-rt-14-dev);
// without, or with --plain, g++ and a driver that changes the seeds, the same way every time. Seeds are those of
// test/golden. Everything lies in build/fuzz.
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

/** Frames of LZ4: those of a recording's packets, in front of them the room that fuzz_lz4.cpp is to give. */
function writeFrames() {
  const bytes = readFileSync(join(root, 'test/golden/events/lz4.aedat4'));
  const place = join(root, folder, 'seeds/lz4');
  mkdirSync(place, { recursive: true });
  const magic = Buffer.from([0x04, 0x22, 0x4d, 0x18]);
  for (let at = bytes.indexOf(magic); at >= 0; at = bytes.indexOf(magic, at + 1)) {
    const frame = bytes.subarray(at, at + bytes.readInt32LE(at - 4));
    writeFileSync(join(place, String(at)), Buffer.concat([Buffer.from([0, 8]), frame]));
  }
  return place;
}

function writePictures() {
  const pictures = join(root, 'test/golden/pictures');
  const place = join(root, folder, 'seeds/jpeg');
  mkdirSync(place, { recursive: true });
  const windows = [Buffer.from([0, 0, 255, 255, 32, 24, 0, 0]), Buffer.from([64, 48, 128, 96, 64, 60, 3, 5])];
  for (const name of readdirSync(pictures).filter((file) => file.endsWith('.jpg'))) {
    const bytes = readFileSync(join(pictures, name));
    for (const [i, window] of windows.entries())
      writeFileSync(join(place, `${name}-${i}`), Buffer.concat([window, bytes]));
  }
  return place;
}

/** The harness, native/test/fuzz_*.cpp, of what is named. */
const subjectOf = (name) => ({ lz4: 'lz4', jpeg: 'images' })[name] ?? 'events';

/** Builds a harness with the sources that it is for. */
function build(subject, plain) {
  const product = `${folder}/${subject}-${plain ? 'driver' : 'libfuzzer'}`;
  mkdirSync(join(root, folder), { recursive: true });
  const tested = subject === 'images' ? 'native/images/' : 'native/events/';
  const files = sources('cpu').filter((file) => file.startsWith(tested));
  const flags = ['-std=c++20', '-O1', '-g1', '-fno-omit-frame-pointer', '-Inative', '-fno-sanitize-recover=all'];
  const kind = plain
    ? ['-fsanitize=address,undefined', 'native/test/fuzz_driver.cpp']
    : ['-fsanitize=fuzzer,address,undefined'];
  run(plain ? compiler : 'clang++', [
    ...flags,
    ...kind,
    '-o',
    product,
    `native/test/fuzz_${subject}.cpp`,
    ...files,
    '-ldl',
  ]);
  return join(root, product);
}

function fuzz(program, decoder, runs, plain) {
  const isPicture = decoder === 'jpeg';
  const seeds = isPicture ? writePictures() : decoder === 'lz4' ? writeFrames() : writeSeeds(decoder);
  const env = { SPIKELOOM_FUZZ: decoder };
  if (plain) return run(program, [String(runs), ...readdirSync(seeds).map((name) => join(seeds, name))], env);
  const found = join(root, folder, 'found', decoder);
  mkdirSync(found, { recursive: true });
  const options = [
    `-runs=${runs}`,
    '-seed=1',
    `-max_len=${isPicture ? 6000 : 1024}`,
    '-rss_limit_mb=1024',
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
  const all = [...Object.keys(SEEDS), 'lz4', 'jpeg'];
  const unknown = decoders.find((name) => !all.includes(name));
  if (unknown) throw new Error(`unknown argument '${unknown}'; known: ${all.join(', ')}, --runs, --plain`);
  if (plain && !named.includes('--plain'))
    console.log('fuzz: clang++ was not found; the plain driver, which does not follow the code, runs instead');
  const chosen = decoders.length > 0 ? decoders : all;
  const programs = Object.fromEntries(
    [...new Set(chosen.map(subjectOf))].map((subject) => [subject, build(subject, plain)]),
  );
  for (const decoder of chosen) fuzz(programs[subjectOf(decoder)], decoder, runs, plain);
  console.log('fuzz: nothing found');
} catch (error) {
  console.error(`fuzz: ${error.message}`);
  process.exitCode = 1;
}
