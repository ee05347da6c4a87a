// A pipe where a data file is looked for: refused at once; opening it would wait for a writer that never comes.
import { execFileSync } from 'node:child_process';
import { expect } from 'chai';
import { openEventCache } from '../../lib/data/events/cache.ts';
import { DataError } from '../../lib/data/files.ts';
import {
  openTree,
  openTreeSync,
  readEvents,
  readGestureLabels,
  readHdf5Events,
  readIdx,
  readShd,
  streamEvents,
} from '../../lib/data/index.ts';
import { digestContent, digestFile } from '../../lib/data/originals/digest.ts';
import { failure } from '../support/failure.ts';
import { testFolder } from '../support/image-sets.ts';

const READERS: Record<string, (file: string) => unknown> = {
  readEvents,
  streamEvents: (file) => streamEvents(file).next(),
  openTree,
  openTreeSync,
  readShd: (file) => readShd(file).next(),
  readHdf5Events: (file) => readHdf5Events(file, 'a', { width: 3, height: 3 }),
  readGestureLabels,
  readIdx,
  openEventCache,
  digestFile,
  digestContent,
};

describe('a pipe in place of a data file', () => {
  const folder = testFolder();
  before(() => {
    execFileSync('mkfifo', [folder.path('pipe')]);
  });

  for (const [name, read] of Object.entries(READERS)) {
    it(`${name} refuses it`, async () => {
      const error = await failure((async () => read(folder.path('pipe')))());
      expect(error).to.be.instanceOf(DataError);
      expect(error.message).to.match(/pipe: a data file must be a regular file, but this is not$/);
    });
  }
});
