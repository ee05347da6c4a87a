import { backward, type Device, type RealType, type Shape, scope, type Tensor, tensor } from '../../core/index.ts';
import { MIX, RELEASED } from '../../nn/layers/fsta.ts';
import { dctBasis } from '../../ops/dct.ts';
import { type FstaParams, fsta } from '../../ops/fsta.ts';
import { type Comparison, compare } from './compare.ts';
import type { Fixture } from './fixture.ts';

/** Parameters: our name, and name in the released checkpoints. */
const NAMES = { alpha: 'alpha', beta: 'beta', ...RELEASED } as const;

type Name = keyof typeof NAMES;

function parameterShapes(fixture: Fixture, count: number): Partial<Record<Name, Shape>> {
  const { steps, reduction } = fixture.config<'fsta'>();
  const hidden = reduction === 1 ? 1 : Math.floor(count / reduction);
  if (hidden < 1)
    fixture.fail(`reduction ${reduction} leaves none of ${count} frequency maps; it may be ${count} at most`);
  const one = { alpha: [1], beta: [1], m: [1], n: [1], time: [steps, steps], freq1: [hidden, count, MIX, MIX] };
  return reduction === 1 ? one : { ...one, freq2: [1, hidden, MIX, MIX] };
}

/** Output, gradient of x and of every parameter of one FSTA. */
export async function checkFsta(
  fixture: Fixture,
  dtype: RealType,
  device: Device,
  tolerance: number,
): Promise<Comparison[]> {
  const { steps, basis: side, filters } = fixture.config<'fsta'>();
  const shape = fixture.shape('x');
  if (shape.length !== 5 || shape[0] !== steps)
    fixture.fail(`'x' is [T,B,C,H,W] with T = ${steps}, but here [${shape}]`);
  const filterValues = dctBasis(side, filters);
  const count = filterValues.length / side ** 2;
  const shapes = Object.entries(parameterShapes(fixture, count)) as [Name, Shape][];
  const expected = new Map([
    ['y', fixture.real('y', shape)],
    ['grad.x', fixture.real('grad.x', shape)],
  ]);
  for (const [name, size] of shapes) expected.set(`grad.${NAMES[name]}`, fixture.real(`grad.${NAMES[name]}`, size));
  const Kind = dtype === 'f64' ? Float64Array : Float32Array;
  const make = (data: Float64Array, size: Shape) => tensor(Kind.from(data), { shape: size, dtype, device });
  const read = (name: string, size: Shape) => {
    const made = make(fixture.real(name, size), size);
    made.requiresGrad = true;
    return made;
  };
  const results = scope(() => {
    const x = read('x', shape);
    const params = shapes.map(([name, size]) => [name, read(`param.${NAMES[name]}`, size)] as const);
    const gy = make(fixture.real('gy', shape), shape);
    fixture.refuseOthers();
    const basis = make(filterValues, [count, 1, side, side]);
    const y = fsta(x, Object.fromEntries(params) as unknown as FstaParams, { basis });
    backward(y, gy);
    const grads = params.map(([name, held]) => [`grad.${NAMES[name]}`, held.grad!.alias(held.shape)] as const);
    return Object.fromEntries<Tensor>([['y', y], ['grad.x', x.grad!.alias(shape)], ...grads]);
  });
  const compared: Comparison[] = [];
  for (const [name, result] of Object.entries(results)) {
    compared.push(compare(name, await result.array(), expected.get(name)!, tolerance));
    result.dispose();
  }
  return compared;
}
