// Runs every table of this folder on the device 'cuda' beside the CPU: a GPU, or the emulated device
// (SPIKELOOM_CUDA=emulated). Pending where there is neither.
import { cudaBackend } from '../../lib/core/index.ts';
import { describeOpOnCuda } from '../support/op-table-cuda.ts';
import { opTables } from '../support/op-tables.ts';

const tables = await opTables();

describe(`op tables on ${cudaBackend().description || 'cuda'}`, () => {
  if (cudaBackend().score === 0) it(`pending: ${cudaBackend().reason}`);
  else for (const table of tables) describeOpOnCuda(table);
});
