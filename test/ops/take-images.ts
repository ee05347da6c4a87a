import { takeImages, takeLabels } from '../../lib/ops/take-images.ts';
import { type HostTensor, host, noise, type OpCase, type OpTable } from '../support/op-table.ts';

const pixels = (N: number, P: number): HostTensor =>
  host(
    [N, P],
    Array.from({ length: N * P }, (_, i) => (i * 37 + (i >> 5) * 11 + 1) % 256),
    'u8',
  );

/** Index, top, left, mirrored. */
type Pick = readonly [number, number, number, number];
const picked = (...rows: Pick[]): HostTensor => host([rows.length, 4], rows.flat(), 'i32');

const FAR = 2 ** 31 - 1;

/** Images in other order, again, all windows of a padding of 2, some mirrored. */
const windows = (N: number, B: number): Pick[] =>
  Array.from({ length: B }, (_, b) => [(b * 7 + 3) % N, (b % 5) - 2, (Math.floor(b / 5) % 5) - 2, Number(b % 3 === 1)]);

const images = (name: string, [N, C, H, W]: [number, number, number, number], picks: HostTensor): OpCase => ({
  name,
  inputs: () => ({ images: pixels(N, C * H * W), table: noise([C, 256], 3), picks }),
  options: { size: [H, W] },
});

export const takeImagesTable: OpTable = {
  name: 'takeImages',
  natives: ['takeImages'],
  cases: [
    images('one image of one pixel', [1, 1, 1, 1], picked([0, 0, 0, 0])),
    images('[5,3,7,5]: every window, mirrored or not', [5, 3, 7, 5], picked(...windows(5, 75))),
    images('[3,1,28,28]', [3, 1, 28, 28], picked(...windows(3, 7))),
    images('[2,33,5,9]: more channels than a warp', [2, 33, 5, 9], picked(...windows(2, 9))),
    images('[2,3,40,33]: more than one block an image', [2, 3, 40, 33], picked([1, -4, 3, 1], [0, 4, -3, 0])),
    images(
      'windows outside of the image are black',
      [2, 2, 4, 3],
      picked([1, 4, 0, 0], [1, 0, -3, 1], [0, FAR, -FAR, 1]),
    ),
    images('images that are not there are black', [2, 2, 4, 3], picked([2, 0, 0, 0], [-1, 0, 0, 1], [FAR, 0, 0, 0])),
  ],
  run: ({ images, table, picks }, { size }) => [
    takeImages({ images: images!, table: table!, size: size as [number, number] }, picks!),
  ],
  twin({ images, table, picks }, { size }) {
    const [H, W] = size as [number, number];
    const [N] = images!.shape as [number];
    const [C] = table!.shape as [number];
    const B = picks!.shape[0]!;
    const x = new Float64Array(B * C * H * W);
    for (let i = 0; i < x.length; i++) {
      const [b, c, y, across] = [
        Math.floor(i / (C * H * W)),
        Math.floor(i / (H * W)) % C,
        Math.floor(i / W) % H,
        i % W,
      ];
      const [index, top, left, mirrored] = picks!.data.subarray(4 * b, 4 * b + 4) as unknown as Pick;
      const row = y + top;
      const column = (mirrored ? W - 1 - across : across) + left;
      const inside = index >= 0 && index < N && row >= 0 && row < H && column >= 0 && column < W;
      const pixel = inside ? images!.data[((index * C + c) * H + row) * W + column]! : 0;
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
    { name: '1 of 1', picks: picked([0, 0, 0, 0]) },
    { name: '300 of 23', picks: picked(...windows(23, 300)) },
    { name: 'what is not there is -1', picks: picked([23, 0, 0, 0], [-1, 0, 0, 0], [FAR, 0, 0, 0], [22, 0, 0, 0]) },
  ].map(({ name, picks }, i) => ({
    name,
    inputs: () => ({
      labels: host(
        [i === 0 ? 1 : 23],
        Array.from({ length: i === 0 ? 1 : 23 }, (_, n) => (n * 5) % 11),
        'i32',
      ),
      picks,
    }),
  })),
  run: ({ labels, picks }) => [takeLabels(labels!, picks!)],
  twin({ labels, picks }) {
    const B = picks!.shape[0]!;
    const classes = Array.from({ length: B }, (_, b) => labels!.data[picks!.data[4 * b]!] ?? -1);
    return [host([B], classes, 'i32')];
  },
};
