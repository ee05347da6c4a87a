// Messages name the function that was called, where several share a native op.
import { expect } from 'chai';
import { zeros } from '../../lib/core/index.ts';
import { accuracyCount } from '../../lib/ops/accuracy-count.ts';
import {
  alif,
  cubaLif,
  ifNode,
  lif,
  lifWithState,
  logSoftmax,
  meanOverTime,
  plif,
  softmax,
  tetLoss,
} from '../../lib/ops/index.ts';
import { messageOf } from '../support/failure.ts';

describe('messages of ops', () => {
  const bytes = zeros([2, 3, 4], 'u8');
  const x = zeros([2, 3, 4]);
  const labels = zeros([3, 1], 'i32');
  for (const [name, call, fact] of [
    ['alif', () => alif(bytes), "'x' is real, not u8"],
    ['cubaLif', () => cubaLif(bytes), "'x' is real, not u8"],
    ['lif', () => lif(bytes), "'x' is real or bf16, not u8"],
    ['lifWithState', () => lifWithState(bytes), "'x' is real or bf16, not u8"],
    ['lifWithState', () => lifWithState(x, { vth: -1 }), 'vth is above 0, not -1'],
    ['ifNode', () => ifNode(bytes), "'x' is real or bf16, not u8"],
    ['ifNode', () => ifNode(zeros([3])), 'x is [T,B,C,H,W], [T,B,F] or [T,F] with time in front, not [3]; reshape it'],
    ['plif', () => plif(x, zeros([2])), 'dimension 1 is 1 elsewhere but 2'],
    ['plif', () => plif(x, zeros([1]), { threshold: Number.NaN }), 'threshold is a finite number, not NaN'],
    ['softmax', () => softmax(bytes), "'x' is real, not u8"],
    ['logSoftmax', () => logSoftmax(bytes), "'x' is real, not u8"],
    ['meanOverTime', () => meanOverTime(bytes), "'x' is real, not u8"],
    ['accuracyCount', () => accuracyCount(zeros([3, 4]), labels), "'labels' has 2 dimensions, expected 1"],
    ['tetLoss', () => tetLoss(x, labels), "'labels' has 2 dimensions, expected 1"],
    ['tetLoss', () => tetLoss(x, labels, { smoothing: 2 }), 'smoothing is between 0 and 1, not 2'],
  ] as const) {
    it(`name ${name}: ${fact}`, () => {
      expect(messageOf(call)).to.satisfy((text: string) => text.startsWith(`${name}: ${fact}`), messageOf(call));
    });
  }
});
