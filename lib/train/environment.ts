import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { availableParallelism, cpus, release, totalmem } from 'node:os';
import { cudaBackend } from '../core/device.ts';

/** Where and how a run was started: enough to tell two runs apart and to start one again. */
export interface Environment {
  /** Version of this package. */
  spikeloom: string;
  /** Commit of the working folder, and whether tracked files differ from it; null outside a repository. */
  git: { commit: string; modified: boolean } | null;
  node: string;
  platform: string;
  arch: string;
  os: string;
  cpu: string;
  cores: number;
  memory_bytes: number;
  /** The GPUs of the backend in use; null on the CPU. */
  gpu: string | null;
  /** ISO 8601, UTC. */
  date: string;
  command: readonly string[];
}

/** Describes this process and machine. Facts that are not available are 'unknown' or null, never an error. */
export function describeEnvironment({
  command = process.argv,
  date = new Date(),
  folder = process.cwd(),
  device = 'cpu',
} = {}): Environment {
  return {
    spikeloom: packageVersion(),
    git: gitState(folder),
    node: process.version,
    platform: process.platform,
    arch: process.arch,
    os: release(),
    cpu: cpus()[0]?.model.trim() || 'unknown',
    cores: availableParallelism(),
    memory_bytes: totalmem(),
    gpu: device === 'cpu' ? null : cudaBackend().description,
    date: date.toISOString(),
    command,
  };
}

function packageVersion(): string {
  try {
    return JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')).version;
  } catch {
    return 'unknown';
  }
}

/**
 * Of the working folder, or what SPIKELOOM_COMMIT says ('HASH' or 'HASH modified'): sources that were copied have no
 * repository.
 */
function gitState(folder: string): Environment['git'] {
  const [told, ...rest] = process.env.SPIKELOOM_COMMIT?.split(' ') ?? [];
  if (told) return { commit: told, modified: rest.includes('modified') };
  try {
    const commit = git(folder, 'rev-parse', '--verify', 'HEAD');
    return { commit, modified: git(folder, 'status', '--porcelain', '--untracked-files=no') !== '' };
  } catch {
    return null;
  }
}

/** Without locks: a user may be at work in the repository. */
function git(folder: string, ...args: string[]): string {
  const text = execFileSync('git', ['--no-optional-locks', ...args], {
    cwd: folder,
    encoding: 'utf8',
    timeout: 5000,
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  return text.trim();
}
