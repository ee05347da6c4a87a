// Data sets of recordings: found in folders and archives, kept in a cache, split by name. What their frames hold:
// event-set-frames.test.ts.
import { copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { expect } from 'chai';
import { SpikeloomError } from '../../lib/core/index.ts';
import { decodeEvents } from '../../lib/data/events/read.ts';
import {
  cifar10Dvs,
  DataError,
  dvs128Gesture,
  type EventSetOptions,
  type LabelledEvents,
  nCaltech101,
  nCars,
  nMnist,
  readShd,
  shd,
} from '../../lib/data/index.ts';
import { tarBytes, zipBytes } from '../support/archives.ts';
import { aedat3, dat, fortyBit, someEvents, writeTree } from '../support/event-files.ts';
import { CIFAR10_CLASSES, counted, countsOf, framesOf, labelsOf, writeCifar10Dvs } from '../support/event-sets.ts';
import { failure } from '../support/failure.ts';
import { testFolder } from '../support/image-sets.ts';

const STEPS: EventSetOptions = { steps: 3 };

describe('event sets', () => {
  const folder = testFolder();
  let dvs = '';

  before(() => {
    dvs = folder.path('dvs');
    writeCifar10Dvs(dvs);
  });

  it('CIFAR10-DVS: folders of classes, frames as counted one by one, upright', async () => {
    const { train, test } = await cifar10Dvs(dvs, { ...STEPS, split: 'tet' });
    expect([train.count, test.count]).to.deep.equal([10, 20]);
    expect(train.classes).to.deep.equal(CIFAR10_CLASSES);
    expect(labelsOf(train)).to.deep.equal([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(countsOf(train)).to.deep.equal(Array.from({ length: 10 }, (_, c) => 20 + 10 * c + 1));
    const file = join(dvs, 'bird/cifar10_bird_103.aedat');
    const decoded = decodeEvents(readFileSync(file), { format: 'cifar10-dvs', file });
    expect(await framesOf(train, 2)).to.deep.equal(counted(decoded, 3));
  });

  it("CIFAR10-DVS is split as 'fsta' unless told otherwise; other names are refused with those there are", async () => {
    const fsta = await cifar10Dvs(dvs, STEPS).catch((error: Error) => error);
    expect(fsta, 'of 3 recordings 90 % are all').to.be.instanceOf(DataError);
    expect((fsta as Error).message).to.include("'fsta' leaves no sample for tests out of 30");
    const error = await failure(cifar10Dvs(dvs, { ...STEPS, split: 'half' }));
    expect(error.message).to.equal(`cifar10-dvs is split as 'fsta' or 'tet', not "half"`);
  });

  it('archives of the classes give the same samples as folders, and the same split', async () => {
    const zips = folder.path('zips');
    mkdirSync(zips);
    for (const label of CIFAR10_CLASSES) {
      const names = [0, 103, 99].map((number) => `${label}/cifar10_${label}_${number}.aedat`);
      const entries = Object.fromEntries(names.map((name) => [name, readFileSync(join(dvs, name))]));
      writeFileSync(join(zips, `${label}.zip`), zipBytes({ ...entries, [`__MACOSX/._cifar10_${label}_5.aedat`]: 'x' }));
    }
    const [a, b] = await Promise.all([dvs, zips].map((root) => cifar10Dvs(root, { ...STEPS, split: 'tet' })));
    expect(a!.train.split).to.deep.equal(b!.train.split);
    for (const half of ['train', 'test'] as const) {
      expect(countsOf(a![half])).to.deep.equal(countsOf(b![half]));
      expect(labelsOf(a![half])).to.deep.equal(labelsOf(b![half]));
      expect(await framesOf(a![half], 7)).to.deep.equal(await framesOf(b![half], 7));
    }
  });

  it('DVS128 Gesture: a sample is an interval of a recording, halves are those of the lists; from a folder and a .tar.gz', async () => {
    const recording = someEvents(1000, 128, 128, 5);
    const [start, end] = [recording.t[100]!, recording.t[300]!];
    const labels = `class,startTime_usec,endTime_usec\n11,${start},${end}\n2,${end},${recording.t[999]}\n`;
    const files = {
      'DvsGesture/user01_led.aedat': aedat3(recording),
      'DvsGesture/user01_led_labels.csv': labels,
      'DvsGesture/user02_lab.aedat': aedat3(someEvents(500, 128, 128, 6)),
      'DvsGesture/user02_lab_labels.csv': 'class,startTime_usec,endTime_usec\n1,0,999999999\n',
      'DvsGesture/user03_lab.aedat': aedat3(someEvents(5, 128, 128, 7)), // of neither list
      'DvsGesture/trials_to_train.txt': 'user02_lab.aedat\n',
      'DvsGesture/trials_to_test.txt': 'user01_led.aedat\n\n',
    };
    const [root, packed] = [folder.path('gesture'), folder.path('gesture-tar')];
    writeTree(root, files);
    writeTree(packed, { 'DvsGesture.tar.gz': gzipSync(tarBytes(files)) });
    const inside = Array.from(recording.t.keys()).filter((i) => recording.t[i]! >= start && recording.t[i]! < end);
    for (const place of [root, packed]) {
      const { train, test } = await dvs128Gesture(place, STEPS);
      expect([labelsOf(train), labelsOf(test)]).to.deep.equal([[0], [10, 1]]);
      expect([countsOf(train), countsOf(test)[0]]).to.deep.equal([[500], inside.length]);
      expect(train.classes).to.have.length(11);
      const pick = <A extends Uint16Array | Uint8Array | Float64Array>(from: A): A =>
        from.filter((_, i) => inside.includes(i)) as A;
      const part = { ...recording, count: inside.length, x: pick(recording.x), y: pick(recording.y) };
      const cut = { ...part, p: pick(recording.p), t: pick(recording.t) };
      expect(await framesOf(test, 0)).to.deep.equal(counted(cut, 3));
    }
    rmSync(join(root, 'DvsGesture/user01_led.aedat'));
    expect((await failure(dvs128Gesture(root, STEPS))).message).to.include(
      "names 'user01_led.aedat', which is not there",
    );
    rmSync(join(root, 'DvsGesture/trials_to_test.txt'));
    expect((await failure(dvs128Gesture(root, STEPS))).message).to.include('trials_to_test.txt is not there');
  });

  it('N-MNIST: Train and Test with folders of digits', async () => {
    const root = folder.path('nmnist');
    const recording = (i: number) => someEvents(30 + i, 34, 34, i);
    writeTree(root, {
      'Train/7/00002.bin': fortyBit(recording(1)),
      'Train/0/00009.bin': fortyBit(recording(2)),
      'Test/3/00001.bin': fortyBit(recording(3)),
      'Train/readme.txt': 'no recording',
    });
    const { train, test } = await nMnist(root, { ...STEPS, binning: 'duration' });
    expect([labelsOf(train), labelsOf(test)]).to.deep.equal([[0, 7], [3]]);
    expect(await framesOf(train, 1)).to.deep.equal(counted(recording(1), 3, 'duration'));
  });

  it('N-MNIST: a folder of .bs2 files with its lists', async () => {
    const root = folder.path('listed');
    const recording = (i: number) => someEvents(30 + i, 34, 34, i);
    const heading = '#sample \t#class\n';
    writeTree(root, {
      'nmnist-bs2/1.bs2': fortyBit(recording(1)),
      'nmnist-bs2/2.bs2': fortyBit(recording(2)),
      'nmnist-bs2/77.bs2': fortyBit(recording(3)),
      'nmnist-bs2/train1K.txt': `${heading}2\t8\n1\t4\n`,
      'nmnist-bs2/test100.txt': `${heading}77\t6\n`,
    });
    const { train, test } = await nMnist(root, STEPS);
    expect([labelsOf(train), labelsOf(test)]).to.deep.equal([[4, 8], [6]]);
    expect(await framesOf(train, 1)).to.deep.equal(counted(recording(2), 3));
    writeTree(root, { 'nmnist-bs2/test100.txt': `${heading}78\t6\n` });
    expect((await failure(nMnist(root, STEPS))).message).to.include('78.bs2');
    writeTree(root, { 'nmnist-bs2/test100.txt': `${heading}seven\t6\n` });
    const broken = (await failure(nMnist(root, STEPS))) as DataError;
    expect(broken.offset).to.equal(heading.length);
  });

  it('N-Caltech101 and N-CARS: classes by folder, sensors as large as their largest recording', async () => {
    const root = folder.path('caltech');
    const files = (label: string, n: number) =>
      Array.from({ length: n }, (_, i) => [
        `Caltech101/${label}/image_${String(i + 1).padStart(4, '0')}.bin`,
        fortyBit(someEvents(9 + i, 240, 180, i)),
      ]);
    writeTree(root, Object.fromEntries([...files('Faces', 10), ...files('anchor', 11)]));
    const caltech = await nCaltech101(root, { steps: 2, size: [45, 60] });
    expect(caltech.train.classes).to.deep.equal(['Faces', 'anchor']);
    expect([caltech.train.count, caltech.test.count]).to.deep.equal([19, 2]);
    expect([caltech.train.height, caltech.train.width]).to.deep.equal([45, 60]);

    const cars = folder.path('cars');
    writeTree(cars, {
      'n-cars_train/cars/obj_000001_td.dat': dat(someEvents(40, 60, 50, 1)),
      'n-cars_train/background/obj_000002_td.dat': dat(someEvents(41, 120, 100, 2)),
      'n-cars_test/cars/obj_000003_td.dat': dat(someEvents(42, 33, 20, 3)),
    });
    const { train, test } = await nCars(cars, STEPS);
    expect([labelsOf(train), labelsOf(test)]).to.deep.equal([[0, 1], [1]]);
    expect(await framesOf(train, 0)).to.deep.equal(counted(someEvents(41, 120, 100, 2), 3));
  });

  it('N-CARS as distributed, a zip of zips, is the unpacked folder', async () => {
    const train = {
      'cars/1.dat': dat(someEvents(40, 60, 50, 1)),
      'background/2.dat': dat(someEvents(41, 120, 100, 2)),
    };
    const test = { 'n-cars_test/cars/3.dat': dat(someEvents(42, 33, 20, 3)) };
    const unpacked = folder.path('cars-unpacked');
    writeTree(join(unpacked, 'n-cars_train'), train);
    writeTree(unpacked, test);
    const expected = await nCars(unpacked, STEPS);
    const inner = { 'n-cars_train.zip': zipBytes(train), 'n-cars_test.zip': zipBytes(test, { deflate: false }) };
    for (const deflate of [false, true]) {
      const root = folder.path(`cars-distributed-${deflate}`);
      writeTree(root, { 'Prophesee_Dataset_n_cars.zip': zipBytes(inner, { deflate }) });
      const sets = await nCars(root, STEPS);
      for (const half of ['train', 'test'] as const) {
        expect(sets[half].split).to.deep.equal(expected[half].split);
        expect(labelsOf(sets[half])).to.deep.equal(labelsOf(expected[half]));
        for (let i = 0; i < expected[half].count; i++) {
          expect(await framesOf(sets[half], i)).to.deep.equal(await framesOf(expected[half], i));
        }
      }
    }
  });

  it('archives in an archive of any name in the folder; deeper ones are refused', async () => {
    const digit = (seed: number) => fortyBit(someEvents(30, 34, 34, seed));
    const halves = {
      'Train.zip': zipBytes({ 'Train/4/1.bin': digit(1), 'Train/8/2.bin': digit(2) }),
      'Test.zip': zipBytes({ 'Test/6/3.bin': digit(3) }),
    };
    const root = folder.path('nmnist-in-one');
    writeTree(root, { 'download-1.zip': zipBytes(halves) });
    const { train, test } = await nMnist(root, STEPS);
    expect([labelsOf(train), labelsOf(test)]).to.deep.equal([[4, 8], [6]]);
    expect(await framesOf(train, 1)).to.deep.equal(counted(someEvents(30, 34, 34, 2), 3));

    const deep = folder.path('nmnist-too-deep');
    writeTree(deep, { 'a.zip': zipBytes({ 'b.zip': zipBytes(halves) }) });
    const error = (await failure(nMnist(deep, STEPS))) as DataError;
    expect(error.file).to.equal(join(deep, 'a.zip/b.zip'));
    expect(error.message).to.include('one level is looked into');
  });

  it('SHD: units as columns of one row, all spikes in the second channel', async () => {
    const root = folder.path('shd');
    mkdirSync(root);
    const golden = (name: string) => new URL(`../golden/events/${name}`, import.meta.url);
    copyFileSync(golden('shd.h5'), join(root, 'shd_train.h5'));
    copyFileSync(golden('shd32.h5'), join(root, 'shd_test.h5'));
    const { train, test } = await shd(root, { steps: 4, binning: 'duration' });
    for (const [set, file] of [
      [train, 'shd_train.h5'],
      [test, 'shd_test.h5'],
    ] as const) {
      const recordings: LabelledEvents[] = [];
      for await (const recording of readShd(join(root, file))) recordings.push(recording);
      expect(set.count).to.equal(recordings.length).and.to.be.above(0);
      expect(labelsOf(set)).to.deep.equal(recordings.map(({ label }) => label));
      const frames = await framesOf(set, set.count - 1);
      expect(frames).to.deep.equal(counted(recordings.at(-1)!.events, 4, 'duration'));
      expect(frames.filter((n, i) => n > 0 && Math.floor(i / 700) % 2 === 0)).to.deep.equal([]);
    }
    const zipped = folder.path('shd-zipped');
    writeTree(zipped, {
      'shd_train.h5.zip': zipBytes({ 'shd_train.h5': readFileSync(golden('shd.h5')) }),
      'shd_test.h5.zip': zipBytes({ 'shd_test.h5': readFileSync(golden('shd32.h5')) }),
    });
    const temporary = folder.path('shd-temporary');
    mkdirSync(temporary);
    const before = process.env.TMPDIR;
    process.env.TMPDIR = temporary;
    const left: string[][] = [];
    const onProgress = () => void left.push(readdirSync(temporary));
    const other = await shd(zipped, { steps: 4, binning: 'duration', onProgress }).finally(() => {
      if (before === undefined) delete process.env.TMPDIR;
      else process.env.TMPDIR = before;
    });
    expect(left).to.deep.equal(Array.from({ length: train.count + test.count }, () => []));
    expect(await framesOf(other.train, 0)).to.deep.equal(await framesOf(train, 0));
    expect(labelsOf(other.test)).to.deep.equal(labelsOf(test));
    rmSync(join(root, 'shd_test.h5'));
    expect(await failure(shd(root, STEPS))).to.be.instanceOf(DataError);
  });

  it('the cache is made once, and again when a file changes, and its progress is told', async () => {
    const root = folder.path('changing');
    const write = (seed: number) => writeTree(root, { 'Train/1/a.bin': fortyBit(someEvents(50, 34, 34, seed)) });
    write(1);
    writeTree(root, { 'Test/1/b.bin': fortyBit(someEvents(51, 34, 34, 2)) });
    const told: number[][] = [];
    const open = () => nMnist(root, { ...STEPS, onProgress: (...progress) => told.push(progress) });
    const first = await open();
    expect(told.splice(0)).to.deep.equal([
      [1, 2],
      [2, 2],
    ]);
    await open();
    expect(told, 'nothing was made').to.deep.equal([]);
    write(3);
    utimesSync(join(root, 'Train/1/a.bin'), 1000, 1000);
    const second = await open();
    expect(told).to.have.length(2);
    expect(await framesOf(second.train, 0)).to.deep.equal(counted(someEvents(50, 34, 34, 3), 3));
    const stale = await failure(framesOf(first.train, 0));
    expect(stale.message).to.include('rebuilt after this data set was opened');
  });

  it('options out of range, unknown ones and missing files are refused', async () => {
    const refused = async (options: object, text: string) => {
      const error = await failure(cifar10Dvs(dvs, options as EventSetOptions));
      expect(error).to.be.instanceOf(SpikeloomError);
      expect(error.message).to.include(text);
    };
    await refused({}, 'steps');
    await refused({ steps: 0 }, 'steps');
    await refused({ steps: 2, frames: 3 }, 'no option frames');
    await refused({ steps: 2, size: [0, 64] }, 'size');
    await refused({ steps: 2, crop: [64] }, 'crop');
    await refused({ steps: 2, clip: -1 }, 'clip');
    await refused({ steps: 2, binning: 'number' }, 'count, duration, window');
    await refused({ steps: 2, binning: 'window' }, 'microseconds');
    const empty = folder.path('empty');
    mkdirSync(empty);
    for (const open of [cifar10Dvs, dvs128Gesture, nMnist, nCaltech101, nCars]) {
      expect(await failure(open(empty, STEPS))).to.be.instanceOf(DataError);
      expect(await failure(open(join(empty, 'absent'), STEPS))).to.be.instanceOf(DataError);
    }
  });

  it('a damaged recording is told with its file, and leaves no cache', async () => {
    const root = folder.path('damaged');
    writeTree(root, { 'Train/1/a.bin': fortyBit(someEvents(5, 34, 34)).subarray(0, 23), 'Test/1/b.bin': '' });
    const error = (await failure(nMnist(root, STEPS))) as DataError;
    expect(error).to.be.instanceOf(DataError);
    expect(error.message).to.include(join('Train', '1', 'a.bin'));
    expect(readdirSync(join(root, 'spikeloom-cache'))).to.deep.equal([]);
  });
});
