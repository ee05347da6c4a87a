// What this machine has for training. Every finding is a fact or the reason why not; nothing here throws.

import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import { delimiter, join } from 'node:path';
import { isFile } from '../core/file-kind.ts';
import { backward, scope, tensor, zeros } from '../core/index.ts';
import { buildCommand, type Native, native } from '../core/native.ts';
import { PACKAGE_ROOT } from '../core/shipped.ts';
import { model } from '../nn/index.ts';
import { crossEntropy } from '../ops/cross-entropy.ts';
import { sgd } from '../optim/index.ts';
import { describeEnvironment } from '../train/environment.ts';
import { type CudaReport, diagnoseCuda } from './diagnosis-cuda.ts';

export interface Report {
  /** Whether networks can be trained on the CPU. */
  ok: boolean;
  spikeloom: string;
  node: { version: string; required: string; ok: boolean };
  platform: { platform: string; arch: string; os: string; cpu: string; cores: number; memory_bytes: number };
  /** Instruction levels of the kernels; null where the addon does not load. */
  cpu: { level: string | null; best_level: string | null; threads: number };
  addon: { ok: boolean; file: string | null; contract: number | null; ops: number | null; problem: string | null };
  /** One training step of a small network. */
  training: { ok: boolean; problem: string | null };
  cuda: CudaReport;
  /** The same step on the first GPU; null where CUDA cannot be used. */
  cuda_training: { ok: boolean; problem: string | null } | null;
  images: Images;
  tools: Tool[];
  datasets: DataSet[];
}

/** Decoders of picture files. */
interface Images {
  /** JPEG in the addon. */
  libjpeg_turbo: { ok: boolean; problem: string | null };
  /** Everything else, and JPEG where the addon cannot. */
  sharp: { ok: boolean; problem: string | null };
}

interface Tool {
  name: string;
  /** null: not on the PATH. */
  path: string | null;
  adds: string;
}

interface DataSet {
  name: string;
  folder: string;
  ok: boolean;
  images: { train: number; test: number };
  problem: string | null;
}

const TOOLS = {
  nvcc: `the CUDA backend ('${buildCommand('build:cuda')}')`,
  cmake: "the second way to build the addon ('npm run build:cmake')",
};

export async function diagnose(): Promise<Report> {
  const { spikeloom, platform, arch, os, cpu, cores, memory_bytes } = describeEnvironment();
  const node = checkNode();
  const { addon, levels } = checkAddon();
  const training = addon.ok ? await attempt(() => trainOneStep('cpu')) : { ok: false, problem: 'the addon is needed' };
  const cuda = diagnoseCuda();
  return {
    ok: node.ok && addon.ok && training.ok,
    spikeloom,
    node,
    platform: { platform, arch, os, cpu, cores, memory_bytes },
    cpu: { ...levels, threads: availableParallelism() },
    addon,
    training,
    cuda,
    cuda_training: cuda.score > 0 ? await attempt(() => trainOneStep('cuda')) : null,
    images: await checkImages(addon),
    tools: Object.entries(TOOLS).map(([name, adds]) => ({ name, path: findProgram(name), adds })),
    datasets: [await checkShippedData()],
  };
}

function checkNode(): Report['node'] {
  const { engines } = JSON.parse(readFileSync(join(PACKAGE_ROOT, 'package.json'), 'utf8'));
  const numbers = (text: string) => (/(\d+)\.(\d+)/.exec(text) ?? []).slice(1).map(Number) as [number, number];
  const [major, minor] = numbers(process.version);
  const [leastMajor, leastMinor] = numbers(engines.node);
  const ok = major > leastMajor || (major === leastMajor && minor >= leastMinor);
  return { version: process.version, required: engines.node, ok };
}

function checkAddon(): { addon: Report['addon']; levels: Pick<Report['cpu'], 'level' | 'best_level'> } {
  let loaded: Native;
  try {
    loaded = native();
  } catch (error) {
    const problem = (error as Error).message;
    return {
      addon: { ok: false, file: null, contract: null, ops: null, problem },
      levels: { level: null, best_level: null },
    };
  }
  const files = Object.keys(createRequire(import.meta.url).cache);
  const file = files.find((path) => path.endsWith('spikeloom.node')) ?? null;
  return {
    addon: { ok: true, file, contract: loaded.abi, ops: loaded.ops().length, problem: null },
    levels: { level: loaded.level, best_level: loaded.bestLevel },
  };
}

/** Forward, backward and update of a network with every part of the large ones. */
async function trainOneStep(on: string): Promise<void> {
  using net = model('fsta-resnet20')({ width: 2, size: 16, seed: 1, device: on });
  const { device } = net;
  using optimizer = sgd({ lr: 0.1, momentum: 0.9 })(net.parameters());
  using loss = scope(() => {
    const value = crossEntropy(net(zeros([2, 3, 16, 16], 'f32', device)), tensor(Int32Array.of(1, 7), { device }));
    backward(value);
    optimizer.step();
    return value;
  });
  const value = await loss.item();
  if (!Number.isFinite(value)) throw new Error(`the loss of a small network is ${value}`);
}

async function checkImages(addon: Report['addon']): Promise<Images> {
  const problem = addon.ok ? native().jpegProblem() || null : 'the addon is needed';
  return { libjpeg_turbo: { ok: problem === null, problem }, sharp: await attempt(() => import('sharp')) };
}

async function attempt(body: () => Promise<unknown>): Promise<{ ok: boolean; problem: string | null }> {
  try {
    await body();
    return { ok: true, problem: null };
  } catch (error) {
    return { ok: false, problem: (error as Error).message };
  }
}

async function checkShippedData(): Promise<DataSet> {
  const folder = join(PACKAGE_ROOT, 'datasets/fashion-mnist-small');
  const images = { train: 0, test: 0 };
  const state = await attempt(async () => {
    if (!existsSync(folder)) throw new Error(`${folder} is not there`);
    const { fashionMnist } = await import('../data/images/idx.ts');
    const { train, test } = fashionMnist(folder);
    images.train = train.count;
    images.test = test.count;
  });
  return { name: 'fashion-mnist-small', folder, ...state, images };
}

function findProgram(program: string): string | null {
  const places = (process.env.PATH ?? '').split(delimiter).map((folder) => join(folder, program));
  return places.find(isFile) ?? null;
}
