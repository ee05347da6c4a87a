// Recordings packed for the cache and cut into slices, against what is written out by hand and against each other.
import { expect } from 'chai';
import fc from 'fast-check';
import { SpikeloomError } from '../../lib/core/errors.ts';
import type { Events } from '../../lib/data/events/events.ts';
import { leastBytes, packRecording, unpackRecording } from '../../lib/data/events/packed.ts';
import { type BinningRule, countBounds, eventSlices, packEvents, sliceEdges } from '../../lib/data/events/slices.ts';
import { someEvents } from '../support/event-files.ts';

const at = (times: number[]): Events => ({
  ...{ width: 4, height: 3, count: times.length, t: Float64Array.from(times) },
  x: Uint16Array.from(times, (_, i) => i % 4),
  y: Uint16Array.from(times, (_, i) => i % 3),
  p: Uint8Array.from(times, (_, i) => i % 2),
});

const bounds = (times: number[], by: BinningRule, steps?: number, window?: number): number[] => [
  ...eventSlices(at(times), { by, ...(steps ? { steps } : {}), ...(window ? { window } : {}) }),
];

interface Unpacked {
  events: Int32Array;
  bounds: Int32Array;
  isSound: boolean;
}

/** Unpacks behind three numbers that must stay. */
function unpack(
  packed: { bytes: Uint8Array; count: number; first: number },
  sensor: { width: number; height: number },
  edges: Float64Array = new Float64Array(0),
): Unpacked {
  const target = {
    events: new Int32Array(packed.count + 3).fill(-7),
    start: 3,
    bounds: new Int32Array(edges.length + 2).fill(-7),
    boundsStart: 1,
  };
  const isSound = unpackRecording(packed, sensor, edges, target);
  expect([...target.events.subarray(0, 3), target.bounds[0]]).to.deep.equal([-7, -7, -7, -7]);
  return { events: target.events.subarray(3), bounds: target.bounds.subarray(1).map((n) => n - 3), isSound };
}

describe('slices of a recording', () => {
  it('by count: floor(N / T) each, the last one takes the rest', () => {
    expect(bounds([0, 1, 2, 3, 4, 5, 6], 'count', 3)).to.deep.equal([0, 2, 4, 7]);
    expect(bounds([5, 5, 5], 'count', 4)).to.deep.equal([0, 0, 0, 0, 3]);
    expect(bounds([], 'count', 2)).to.deep.equal([0, 0, 0]);
  });

  it('by duration: equal spans from the first event to the last, which is in', () => {
    expect(bounds([10, 11, 14.9, 15, 20], 'duration', 2)).to.deep.equal([0, 3, 5]);
    expect(bounds([0, 9, 10], 'duration', 5)).to.deep.equal([0, 1, 1, 1, 1, 3]);
    expect(bounds([7, 7], 'duration', 2), 'no time passes').to.deep.equal([0, 0, 2]);
    expect(bounds([], 'duration', 2)).to.deep.equal([0, 0, 0]);
  });

  it('by window: as many as the recording fills, or the first T', () => {
    expect(bounds([100, 109, 110, 135], 'window', undefined, 10)).to.deep.equal([0, 2, 3, 3, 4]);
    expect(bounds([100, 109, 110, 135], 'window', 2, 10)).to.deep.equal([0, 2, 3]);
    expect(bounds([100, 109], 'window', 3, 10)).to.deep.equal([0, 2, 2, 2]);
    expect(bounds([], 'window', undefined, 10)).to.deep.equal([0, 0]);
  });

  it('an event that steps back in time stays in the slice that is open', () => {
    expect(bounds([0, 10, 4, 20], 'duration', 2)).to.deep.equal([0, 1, 4]);
    expect(bounds([0, 30, 12, 25], 'window', 2, 20)).to.deep.equal([0, 1, 4]);
  });

  it('refuses rules, steps and windows that are none', () => {
    expect(() => bounds([1], 'number' as BinningRule, 2)).to.throw(SpikeloomError, 'count, duration, window');
    expect(() => bounds([1], 'count')).to.throw(SpikeloomError, 'slices');
    expect(() => bounds([1], 'count', 0.5)).to.throw(SpikeloomError, 'slices');
    expect(() => bounds([1], 'window', 3)).to.throw(SpikeloomError, 'microseconds');
    expect(() => bounds([0, 1e12], 'window', undefined, 1), 'a unit mistaken').to.throw(SpikeloomError, 'slices');
  });

  it('an event is one number', () => {
    const events = { ...at([1, 2]), x: Uint16Array.of(32767, 2), y: Uint16Array.of(32767, 1), p: Uint8Array.of(1, 0) };
    expect([...packEvents(events)]).to.deep.equal([2 ** 31 - 1, 2 ** 15 + 2]);
  });

  it('refuses numbers that would spill into each other', () => {
    const packed = (change: object) => () => packEvents({ ...at([1, 2]), ...change });
    const wrong: Record<string, object> = {
      'the column of event 1 is 32768;': { x: Uint16Array.of(32767, 32768) },
      'the row of event 0 is 40000;': { y: Uint16Array.of(40000, 1) },
      'the polarity of event 1 is 2; it is packed as a whole number from 0 to 1': { p: Uint8Array.of(1, 2) },
      'the column of event 0 is 3n;': { x: [3n, 4n] },
      'the row of event 1 is "1";': { y: [0, '1'] },
      'the row of event 1 is -1;': { y: [0, -1] },
    };
    for (const [text, change] of Object.entries(wrong)) expect(packed(change)).to.throw(SpikeloomError, text);
  });
});

const sensors = fc.record({ width: fc.integer({ min: 1, max: 700 }), height: fc.integer({ min: 1, max: 300 }) });
const sides = fc.constantFrom(
  [1, 1],
  [1, 2],
  [34, 34],
  [128, 128],
  [129, 127],
  [240, 180],
  [1280, 720],
  [32768, 32768],
);

describe('packed recordings', () => {
  it('come back as they were, at every size of sensor, and in the slices that eventSlices() cuts', () => {
    const rule = fc.constantFrom<BinningRule>('count', 'duration', 'window');
    fc.assert(
      fc.property(
        fc.oneof(
          sensors,
          sides.map(([width, height]) => ({ width: width!, height: height! })),
        ),
        fc.array(
          fc.oneof(fc.integer({ min: -300, max: 300 }), fc.integer({ min: -(2 ** 45), max: 2 ** 45 }), fc.nat(9)),
          {
            maxLength: 60,
          },
        ),
        fc.integer({ min: 1, max: 9 }),
        rule,
        (sensor, steps, T, by) => {
          const events = someEvents(steps.length, sensor.width, sensor.height, steps.length + T);
          let time = 0;
          steps.forEach((step, i) => {
            time += step;
            events.t[i] = time;
          });
          const packed = packRecording(events, sensor);
          const window = 100;
          const edges = sliceEdges(by, T, window, packed.first, packed.last);
          const found = unpack(packed, sensor, edges);
          expect(found.isSound).to.equal(true);
          const expected = eventSlices(events, { by, steps: T, window });
          if (by === 'count') expect([...countBounds(packed.count, T)]).to.deep.equal([...expected]);
          else expect([...found.bounds]).to.deep.equal([...expected]);
          const used = expected[T]!;
          expect([...found.events.subarray(0, used)]).to.deep.equal([...packEvents(events).subarray(0, used)]);
        },
      ),
      { numRuns: 500 },
    );
  });

  it('take 3 bytes an event where the time steps by less than 64 microseconds', () => {
    const events = someEvents(1000, 128, 128);
    expect(packRecording(events, events).bytes.length).to.equal(3000);
    expect(leastBytes(events)).to.equal(3);
  });

  it('bytes that are cut, changed or too many are found out or decode within their bounds', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), fc.nat(40), sensors, (bytes, count, sensor) => {
        const { events } = unpack({ bytes, count, first: 0 }, sensor, Float64Array.of(50, 1e9));
        for (const event of events) expect(event === -7 || event >= 0).to.equal(true);
      }),
      { numRuns: 1000 },
    );
    const packed = packRecording(at([5, 900, 901]), at([]));
    for (let length = 0; length < packed.bytes.length; length++) {
      expect(unpack({ ...packed, bytes: packed.bytes.subarray(0, length) }, at([])).isSound).to.equal(false);
    }
    expect(unpack({ ...packed, bytes: Uint8Array.from([...packed.bytes, 0]) }, at([])).isSound).to.equal(false);
    expect(unpack({ ...packed, bytes: new Uint8Array(99).fill(255) }, at([])).isSound).to.equal(false);
  });

  it('refuses events outside of the sensor and times that are none', () => {
    const one = at([1]);
    expect(() => packRecording({ ...one, x: Uint16Array.of(4) }, one)).to.throw(
      SpikeloomError,
      'outside of a sensor of 4x3',
    );
    expect(() => packRecording({ ...one, y: Uint16Array.of(3) }, one)).to.throw(SpikeloomError, 'row 3');
    for (const time of [Number.NaN, Number.POSITIVE_INFINITY, 2 ** 51]) {
      expect(() => packRecording(at([0, time]), one)).to.throw(SpikeloomError, 'event 1');
    }
  });
});
