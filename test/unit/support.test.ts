// docs/support.md says what is so.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { opTable } from '../../lib/core/index.ts';
import { buildFolders, native } from '../../lib/core/native.ts';
import { opTables } from '../support/op-tables.ts';
import { cudaOps, supportDocument } from '../support/support-table.ts';

describe('docs/support.md', () => {
  it("is what 'npm run support' writes", async () => {
    const written = readFileSync(new URL('../../docs/support.md', import.meta.url), 'utf8');
    expect(written, "run 'npm run support'").to.equal(supportDocument(await opTables()));
  });

  for (const library of ['libspikeloom_cuda.so', 'libspikeloom_cuda_emulated.so']) {
    it(`names the kernels that ${library} has`, function () {
      const path = buildFolders()
        .map((folder) => join(folder, library))
        .find((file) => existsSync(file));
      if (!path) this.skip();
      const { index } = native().addBackend(path);
      const [f32, f64] = [1, 2].map((bit) => [...opTable().keys()].filter((op) => native().supports(index, op) & bit));
      expect(new Set(f32)).to.deep.equal(cudaOps());
      expect(f64).to.deep.equal(f32);
    });
  }
});
