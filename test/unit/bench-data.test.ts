import { mkdirSync, writeFileSync } from 'node:fs';
import { expect } from 'chai';
import { casesOf, type DataOptions, FRAMES, timeCases } from '../../bench/data-cases.ts';
import { UsageError } from '../../lib/cli/exit.ts';
import { testFolder } from '../support/image-sets.ts';

describe('bench: data', () => {
  const folder = testFolder();
  const options: DataOptions = { recordings: [], threads: 1, seconds: 0.01 };
  /** N-MNIST: x, y, then polarity and time in three bytes. */
  const nmnist = (events: number) => Buffer.concat(Array(events).fill(Buffer.from([3, 4, 0x80, 0, 1])));
  before(() => {
    mkdirSync(folder.path('many'));
    for (const [name, events] of [
      ['1.bin', 2],
      ['2.bin', 5],
    ] as const)
      writeFileSync(folder.path(`many/${name}`), nmnist(events));
    writeFileSync(folder.path('many/list.txt'), 'not a recording');
    mkdirSync(folder.path('none'));
  });

  it('tells the format of a recording or of a folder of them, for every side alike', () => {
    const [one, frames, cache] = casesOf({ ...options, recordings: [folder.path('many/2.bin')] });
    expect(one).to.deep.include({ name: 'nmnist: 2.bin', kind: 'decode', unit: 'events', format: 'nmnist' });
    expect(frames).to.include({ kind: 'frames', unit: 'events' });
    expect(cache).to.include({ kind: 'cache', unit: 'events' });
    const images = casesOf({ ...options, cifar: 'c', imagenet: 'i' }).filter(({ kind }) => kind === 'images');
    expect(images.map(({ set, path, augment }) => [set, path, augment])).to.deep.equal([
      ['cifar10', 'c', 'basic'],
      ['cifar10', 'c', 'published'],
      ['imagenet', 'i', 'basic'],
      ['imagenet', 'i', 'published'],
    ]);
    expect(() => casesOf({ ...options, recordings: [folder.path('none')] })).to.throw(UsageError, /no recording in/);
    expect(() => casesOf({ ...options, recordings: [folder.path('nowhere')] })).to.throw(UsageError, /no recording/);
  });

  it('counts the events of all files, and goes on past a case that fails', async () => {
    const rates = await timeCases({ ...options, recordings: [folder.path('many')], cifar: folder.path('none') });
    expect(rates['nmnist: many']).to.include({ count: 7 });
    const frames = Object.entries(rates).find(([name]) => name.startsWith('events to'))![1];
    expect(frames).to.include({ count: FRAMES.events });
    const cache = Object.entries(rates).find(([name]) => name.startsWith('cache to'))![1];
    expect('count' in cache && cache.count).to.equal(16 * 200_000);
    for (const found of [rates['nmnist: many']!, frames, cache]) expect('per_s' in found && found.per_s).to.be.above(0);
    expect(rates['CIFAR-10: crop, mirror'])
      .to.have.property('failed')
      .that.matches(/not found/);
  });
});
