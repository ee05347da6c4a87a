import type { EventSplits } from './event-set.ts';
import type { EventSetOptions } from './open.ts';
import { openRecordings, type RecordingsPlan } from './recordings.ts';
import { splitBy } from './splits.ts';

const PLAN: RecordingsPlan = {
  name: 'n-cars',
  sensor: { width: 120, height: 100 },
  format: 'dat',
  archives: ['n-cars_train.zip', 'n-cars_test.zip', 'Prophesee_Dataset_n_cars.zip'],
  nameOf(path) {
    const [, half, label, file] = /(?:^|\/)(?:n-cars_)?(train|test)\/(background|cars)\/([^/]+\.dat)$/.exec(path) ?? [];
    return file && `${half}/${label}/${file}`;
  },
  classes: () => ['background', 'cars'],
  classOf: (name) => name.split('/')[1]!,
  splits: { official: (names) => splitBy(names, (name) => name.startsWith('test/')) },
  remedy:
    'N-CARS is the folders n-cars_train and n-cars_test, each with cars and background, or n-cars_train.zip and n-cars_test.zip, or the archive of both',
};

/**
 * N-CARS (Sironi et al., 2018; 15,422 + 8,607 recordings of 100 ms, up to 120x100, Prophesee DAT) as T frames. Split:
 * 'official'.
 * @throws DataError if files are missing or damaged; SpikeloomError for options out of range
 * @example const { train, test } = await nCars('datasets/ncars', { steps: 10, size: [50, 60] });
 */
export function nCars(root: string, options: EventSetOptions): Promise<EventSplits> {
  return openRecordings(root, PLAN, options);
}
