// The machine's ceilings, measured by bench/native/ceilings.cpp, and what a call could reach under them.
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { compile } from './compile.ts';
import type { Cost } from './cost.ts';
import type { StepOptions } from './options.ts';

const start = promisify(execFile);
const TORCH = fileURLToPath(new URL('./peers/torch_ceilings.py', import.meta.url));
const SOURCE = fileURLToPath(new URL('./native/ceilings.cpp', import.meta.url));

export interface Ceilings {
  /** 0: of a GPU. */
  threads: number;
  /** The widest vectors that the compiler used, or what measured. */
  vectors: string;
  /** Bytes per second by the size of the working set. */
  bandwidth: { bytes: number; copy: number; triad: number; update: number; read: number }[];
  /**
   * Operations per second with f32 fused multiply-adds, and with bf16 factors: on a matrix unit, else by dot products
   * of pairs. Where there are neither: with 16-bit integers, which take their place.
   */
  f32: number;
  bf16?: number;
  i16?: number;
}

/** Of a GPU: what PyTorch's copies and matrix products reach on it. */
async function ofGpu(device: string): Promise<Ceilings> {
  const python = process.env.SPIKELOOM_PEERS_PYTHON;
  if (!python) throw new Error("a GPU's are measured with PyTorch; SPIKELOOM_PEERS_PYTHON names a Python that has it");
  return JSON.parse((await start(python, [TORCH, '--device', device])).stdout) as Ceilings;
}

/**
 * Undefined where no compiler is found (CXX names one) or its program does not run, for a GPU where there is no
 * PyTorch: then there are no shares, and stderr says why.
 */
export async function measureCeilings({
  device,
  threads,
}: Pick<StepOptions, 'device' | 'threads'>): Promise<Ceilings | undefined> {
  const folder = mkdtempSync(join(tmpdir(), 'spikeloom-'));
  try {
    if (device !== 'cpu') return await ofGpu(device);
    const file = join(folder, 'ceilings');
    await compile(['-O3', '-march=native', '-pthread', SOURCE, '-o', file]);
    const { stdout } = await start(file, [String(threads)]);
    return JSON.parse(stdout) as Ceilings;
  } catch (error) {
    const why = (error as Error).message.trim().split('\n')[0];
    process.stderr.write(`the machine's ceilings are not measured, so no shares are shown: ${why}\n`);
    return undefined;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** In one line. */
export function describeCeilings(ceilings: Ceilings | undefined | null): string {
  if (!ceilings) return 'ceilings: not measured';
  const { bandwidth, f32, bf16, i16, threads, vectors } = ceilings;
  const sizes = bandwidth.map((point) => {
    return `${point.bytes / 2 ** 20} MiB ${(rateOf(point, 'stream') / 1e9).toFixed(1)}`;
  });
  const giga = (rate: number) => (rate / 1e9).toFixed(0);
  const others = { bf16, '16-bit integers': i16 };
  const units = Object.entries(others).flatMap(([name, rate]) => (rate ? [`${name} ${giga(rate)}`] : []));
  return `ceilings${threads > 0 ? ` on ${threads} threads` : ''}: GB/s by working set: ${sizes.join(', ')}; GFLOP/s: ${[`f32 ${giga(f32)} (${vectors})`, ...units].join(', ')}`;
}

type Point = Ceilings['bandwidth'][number];

/** Of the kernel that moves bytes the same way. */
const rateOf = (point: Point, traffic: Cost['traffic']): number =>
  traffic === 'stream' ? Math.max(point.copy, point.triad) : point[traffic];

/** Bytes per second of a working set, between the sizes that were measured on a logarithmic scale. */
export function bandwidthAt({ bandwidth }: Ceilings, bytes: number, traffic: Cost['traffic']): number {
  const best = (point: Point) => rateOf(point, traffic);
  const after = bandwidth.findIndex((point) => point.bytes >= bytes);
  if (after === 0) return best(bandwidth[0]!);
  if (after < 0) return best(bandwidth.at(-1)!);
  const [low, high] = [bandwidth[after - 1]!, bandwidth[after]!];
  const share = Math.log(bytes / low.bytes) / Math.log(high.bytes / low.bytes);
  return best(low) * (1 - share) + best(high) * share;
}

/** Products of bf16 parts that an f32 product takes: see native/cpu/tiles.inl. */
const PARTS = { bits: 3, split: 6 } as const;

/** Operations per second: the fastest way of this machine to make such products with that precision. */
export function computeCeiling({ f32, bf16 = 0, i16 = 0 }: Ceilings, products: Cost['products']): number {
  if (products === 'plain') return f32;
  return Math.max(f32, products === 'bf16' ? Math.max(bf16, i16) : bf16 / PARTS[products]);
}

export interface Attainable {
  seconds: number;
  bound: 'memory' | 'compute';
  memory_s: number;
  compute_s: number;
}

/**
 * The least time for a call's bytes and operations, done at once. Its tensors are held by the smallest cache that they
 * fit into, unless a larger working set is given.
 */
export function attainable(
  ceilings: Ceilings,
  { bytes, flops, products, traffic }: Cost,
  workingSet = bytes,
): Attainable {
  const memory = bytes / bandwidthAt(ceilings, workingSet, traffic);
  const compute = flops / computeCeiling(ceilings, products);
  return {
    seconds: Math.max(memory, compute),
    bound: memory >= compute ? 'memory' : 'compute',
    memory_s: memory,
    compute_s: compute,
  };
}
