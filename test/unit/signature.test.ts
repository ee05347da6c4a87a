import { expect } from 'chai';
import { nativeOp, opTable, tensor } from '../../lib/core/index.ts';
import { bindInputs, outputShape, parseSignature } from '../../lib/core/signature.ts';
import { conv2d } from '../../lib/ops/conv2d.ts';

describe('signatures', () => {
  it('parse inputs, attributes, outputs and what is saved', () => {
    const s = parseSignature(
      'f(x:real|spike[...N,C,3], w!:real[C], b?:i32[], k?!:f64[1], l=:f64[2]; n:int, ok:bool) -> y:spike[...N,K], z?:real[C] | m:real[C]',
    );
    expect(s.name).to.equal('f');
    expect(s.inputs.map((i) => [i.name, i.optional, i.inPlace, i.types, i.dims])).to.deep.equal([
      ['x', false, false, ['real', 'spike'], ['...N', 'C', 3]],
      ['w', false, true, ['real'], ['C']],
      ['b', true, false, ['i32'], []],
      ['k', true, true, ['f64'], [1]],
      ['l', false, true, ['f64'], [2]],
    ]);
    expect(s.attributes).to.deep.equal([
      { name: 'n', type: 'int' },
      { name: 'ok', type: 'bool' },
    ]);
    expect(s.outputs.map((o) => o.name)).to.deep.equal(['y', 'z', 'm']);
  });

  it('give output shapes from what the inputs fixed', () => {
    const s = parseSignature('f(x:real[...N,C,3]; ) -> y:real[...N,K,C]');
    const x = tensor(new Float32Array(2 * 5 * 4 * 3), { shape: [2, 5, 4, 3] });
    expect(outputShape(s, s.outputs[0]!, bindInputs(s, { x }), { K: 7 })).to.deep.equal([2, 5, 7, 4]);
    x.dispose();
  });

  it('refuse what does not parse', () => {
    for (const text of [
      'f',
      'f(x) -> y:real[]',
      'f(x:real) -> y:real[]',
      'f(x:real[]; n:long) -> y:real[]',
      'f(x!?:f32[]) -> ',
    ]) {
      expect(() => parseSignature(text), text).to.throw(/signature reads/);
    }
  });

  it('of the addon all parse', () => {
    expect(opTable().size).to.be.greaterThan(10);
  });

  it('name the op, the tensor and both shapes in messages', () => {
    const x = tensor(new Float32Array(3 * 16), { shape: [1, 3, 4, 4] });
    const w = tensor(new Float32Array(16 * 4 * 9), { shape: [16, 4, 3, 3] });
    const w64 = tensor(new Float64Array(16 * 3 * 9), { shape: [16, 3, 3, 3] });
    const flat = tensor(new Float32Array(9), { shape: [3, 3] });
    expect(() => conv2d(x, w)).to.throw(
      "conv2d: dimension C is 3 elsewhere but 4 in 'w' (f32[16,4,3,3] vs [O,C,kh,kw])",
    );
    expect(() => conv2d(x, w64)).to.throw("conv2d: 'w' is f64 where another input is f32");
    const moments = nativeOp<'mean'>('channelMoments');
    expect(() => moments.run({ y: flat })).to.throw("channelMoments: 'y' has 2 dimensions, expected at least 3");
    for (const t of [x, w, w64, flat]) t.dispose();
  });
});
