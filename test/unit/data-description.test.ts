import { writeFileSync } from 'node:fs';
import { expect } from 'chai';
import { SpikeloomError } from '../../lib/core/errors.ts';
import { type EventSetOptions, type ImageFilesOptions, limit, nMnist } from '../../lib/data/index.ts';
import { imageFiles } from '../../lib/data/pictures/image-files.ts';
import { packFiles } from '../../lib/data/pictures/packed-files.ts';
import {
  type DataDescription,
  describeData,
  describeSamples,
  incomparable,
  readDataDescription,
} from '../../lib/train/data-description.ts';
import { fortyBit, someEvents, writeTree } from '../support/event-files.ts';
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
    const hashed = { ...fsta, contents: { train: {}, test: { sha256: 'c'.repeat(64) } } };
    expect(readDataDescription(file(JSON.stringify(hashed)))).to.deep.equal(hashed);
    for (const contents of [{ test: { sha256: 5 } }, { train: { labelsSha256: null } }])
      expect(() => readDataDescription(file(JSON.stringify({ ...fsta, contents })))).to.throw(SpikeloomError);
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

  const picture = (options: ImageFilesOptions = {}, place = 'a') =>
    imageFiles(packFiles([place], [{ place: 0, name: 'a.png' }]), [0], ['a'], options);

  it('of images has what they are normalised by, of pictures how they are scaled and cut as well', () => {
    const { mean, std } = randomSet();
    expect(describeSamples(randomSet(), 'basic')).to.deep.equal({ mean, std });
    expect(describeSamples(limit(randomSet('mine', [9, 3, 5, 4]), 2), 'none')).to.deep.equal({ mean, std });
    const [none, basic] = [describeSamples(picture(), 'none'), describeSamples(picture(), 'basic')];
    expect(none).to.have.all.keys('interpolation', 'resize', 'mean', 'std');
    expect(basic).to.have.all.keys('interpolation', 'scale', 'ratio', 'mean', 'std');
    const other = picture({ broken: 'skip', name: 'mine' }, 'b');
    expect(describeSamples(other, 'none')).to.deep.equal(none);
    for (const options of [{ interpolation: 'bicubic' }, { mean: [0, 0, 0] }, { std: [1, 1, 1] }] as const) {
      const changed = picture(options as ImageFilesOptions);
      expect(describeSamples(changed, 'none'), JSON.stringify(options)).not.to.deep.equal(none);
      expect(describeSamples(changed, 'basic'), JSON.stringify(options)).not.to.deep.equal(basic);
    }
    expect(describeSamples(picture({ resize: 230 }), 'none')).not.to.deep.equal(none);
    expect(describeSamples(picture({ resize: 230 }), 'basic')).to.deep.equal(basic);
    for (const options of [{ scale: [0.5, 1] }, { ratio: [1, 1] }] as const) {
      expect(describeSamples(picture(options), 'none'), JSON.stringify(options)).to.deep.equal(none);
      expect(describeSamples(picture(options), 'published'), JSON.stringify(options)).not.to.deep.equal(basic);
    }
  });

  it('of events has how frames are cut and counted, wherever the files and the cache lie', async () => {
    for (const root of ['here', 'there'])
      for (const half of ['Train', 'Test'])
        writeTree(folder.path(root), { [`${half}/1/a.bin`]: fortyBit(someEvents(50, 34, 34)) });
    const open = async (options: Partial<EventSetOptions> = {}, root = 'here') =>
      describeSamples((await nMnist(folder.path(root), { steps: 2, ...options })).train, 'none');
    const usual = await open();
    expect(usual).to.deep.equal({ binning: 'count', counted: [34, 34], corner: [0, 0], clip: 0, normalise: false });
    const same = { cacheFolder: folder.path('cache'), crop: [34, 34], window: 500 } as const;
    expect(await open(same, 'there')).to.deep.equal(usual);
    const windows = { binning: 'window', window: 500 } as const;
    expect(await open(windows)).to.include({ binning: 'window', window: 500 });
    for (const options of [{ clip: 1 }, { normalise: true }, { crop: [20, 20] }, { binning: 'duration' }] as const)
      expect(await open(options as Partial<EventSetOptions>), JSON.stringify(options)).not.to.deep.equal(usual);
  });
});
