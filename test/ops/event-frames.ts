import type { RealType } from '../../lib/core/index.ts';
import { eventFrames, type FrameOptions, packEvent } from '../../lib/ops/event-frames.ts';
import { type HostTensor, host, type OpCase, type OpTable } from '../support/op-table.ts';

/** Events all over a sensor; some pixels are hit often. */
const drawn = (count: number, [height, width]: readonly [number, number]): number[] =>
  Array.from({ length: count }, (_, i) => {
    const hot = i % 7 === 0 ? 0 : i;
    return packEvent((hot * 31 + (hot >> 3)) % width, (hot * 17 + (hot >> 5)) % height, (i * 5 + (i >> 4)) & 1);
  });

const SENSOR = [9, 13] as const;
const frames = (
  name: string,
  bounds: number[][],
  options: Partial<FrameOptions> = {},
  events: number[] = drawn(400, SENSOR),
): OpCase => ({
  name,
  inputs: () => ({
    events: host([events.length], events, 'i32'),
    bounds: host([bounds.length, bounds[0]!.length], bounds.flat(), 'i32'),
  }),
  options: { window: SENSOR, ...options },
});

const THREE = [
  [0, 60, 120, 200],
  [200, 200, 201, 400],
];
const cases = [
  frames('one event', [[0, 1]], { window: [1, 1] }, [packEvent(0, 0, 1)]),
  frames('T 1, B 1', [[0, 400]]),
  frames('T 3, B 2, an empty slice', THREE),
  frames('more events than threads', [[0, 3000, 9000]], {}, drawn(9000, SENSOR)),
  frames('halved, odd sides', THREE, { size: [4, 6] }),
  frames('a third, and wider', THREE, { size: [3, 29] }),
  frames('one pixel', THREE, { size: [1, 1] }),
  frames('33 x 65 out of 9 x 13', THREE, { size: [33, 65] }),
  frames('a part of the sensor', THREE, { window: [4, 5], corner: [3, 6] }),
  frames('beyond the sensor', THREE, { window: [12, 20], corner: [-2, -4] }),
  frames('beyond the sensor, halved', THREE, { window: [12, 20], corner: [-2, -4], size: [6, 10] }),
  frames('clipped', THREE, { clip: 3 }),
  frames('binary, halved', THREE, { clip: 1, size: [5, 7] }),
  frames('normalised', THREE, { normalise: true }),
  frames('clipped, normalised, enlarged', THREE, { clip: 5, normalise: true, size: [11, 17] }),
  frames('the largest coordinates', [[0, 2]], { window: [3, 3] }, [packEvent(32767, 32767, 1), packEvent(2, 2, 0)]),
  frames('numbers that are no events', [[0, 5]], {}, [-1, -(2 ** 31), packEvent(1, 1, 0), -5, packEvent(1, 1, 0)]),
  frames('bounds that are none', [
    [10, 5, 401, 2],
    [-3, 7, 2 ** 31 - 1, -(2 ** 31)],
  ]),
];

/** The lines of the input that line i of the output lies between, and the share of the second. */
function tap(i: number, from: number, to: number): [number, number, number] {
  const at = Math.max(((i + 0.5) * from) / to - 0.5, 0);
  const first = Math.min(Math.floor(at), from - 1);
  return [first, Math.min(first + 1, from - 1), at - first];
}

function countedFrame(events: Float64Array, options: FrameOptions): Float64Array {
  const { window, corner = [0, 0], clip = 0, normalise = false } = options;
  const frame = new Float64Array(2 * window[0] * window[1]);
  for (const event of events) {
    if (event < 0) continue;
    const [x, y, p] = [event % 32768, Math.floor(event / 32768) % 32768, Math.floor(event / 2 ** 30)];
    const [i, j] = [y - corner[0], x - corner[1]];
    if (i < 0 || j < 0 || i >= window[0] || j >= window[1]) continue;
    frame[(p * window[0] + i) * window[1] + j]! += 1;
  }
  const clipped = frame.map((n) => (clip > 0 ? Math.min(n, clip) : n));
  const most = normalise ? Math.max(1, ...clipped) : 1;
  return clipped.map((n) => n / most);
}

function twin(inputs: Record<string, HostTensor>, all: Record<string, unknown>): HostTensor[] {
  const options = all as unknown as FrameOptions;
  const { events, bounds } = inputs;
  const [B, S] = bounds!.shape as [number, number];
  const [rows, columns] = options.window;
  const [H, W] = options.size ?? options.window;
  const y: number[] = [];
  for (let t = 0; t + 1 < S; t++) {
    for (let b = 0; b < B; b++) {
      const [begin, end] = [bounds!.data[b * S + t]!, bounds!.data[b * S + t + 1]!];
      const sound = begin >= 0 && end <= events!.data.length && begin < end;
      const frame = countedFrame(events!.data.subarray(sound ? begin : 0, sound ? end : 0), options);
      for (let p = 0; p < 2; p++) {
        const at = (i: number, j: number) => frame[(p * rows + i) * columns + j]!;
        for (let i = 0; i < H; i++) {
          for (let j = 0; j < W; j++) {
            const [top, bottom, down] = tap(i, rows, H);
            const [left, right, across] = tap(j, columns, W);
            const above = at(top, left) * (1 - across) + at(top, right) * across;
            const below = at(bottom, left) * (1 - across) + at(bottom, right) * across;
            y.push(above * (1 - down) + below * down);
          }
        }
      }
    }
  }
  return [host([S - 1, B, 2, H, W], y)];
}

const tableIn = (dtype: RealType, f64: number): OpTable => ({
  name: `eventFrames in ${dtype}`,
  natives: ['eventFrames'],
  cases,
  run: ({ events, bounds }, options) => [
    eventFrames(events!, bounds!, { ...(options as unknown as FrameOptions), dtype }),
  ],
  twin,
  tolerance: { f32: 1e-6, f64 },
});

// No input is a real number that would say the type of the frames.
export const single = tableIn('f32', 1e-6);
export const double = tableIn('f64', 1e-13);
