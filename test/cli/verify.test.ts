// `spikeloom verify` on good, disturbed and damaged fixtures.
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { type Verification, verify } from '../../lib/cli/verify/verify.ts';
import { openSafetensors, type SafetensorsTensor, writeSafetensors } from '../../lib/core/safetensors.ts';
import { failure } from '../support/failure.ts';
import { root, spikeloom } from './spawn.ts';

const golden = join(root, 'test/golden');
const files = readdirSync(golden).filter((name) => /^(lif|fsta|network|training)-/.test(name));

interface Parts {
  tensors: Record<string, SafetensorsTensor>;
  metadata: Record<string, string>;
}

/** A copy of a golden fixture, changed. */
async function changed(folder: string, file: string, change: (parts: Parts) => void): Promise<string> {
  const fixture = openSafetensors(join(golden, file));
  const tensors = Object.fromEntries(
    [...fixture.entries].map(([name, { dtype, shape }]) => [name, { dtype, shape, data: fixture.read(name) }]),
  );
  const parts = { tensors, metadata: { ...fixture.metadata } };
  fixture.close();
  change(parts);
  const path = join(folder, `changed-${file}`);
  await writeSafetensors(path, parts.tensors, parts.metadata);
  return path;
}

function configure(parts: Parts, change: Record<string, unknown>): void {
  parts.metadata.config = JSON.stringify({ ...JSON.parse(parts.metadata.config!), ...change });
}

const failed = ({ results }: Verification): string[] => results.filter(({ ok }) => !ok).map(({ name }) => name);

describe('spikeloom verify', () => {
  let folder = '';
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'spikeloom-'));
  });
  after(() => rmSync(folder, { recursive: true }));

  for (const file of files) {
    it(`passes ${file} in f64`, async () => {
      const { ok, results } = await verify(join(golden, file));
      expect(ok, JSON.stringify(results.filter((result) => !result.ok))).to.equal(true);
      expect(Math.max(...results.map(({ error }) => error))).to.be.below(1e-11);
    });
  }

  for (const file of files.filter((name) => /^(lif|fsta)-/.test(name))) {
    it(`passes ${file} in f32`, async () => {
      const { ok, results, leftOut } = await verify(join(golden, file), { dtype: 'f32' });
      expect(ok, JSON.stringify(results)).to.equal(true);
      if (leftOut) expect(leftOut).to.deep.equal({ flipped: 0, onEdge: 0 }); // these fixtures keep 1e-5 from every jump
    });
  }

  it('reports as JSON with status 0, and 1 for a disturbed gradient', async () => {
    const disturbed = await changed(folder, 'network-resnet20.safetensors', ({ tensors }) => {
      const { data } = tensors['grad.layer1.0.relu1.dct.beta']!;
      data[0] = (data[0] as number) * (1 + 1e-8);
    });
    const good = spikeloom(['verify', join(golden, 'fsta-hidden.safetensors'), '--dtype', 'f32', '--json']);
    const [passed, refused, text] = await Promise.all([
      good,
      spikeloom(['verify', disturbed, '--json']),
      spikeloom(['verify', disturbed]),
    ]);
    expect(passed.status).to.equal(0);
    const report = JSON.parse(passed.stdout);
    expect(report).to.include({ kind: 'fsta', dtype: 'f32', device: 'cpu', tolerance: 1e-4, ok: true });
    expect(report.results.map(({ name }: { name: string }) => name)).to.include.members([
      'y',
      'grad.x',
      'grad.fc_t.weight',
    ]);
    expect(refused.status).to.equal(1);
    const bad = JSON.parse(refused.stdout).results.filter(({ ok }: { ok: boolean }) => !ok);
    expect(bad).to.have.length(1);
    expect(bad[0].name).to.equal('grad.layer1.0.relu1.dct.beta');
    expect(bad[0].relative_error).to.be.closeTo(1e-8, 1e-10);
    expect(text.status).to.equal(1);
    expect(text.stdout)
      .to.match(/grad\.layer1\.0\.relu1\.dct\.beta +1\.00e-8 +FAIL/)
      .and.not.contain('\x1b');
  });

  it('finds one wrong spike, one wrong loss, a number that is none', async () => {
    const spike = await changed(folder, 'lif-default.safetensors', ({ tensors }) => {
      const { data } = tensors.y!;
      data[7] = 1 - (data[7] as number);
    });
    expect(failed(await verify(spike))).to.deep.equal(['y']);
    expect(failed(await verify(spike, { dtype: 'f32' }))).to.include('y');
    const loss = await changed(folder, 'training-resnet19.safetensors', ({ tensors }) => {
      tensors.losses!.data[3]! = (tensors.losses!.data[3] as number) + 1e-7;
    });
    expect(failed(await verify(loss))).to.deep.equal(['losses']);
    const nan = await changed(folder, 'fsta-t1.safetensors', ({ tensors }) => {
      tensors['grad.x']!.data[0] = Number.NaN;
    });
    expect(failed(await verify(nan))).to.deep.equal(['grad.x']);
  });

  it('leaves out in f32, and counts, a neuron whose membrane rounds across the threshold', async () => {
    const path = await changed(folder, 'lif-t1.safetensors', ({ tensors }) => {
      // 1/2 + 1e-9 fires in f64; in f32 it is 1/2, which does not
      tensors.x!.data[4] = 0.5 + 1e-9;
      tensors.y!.data[4] = 1;
      const slope = 1 / (2 * Math.tanh(0.5));
      tensors['grad.x']!.data[4] = (tensors.gy!.data[4] as number) * slope;
    });
    expect((await verify(path)).ok).to.equal(true);
    const { ok, leftOut } = await verify(path, { dtype: 'f32' });
    expect(ok).to.equal(true);
    expect(leftOut).to.deep.equal({ flipped: 1, onEdge: 0 });
  });

  it('refuses networks in f32 and says why', async () => {
    for (const file of ['network-resnet20.safetensors', 'training-resnet20.safetensors']) {
      expect((await failure(verify(join(golden, file), { dtype: 'f32' }))).message).to.match(/f64 only.*flips a spike/);
    }
  });

  const wrong: { what: string; file: string; change: (parts: Parts) => void; says: RegExp }[] = [
    {
      what: 'a missing gradient',
      file: 'fsta-t1',
      change: ({ tensors }) => delete tensors['grad.beta'],
      says: /'grad.beta', but it is missing/,
    },
    {
      what: 'a missing parameter',
      file: 'network-resnet20-plain',
      change: ({ tensors }) => delete tensors['param.fc.conv.bias'],
      says: /'param.fc.conv.bias', but it is missing/,
    },
    {
      what: 'a tensor too many',
      file: 'lif-t1',
      change: ({ tensors }) => {
        tensors['grad.z'] = tensors.x!;
      },
      says: /do not belong to a 'lif' fixture.*grad.z/,
    },
    {
      what: 'another shape',
      file: 'lif-t1',
      change: ({ tensors }) => {
        tensors.gy = { ...tensors.gy!, shape: [tensors.gy!.data.length] };
      },
      says: /'gy' has the shape/,
    },
    {
      what: 'a huge width',
      file: 'network-resnet20',
      change: (parts) => configure(parts, { width: 4096 }),
      says: /has the shape \[4096|2\^31/,
    },
    {
      what: 'a huge number of steps',
      file: 'network-resnet20',
      change: (parts) => configure(parts, { steps: 1e9 }),
      says: /steps/,
    },
    {
      what: 'more updates than losses',
      file: 'training-resnet19',
      change: (parts) => configure(parts, { updates: 999_999 }),
      says: /'losses' has the shape \[999999\]/,
    },
    { what: 'an even basis', file: 'fsta-basis3', change: (parts) => configure(parts, { basis: 2 }), says: /even/ },
    {
      what: 'too large a reduction',
      file: 'fsta-basis3',
      change: (parts) => configure(parts, { reduction: 10 }),
      says: /9 at most/,
    },
    {
      what: 'an unknown network',
      file: 'network-resnet20',
      change: (parts) => configure(parts, { model: 'constructor' }),
      says: /model/,
    },
    { what: 'an unknown key', file: 'lif-t1', change: (parts) => configure(parts, { reset: 'soft' }), says: /reset/ },
    {
      what: 'a label outside of the classes',
      file: 'network-resnet20',
      change: ({ tensors }) => {
        tensors.labels!.data[0] = 1000n;
      },
      says: /classes from 0 to \d+, but one is 1000/,
    },
    {
      what: 'a config that is not JSON',
      file: 'lif-t1',
      change: ({ metadata }) => {
        metadata.config = '{';
      },
      says: /'config' is one JSON object/,
    },
    {
      what: 'another version',
      file: 'lif-t1',
      change: ({ metadata }) => {
        metadata['spikeloom.fixture'] = '2';
      },
      says: /version 1 can be checked/,
    },
    {
      what: 'an unknown kind',
      file: 'lif-t1',
      change: ({ metadata }) => {
        metadata.kind = 'toString';
      },
      says: /kinds of fixtures are lif, fsta, network, training/,
    },
    { what: 'single operations', file: 'op-cosine', change: () => {}, says: /kind 'op'.*test suite/ },
  ];
  for (const { what, file, change, says } of wrong) {
    it(`refuses ${what}`, async () => {
      const path = await changed(folder, `${file}.safetensors`, change);
      const error = await failure(verify(path));
      expect(error.name).to.equal('SpikeloomError');
      expect(error.message).to.match(says);
    });
  }

  it('refuses a file that is cut off, with status 1', async () => {
    const bytes = readFileSync(join(golden, 'lif-t1.safetensors'));
    const path = join(folder, 'cut.safetensors');
    writeFileSync(path, bytes.subarray(0, bytes.length - 100));
    const { status, stdout, stderr } = await spikeloom(['verify', path, '--json']);
    expect(status).to.equal(1);
    expect(JSON.parse(stdout).error).to.equal(stderr.trimEnd().replace('spikeloom: ', ''));
    expect(stderr)
      .to.match(/^spikeloom: .*cut\.safetensors/)
      .and.not.contain('    at ');
  });
});
