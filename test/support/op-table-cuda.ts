// The tests that a table gives on a GPU, or on the emulated one: its results beside those of the CPU. An op without a
// CUDA kernel is pending.
import { expect } from 'chai';
import { device, type RealType } from '../../lib/core/index.ts';
import { native } from '../../lib/core/native.ts';
import { compareOutputs, difference, evaluate, type OpCase, type OpTable, type Result } from './op-table.ts';

const on = 'cuda';

function hasKernel(op: string, real: RealType): boolean {
  return (native().supports(device(on).backend.index, op) & (real === 'f64' ? 2 : 1)) !== 0;
}

/** The error says that an op has no kernel, and that is so. */
function isLack(error: unknown): boolean {
  const found = /^(\w+): no kernel for (f32|f64) on device/.exec((error as Error).message);
  return found !== null && !hasKernel(found[1]!, found[2] as RealType);
}

function describeCase(table: OpTable, item: OpCase): void {
  /** A test that is pending where an op it needs has no kernel. */
  const test = (name: string, body: () => Promise<void>) =>
    it(`${item.name}: ${name}`, async function () {
      try {
        await body();
      } catch (error) {
        if (!isLack(error)) throw error;
        this.test!.title += ` [${(error as Error).message}]`;
        this.skip();
      }
    });

  const compare = async (real: RealType, forward: number, gradient: number): Promise<Result> => {
    const expected = await evaluate(table, item, 'f64', 'cpu');
    const actual = await evaluate(table, item, real, on);
    compareOutputs(actual.outputs, expected.outputs, forward);
    for (const [name, value] of Object.entries(expected.gradients)) {
      expect(difference(actual.gradients[name]!, value), `gradient of ${name}`).to.be.below(gradient);
    }
    return actual;
  };

  const f32 = table.tolerance?.f32 ?? 1e-5;
  const f64 = table.tolerance?.f64 ?? 1e-12;
  test('f64 equals the CPU, forward and gradients', async () => {
    await compare('f64', f64, f64);
  });
  test('f32 follows the f64 of the CPU, forward and gradients, twice with the same bits', async () => {
    const first = await compare('f32', f32, 10 * f32);
    expect(await evaluate(table, item, 'f32', on)).to.deep.equal(first);
  });
}

/** Makes the tests of a table on the device 'cuda'. Call inside a describe(). */
export function describeOpOnCuda(table: OpTable): void {
  describe(`${table.name} on ${on}`, () => {
    let handles = 0;
    before(() => {
      handles = device(on).stats().handles;
    });
    for (const item of table.cases) describeCase(table, item);
    it('nothing is left over: no failure in the queue, no tensor handle', async () => {
      await device(on).finish();
      expect(device(on).stats().handles).to.be.at.most(handles);
    });
  });
}
