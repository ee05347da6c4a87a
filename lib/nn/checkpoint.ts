// Weights in safetensors files under the names of the released checkpoints.

import { checkContent } from '../core/content-hash.ts';
import { hostArray } from '../core/dtype.ts';
import { SpikeloomError } from '../core/errors.ts';
import { describe, type HostArray, type RealType, type Shape, type Tensor } from '../core/index.ts';
import { needArguments, needOptions } from '../core/options.ts';
import {
  openSafetensors,
  type SafetensorsFile,
  type SafetensorsTensor,
  writeSafetensors,
} from '../core/safetensors.ts';
import { readInto } from '../core/tensor.ts';
import { type NamedTensor, type Net, needNet } from './net.ts';
import type { ModelPlan } from './plan.ts';

/** What came of matching a network and a file. */
export interface WeightsReport {
  /** Names in the file that found their place. */
  loaded: string[];
  /** Names that the network has and the file has not. */
  missing: string[];
  /** Names that the file has and the network has not. */
  unexpected: string[];
  /** Names with another shape or with integers: what is wrong. */
  mismatched: string[];
}

export interface LoadOptions {
  /** Throw unless every name of the network and of the file finds its counterpart. Default true. */
  strict?: boolean;
  /** From a name in the file to a checkpoint's name; undefined: no weight. For files that hold more than weights. */
  rename?: (name: string) => string | undefined;
}

const REAL_TYPES = new Set(['F64', 'F32', 'F16', 'BF16']);

/** Our name of every parameter and buffer -> its name in the released checkpoints. */
export function releasedNames(plan: ModelPlan): Map<string, string> {
  needArguments('releasedNames()', 'an object', { plan });
  needArguments('releasedNames() of a plan', 'a function', { walk: plan.walk });
  const names = new Map<string, string>();
  for (const { path, kind, parameters, buffers } of plan.walk()) {
    const released = kind.released ?? {};
    for (const { name, role } of [...parameters, ...buffers]) {
      const known = Object.hasOwn(released, role) ? released[role] : role;
      names.set(name, `${path}.${known}`);
    }
  }
  return names;
}

interface Entry {
  dtype: string;
  shape: Shape;
}

export interface Match {
  report: WeightsReport;
  /** What to copy: from which name in the file to which tensor. */
  pairs: { source: string; target: NamedTensor['tensor'] }[];
}

/**
 * Compares a network's tensors with those of a file by name, element type and shape; changes nothing.
 * Names are the released checkpoints' or our own (path and role); one that is both is the released. PyTorch's count of
 * batches, `num_batches_tracked`, is passed over.
 */
export function matchWeights(
  net: Net,
  entries: ReadonlyMap<string, Entry>,
  options: Pick<LoadOptions, 'rename'> = {},
): Match {
  needNet('matchWeights()', net);
  needArguments('matchWeights()', 'a Map', { entries });
  needOptions('matchWeights()', options, { rename: true });
  const { rename = (name: string) => name } = options;
  const wanted = [...net.parameters(), ...net.buffers()];
  const released = releasedNames(net.plan);
  const own = wanted.map((t) => [t.name, t] as const);
  const byName = new Map([...own, ...wanted.map((t) => [released.get(t.name)!, t] as const)]);
  const report: WeightsReport = { loaded: [], missing: [], unexpected: [], mismatched: [] };
  const pairs: Match['pairs'] = [];
  const found = new Set<NamedTensor>();
  for (const [source, { dtype, shape }] of entries) {
    const name = rename(source);
    if (name === undefined || /(^|\.)num_batches_tracked$/.test(name)) continue;
    const target = byName.get(name);
    if (!target || found.has(target)) {
      report.unexpected.push(name);
      continue;
    }
    found.add(target);
    if (REAL_TYPES.has(dtype) && shape.join() === target.tensor.shape.join()) {
      report.loaded.push(name);
      pairs.push({ source, target: target.tensor });
    } else
      report.mismatched.push(`${name} is ${dtype}[${shape}] in the file, ${describe(target.tensor)} in the network`);
  }
  report.missing = wanted.filter((t) => !found.has(t)).map((t) => released.get(t.name)!);
  return { report, pairs };
}

/**
 * Copies weights and running statistics from a safetensors file (F64, F32, F16 or BF16) into a network, converted to
 * its type.
 * @returns what was loaded and what was not
 * @throws SpikeloomError for a damaged file (one of a run has its hash in it), and with `strict` for anything that does
 * not match; then the network is unchanged
 */
export function loadWeights(net: Net, path: string, options: LoadOptions = {}): WeightsReport {
  needOptions('loadWeights()', options, { strict: true, rename: true });
  const { strict = true, rename } = options;
  const file = openSafetensors(path);
  try {
    const { report, pairs } = matchWeights(net, file.entries, { rename });
    const problems = problemsOf(report);
    if (strict && problems.length > 0) {
      const remedy = 'Load them into the model they were saved from, or load what fits with strict: false.';
      throw new SpikeloomError(
        `${path}: these are not the weights of ${net.plan.model}.\n${problems.join('\n')}\n${remedy}`,
      );
    }
    checkContent(
      file,
      "Restore a copy, or take the run's other weights (best, last); where another program has written it anew, take data_sha256 out of its metadata",
    );
    // all is read before the first write, so that a failed read leaves the network as it was
    const values = pairs.map(({ source }) => convert(file, source, net.dtype));
    pairs.forEach(({ target }, i) => {
      target.set(values[i]!);
    });
    return report;
  } finally {
    file.close();
  }
}

/** A report in lines of text; none where everything matched. */
function problemsOf({ missing, unexpected, mismatched }: WeightsReport): string[] {
  const line = (what: string, names: string[]) => {
    const more = names.length > 12 ? `, and ${names.length - 12} more` : '';
    return names.length === 0 ? [] : [`  ${what} (${names.length}): ${names.slice(0, 12).join(', ')}${more}`];
  };
  return [
    ...line('missing', missing),
    ...line('unexpected', unexpected),
    ...line('of another shape or type', mismatched),
  ];
}

function convert(file: SafetensorsFile, name: string, dtype: RealType): HostArray {
  const data = file.read(name) as Float32Array | Float64Array;
  if (dtype === 'f64') return data instanceof Float64Array ? data : Float64Array.from(data);
  return data instanceof Float32Array ? data : Float32Array.from(data);
}

/** In shared memory: large arrays that V8 counts would call its garbage collector, which holds up the event loop. */
const read = (tensor: Tensor): Promise<HostArray> =>
  readInto(tensor, hostArray(tensor.dtype, tensor.size, { shared: true }));

/**
 * Writes weights and running statistics under the released checkpoints' names, atomically: those of the moment of the
 * call, behind all work queued so far; they may change while this is awaited.
 * @param metadata text by key, written beside the weights
 * @param copyOf the numbers of a parameter or buffer by its name, where they were read before
 */
export async function saveWeights(
  net: Net,
  path: string,
  metadata: Readonly<Record<string, string>> = {},
  copyOf?: (name: string) => HostArray,
): Promise<void> {
  needNet('saveWeights()', net);
  needArguments('saveWeights()', 'a text', { path });
  needArguments('saveWeights()', 'an object', { metadata });
  if (copyOf !== undefined) needArguments('saveWeights()', 'a function', { copyOf });
  const names = releasedNames(net.plan);
  const held = [...net.parameters(), ...net.buffers()];
  // all reads are queued before the first is awaited: what changes the weights meanwhile is queued behind them
  const arrays = await Promise.all(held.map(({ name, tensor }) => copyOf?.(name) ?? read(tensor)));
  const dtype = net.dtype === 'f64' ? 'F64' : 'F32';
  const tensors: Record<string, SafetensorsTensor> = {};
  held.forEach(({ name, tensor }, i) => {
    tensors[names.get(name)!] = { dtype, shape: tensor.shape, data: arrays[i] as SafetensorsTensor['data'] };
  });
  await writeSafetensors(path, tensors, metadata);
}
