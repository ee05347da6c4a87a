// Devices by name: 'cpu', 'cuda', 'cuda:1'. A device is a stream of queued work and the memory it works on.
import { existsSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { processorQuota } from './cpu-quota.ts';
import { nativeError, SpikeloomError } from './errors.ts';
import { type BackendInfo, buildCommand, buildFolders, type MemoryStats, native } from './native.ts';
import { kindOf } from './options.ts';
import { explain } from './places.ts';

/** The CPU stream has no more. */
export const MOST_THREADS = 256;

/** As many threads as the machine runs at once, and a container may use, where nothing else is said. */
export const usualThreads = (): number => Math.min(availableParallelism(), MOST_THREADS, processorQuota());

/** Where tensors lie and ops run, in one queue: the CPU's cores, or one GPU. See {@link device}. */
export class Device {
  /** @internal use device() */
  constructor(
    readonly name: string,
    readonly id: number,
    readonly backend: BackendInfo,
  ) {}

  /** Memory and queue of this device, now. */
  stats(): MemoryStats {
    return native().stats(this.id);
  }

  /** Memory of the device itself, in use by any program; undefined where the backend does not report it (the CPU). */
  memory(): { freeBytes: number; totalBytes: number } | undefined {
    const found = native().memoryLeft(this.id);
    return found && { freeBytes: found[0], totalBytes: found[1] };
  }

  /** Why nothing can be computed or read on this device any more in this process; undefined while it works. */
  get lost(): string | undefined {
    return native().lost(this.id);
  }

  /** Starts a new measurement of `peakBytes`. */
  resetPeak(): void {
    native().resetPeak(this.id);
  }

  /**
   * Resolves when all work queued so far is done.
   * @throws SpikeloomError (by the promise) for the first failure in it, as a read does
   */
  async finish(): Promise<void> {
    try {
      await native().finish(this.id);
    } catch (error) {
      explain(error as Error);
    }
  }

  /**
   * Threads of the CPU stream, 1 to {@link MOST_THREADS}; results do not depend on it.
   * @throws SpikeloomError for another number or another device
   */
  setThreads(threads: number): void {
    if (!Number.isSafeInteger(threads) || threads < 1 || threads > MOST_THREADS) {
      throw new SpikeloomError(`threads are a whole number from 1 to ${MOST_THREADS}, not ${kindOf(threads)}`);
    }
    try {
      native().setThreads(this.id, threads);
    } catch (error) {
      throw nativeError((error as Error).message, error);
    }
  }
}

let cuda: BackendInfo | undefined;

/** Which library is the CUDA backend, and how to build it. */
function cudaLibrary(): { file: string; build: string; where: string } {
  const chosen = process.env.SPIKELOOM_CUDA ?? '';
  if (chosen === 'emulated')
    return { file: 'libspikeloom_cuda_emulated.so', build: `'${buildCommand('build:emulated')}' makes it`, where: '' };
  if (chosen !== '') {
    throw new SpikeloomError(
      `SPIKELOOM_CUDA is '${chosen}': it is 'emulated' (the host in place of a GPU, for tests) or not set`,
    );
  }
  return {
    file: 'libspikeloom_cuda.so',
    build: `'${buildCommand('build:cuda')}' makes it`,
    where: ' where nvcc is found',
  };
}

const findBuilt = (file: string): string | undefined =>
  buildFolders()
    .map((folder) => `${folder}${file}`)
    .find((path) => existsSync(path));

/** Where the library for GPUs lies; undefined where it was not built. */
export const builtCudaLibrary = (): string | undefined => findBuilt('libspikeloom_cuda.so');

function loadCuda(): BackendInfo {
  const { file, build, where } = cudaLibrary();
  const path = findBuilt(file);
  if (!path) throw new SpikeloomError(`${file} is not in ${buildFolders().join(' or ')}; ${build}${where}`);
  try {
    return native().addBackend(path);
  } catch (error) {
    throw new SpikeloomError(`${file} could not be loaded: ${(error as Error).message}; ${build} again`);
  }
}

/** The CUDA backend, or why there is none (score 0 and the reason). Never throws. */
export function cudaBackend(): BackendInfo {
  if (cuda) return cuda;
  try {
    cuda = loadCuda();
  } catch (error) {
    cuda = { index: -1, name: 'cuda', score: 0, reason: (error as Error).message, description: '' };
  }
  return cuda;
}

/** @internal Refuses what is not a device, such as the name of one. */
export function needDevice(given: unknown): void {
  if (typeof (given as Device | undefined)?.id === 'number') return;
  throw new SpikeloomError(`a device is what device() gives, as in device('cpu'), not ${kindOf(given)}`);
}

function openDevice(name: string, backend: BackendInfo, number: number): number {
  try {
    return native().openDevice(backend.index, number);
  } catch (error) {
    throw new SpikeloomError(`device '${name}' cannot be opened: ${(error as Error).message}`);
  }
}

/** 'cpu', 'cuda' or 'cuda:N', with N as its first group. */
export const DEVICE_NAME = /^(?:cpu|cuda(?::(0|[1-9]\d{0,2}))?)$/;

const open = new Map<string, Device>();

/**
 * The device of this name, opened at first use: 'cpu', 'cuda' (the first GPU) or 'cuda:N'.
 * Throws SpikeloomError when it does not exist here, with the reason.
 */
export function device(asked = 'cpu'): Device {
  const name = asked === 'cuda:0' ? 'cuda' : asked; // one device, whichever way it is named
  const known = open.get(name);
  if (known) return known;
  const match = typeof name === 'string' && DEVICE_NAME.exec(name);
  if (!match) throw new SpikeloomError(`${kindOf(name)} is not a device: use 'cpu', 'cuda' or 'cuda:N'`);
  const backend = name === 'cpu' ? native().cpu : cudaBackend();
  if (backend.score === 0) throw new SpikeloomError(`device '${name}' cannot be used: ${backend.reason}`);
  const made = new Device(name, openDevice(name, backend, Number(match[1] ?? 0)), backend);
  open.set(name, made);
  if (name === 'cpu') made.setThreads(usualThreads());
  return made;
}
