// Tensors that a test left to the garbage collector are freed whenever that runs, which may be while a later test awaits
// something between two counts of handles.
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { device } from '../../lib/core/index.ts';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

/** Frees what earlier tests left on the CPU's device, so that handles can be counted across an await. */
export async function freeGarbage(): Promise<void> {
  let before: number;
  do {
    before = device('cpu').stats().handles;
    collect();
    await new Promise((resolve) => setTimeout(resolve, 10)); // finalizers are tasks of their own, some ms later
  } while (device('cpu').stats().handles < before);
}
