import { writeFileSync } from 'node:fs';
import { expect } from 'chai';
import { SpikeloomError } from '../../lib/core/errors.ts';
import {
  type DataDescription,
  describeData,
  incomparable,
  readDataDescription,
} from '../../lib/train/data-description.ts';
import { randomSet, testFolder } from '../support/image-sets.ts';

describe("the description of a run's data", () => {
  const folder = testFolder();
  const file = (text: string) => {
    writeFileSync(folder.path('data.json'), text);
    return folder.path('data.json');
  };
  const fsta: DataDescription = {
    ...{ name: 'cifar10-dvs', train: 9000, test: 1000, classes: 10, steps: 10 },
    split: { name: 'fsta', hash: 'a'.repeat(64) },
  };

  it('has counts, and the split and time steps only where the set has them', () => {
    const data = { train: randomSet(), test: randomSet('cifar10', [4, 3, 8, 7]) };
    const { name, classes } = data.train;
    const facts = { name, train: data.train.count, test: data.test.count, classes: classes.length };
    expect(describeData(data)).to.deep.equal(facts);
    const { steps, split } = fsta;
    const framed = { train: { ...data.train, steps: steps!, split: split! }, test: data.test };
    expect(describeData(framed)).to.deep.equal({ ...facts, steps, split });
  });

  it('comes back from its file; what is not one is refused with the file', () => {
    expect(readDataDescription(file(JSON.stringify(fsta)))).to.deep.equal(fsta);
    for (const text of ['', '{', 'null', '[]', '{"name":"x"}', '{"name":"x","train":1,"test":1.5,"classes":2}']) {
      expect(() => readDataDescription(file(text)), text).to.throw(SpikeloomError, /data\.json/);
    }
    expect(() => readDataDescription(folder.path('none.json'))).to.throw(SpikeloomError, /none\.json.*ENOENT/);
  });

  it('says which fact keeps two runs from being compared', () => {
    const other = (changes: Partial<DataDescription>) => incomparable(fsta, { ...fsta, ...changes });
    expect(other({})).to.equal(undefined);
    expect(other({ train: 100, steps: 4 })).to.equal(undefined);
    expect(other({ name: 'cifar10' })).to.match(/data sets are 'cifar10-dvs' and 'cifar10'/);
    expect(other({ test: 999 })).to.match(/test samples are 1000 and 999/);
    expect(other({ classes: 11 })).to.match(/classes are 10 and 11/);
    expect(other({ split: { name: 'tet', hash: 'b'.repeat(64) } })).to.match(/'fsta' \(a{12}\) and 'tet' \(b{12}\)/);
    const { split: _, ...none } = fsta;
    expect(incomparable(fsta, none)).to.match(/'fsta' \(a{12}\) and unnamed/);
  });
});
