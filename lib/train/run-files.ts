// Where a run keeps its files.
import { existsSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { makeFolders, writeJsonAtomic } from '../core/atomic-file.ts';
import { SpikeloomError } from '../core/errors.ts';
import { statOf } from '../core/file-kind.ts';
import type { Net } from '../nn/index.ts';
import type { Course } from './checkpoint.ts';
import { describeEnvironment } from './environment.ts';
import { MetricsLog } from './metrics-log.ts';
import { clearLeftovers, type RunFolder, type RunPaths, runPaths } from './run-folder.ts';

/** What training needs of a run's folder. */
export type RunFiles = Pick<RunFolder, 'paths' | 'metrics'>;

export const hasState = ({ state }: RunPaths): boolean => existsSync(state);

/**
 * The files of a run in a folder of its own, made where it is missing. A new run leaves its environment, its model and
 * its settings there (environment.json, data.json, model.json, training.json).
 */
export function openFiles(folder: string, net: Net, course: Course, resume: boolean): RunFiles {
  const paths = runPaths(folder);
  if (!resume) {
    try {
      makeFolders(dirname(paths.last));
    } catch (error) {
      throw new SpikeloomError(`cannot make the folder ${folder}: ${(error as Error).message}`, { cause: error });
    }
  }
  const metrics = new MetricsLog(paths.metrics);
  try {
    checkFresh(paths, resume);
    if (resume) clearLeftovers(paths);
    else {
      writeJsonAtomic(paths.environment, describeEnvironment({ device: net.device.name }));
      writeJsonAtomic(paths.data, course.data);
      writeJsonAtomic(paths.model, net);
      writeJsonAtomic(paths.course, course);
    }
  } catch (error) {
    metrics.close();
    throw error;
  }
  return { paths, metrics };
}

/** What another run has left beside its state: files that a new one would replace, or append to. */
const leftIn = ({ best, last, metrics }: RunPaths): string[] =>
  [best, last, metrics].filter((path) => (statOf(path)?.size ?? 0) > 0).map((path) => basename(path));

/** @throws SpikeloomError when a new run would overwrite another one, or one to be resumed has no state */
export function checkFresh(paths: RunPaths, resume: boolean): void {
  if (resume) {
    if (hasState(paths)) return;
    throw new SpikeloomError(`a run goes on from its state, but ${paths.state} is not there; start a new run`);
  }
  const rule = `a new run needs a folder of its own, but ${paths.folder}`;
  if (hasState(paths))
    throw new SpikeloomError(`${rule} holds one; go on with it by resume: true, or give another folder`);
  const left = leftIn(paths);
  if (left.length > 0)
    throw new SpikeloomError(`${rule} holds ${left.join(', ')} of one whose state is gone; give another folder`);
}
