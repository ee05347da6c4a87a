// Finds and loads the addon, and describes what it exports.
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { SpikeloomError } from './errors.ts';

export interface BackendInfo {
  index: number;
  name: string;
  /** 0: cannot run here; `reason` says why. */
  score: number;
  reason: string;
  description: string;
}

export interface MemoryStats {
  /** Tensors that are alive in this environment, on any device. */
  handles: number;
  bytesInUse: number;
  peakBytes: number;
  bytesReserved: number;
  /** Blocks requested from the system so far; constant after the first step of a loop. */
  systemAllocations: number;
  queued: number;
  /** Launches so far of parts of recorded steps that run as one (CUDA graphs). */
  capturesRun: number;
  /** Calls that the device ran, or captured, as rows of one merged kernel. */
  callsMerged: number;
  /** Calls so far that ran beside others, as branches of a graph. */
  callsAside: number;
  /** Why a part could not be run as one and is run call by call; empty where all could. */
  captureProblem: string;
}

/** What endRecording() returns. */
export interface RecordedProgram {
  /** Names it for replay(); 0 after a dry recording. */
  program: number;
  calls: number;
  parts: number;
  workspaceBytes: number;
  leastBytes: number;
  resultBytes: number;
}

/** A file that native code has mapped; see native/core/mapped_file.h. */
export type MappedFile = { readonly isMappedFile: unique symbol };

export interface Native {
  abi: number;
  cpu: BackendInfo;
  level: string;
  bestLevel: string;
  levelProblem: string;
  ops(): string[];
  bind(op: number, tensors: number): (...numbers: number[]) => void;
  supports(backend: number, op: string): number;
  empty(device: number, dtype: number, ...shape: number[]): number;
  alias(handle: number, ...shape: number[]): number;
  free(handle: number): boolean;
  /** Whether no other tensor shares this one's memory. */
  isOnlyView(handle: number): boolean;
  /** Without data: zeros. */
  write(handle: number, data?: ArrayBufferView, first?: number): void;
  /** Fills `into`, which has the tensor's size on the host, and returns it; it must not be touched meanwhile. */
  read<A extends ArrayBufferView>(handle: number, into: A): Promise<A>;
  finish(device: number): Promise<void>;
  addBackend(path: string): BackendInfo;
  openDevice(backend: number, number: number): number;
  stats(device: number): MemoryStats;
  /** [free bytes, all bytes] of a device with memory of its own. */
  memoryLeft(device: number): [number, number] | undefined;
  /** Why nothing runs on the device any more; undefined while it works. */
  lost(device: number): string | undefined;
  resetPeak(device: number): void;
  setThreads(device: number, threads: number): void;
  setPlace(place: number): void;
  beginRecording(device: number): void;
  cutRecording(): void;
  pauseRecording(yes: boolean): void;
  /** Leaves the recording under way, as if there were none, until resumeRecording() with the returned number. */
  leaveRecording(): number;
  resumeRecording(left: number): void;
  arrangeRecording(): void;
  endRecording(dry: boolean): RecordedProgram;
  cancelRecording(): void;
  replay(program: number, part: number, timed: boolean): void;
  callSeconds(program: number): Float64Array;
  freeProgram(program: number): void;
  /** See native/events/decoder.h; returns [stop, bytes used, events, x, y, bytes due, problem]. */
  decodeEvents(
    decoder: string,
    state: Uint8Array,
    bytes: Uint8Array,
    width: number,
    height: number,
    ...arrays: [x: Uint16Array, y: Uint16Array, p: Uint8Array, t: Float64Array]
  ): [number, number, number, number, number, number, string];
  /** Unpacks an LZ4 frame; returns the bytes written, -1 where `out` has no room, or the rule that the frame breaks. */
  unpackLz4(bytes: Uint8Array, out: Uint8Array): number | string;
  /** Undefined where the file cannot be mapped. */
  mapFile(descriptor: number): MappedFile | undefined;
  /** A hint for large arrays that are about to be filled. */
  useLargePages(array: NodeJS.TypedArray): void;
  /** Fills `bytes` from `offset` on; false where the file does not have them any more. */
  readMapped(file: MappedFile, offset: number, bytes: Uint8Array): boolean;
  unmapFile(file: MappedFile): void;
  /** False where another open of the file holds the lock, which ends with the descriptor. */
  lockFile(descriptor: number): boolean;
  /** Why JPEG files cannot be decoded by the addon; empty where they can. */
  jpegProblem(): string;
  /** [width, height]. Errors of a damaged file carry the byte as `offset`. */
  jpegSize(bytes: Uint8Array): [number, number];
  /**
   * Decodes, crops, scales and mirrors into `out` [3,rows,columns] from `at` on; `window` as in native/images/window.h.
   */
  renderJpeg(bytes: Uint8Array, window: Float64Array, out: Uint8Array, at: number): void;
  /** The same of a decoded picture, interleaved RGB. */
  renderPixels(rgb: Uint8Array, width: number, height: number, window: Float64Array, out: Uint8Array, at: number): void;
  /** pixels [N,C,plane] through a table [C,256]. */
  normalisePixels(pixels: Uint8Array, plane: number, table: Float32Array, out: Float32Array): void;
}

/** The contract this side speaks; the addon reports its own. */
const abi = 4;

/** Where build products may lie, the package's own build first. `SPIKELOOM_BUILD` names another folder. */
export function buildFolders(): string[] {
  const root = new URL('../../', import.meta.url);
  const folders = ['build/Release/', 'build/cmake/Release/'].map((folder) => fileURLToPath(new URL(folder, root)));
  const chosen = process.env.SPIKELOOM_BUILD;
  return chosen ? [`${resolve(chosen)}/`] : folders;
}

/** The command that runs one of the package's scripts, in its own folder or in a project that has it installed. */
export const buildCommand = (script: string, here = import.meta.url): string =>
  /[/\\]node_modules[/\\]/.test(here) ? `npm explore spikeloom -- npm run ${script}` : `npm run ${script}`;

function loadNative(): Native {
  const require = createRequire(import.meta.url);
  const tried: string[] = [];
  for (const folder of buildFolders()) {
    const file = `${folder}spikeloom.node`;
    if (!existsSync(file)) {
      tried.push(`  ${file}: not there`);
      continue;
    }
    try {
      const addon = require(file) as Native;
      if (addon.abi !== abi) throw new Error(`contract version ${addon.abi}, expected ${abi}`);
      if (addon.levelProblem) throw new Error(addon.levelProblem);
      return addon;
    } catch (error) {
      tried.push(`  ${file}: ${(error as Error).message}`);
    }
  }
  throw new SpikeloomError(
    `the native addon could not be loaded. Tried:\n${tried.join('\n')}\nBuild it with '${buildCommand('build')}' (needs Python 3, g++ and make).`,
  );
}

let loaded: Native | undefined;

/** The addon, loaded at first use. Throws SpikeloomError that lists what was tried and how to build. */
export function native(): Native {
  loaded ??= loadNative();
  return loaded;
}
