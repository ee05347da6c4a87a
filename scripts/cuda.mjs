// The CUDA backend: nvcc compiles the .cu files that are older than what they were made from, for sm_80, for sm_90a
// (Hopper with all it has) and as PTX for what comes later; build/Release/libspikeloom_cuda.so has the CUDA runtime
// linked in, and kernels as they are: xz makes more of those than of nvcc's own compression (gpu-check.sh). SPIKELOOM_NVCC_FLAGS has more flags, to check in less time that everything compiles.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { compileStale, isCurrent } from './compile.mjs';

const { sources } = createRequire(import.meta.url)('./sources.cjs');
const root = join(fileURLToPath(import.meta.url), '../..');
const script = 'scripts/cuda.mjs';
const output = 'build/Release/libspikeloom_cuda.so';
const record = 'build/cuda/flags'; // those of the objects beside it; what is older was made with others

const code = (arch, kind) => ['-gencode', `arch=compute_${arch},code=${kind}_${arch}`];
const targets = [...code('80', 'sm'), ...code('90a', 'sm'), ...code('90', 'compute')];
const added = (process.env.SPIKELOOM_NVCC_FLAGS ?? '').split(/\s+/).filter((flag) => flag !== '');
const packing = '--compress-mode=none';
const flags = [
  '-std=c++20',
  '-O3',
  '-fmad=false',
  '-ftz=true',
  packing,
  '-Xcompiler=-fPIC,-fvisibility=hidden',
  ...added,
];

function recordFlags() {
  const text = `${[...flags, ...targets].join('\n')}\n`;
  const file = join(root, record);
  if (existsSync(file) && readFileSync(file, 'utf8') === text) return;
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, text);
}

/** @param nvcc the compiler's file */
export async function buildCudaWith(nvcc) {
  const units = sources('cuda').map((source) => {
    return {
      source,
      flags: [...flags, ...targets, '-Inative'],
      compiler: nvcc,
      product: `build/cuda/${source.replaceAll('/', '.')}.o`,
    };
  });
  recordFlags();
  await compileStale('CUDA', units, script, record);
  const objects = units.map(({ product }) => product);
  if (isCurrent(output, [script, ...objects])) return;
  mkdirSync(dirname(join(root, output)), { recursive: true });
  const args = ['-shared', '-cudart=static', packing, ...targets, '-o', output, ...objects];
  const { status, error } = spawnSync(nvcc, args, { cwd: root, stdio: 'inherit' });
  if (error) throw new Error(`nvcc could not be started: ${error.message}`);
  if (status !== 0) throw new Error(`${output} could not be linked`);
}
