// How long each kernel of a training step takes on a GPU: a run of bench step traced by CUPTI, which comes with the CUDA
// toolkit.
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { asUsage, UsageError } from '../lib/cli/exit.ts';
import { table, writeJson, writeText } from '../lib/cli/output.ts';
import { device, SpikeloomError } from '../lib/core/index.ts';
import { compile } from './compile.ts';
import { type Activity, kernelTimes, medianStep, readTrace, stepsOf } from './kernel-trace.ts';
import { planOf } from './networks.ts';
import { placeOf, type StepOptions } from './options.ts';
import { commandOf, ourSide, runSide } from './peers/sides.ts';
import { provenance } from './provenance.ts';
import { makeFolderOf, writeResult } from './result-file.ts';

export interface KernelsOptions extends StepOptions {
  out?: string;
  json?: boolean;
}

const SOURCE = fileURLToPath(new URL('./native/kernel-trace.cpp', import.meta.url));
const HEADERS = ['include', 'extras/CUPTI/include'];
const LIBRARIES = ['lib64', 'lib', 'extras/CUPTI/lib64', 'targets/x86_64-linux/lib', 'targets/sbsa-linux/lib'];
const NAME_WIDTH = 90;

/** Where a CUDA toolkit may be: as said, beside nvcc, or where it is usually installed. */
function toolkits(): string[] {
  const { CUDA_HOME, CUDA_PATH, PATH = '' } = process.env;
  const said = [CUDA_HOME, CUDA_PATH].filter((home): home is string => home !== undefined && home !== '');
  const beside = PATH.split(delimiter).filter((folder) => folder !== '' && existsSync(join(folder, 'nvcc')));
  const usual = existsSync('/usr/local') ? readdirSync('/usr/local').filter((name) => /^cuda(-\d|$)/.test(name)) : [];
  const homes = [
    ...said,
    ...beside.map((folder) => dirname(folder)),
    ...usual.sort().map((name) => `/usr/local/${name}`),
  ];
  return [...new Set(homes)];
}

/** The folder of cupti.h, and the library. @throws SpikeloomError where either is missing */
export function findCupti(homes: readonly string[] = toolkits()): { include: string; library: string } {
  for (const home of homes) {
    const include = HEADERS.map((folder) => join(home, folder)).find((folder) => existsSync(join(folder, 'cupti.h')));
    const library = LIBRARIES.map((folder) => join(home, folder))
      .filter((folder) => existsSync(folder))
      .flatMap((folder) => readdirSync(folder).map((name) => join(folder, name)))
      .find((file) => /\/libcupti\.so(\.\d+)?$/.test(file));
    if (include && library) return { include, library };
  }
  const where = homes.length > 0 ? homes.join(', ') : '/usr/local/cuda';
  throw new SpikeloomError(
    `kernels are timed by CUPTI, and cupti.h and libcupti.so were not both found in ${where}; they come with the CUDA toolkit (Debian: cuda-cupti-dev), and CUDA_HOME names its folder`,
  );
}

/** @throws SpikeloomError where CUPTI or a compiler is missing, with the compiler's words */
export async function compileTrace(file: string): Promise<void> {
  const { include, library } = findCupti();
  const rest = [`-I${include}`, SOURCE, '-o', file, library, `-Wl,-rpath,${dirname(library)}`];
  await compile(['-O2', '-shared', '-fPIC', '-fvisibility=hidden', ...rest]).catch((error: Error) => {
    const missing = 'code' in error && error.code === 'ENOENT';
    const why = missing ? 'there is no C++ compiler' : error.message.trim().split('\n').slice(0, 3).join('; ');
    throw new SpikeloomError(`the trace of kernels cannot be compiled: ${why}; install g++, or name a compiler by CXX`);
  });
}

/** Runs bench step with the trace in it. */
async function trace(options: StepOptions): Promise<Activity[]> {
  const folder = mkdtempSync(join(tmpdir(), 'spikeloom-'));
  try {
    const [library, file] = [join(folder, 'kernel-trace.so'), join(folder, 'trace.tsv')];
    await compileTrace(library);
    const variables = { CUDA_INJECTION64_PATH: library, SPIKELOOM_KERNEL_TRACE: file };
    await runSide(ourSide(options, options.precision), variables);
    return readTrace(existsSync(file) ? readFileSync(file, 'utf8') : '');
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function measureKernels(options: StepOptions) {
  // the first steps are not like the rest: they run call by call, then are captured as graphs
  const step = medianStep(stepsOf(await trace(options)).slice(options.warmup));
  const kernels = kernelTimes(step);
  return {
    ...provenance(options.device),
    command: commandOf(ourSide(options, options.precision)),
    options,
    launches: step.length,
    /** All of it, one after the other. */
    busy_s: step.reduce((sum, { seconds }) => sum + seconds, 0),
    kernels,
  };
}

const us = (seconds: number): string => (seconds * 1e6).toFixed(1);
const cut = (name: string): string => (name.length > NAME_WIDTH ? `${name.slice(0, NAME_WIDTH - 1)}…` : name);

function show({ options, kernels, launches, busy_s }: Awaited<ReturnType<typeof measureKernels>>): string {
  const { model, steps, batch, size, precision } = options;
  const head = ['us', 'launches', 'us each', '%', 'blocks', 'threads', 'registers', 'kernel'];
  const rows = kernels.map((kernel) => [
    us(kernel.seconds),
    String(kernel.launches),
    us(kernel.seconds / kernel.launches),
    ((100 * kernel.seconds) / busy_s).toFixed(1),
    ...[kernel.blocks, kernel.threads, kernel.registers].map((n) => (n > 0 ? String(n) : '')),
    cut(kernel.name),
  ]);
  return [
    `${model}, T=${steps}, batch ${batch}, ${size}x${size}, ${placeOf(options)}, ${precision}: one step, from loss to loss`,
    table([head, ...rows], [0, 1, 2, 3, 4, 5, 6]),
    `${us(busy_s)} us in ${launches} launches and copies`,
  ].join('\n');
}

/** @throws UsageError for a device without kernels to trace */
export function refuseDevice(name: string): void {
  if (name === 'cpu')
    throw new UsageError("kernels are timed on a GPU: --device cuda (on the CPU 'bench roofline' times calls)");
  if (process.env.SPIKELOOM_CUDA === 'emulated')
    throw new UsageError('the emulated device (SPIKELOOM_CUDA=emulated) has no times of kernels; it takes a GPU');
}

export async function kernelsCommand({ out, json, ...options }: KernelsOptions): Promise<void> {
  refuseDevice(options.device);
  asUsage(() => planOf(options));
  device(options.device); // says why there is none
  if (out !== undefined) makeFolderOf(out);
  const found = await measureKernels(options);
  if (out !== undefined) writeResult(out, found);
  if (json) writeJson(found);
  else writeText(show(found));
}
