import { expect } from 'chai';
import { backward, type RealType, SpikeloomError, type Tensor, tensor } from '../../lib/core/index.ts';
import { accuracyCount } from '../../lib/ops/accuracy-count.ts';
import { bceWithLogits } from '../../lib/ops/bce-with-logits.ts';
import { crossEntropy, tetLoss } from '../../lib/ops/cross-entropy.ts';
import { type GoldenTensor, goldenCases, relative } from '../support/golden-ops.ts';

const real = ({ shape, data }: GoldenTensor, dtype: RealType = 'f64'): Tensor => tensor([...data], { shape, dtype });
const classes = (labels: ArrayLike<number>): Tensor => tensor(Int32Array.from(labels));

/** Loss and gradient against a golden case, in both types. */
async function compare(
  golden: Record<string, GoldenTensor>,
  loss: (logits: Tensor, dtype: RealType) => Tensor,
): Promise<void> {
  for (const [dtype, limit] of [
    ['f64', 1e-12],
    ['f32', 2e-6],
  ] as const) {
    const logits = real(golden.logits!, dtype);
    logits.requiresGrad = true;
    const result = loss(logits, dtype);
    backward(result, tensor([1], { dtype }));
    expect(relative(await result.array(), golden.loss!), `${dtype} loss`).to.be.at.most(limit);
    expect(relative(await logits.grad!.array(), golden['grad.logits']!), `${dtype} gradient`).to.be.at.most(limit);
  }
}

describe('losses', () => {
  for (const { name, attributes, tensors } of goldenCases('op-cross-entropy')) {
    it(`crossEntropy equals PyTorch: ${name}`, () =>
      compare(tensors, (logits, dtype) => {
        const labels = tensors.labels ? classes(tensors.labels.data) : real(tensors.target!, dtype);
        const { smoothing } = attributes as { smoothing: number };
        return attributes.tet ? tetLoss(logits, labels, { smoothing }) : crossEntropy(logits, labels, { smoothing });
      }));
  }

  for (const { name, tensors } of goldenCases('op-bce-with-logits')) {
    it(`bceWithLogits equals PyTorch: ${name}`, () =>
      compare(tensors, (logits, dtype) => bceWithLogits(logits, real(tensors.target!, dtype))));
    if (name === 'mixed') continue;
    it(`bceWithLogits smooths hard labels likewise: ${name}`, () => {
      const { shape, data } = tensors.target!;
      const [B, K] = shape as [number, number];
      const rows = Array.from({ length: B }, (_, b) => [...data.slice(b * K, b * K + K)]);
      const labels = rows.map((row) => row.indexOf(Math.max(...row)));
      const options = { smoothing: name === 'smoothed' ? 0.1 : 0 };
      return compare(tensors, (logits) => bceWithLogits(logits, classes(labels), options));
    });
  }

  it('keep NaN as NaN, and infinite logits of other classes finite', async () => {
    const logits = tensor([Number.NaN, 1, 2, 3], { shape: [2, 2], dtype: 'f64' });
    expect(await crossEntropy(logits, classes([1, 1])).item()).to.be.NaN;
    expect(await bceWithLogits(logits, classes([1, 1])).item()).to.be.NaN;
    const low = tensor([0, Number.NEGATIVE_INFINITY], { shape: [1, 2], dtype: 'f64' });
    expect(await crossEntropy(low, classes([0])).item()).to.equal(0);
    expect(await crossEntropy(low, classes([1])).item()).to.equal(Number.POSITIVE_INFINITY);
  });

  it('count no row with a NaN as right', async () => {
    const rows = [Number.NaN, 0, 0, Number.NaN, 1, 0];
    const logits = tensor(rows, { shape: [3, 2], dtype: 'f64' });
    expect(await accuracyCount(logits, classes([0, 1, 0])).item()).to.equal(1);
    expect(await accuracyCount(tensor([Number.NaN], { shape: [1, 1] }), classes([0])).item()).to.equal(0);
  });

  it('refuse wrong options, shapes and types', () => {
    const logits = tensor(new Float32Array(6), { shape: [3, 2] });
    const labels = classes([0, 1, 0]);
    for (const smoothing of [-0.1, 1.5, Number.NaN]) {
      expect(() => crossEntropy(logits, labels, { smoothing })).to.throw(
        SpikeloomError,
        /smoothing is between 0 and 1/,
      );
      expect(() => bceWithLogits(logits, labels, { smoothing })).to.throw(
        SpikeloomError,
        /smoothing is between 0 and 1/,
      );
    }
    expect(() => tetLoss(logits, labels)).to.throw(SpikeloomError, /\[T,B,K\], not f32\[3,2\]/);
    const spikes = tensor(Uint8Array.of(0, 1, 1, 0, 1, 1), { shape: [3, 2], dtype: 'spike' });
    expect(() => crossEntropy(spikes, labels)).to.throw(
      SpikeloomError,
      /crossEntropy: 'x' is real, not spike; ops\.toReal\(\) makes numbers of spikes$/,
    );
    expect(() => crossEntropy(tensor([1, 2]), labels)).to.throw(SpikeloomError, /\[B,K\] or \[T,B,K\], not f32\[2\]/);
    expect(() => crossEntropy(logits, classes([0, 1]))).to.throw(SpikeloomError, /dimension B is 3 elsewhere but 2/);
    expect(() => crossEntropy(logits, tensor([0, 1, 0]))).to.throw(SpikeloomError, /labels are classes, i32 \[B\]/);
    const double = tensor(new Float64Array(6), { shape: [3, 2] });
    expect(() => bceWithLogits(logits, double)).to.throw(SpikeloomError, /'target' is f64 where another input is f32/);
  });
});
