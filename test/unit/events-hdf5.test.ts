// HDF5 recordings against what h5py wrote (test/golden/events/write_hdf5.py), damaged ones, and the labels of gestures.

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { parseGestureLabels } from '../../lib/data/events/gesture.ts';
import { DataError, type Events, readGestureLabels, readHdf5Events, readShd } from '../../lib/data/index.ts';
import { testFolder } from '../support/image-sets.ts';
import { realData } from '../support/real-data.ts';

const golden = (name: string): string => fileURLToPath(new URL(`../golden/events/${name}`, import.meta.url));
const EXPECTED = JSON.parse(readFileSync(golden('hdf5.json'), 'utf8'));

async function shd(file: string): Promise<{ events: Events; label: number }[]> {
  const all = [];
  for await (const recording of readShd(file)) all.push(recording);
  return all;
}

async function rejection(promise: Promise<unknown>): Promise<DataError> {
  const error = await promise.then(
    () => undefined,
    (error) => error,
  );
  expect(error).to.be.instanceOf(DataError);
  return error;
}

describe('recordings in HDF5', () => {
  const folder = testFolder();

  for (const name of ['shd.h5', 'shd32.h5']) {
    it(`${name}: units are columns, times are microseconds, one label each`, async () => {
      const { units, seconds, labels } = EXPECTED[name];
      const all = await shd(golden(name));
      expect(all.map(({ label }) => label)).to.deep.equal(labels);
      expect(all.map(({ events }) => [...events.x])).to.deep.equal(units);
      const microseconds = seconds.map((row: number[]) => row.map((second) => Math.round(second * 1e6)));
      expect(all.map(({ events }) => [...events.t])).to.deep.equal(microseconds);
      for (const { events } of all) {
        expect([events.width, events.height, events.count]).to.deep.equal([700, 1, events.x.length]);
        expect([...events.y].every((row) => row === 0) && [...events.p].every((polarity) => polarity === 1)).to.equal(
          true,
        );
      }
    });
  }

  it('events with members are read in seconds and in microseconds', async () => {
    for (const path of ['3/00001', 'CD/events']) {
      const events = await readHdf5Events(golden('events.h5'), path, { width: 34, height: 30 });
      for (const name of ['x', 'y', 'p', 't'] as const) {
        expect([...events[name]], `${path} ${name}`).to.deep.equal(EXPECTED['events.h5'][name]);
      }
    }
    const outside = await rejection(readHdf5Events(golden('events.h5'), 'CD/events', { width: 34, height: 5 }));
    expect(outside.message).to.match(/outside of a sensor of 34x5/);
    const absent = await rejection(readHdf5Events(golden('events.h5'), '3/2', { width: 34, height: 30 }));
    expect(absent.message).to.match(/no dataset '3\/2'; at the top are 3, CD/);
    const other = await rejection(readHdf5Events(golden('shd.h5'), 'labels', { width: 34, height: 30 }));
    expect(other.message).to.match(/members x, y, p/);
  });

  it('missing files, other files and cut ones are errors that name the file', async () => {
    expect((await rejection(shd(folder.path('none.h5')))).message).to.match(/none\.h5: cannot be read/);
    expect((await rejection(shd(golden('write.py')))).message).to.match(/HDF5 file begins with/);
    expect((await rejection(shd(golden('events.h5')))).message).to.match(/no dataset 'spikes\/units'/);
    const bytes = readFileSync(golden('shd.h5'));
    for (const length of [7, 8, 100, bytes.length >> 1, bytes.length - 1]) {
      const cut = folder.path('cut.h5');
      writeFileSync(cut, bytes.subarray(0, length));
      expect((await rejection(shd(cut))).message, `${length} bytes`).to.match(/cut\.h5/);
    }
  });

  it('the genuine file of AERTB: 20 recordings each of two classes, in order of time', async function () {
    const root = realData('events');
    if (root === undefined) return this.skip();
    const file = join(root, 'hdf5/aertb_Bond_TEST.h5');
    const events = await readHdf5Events(file, '0/00004', { width: 34, height: 34 });
    expect([events.count, events.x[0], events.y[0], events.p[0], events.t[0]]).to.deep.equal([5293, 18, 11, 0, 581]);
    expect([...events.t].every((t, i) => i === 0 || t >= events.t[i - 1]!)).to.equal(true);
  });
});

describe('labels of gestures', () => {
  const HEAD = 'class,startTime_usec,endTime_usec\n';

  it('are classes from 0 and parts of the recording', function () {
    const root = realData('events');
    if (root === undefined) return this.skip();
    const labels = readGestureLabels(join(root, 'dvsgesture-labels/user01_natural_labels.csv'));
    expect(labels.map(({ label }) => label)).to.deep.equal([0, 1, 2, 4, 3, 5, 6, 7, 7, 8, 9, 10]);
    expect(labels[0]).to.deep.equal({ label: 0, start: 53036986, end: 59508469 });
  });

  it('come with any end of line, and a line that is none is an error at its byte', () => {
    expect(parseGestureLabels('class,startTime_usec,endTime_usec\r\n11,5,9\r\n\r\n', 'a')).to.deep.equal([
      { label: 10, start: 5, end: 9 },
    ]);
    expect(parseGestureLabels(HEAD, 'a')).to.deep.equal([]);
    for (const line of [
      '0,1,2',
      '12,1,2',
      '1,2,2',
      '1,3,2',
      '1,2',
      '1,2,3,4',
      '1,-2,3',
      '1,a,3',
      '1,1e3,2e3',
      `1,${'9'.repeat(20)},1`,
    ]) {
      expect(() => parseGestureLabels(`${HEAD}1,5,9\n${line}\n`, 'a.csv'), line).to.throw(
        DataError,
        'a.csv at byte 40',
      );
    }
    expect(() => parseGestureLabels('1,2,3\n', 'a.csv')).to.throw(DataError, 'at byte 0');
  });
});
