import { expect } from 'chai';
import { nearestKey } from '../../lib/core/nearest-key.ts';

describe('the nearest key', () => {
  const known = ['batch', 'model.steps', 'schedule.step_size', 'optimizer.lr', 'lr'];
  const cases: [string, string | undefined][] = [
    ['bacth', 'batch'],
    ['Batch', 'batch'],
    ['steps', 'model.steps'],
    ['stepSize', 'schedule.step_size'],
    ['optimiser.lr', 'optimizer.lr'],
    ['colour', undefined],
    ['', undefined],
    ['x'.repeat(100_000), undefined],
  ];
  for (const [given, near] of cases) {
    it(`of '${given.slice(0, 20)}' is ${near}`, () => expect(nearestKey(given, known)).to.equal(near));
  }
});
