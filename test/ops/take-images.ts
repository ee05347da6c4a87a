// Windows, mirrors, holes and simple changes beside a twin; what every change does to a byte is compared with Pillow's
// pictures in test/unit/image-changes.test.ts.
import { encodePrograms, type ImageChange, type ImageProgram, takeImages, takeLabels } from '../../lib/ops/index.ts';
import { type HostTensor, host, noise, type OpCase, type OpTable } from '../support/op-table.ts';

const pixels = (N: number, P: number): HostTensor =>
  host(
    [N, P],
    Array.from({ length: N * P }, (_, i) => (i * 37 + (i >> 5) * 11 + 1) % 256),
    'u8',
  );

const programmed = (...list: ImageProgram[]): HostTensor => {
  const words = encodePrograms(list);
  return host([list.length, words.length / list.length], words, 'i32');
};
const at = (index: number, top = 0, left = 0, flip = false): ImageProgram => ({ index, top, left, flip });

const FAR = 2 ** 31 - 1;

/** Images in other order, again, all windows of a padding of 2, some mirrored. */
const windows = (N: number, B: number): ImageProgram[] =>
  Array.from({ length: B }, (_, b) => at((b * 7 + 3) % N, (b % 5) - 2, (Math.floor(b / 5) % 5) - 2, b % 3 === 1));

const images = (name: string, [N, C, H, W]: [number, number, number, number], programs: HostTensor): OpCase => ({
  name,
  inputs: () => ({ images: pixels(N, C * H * W), table: noise([C, 256], 3), programs }),
  options: { size: [H, W] },
});

const hole = (top: number, left: number, bottom: number, right: number): ImageProgram => ({
  index: 1,
  left: 1,
  hole: { top, left, bottom, right },
});

const simple: ImageChange[] = [
  { kind: 'invert' },
  { kind: 'solarize', threshold: 77 },
  { kind: 'posterize', bits: 3 },
  { kind: 'solarizeAdd', add: 60, threshold: 128 },
];

/** All kinds of changes, with numbers that make no sense: the kernels stay within the picture. */
const nonsense = (): HostTensor => {
  const rows = Array.from({ length: 16 }, (_, kind) => {
    const change = [kind - 1, -1, FAR, 0, ...Array.from({ length: 12 }, (_, i) => (i % 2 ? -FAR : FAR))];
    return [0, -FAR, FAR, FAR, -FAR, -FAR, FAR, FAR, ...change];
  });
  return host([rows.length, 24], rows.flat(), 'i32');
};

/** What the twin's changes make of a byte; they do not look at other pixels. */
const KINDS: Record<number, (pixel: number, a: number, b: number) => number> = {
  8: (pixel, mask) => pixel & mask,
  9: (pixel, threshold) => (pixel < threshold ? pixel : 255 - pixel),
  10: (pixel, add, threshold) => (pixel < threshold ? Math.min(255, pixel + add) : pixel),
  11: (pixel) => 255 - pixel,
};

export const takeImagesTable: OpTable = {
  name: 'takeImages',
  natives: ['takeImages'],
  cases: [
    images('one image of one pixel', [1, 1, 1, 1], programmed(at(0))),
    images('[5,3,7,5]: every window, mirrored or not', [5, 3, 7, 5], programmed(...windows(5, 75))),
    images('[3,1,28,28]', [3, 1, 28, 28], programmed(...windows(3, 7))),
    images('[2,33,5,9]: more channels than a warp', [2, 33, 5, 9], programmed(...windows(2, 9))),
    images('[2,3,40,33]: more pixels than threads', [2, 3, 40, 33], programmed(at(1, -4, 3, true), at(0, 4, -3))),
    images(
      '[1,2,160,165]: pictures that do not fit in shared memory',
      [1, 2, 160, 165],
      programmed(at(0, 1, -1, true)),
    ),
    // what a kernel declares counts as well: 48 KiB is what a block of a GPU has without asking
    images(
      '[1,1,153,160]: pictures of just under 48 KiB of shared memory, with a table of changes over it',
      [1, 1, 153, 160],
      programmed({ index: 0, top: 1, changes: [{ kind: 'invert' }] }),
    ),
    images(
      'windows outside of the image are black',
      [2, 2, 4, 3],
      programmed(at(1, 4), at(1, 0, -3, true), at(0, FAR, -FAR, true)),
    ),
    images('images that are not there are black', [2, 2, 4, 3], programmed(at(2), at(-1, 0, 0, true), at(FAR))),
    images(
      'holes within, over the edges, beside and turned around',
      [2, 3, 6, 7],
      programmed(
        hole(1, 2, 3, 4),
        hole(-5, -5, 2, 3),
        hole(4, 4, 99, 99),
        hole(9, 9, 12, 12),
        hole(3, 3, 1, 1),
        hole(-FAR, -FAR, FAR, FAR),
      ),
    ),
    images(
      'changes, of different numbers, in front of the hole',
      [2, 3, 5, 9],
      programmed(
        ...simple.map((change) => ({ ...hole(0, 0, 2, 2), changes: [change] })),
        { index: 0, top: -1, changes: simple },
        { index: 1, changes: simple.toReversed() },
        at(0),
      ),
    ),
    images('programs that make no sense give black: their hole is everything', [1, 3, 5, 7], nonsense()),
  ],
  run: ({ images, table, programs }, { size }) => [
    takeImages({ images: images!, table: table!, size: size as [number, number] }, programs!),
  ],
  twin({ images, table, programs }, { size }) {
    const [H, W] = size as [number, number];
    const [N] = images!.shape as [number];
    const [C] = table!.shape as [number];
    const [B, L] = programs!.shape as [number, number];
    const x = new Float64Array(B * C * H * W);
    for (let i = 0; i < x.length; i++) {
      const [b, c, y, across] = [
        Math.floor(i / (C * H * W)),
        Math.floor(i / (H * W)) % C,
        Math.floor(i / W) % H,
        i % W,
      ];
      const words = programs!.data.subarray(L * b, L * (b + 1));
      const [index, top, left, mirrored, holeTop, holeLeft, bottom, right] = words as unknown as number[];
      const row = y + top!;
      const column = (mirrored ? W - 1 - across : across) + left!;
      const inside = index! >= 0 && index! < N && row >= 0 && row < H && column >= 0 && column < W;
      let pixel = inside ? images!.data[((index! * C + c) * H + row) * W + column]! : 0;
      for (let k = 8; k < L; k += 16) pixel = KINDS[words[k]!]?.(pixel, words[k + 1]!, words[k + 2]!) ?? pixel;
      if (y >= holeTop! && y < bottom! && across >= holeLeft! && across < right!) pixel = 0;
      x[i] = table!.data[c * 256 + pixel]!;
    }
    return [host([B, C, H, W], x)];
  },
  tolerance: { f32: Number.MIN_VALUE, f64: Number.MIN_VALUE }, // numbers are moved, not computed
};

export const takeLabelsTable: OpTable = {
  name: 'takeLabels',
  natives: ['takeLabels'],
  cases: [
    { name: '1 of 1', programs: programmed(at(0)) },
    { name: '300 of 23', programs: programmed(...windows(23, 300)) },
    { name: 'with changes', programs: programmed({ index: 5, changes: simple }, at(22)) },
    { name: 'what is not there is -1', programs: programmed(at(23), at(-1), at(FAR), at(22)) },
  ].map(({ name, programs }, i) => ({
    name,
    inputs: () => ({
      labels: host(
        [i === 0 ? 1 : 23],
        Array.from({ length: i === 0 ? 1 : 23 }, (_, n) => (n * 5) % 11),
        'i32',
      ),
      programs,
    }),
  })),
  run: ({ labels, programs }) => [takeLabels(labels!, programs!)],
  twin({ labels, programs }) {
    const [B, L] = programs!.shape as [number, number];
    const classes = Array.from({ length: B }, (_, b) => labels!.data[programs!.data[L * b]!] ?? -1);
    return [host([B], classes, 'i32')];
  },
};
