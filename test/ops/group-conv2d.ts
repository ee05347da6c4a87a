import { conv2d } from '../../lib/ops/conv2d.ts';
import type { OpTable } from '../support/op-table.ts';
import { convolved, item } from './conv2d.ts';

const same = { padding: 1 };

/** Depthwise: as many groups as channels. */
const depthwise = [
  item('depthwise 3x3, 33 channels', [2, 1, 33, 5, 4], [33, 1, 3, 3], { ...same, groups: 33 }, undefined, true),
  item('depthwise 3x3, 64 channels of spikes', [1, 2, 64, 4, 9], [64, 1, 3, 3], { ...same, groups: 64 }, 0.3),
  item('depthwise 7x7 over the picture', [2, 31, 5, 6], [31, 1, 7, 7], { padding: 3, groups: 31 }, 0.4, true),
  item('depthwise, stride 2', [3, 5, 8, 7], [5, 1, 3, 3], { stride: 2, padding: 1, groups: 5 }),
  item('depthwise, dilation 2', [2, 8, 7, 6], [8, 1, 3, 3], { padding: 2, dilation: 2, groups: 8 }, 0.5),
  item('two outputs of each channel', [2, 18, 4, 5], [36, 1, 3, 2], { ...same, groups: 18 }, undefined, true),
  item('17 outputs of each spike', [1, 2, 3, 4, 5], [51, 1, 3, 3], { ...same, groups: 3 }, 0.4),
  item('many small pictures', [3, 23, 4, 2, 2], [4, 1, 3, 3], { ...same, groups: 4 }),
];

const groups = [
  item('3 groups of 2 to 5 channels', [2, 6, 5, 6], [15, 2, 3, 3], { ...same, groups: 3 }, undefined, true),
  item(
    '4 groups, spikes, uneven stride and dilation',
    [2, 12, 9, 11],
    [8, 3, 2, 3],
    { stride: [3, 2], padding: [0, 4], dilation: [2, 3], groups: 4 },
    0.4,
  ),
  item('2 groups of 33 to 17 channels', [1, 3, 66, 4, 3], [34, 33, 3, 3], { ...same, groups: 2 }, 0.3),
  item('2 groups of 3 to 40 channels', [2, 6, 4, 5], [80, 3, 3, 3], { ...same, groups: 2 }),
  item('2 groups of 65 channels to one', [2, 130, 2, 3], [2, 65, 1, 1], { groups: 2 }, 0.3, true),
];

const dilated = [
  item('dilation 2, 20 to 33 channels', [1, 2, 20, 7, 6], [33, 20, 3, 3], { padding: 2, dilation: 2 }, undefined, true),
  item('dilation beyond the picture', [2, 3, 4, 3], [4, 3, 3, 3], { padding: 5, dilation: 5 }, 0.5),
  item('dilation over the stride', [2, 4, 9, 9], [3, 4, 2, 2], { stride: [2, 3], dilation: [3, 2] }),
  item('a stride far beyond the picture', [2, 4, 3, 5], [2, 2, 2, 2], { stride: 100_000, dilation: [1, 2], groups: 2 }),
];

export const table: OpTable = {
  name: 'conv2d with groups or dilation',
  natives: ['groupConv2d', 'groupConv2dGradX', 'groupConv2dGradW'],
  cases: [...depthwise, ...groups, ...dilated],
  run: ({ x, w, bias }, options) => [conv2d(x!, w!, { ...options, bias })],
  twin: convolved,
  gradients: ['x', 'w', 'bias'],
};
