// bench kernels: what a trace of a GPU says, on traces written by hand; the library that writes them compiles where the
// CUDA toolkit is.
import { mkdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { kernelTimes, medianStep, readTrace, shortName, stepsOf } from '../../bench/kernel-trace.ts';
import { compileTrace, findCupti, refuseDevice } from '../../bench/kernels.ts';
import { SpikeloomError } from '../../lib/core/index.ts';
import { testFolder } from '../support/image-sets.ts';

const START = 1795804299656977048n; // nanoseconds since 1970: a double has not the digits

const line = (at: number, ns: number, name: string, blocks = 7) =>
  [START + BigInt(at), START + BigInt(at + ns), blocks, 256, 40, name].join('\t');

const LOSS = 'void spikeloom::cuda::(anonymous namespace)::crossEntropyKernel<float>(float const*, int const*, long)';
const FIRE = 'void spikeloom::cuda::(anonymous namespace)::fireKernel<float, spikeloom::Bf16, 8>(float*, long)';

/** Steps whose second kernel takes so long, each with its lines in the wrong order. */
const traceOf = (...fires: number[]): string =>
  [...fires, 1]
    .flatMap((ns, i) => [
      line(i * 10_000 + 500, ns, FIRE, 9),
      line(i * 10_000, 300, LOSS),
      line(i * 10_000 + 9_000, 20, 'fill', 0),
    ])
    .join('\n');

describe('bench: kernels of a step', () => {
  it('names are plain: no namespace of ours, no result, no arguments', () => {
    expect(shortName(FIRE)).to.equal('fireKernel<float, Bf16, 8>');
    expect(shortName('void a::k<(int)4, f(int)>(float*)')).to.equal('a::k<(int)4, f(int)>');
    expect(shortName('copy to the host')).to.equal('copy to the host');
  });

  it('times are exact, in the order of their begin', () => {
    const [loss, fire] = readTrace(traceOf(1234));
    expect([loss!.name, fire!.name]).to.deep.equal(['crossEntropyKernel<float>', 'fireKernel<float, Bf16, 8>']);
    expect(fire!.begin - loss!.begin).to.be.closeTo(500e-9, 1e-15);
    expect(fire!.seconds).to.be.closeTo(1234e-9, 1e-15);
    expect([fire!.blocks, fire!.threads, fire!.registers]).to.deep.equal([9, 256, 40]);
  });

  it('a step goes from loss to loss; the one of the median time is told, by kernel', () => {
    const steps = stepsOf(readTrace(traceOf(4000, 1000, 2000)));
    expect(steps.map((step) => step.length)).to.deep.equal([3, 3, 3]);
    const [fire, loss, fill] = kernelTimes([...medianStep(steps), ...steps[1]!]);
    expect([fire!.launches, loss!.launches, fill!.launches]).to.deep.equal([2, 2, 2]);
    expect(fire!.seconds).to.be.closeTo(3000e-9, 1e-15);
    expect(fill!.blocks).to.equal(0);
  });

  it('a trace without a step, without a line, or with a complaint is an error', () => {
    expect(() => medianStep(stepsOf(readTrace(line(0, 5, FIRE))))).to.throw(SpikeloomError, 'no whole training step');
    expect(() => medianStep(stepsOf(readTrace(line(0, 5, LOSS))))).to.throw(SpikeloomError, 'no whole training step');
    expect(() => readTrace('')).to.throw(SpikeloomError, 'CUDA wrote no trace');
    expect(() => readTrace(`${line(0, 5, FIRE)}\n!3 records were lost\n`)).to.throw(
      SpikeloomError,
      '3 records were lost',
    );
  });

  it('takes a GPU', () => {
    expect(() => refuseDevice('cpu')).to.throw('kernels are timed on a GPU: --device cuda');
  });

  describe('CUPTI', () => {
    const folders = testFolder();

    it('is found by its header and its library; what is missing is told with where it was looked for', () => {
      const home = folders.path('toolkit');
      expect(() => findCupti([home])).to.throw(
        SpikeloomError,
        new RegExp(`cupti.h.*not both found in ${home}.*CUDA_HOME`),
      );
      mkdirSync(join(home, 'include'), { recursive: true });
      writeFileSync(join(home, 'include/cupti.h'), '');
      expect(() => findCupti([home])).to.throw(SpikeloomError, 'not both found');
      mkdirSync(join(home, 'targets/x86_64-linux/lib'), { recursive: true });
      const library = join(home, 'targets/x86_64-linux/lib/libcupti.so.13');
      writeFileSync(library, '');
      expect(findCupti(['/nowhere', home])).to.deep.equal({ include: join(home, 'include'), library });
    });

    it('makes the library that traces', async function () {
      try {
        findCupti();
      } catch {
        this.skip();
      }
      const file = join(folders.path(), 'trace.so');
      await compileTrace(file);
      expect(statSync(file).size).to.be.above(1000);
    });

    it('says where there is no compiler', async () => {
      const { CXX, CUDA_HOME } = process.env;
      const home = folders.path('toolkit');
      process.env.CXX = '/nowhere/g++';
      process.env.CUDA_HOME = home;
      try {
        const error = await compileTrace(join(folders.path(), 'x.so')).catch((e) => e);
        expect(error).to.be.instanceOf(SpikeloomError);
        expect(error.message).to.contain('there is no C++ compiler').and.to.contain('CXX');
      } finally {
        for (const [name, value] of Object.entries({ CXX, CUDA_HOME })) {
          if (value === undefined) delete process.env[name];
          else process.env[name] = value;
        }
      }
    });
  });
});
