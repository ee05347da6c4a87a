// How samples are split into training and test, by name.
import { createHash } from 'node:crypto';
import { SpikeloomError } from '../../core/errors.ts';
import { isKeyOf, kindOf } from '../../core/options.ts';
import type { SplitName } from '../sample-set.ts';

/** Names of the samples of both halves, in order. */
export interface SplitNames {
  train: string[];
  test: string[];
}

/**
 * Names a split by SHA-256 over a line 'train NAME' or 'test NAME' for every sample.
 * @example nameSplit('tet', { train: ['cat/a.bin'], test: ['cat/b.bin'] }).hash
 */
export function nameSplit(name: string, { train, test }: SplitNames): SplitName {
  const hash = createHash('sha256');
  for (const sample of train) hash.update(`train ${sample}\n`);
  for (const sample of test) hash.update(`test ${sample}\n`);
  return { name, hash: hash.digest('hex') };
}

/** Sorted by code units: the same order everywhere, and 'lexicographic file order' where splits speak of it. */
export const inOrder = (names: Iterable<string>): string[] => [...names].sort((a, b) => (a < b ? -1 : 1));

/**
 * The first 90 % (rounded up) of every class for training, in lexicographic order of the names; a class is the part in
 * front of the '/'.
 */
export function firstNineTenths(names: readonly string[]): SplitNames {
  const classes = new Map<string, string[]>();
  for (const name of inOrder(names)) {
    const label = name.slice(0, name.indexOf('/'));
    const members = classes.get(label);
    if (members) members.push(name);
    else classes.set(label, [name]);
  }
  const halves: SplitNames = { train: [], test: [] };
  for (const members of classes.values()) {
    const cut = Math.ceil((members.length * 9) / 10);
    halves.train.push(...members.slice(0, cut));
    halves.test.push(...members.slice(cut));
  }
  return halves;
}

/** Both halves in order. @param isTest whether a sample is for tests */
export function splitBy(names: readonly string[], isTest: (name: string) => boolean): SplitNames {
  const sorted = inOrder(names);
  return { train: sorted.filter((name) => !isTest(name)), test: sorted.filter(isTest) };
}

/** The rule of that name (the first one where none is asked for). @throws SpikeloomError with the names there are */
export function chosenSplit<R>(dataSet: string, rules: Readonly<Record<string, R>>, asked?: string): [string, R] {
  const name = asked ?? Object.keys(rules)[0]!;
  if (!isKeyOf(name, rules)) {
    const known = Object.keys(rules)
      .map((rule) => `'${rule}'`)
      .join(' or ');
    throw new SpikeloomError(`${dataSet} is split as ${known}, not ${kindOf(name)}`);
  }
  return [name, rules[name]!];
}
