// Frames resized and changed, against PyTorch's interpolate and grid_sample (test/golden/frames/make.py).
import { readFileSync } from 'node:fs';
import { expect } from 'chai';
import { SpikeloomError, scope, tensor } from '../../lib/core/index.ts';
import { philox } from '../../lib/core/random.ts';
import { drawChange, type FrameChange, frameAugmenter, sourcePixels } from '../../lib/data/augment/frame-augment.ts';
import { eventFrames, packEvent } from '../../lib/ops/event-frames.ts';

const golden = <T>(name: string): T[] =>
  JSON.parse(readFileSync(new URL(`../golden/frames/${name}.json`, import.meta.url), 'utf8'));

interface Changed {
  change: FrameChange;
  height: number;
  width: number;
  pixels: number[];
}

interface Resized {
  window: [number, number];
  size: [number, number];
  counts: number[];
  frame: number[];
}

const SIDE = 64;
const set = { name: 'cifar10-dvs', steps: 2, height: SIDE, width: SIDE };
const PLANE = SIDE * SIDE;

/** Frames [2,B,2,64,64] whose every number is another one. */
const frames = (batch: number): Float32Array => Float32Array.from({ length: 4 * batch * PLANE }, (_, i) => i + 1);

/** The changed frames of a batch. */
function augmented(seed: number, job: { epoch: number; batch: number; indices: number[] }): Float32Array {
  const made = frames(job.indices.length);
  frameAugmenter(set, 'published', seed)(made, { ...job, indices: Int32Array.from(job.indices) });
  return made;
}

/** Whether row 32 of the first plane falls: a mirrored one, however little of it is left. */
function isMirrored(made: Float32Array): boolean {
  const row = [...made.subarray(32 * SIDE, 33 * SIDE)].filter((value) => value > 0);
  return row[0]! > row.at(-1)!;
}

describe('frames', () => {
  it('are resized as PyTorch does, in f64 and f32', async () => {
    for (const { window, size, counts, frame } of golden<Resized>('resized')) {
      const [, columns] = window;
      const events = counts.flatMap((n, i) => {
        const [p, y, x] = [Math.floor(i / window[0] / columns), Math.floor(i / columns) % window[0], i % columns];
        return Array<number>(n).fill(packEvent(x, y, p));
      });
      for (const [dtype, limit] of [
        ['f64', 1e-14],
        ['f32', 1e-6],
      ] as const) {
        const bounds = tensor(Int32Array.of(0, events.length), { shape: [1, 2] });
        const made = scope(() => eventFrames(tensor(Int32Array.from(events)), bounds, { window, size, dtype }));
        const numbers = [...(await made.array())];
        for (const [i, value] of numbers.entries()) expect(value).to.be.closeTo(frame[i]!, limit * 5);
        expect(numbers).to.have.length(frame.length);
        for (const t of [made, bounds]) t.dispose();
      }
    }
  });

  it('are turned, sheared and shifted as PyTorch does, to the nearest pixel', () => {
    const cases = golden<Changed>('changes');
    expect(cases.length).to.be.above(40);
    for (const { change, height, width, pixels } of cases) {
      expect([...sourcePixels(change, height, width)], JSON.stringify(change)).to.deep.equal(pixels);
    }
  });

  it('lose a square where it is erased', () => {
    const pixels = sourcePixels({ kind: 'erase', top: 1, left: 2, side: 2 }, 4, 5);
    const shown = Array.from(pixels, (pixel, i) => (pixel < 0 ? '.' : pixel === i ? '#' : '?')).join('');
    expect(shown.match(/.{5}/g)).to.deep.equal(['#####', '##..#', '##..#', '#####']);
  });

  it('six changes are equally likely, and stay within what was published', () => {
    const counts: Record<string, number> = {};
    const most = { shear: 0, rotate: 0, x: 0, y: 0, least: SIDE, side: 0 };
    const draws = philox(1, 77);
    for (let i = 0; i < 6000; i++) {
      const change = drawChange(draws, set);
      const kind = change.kind === 'translate' && change.x === 0 && change.y === 0 ? 'still' : change.kind;
      counts[kind] = (counts[kind] ?? 0) + 1;
      if (change.kind === 'shear' || change.kind === 'rotate') {
        most[change.kind] = Math.max(most[change.kind], Math.abs(change.angle));
      } else if (change.kind === 'translate') {
        for (const axis of ['x', 'y'] as const) most[axis] = Math.max(most[axis], Math.abs(change[axis]));
        expect(Number.isInteger(change.x) && Number.isInteger(change.y)).to.equal(true);
      } else if (change.kind === 'erase') {
        expect(change.top >= 0 && change.left >= 0).to.equal(true);
        expect(Math.max(change.top, change.left) + change.side).to.be.at.most(SIDE);
        most.side = Math.max(most.side, change.side);
        most.least = Math.min(most.least, change.side);
      }
    }
    for (const kind of ['identity', 'shear', 'rotate', 'erase']) expect(counts[kind]).to.be.within(880, 1120);
    expect(counts.translate! + counts.still!).to.be.within(1840, 2160);
    expect(most.shear).to.be.closeTo(0.3, 1e-12);
    expect(most.rotate).to.be.closeTo(Math.PI / 6, 1e-12);
    expect([most.x, most.y]).to.deep.equal([5, 5]);
    // sqrt(.001) and sqrt(.11) of 64 pixels
    expect([most.least, most.side]).to.deep.equal([2, 21]);
  });

  it('a batch is mirrored whole or not at all, every second one', () => {
    const mirrored = Array.from({ length: 60 }, (_, batch) => {
      const made = augmented(3, { epoch: 0, batch, indices: [1, 2, 3, 4, 5] });
      const each = Array.from({ length: 5 }, (_, b) => isMirrored(made.subarray(2 * b * PLANE)));
      expect(new Set(each).size, `batch ${batch}`).to.equal(1);
      return Number(each[0]);
    });
    expect(mirrored.reduce((a, b) => a + b)).to.be.within(18, 42);
  });

  it('a sample is changed by seed, epoch and index alone, the same at every time step and in both channels', () => {
    const first = augmented(3, { epoch: 1, batch: 4, indices: [8, 9, 10] });
    const again = augmented(3, { epoch: 1, batch: 4, indices: [10, 8] });
    const pattern = (made: Float32Array, B: number, t: number, b: number, p: number) => {
      const start = ((t * B + b) * 2 + p) * PLANE;
      return [...made.subarray(start, start + PLANE)].map((value) => (value === 0 ? -1 : value - 1 - start));
    };
    for (const [b, other] of [
      [2, 0],
      [0, 1],
    ] as const) {
      for (const [t, p] of [
        [0, 1],
        [1, 0],
        [1, 1],
      ] as const) {
        expect(pattern(first, 3, t, b, p)).to.deep.equal(pattern(first, 3, 0, b, 0));
        expect(pattern(again, 2, t, other, p)).to.deep.equal(pattern(first, 3, 0, b, 0));
      }
    }
    const patterns = new Set<string>();
    for (const seed of [3, 4]) {
      for (const epoch of [0, 1]) {
        for (const index of [0, 1, 2, 3]) {
          patterns.add(JSON.stringify(pattern(augmented(seed, { epoch, batch: 0, indices: [index] }), 1, 0, 0, 0)));
        }
      }
    }
    expect(patterns.size, 'seeds, epochs and indices count').to.be.above(8);
  });

  it('is defined for CIFAR10-DVS, and nothing for DVS128 Gesture; other sets refuse it', () => {
    const still = frames(1);
    frameAugmenter(
      { ...set, name: 'dvs128-gesture' },
      'published',
      1,
    )(still, {
      ...{ epoch: 0, batch: 0 },
      indices: Int32Array.of(0),
    });
    expect(still).to.deep.equal(frames(1));
    for (const [name, augment] of [
      ['n-mnist', 'published'],
      ['cifar10-dvs', 'basic'],
    ] as const) {
      expect(() => frameAugmenter({ ...set, name }, augment, 1)).to.throw(SpikeloomError, `'${augment}'`);
    }
  });
});
