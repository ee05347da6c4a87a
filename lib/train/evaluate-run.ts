// What comes after training: the network of a run with its weights, and their evaluation.
import { existsSync } from 'node:fs';
import { z } from 'zod';
import { type Device, needDevice } from '../core/device.ts';
import { SpikeloomError } from '../core/errors.ts';
import { needSignal } from '../core/need-signal.ts';
import { kindOf, needOptions } from '../core/options.ts';
import { quoted } from '../core/shell.ts';
import { loadWeights, Net, type PlanOptions } from '../nn/index.ts';
import { netOf, prepared } from './assemble.ts';
import { readDataDescription } from './data-description.ts';
import { factsOf } from './data-sets.ts';
import { type Evaluation, evaluate } from './evaluate.ts';
import { hasState } from './run-files.ts';
import { needRunFile, readEvaluationSettings, readSettings, runPaths } from './run-folder.ts';
import { readObject } from './run-record.ts';

/** Which weights of a run: at the highest test accuracy (of targets the lowest test loss), or after the last epoch. */
export type Weights = 'best' | 'last';

export interface EvaluateRunOptions {
  /** Default 'best'. */
  weights?: Weights | undefined;
  /**
   * `key=value` in place of the run's settings, of device, threads, data.root, data.cache, data.workers and
   * data.resident: `['device=cpu', 'data.root=/data/mnist']`.
   */
  overrides?: readonly string[] | undefined;
  /** Ends the evaluation early. */
  signal?: AbortSignal | undefined;
  /** Called while the data is prepared, where that takes long: recordings done, of how many. */
  onPrepare?: ((done: number, of: number) => void) | undefined;
}

const KNOWN: Record<keyof EvaluateRunOptions, true> = {
  ...({ weights: true, overrides: true, signal: true, onPrepare: true } as const),
};

export interface LoadNetOptions extends PlanOptions {
  /** Default 'best'. */
  weights?: Weights | undefined;
  /** Where it computes, whatever the run's device was. Default 'cpu'. */
  device?: string | Device | undefined;
}

/** The file of a run's weights. @throws SpikeloomError where it is not there */
function weightsFile(of: string, folder: string, weights: unknown): string {
  if (weights !== 'best' && weights !== 'last')
    throw new SpikeloomError(`${of}: weights are 'best' or 'last', not ${kindOf(weights)}`);
  const paths = runPaths(folder);
  needRunFile(folder, paths.metrics);
  if (existsSync(paths[weights])) return paths[weights];
  const remedy = hasState(paths) ? 'weights are written after every epoch; go on with the run' : 'start a new run';
  throw new SpikeloomError(`${paths[weights]} is not there: ${remedy}`);
}

/**
 * Evaluates the saved weights of a run of a recipe on its test images.
 * @throws SpikeloomError when the folder is not that of such a run or has no such weights yet, for overrides of other
 * keys, and where the run's device or data is not there, with what to give in its place
 * @example const { accuracy } = await evaluateRun('runs/mnist-0001', { overrides: ['device=cpu'] });
 */
export async function evaluateRun(folder: string, options: EvaluateRunOptions = {}): Promise<Evaluation> {
  needOptions('evaluateRun()', options, KNOWN);
  const { weights = 'best', overrides, signal, onPrepare } = options;
  needSignal('evaluateRun()', signal);
  const settings = readEvaluationSettings(folder, overrides);
  const file = weightsFile('evaluateRun()', folder, weights);
  const data = await prepared(settings, { signal, onPrepare }, `npx spikeloom eval ${quoted(folder)}`);
  using net = netOf(settings, data);
  loadWeights(net, file);
  const { batch, loss, data: source } = settings;
  const { workers, resident } = source;
  return await evaluate(net, data.test, { batch, loss: loss.kind, workers, resident, signal });
}

/**
 * The network of a run with its saved weights, as it is evaluated: `net.training` is false. It is made from the files
 * of the run, one of a recipe or one of train() with `out`; the data set is not needed. It is yours to dispose.
 * @throws SpikeloomError when the folder is not that of a run or has no such weights yet, for damaged files, and where
 * the network has layers of your own that are not in `layers`
 * @example
 * const net = loadNet('runs/mnist-0001');
 * const logits = noGrad(() => net(images));   // images [B,C,H,W] or frames [T,B,C,H,W]
 */
export function loadNet(folder: string, options: LoadNetOptions = {}): Net {
  needOptions('loadNet()', options, { weights: true, device: true, layers: true });
  const { weights = 'best', device = 'cpu', layers } = options;
  const file = weightsFile('loadNet()', folder, weights);
  const net = existsSync(runPaths(folder).model) ? netOfTrain(folder, device, layers) : netOfRecipe(folder, device);
  try {
    loadWeights(net, file);
  } catch (error) {
    net.dispose();
    throw error;
  }
  return net.eval();
}

/** The data set's own classes are counted where the run has noted them; pictures come in folders, as many as there are. */
function netOfRecipe(folder: string, device: string | Device): Net {
  const settings = readSettings(folder);
  const { data: file } = runPaths(folder);
  const facts = factsOf(settings);
  const classes = existsSync(file) ? { length: readDataDescription(file).classes } : facts.classes;
  if (typeof device !== 'string') needDevice(device);
  const name = typeof device === 'string' ? device : device.name;
  return netOf({ ...settings, device: name }, { train: { ...facts, classes } });
}

const courseSchema = z.object({
  dtype: z.enum(['f32', 'f64']),
  precision: z.enum(['fp32', 'bf16']),
  netSeed: z.int().min(0),
});

function netOfTrain(folder: string, device: string | Device, layers: PlanOptions['layers']): Net {
  const { model, course: file } = runPaths(folder);
  const course = courseSchema.safeParse(readObject(file));
  if (!course.success)
    throw new SpikeloomError(`${file} must hold dtype, precision and netSeed of a network, but is damaged`);
  const { dtype, precision, netSeed: seed } = course.data;
  return Net.fromJSON(readObject(model), { dtype, precision, seed, device, layers });
}
