import type { EventSplits } from './event-set.ts';
import type { EventSetOptions } from './open.ts';
import { openRecordings, type RecordingsPlan } from './recordings.ts';
import { firstNineTenths, inOrder } from './splits.ts';

const classOf = (name: string): string => name.slice(0, name.indexOf('/'));

const PLAN: RecordingsPlan = {
  name: 'n-caltech101',
  sensor: { width: 240, height: 180 },
  format: 'ncaltech101',
  archives: ['Caltech101.zip'],
  nameOf(path) {
    const [, label, file] = /(?:^|\/)([^/]+)\/(image_[0-9]+\.bin)$/.exec(path) ?? [];
    return /annotation/i.test(path) ? undefined : file && `${label}/${file}`;
  },
  classes: (names) => inOrder(new Set(names.map(classOf))),
  classOf,
  splits: { fsta: firstNineTenths },
  remedy: 'N-Caltech101 is folders of files CLASS/image_NNNN.bin, or Caltech101.zip as distributed',
};

/**
 * N-Caltech101 (Orchard et al., 2015; 8,709 recordings in 101 classes, up to 240x180) as T frames. There is no official
 * split; 'fsta' takes the first 90 % of every class in lexicographic order of the file names for training.
 * @throws DataError if files are missing or damaged; SpikeloomError for options out of range
 * @example const { train } = await nCaltech101('datasets/ncaltech101', { steps: 10, size: [48, 64] });
 */
export function nCaltech101(root: string, options: EventSetOptions): Promise<EventSplits> {
  return openRecordings(root, PLAN, options);
}
