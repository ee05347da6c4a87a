import { expect } from 'chai';
import fc from 'fast-check';
import { SpikeloomError } from '../../lib/core/errors.ts';
import { type Layer, ModelPlan, renderSummary } from '../../lib/nn/index.ts';

const model = (layers: readonly unknown[]) => ({
  format: 'spikeloom-model',
  version: 1,
  model: 'any',
  steps: 2,
  input: { channels: 3, height: 8, width: 7 },
  layers,
});

/** A plan, or undefined where the model was refused on purpose; any other error fails the test. */
function planOf(json: unknown): ModelPlan | undefined {
  try {
    return new ModelPlan(json);
  } catch (error) {
    expect(error).to.be.instanceOf(SpikeloomError);
    return undefined;
  }
}

const count = fc.integer({ min: 0, max: 9 });
const plain: fc.Arbitrary<object> = fc.oneof(
  fc.record({ kind: fc.constant('conv2d'), channels: count, kernel: count, stride: count, padding: count }),
  fc.record({
    ...{ kind: fc.constant('conv2d'), channels: count, kernel: fc.constantFrom(1, 3) },
    ...{ groups: fc.constantFrom(1, 3), dilation: count },
  }),
  fc.record({ kind: fc.constantFrom('avgPool2d', 'maxPool2d'), kernel: count, stride: count, ceilMode: fc.boolean() }),
  fc.record({ kind: fc.constant('fsta'), basis: count, reduction: count }),
  fc.record({ kind: fc.constant('linear'), features: count }),
  fc.record({ kind: fc.constant('dropout'), p: fc.double() }),
  fc.record({
    kind: fc.constantFrom(
      'norm',
      'lif',
      'if',
      'plif',
      'cubaLif',
      'alif',
      'recurrentLif',
      'relu',
      'flatten',
      'globalAvgPool',
      'meanOverTime',
    ),
  }),
);
const layers = fc.array(
  fc.oneof(
    { weight: 5, arbitrary: plain },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('residual'), body: fc.array(plain, { maxLength: 3 }) }) },
  ),
  { maxLength: 6 },
);

describe('models: any input', () => {
  it('JSON of any form is refused with a message', () => {
    fc.assert(fc.property(fc.jsonValue(), (json) => planOf(json) === undefined));
    fc.assert(fc.property(fc.jsonValue(), (layer) => planOf(model([layer])) === undefined));
    const keys = fc.dictionary(fc.string(), fc.jsonValue());
    fc.assert(fc.property(keys, (options) => void planOf(model([{ ...options, kind: 'lif' }]))));
  });

  it('layers of any order are refused, or give whole positive shapes and the same plan after JSON', () => {
    let planned = 0;
    const property = fc.property(layers, (list) => {
      const plan = planOf(model(list as Layer[]));
      if (!plan) return;
      planned++;
      const summary = plan.summary({ batch: 3 });
      for (const { shape } of summary.rows) expect(shape.every((d) => Number.isInteger(d) && d > 0)).to.equal(true);
      expect(Number.isSafeInteger(summary.totals.bytes)).to.equal(true);
      expect(renderSummary(summary)).to.include('total');
      expect(planOf(JSON.parse(JSON.stringify(plan)))?.summary({ batch: 3 })).to.deep.equal(summary);
    });
    fc.assert(property, { numRuns: 2000, seed: 1 });
    expect(planned).to.be.greaterThan(100);
  });
});
