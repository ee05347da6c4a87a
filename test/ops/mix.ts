import { mixImages, mixLabels } from '../../lib/ops/mix.ts';
import { host, noise, type OpCase, type OpTable } from '../support/op-table.ts';

/** keep, share, top, left, bottom, right */
type Mix = readonly [number, number, number, number, number, number];
const mixup = (share: number): Mix => [share, share, 0, 0, 0, 0];

const images = (name: string, shape: number[], mix: Mix): OpCase => ({
  name: `[${shape}]: ${name}`,
  inputs: () => ({ x: noise(shape, 5), mix: host([6], [...mix]) }),
});

export const mixImagesTable: OpTable = {
  name: 'mixImages',
  natives: ['mixImages'],
  cases: [
    images('mixup of one image is the image', [1, 1, 1, 1], mixup(0.25)),
    images('mixup, an image in the middle', [3, 2, 3, 5], mixup(0.3)),
    images('nothing mixed', [4, 3, 5, 3], mixup(1)),
    images('CutMix', [4, 3, 5, 7], [1, 0.6, 1, 2, 4, 6]),
    images('CutMix, all of the picture', [2, 1, 3, 3], [1, 0, 0, 0, 3, 3]),
    images('mixup of frames', [3, 4, 2, 5, 3], mixup(0.75)),
    images('CutMix of frames, 33 channels', [2, 3, 33, 4, 5], [1, 0.9, 3, 0, 4, 2]),
    images('several tasks', [5, 2, 70, 3], mixup(0.5)),
  ],
  run: ({ x, mix }) => [mixImages(x!, mix!)],
  twin({ x, mix }) {
    const [keep, , top, left, bottom, right] = mix!.data as unknown as Mix;
    const [B, C, H, W] = x!.shape.slice(-4) as [number, number, number, number];
    const y = x!.data.map((own, i) => {
      const [b, h, w] = [Math.floor(i / (C * H * W)) % B, Math.floor(i / W) % H, i % W];
      const other = x!.data[i + (B - 1 - 2 * b) * C * H * W]!;
      return h >= top && h < bottom && w >= left && w < right ? other : keep * own + (1 - keep) * other;
    });
    return [host(x!.shape, y)];
  },
  gradients: ['x'],
};

export const mixLabelsTable: OpTable = {
  name: 'mixLabels',
  natives: ['mixLabels'],
  cases: [
    { labels: [0], K: 1, mix: mixup(0.5) },
    { labels: [2, 0, 1], K: 3, mix: mixup(0.3) },
    { labels: [4, 4, 0, 4], K: 5, mix: [1, 0.8, 0, 0, 2, 2] as const },
    { labels: Array.from({ length: 70 }, (_, b) => (b * 7) % 33), K: 33, mix: mixup(0.9) },
  ].map(({ labels, K, mix }) => ({
    name: `${labels.length} of ${K} classes`,
    inputs: () => ({ labels: host([labels.length], labels, 'i32'), mix: host([6], [...mix]) }),
    options: { K },
  })),
  run: ({ labels, mix }, { K }) => [mixLabels(labels!, mix!, K as number)],
  twin({ labels, mix }, { K }) {
    const B = labels!.data.length;
    const share = mix!.data[1]!;
    const target = new Float64Array(B * (K as number));
    labels!.data.forEach((label, b) => {
      target[b * (K as number) + label]! += share;
      target[(B - 1 - b) * (K as number) + label]! += 1 - share;
    });
    return [host([B, K as number], target)];
  },
};
