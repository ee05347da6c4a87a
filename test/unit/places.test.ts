// Lines that failures name under SPIKELOOM_DEBUG=1, in programs of their own.
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { callerIn } from '../../lib/core/places.ts';

const url = (path: string): string => new URL(`../../${path}`, import.meta.url).href;

/** The package from its sources, and as npm test has built it. */
const ENTRIES = ['lib/index.ts', ...(process.env.SPIKELOOM_TEST_BUILT ? ['dist/index.js'] : [])];

/** Prints three failures of a call, each read in another way. */
const program = (
  entry: string,
): string => `import { crossEntropy, device, ops, recordStep, scope, tensor, zeros } from '${url(entry)}';
const told = (read) => read.then(String, (error) => error.message);
const [cpu, logits, x] = [device('cpu'), zeros([2, 3]), zeros([4])];
const [good, bad] = [Int32Array.of(0, 2), Int32Array.of(0, 7)];
const labels = tensor(bad);
const said = [];
said.push(await told(crossEntropy(logits, labels).item())); // line 7
crossEntropy(logits, labels); // line 8
said.push(await told(cpu.finish()));
labels.set(good);
const step = recordStep(cpu, () => crossEntropy(logits, labels)); // line 11
labels.set(bad);
step.replay();
said.push(await told(step.result.item()));
for (let i = 0; i < 4096; i++) scope(() => ops.relu(x).dispose());
step.replay();
said.push(await told(step.result.item()));
console.log(JSON.stringify(said));
`;

describe('places of failures', () => {
  let folder = '';
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'places-'));
  });
  after(() => rmSync(folder, { recursive: true }));

  /** What the program says from a folder of that name. */
  function failures(entry: string, below: string, debug: string): string[] {
    const file = join(folder, below, 'program.mjs');
    mkdirSync(join(folder, below), { recursive: true });
    writeFileSync(file, program(entry));
    const { stdout, stderr } = spawnSync(process.execPath, ['--import', 'tsx', file], {
      ...{ cwd: fileURLToPath(url('')), encoding: 'utf8', env: { ...process.env, SPIKELOOM_DEBUG: debug } },
    });
    expect(stderr).to.equal('');
    return JSON.parse(stdout);
  }

  for (const entry of ENTRIES) {
    it(`${entry}: name the line of who called, whatever its folder, at every way to read, while it is known`, () => {
      for (const below of ['nn', 'my ops/core']) {
        const said = failures(entry, below, '1');
        const lines = said.map((text) => /^crossEntropy: .* \(at .*program\.mjs:(\d+):\d+\)+$/.exec(text)?.[1]);
        expect(lines, said.join('\n')).to.deep.equal(['7', '8', '11', undefined]);
        expect(said[3])
          .to.match(/^crossEntropy: /)
          .and.not.to.match(/\.mjs|\[call/);
      }
    });
  }

  it("are the first frame outside of the package's own folders that names a file", () => {
    const own = (path: string): string => `    at forward (${url(path)}:1:2)`;
    const user = '    at step (file:///home/me/nn/step.ts:3:4)';
    const between = [
      own('lib/core/op.ts'),
      '    at run.next (<anonymous>)',
      own('dist/nn/net.js'),
      own('lib/ops/lif.ts'),
    ];
    expect(callerIn(['Error', ...between, user, '    at main.ts:5:6'].join('\n'))).to.equal(user.trim());
    expect(callerIn(['Error', own('lib/core/op.ts'), own('lib/optim/sgd.ts'), user].join('\n'))).to.match(/sgd\.ts/);
    expect(callerIn(['Error', ...between].join('\n'))).to.equal('');
  });

  it('are not told without SPIKELOOM_DEBUG', () => {
    const said = failures('lib/index.ts', 'plain', '');
    expect(new Set(said)).to.have.property('size', 1);
    expect(said[0])
      .to.match(/^crossEntropy: /)
      .and.not.to.match(/\.mjs|\[call/);
  });
});
