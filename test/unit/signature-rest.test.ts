// Shapes against signatures, with the rest of the axes in front, behind and between.
import { expect } from 'chai';
import { SpikeloomError, type Tensor } from '../../lib/core/index.ts';
import { bindInputs, outputShape, parseSignature } from '../../lib/core/signature.ts';

const shaped = (...shape: number[]) => ({ dtype: 'f32', shape }) as unknown as Tensor;

function shapes(text: string, inputs: Record<string, Tensor>): number[][] {
  const signature = parseSignature(text);
  const binding = bindInputs(signature, inputs);
  return signature.outputs.map((spec) => outputShape(signature, spec, binding, {}));
}

describe('signatures with a rest of axes', () => {
  it('bind the rest of the axes wherever it stands', () => {
    const behind = 'f(x:real[T,...R], v?:real[...R]) -> y:real[...R,T]';
    expect(shapes(behind, { x: shaped(4, 2, 3, 5) })).to.deep.equal([[2, 3, 5, 4]]);
    expect(shapes(behind, { x: shaped(4) })).to.deep.equal([[4]]);
    expect(shapes(behind, { x: shaped(4, 2, 3), v: shaped(2, 3) })).to.deep.equal([[2, 3, 4]]);
    expect(shapes('f(x:real[T,...R,C]) -> y:real[T,C], z:real[...R]', { x: shaped(4, 2, 3, 5) })).to.deep.equal([
      [4, 5],
      [2, 3],
    ]);
    expect(shapes('f(x:real[...N,C]) -> y:real[...N]', { x: shaped(4, 2, 3) })).to.deep.equal([[4, 2]]);
  });

  it('refuse other sizes, too few axes and another rest, naming the tensor', () => {
    const text = 'f(x:real[T,...R,3], v?:real[...R]) -> y:real[T]';
    const refused = (inputs: Record<string, Tensor>, message: RegExp) =>
      expect(() => shapes(text, inputs)).to.throw(SpikeloomError, message);
    refused({ x: shaped(4, 2, 5) }, /dimension 3 is 3 elsewhere but 5 in 'x'/);
    refused({ x: shaped(4) }, /'x' has 1 dimensions, expected at least 2/);
    refused({ x: shaped(4, 2, 3), v: shaped(3) }, /the axes \.\.\.R are \[2\] elsewhere but \[3\] in 'v'/);
    refused({ x: shaped(4, 2, 3), v: shaped() }, /the axes \.\.\.R are \[2\] elsewhere but \[\] in 'v'/);
  });
});
