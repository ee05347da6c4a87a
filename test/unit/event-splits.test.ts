import { expect } from 'chai';
import { firstNineTenths, inOrder, nameSplit } from '../../lib/data/event-sets/splits.ts';

describe('splits by name', () => {
  const thousand = (label: string) => Array.from({ length: 1000 }, (_, i) => `${label}/cifar10_${label}_${i}.aedat`);

  it('the first 90 % in lexicographic order leave 91 to 99 and 909 to 999 of 1000 for tests', () => {
    const { train, test } = firstNineTenths([...thousand('cat'), ...thousand('bird')].reverse());
    const left = [91, 92, 93, 94, 95, 96, 97, 98, 99, ...Array.from({ length: 91 }, (_, i) => 909 + i)];
    const names = (label: string) => left.map((i) => `${label}/cifar10_${label}_${i}.aedat`);
    expect(test).to.deep.equal([...inOrder(names('bird')), ...inOrder(names('cat'))]);
    expect(train).to.have.length(1800);
    expect(new Set([...train, ...test]).size).to.equal(2000);
  });

  it('the hash depends on every name, its half and their order', () => {
    const hash = (train: string[], test: string[]) => nameSplit('x', { train, test }).hash;
    const all = [hash(['a', 'b'], ['c']), hash(['b', 'a'], ['c']), hash(['a'], ['b', 'c']), hash(['a', 'b'], ['d'])];
    expect(new Set(all).size).to.equal(4);
    // printf 'train a\ntrain b\ntest c\n' | sha256sum
    expect(all[0]).to.equal('d28128b59e25eea6240b96352950e68632e54e0e95b64cc7828fff03bc1ff411');
  });
});
