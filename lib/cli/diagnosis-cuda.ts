// What this machine has for training on NVIDIA GPUs, and what is missing: driver, GPUs, the CUDA backend, the toolkit
// that builds it.
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { builtCudaLibrary, cudaBackend } from '../core/device.ts';
import { buildCommand } from '../core/native.ts';

export interface CudaFacts {
  /** 0: cannot be used, and `reason` says why. */
  score: number;
  reason: string;
  /** Every GPU that the library sees: name, compute capability, memory. */
  description: string;
  /** Path of libspikeloom_cuda.so; null where it is not built. */
  library: string | null;
  /** Version of NVIDIA's kernel driver; null where none is loaded. */
  driver: string | null;
  /** NVIDIA GPUs on the bus, whether or not there is a driver for them. */
  gpus: number;
  /** Version of nvcc; null where it is not on the PATH. */
  toolkit: string | null;
}

export interface CudaReport extends CudaFacts {
  /** What to do to train on a GPU; null where nothing is to be done or there is no GPU. */
  advice: string | null;
}

const NVIDIA = '0x10de';

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    return undefined;
  }
}

/** The loaded driver's version. @param root of the file system */
export function driverVersion(root = '/'): string | null {
  return /Kernel Module.*?\s(\d+(?:\.\d+)+)/.exec(read(join(root, 'proc/driver/nvidia/version')) ?? '')?.[1] ?? null;
}

/** Display controllers (class 0x03) of NVIDIA on the bus. */
export function countGpus(root = '/'): number {
  const folder = join(root, 'sys/bus/pci/devices');
  if (!existsSync(folder)) return 0;
  const isGpu = (device: string) =>
    read(join(folder, device, 'vendor')) === NVIDIA && read(join(folder, device, 'class'))?.startsWith('0x03') === true;
  return readdirSync(folder).filter(isGpu).length;
}

function toolkitVersion(): string | null {
  try {
    const text = execFileSync('nvcc', ['--version'], {
      encoding: 'utf8',
      timeout: 10_000,
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    return /release (\d+\.\d+)/.exec(text)?.[1] ?? 'unknown';
  } catch {
    return null;
  }
}

/** What a server's owner has to install, by what was found. */
export function adviseCuda({ score, gpus, driver, library, toolkit, reason }: CudaFacts): string | null {
  if (score > 0 || (gpus === 0 && driver === null)) return null;
  const steps: string[] = [];
  if (driver === null) {
    steps.push(
      "install NVIDIA's driver (Debian, Ubuntu: apt install nvidia-driver; in a container: start it with the GPU)",
    );
  }
  if (library === null && toolkit === null) {
    steps.push(
      `put a libspikeloom_cuda.so that was built elsewhere into build/Release, or install the CUDA toolkit for nvcc and run '${buildCommand('build:cuda')}'`,
    );
  } else if (library === null) steps.push(`run '${buildCommand('build:cuda')}'`);
  else if (driver === null) steps.push('nothing else: the library is there and needs no toolkit');
  else steps.push(`the library is there and needs no toolkit, but says: ${reason}`);
  return steps.join('; then ');
}

export function diagnoseCuda(): CudaReport {
  const { score, reason, description } = cudaBackend();
  const facts: CudaFacts = {
    ...{ score, reason, description },
    library: builtCudaLibrary() ?? null,
    driver: driverVersion(),
    gpus: countGpus(),
    toolkit: toolkitVersion(),
  };
  return { ...facts, advice: adviseCuda(facts) };
}
