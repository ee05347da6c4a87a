import type { EventSplits } from './event-set.ts';
import type { EventSetOptions } from './open.ts';
import { openRecordings, type RecordingsPlan } from './recordings.ts';
import { firstNineTenths, splitBy } from './splits.ts';

const CLASSES = ['airplane', 'automobile', 'bird', 'cat', 'deer', 'dog', 'frog', 'horse', 'ship', 'truck'];
const FILE = new RegExp(`(?:^|/)(cifar10_(${CLASSES.join('|')})_[0-9]+\\.aedat)$`);

/** The number of a recording in its class, as its file has it. */
const numberOf = (name: string): number => Number(/_([0-9]+)\.aedat$/.exec(name)![1]);

const PLAN: RecordingsPlan = {
  name: 'cifar10-dvs',
  sensor: { width: 128, height: 128 },
  format: 'cifar10-dvs',
  archives: CLASSES.map((label) => `${label}.zip`),
  nameOf(path) {
    const [, file, label] = FILE.exec(path) ?? [];
    return file && `${label}/${file}`;
  },
  classes: () => CLASSES,
  classOf: (name) => name.slice(0, name.indexOf('/')),
  splits: {
    fsta: firstNineTenths,
    tet: (names) => splitBy(names, (name) => numberOf(name) < 100),
  },
  remedy:
    'CIFAR10-DVS is ten folders of files CLASS/cifar10_CLASS_N.aedat, or the ten archives CLASS.zip as distributed (npx spikeloom data check)',
};

/**
 * CIFAR10-DVS (Li et al., 2017; 10,000 recordings of a DVS128, 128x128, AEDAT 2.0) as T frames: ten folders of .aedat
 * files or the ten .zip archives below `root`. Splits: 'fsta', the first 90 % of every class in lexicographic order of
 * the file names for training (of 1000: all but 91 to 99 and 909 to 999); 'tet', the numbers 0 to 99 of every class for
 * tests.
 * @throws DataError if files are missing or damaged; SpikeloomError for options out of range
 * @example
 * const { train, test } = await cifar10Dvs('datasets/cifar10-dvs', { steps: 10, size: [64, 64], split: 'fsta' });
 */
export function cifar10Dvs(root: string, options: EventSetOptions): Promise<EventSplits> {
  return openRecordings(root, PLAN, options);
}
