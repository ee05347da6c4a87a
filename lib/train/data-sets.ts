// The data sets that recipes know: what a network must fit, before any file is there, and how they are opened.
import { SpikeloomError } from '../core/errors.ts';
import type { AnySet, AnySplits } from '../data/batch.ts';
import { cifar10, cifar100 } from '../data/cifar.ts';
import { fashionMnist, mnist } from '../data/idx.ts';
import { limit } from '../data/limit.ts';
import type { SampleSet } from '../data/sample-set.ts';
import type { Settings } from './settings.ts';

/** What of a data set a network depends on. */
export type SampleFacts = Pick<SampleSet, 'name' | 'steps' | 'channels' | 'height' | 'width'> & {
  classes: { readonly length: number };
};

type Chosen = Pick<Settings, 'data' | 'model'>;

interface Known {
  classes: number;
  channels: number;
  /** H and W of its samples as they come. */
  size: readonly [number, number];
  /** Whether a sample has time steps of its own. */
  timed?: boolean;
  open(settings: Chosen): AnySplits | Promise<AnySplits>;
}

const KNOWN: Readonly<Partial<Record<Settings['data']['name'], Known>>> = {
  cifar10: { classes: 10, channels: 3, size: [32, 32], open: ({ data }) => cifar10(data.root) },
  cifar100: { classes: 100, channels: 3, size: [32, 32], open: ({ data }) => cifar100(data.root) },
  mnist: { classes: 10, channels: 1, size: [28, 28], open: ({ data }) => mnist(data.root) },
  'fashion-mnist': { classes: 10, channels: 1, size: [28, 28], open: ({ data }) => fashionMnist(data.root) },
};

function known(name: Settings['data']['name']): Known {
  const found = KNOWN[name];
  if (!found) throw new SpikeloomError(`'${name}' cannot be read yet`);
  return found;
}

/** What the settings' data set is by its definition; no file is read. */
export function factsOf({ data, model }: Chosen): SampleFacts {
  const { classes, channels, size, timed } = known(data.name);
  const [height, width] = data.size ?? size;
  const steps = timed ? { steps: model.steps } : {};
  return { name: data.name, ...steps, channels, height, width, classes: { length: classes } };
}

/** The data set of the settings, cut to their limits. */
export async function openData(settings: Chosen): Promise<AnySplits> {
  const { data } = settings;
  const { train, test } = await known(data.name).open(settings);
  const cut = (set: AnySet, n: number) => (n > 0 ? limit(set, n) : set);
  return { train: cut(train, data.train_limit), test: cut(test, data.test_limit) };
}
