import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { openSafetensors, type SafetensorsTensor, writeSafetensors } from '../../lib/core/safetensors.ts';
import {
  conv2d,
  define,
  fsta,
  lif,
  loadWeights,
  matchWeights,
  type Net,
  norm,
  plif,
  saveWeights,
} from '../../lib/nn/index.ts';

const small = define('small', () => [conv2d(3, { kernel: 3, name: 'stem' }), norm(), fsta({ basis: 3 }), plif()], {
  defaults: { input: { channels: 1, height: 4, width: 5 } },
});
const released =
  'stem.pool.weight norm1.bn.weight norm1.bn.bias norm1.bn.running_mean norm1.bn.running_var fsta1.alpha fsta1.beta fsta1.t fsta1.s '
    .concat('fsta1.fc_t.weight fsta1.freq_attention.freq_attention.0.weight plif1.logit')
    .split(' ');

/** All numbers of a network, in the order of their names. */
async function content(net: Net): Promise<Record<string, number[]>> {
  const held = [...net.parameters(), ...net.buffers()];
  return Object.fromEntries(
    await Promise.all(held.map(async ({ name, tensor }) => [name, [...(await tensor.array())]])),
  );
}

describe('weights', () => {
  let folder: string;
  let path: string;
  const nets: Net[] = [];
  const make = (seed: number, dtype: 'f32' | 'f64' = 'f32') => {
    const net = small({ seed, dtype });
    nets.push(net);
    return net;
  };

  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'spikeloom-weights-'));
    path = join(folder, 'weights.safetensors');
  });
  afterEach(() => {
    for (const net of nets.splice(0)) net.dispose();
  });
  after(() => rmSync(folder, { recursive: true }));

  /** What a network saved, to be changed and written again. */
  async function saved(net: Net): Promise<Record<string, SafetensorsTensor>> {
    await saveWeights(net, path);
    const file = openSafetensors(path);
    const tensors = [...file.entries.values()].map(({ name, dtype, shape }) => [
      name,
      { dtype, shape, data: file.read(name) },
    ]);
    file.close();
    return Object.fromEntries(tensors);
  }

  it('go to a file under the released names and come back bit by bit', async () => {
    const [from, to] = [make(1), make(2)];
    const before = await content(from);
    expect(await content(to)).to.not.deep.equal(before);
    await saveWeights(from, path, { epoch: '7' });
    const file = openSafetensors(path);
    expect(file.metadata).to.deep.equal({ epoch: '7' });
    expect([...file.names].sort()).to.deep.equal([...released].sort());
    file.close();
    const report = loadWeights(to, path);
    expect(report.loaded).to.have.length(released.length);
    expect(await content(to)).to.deep.equal(before);
  });

  it('are saved as they are at the moment of the call', async () => {
    const [from, to] = [make(1), make(2)];
    const before = await content(from);
    const saved = saveWeights(from, path);
    for (let i = 0; i < 3; i++) {
      for (const { tensor } of [...from.parameters(), ...from.buffers()]) tensor.set(new Float32Array(tensor.size));
      await new Promise(setImmediate);
    }
    await saved;
    loadWeights(to, path);
    expect(await content(to)).to.deep.equal(before);
  });

  it('are converted to the type of the network', async () => {
    const [narrow, wide] = [make(1), make(2, 'f64')];
    await saveWeights(narrow, path);
    loadWeights(wide, path);
    expect(await content(wide)).to.deep.equal(await content(narrow));
    await saveWeights(wide, path);
    const again = make(3);
    loadWeights(again, path);
    expect(await content(again)).to.deep.equal(await content(narrow));
  });

  for (const dtype of ['F16', 'BF16'] as const) {
    it(`are read from ${dtype}`, async () => {
      const net = make(1);
      const tensors = await saved(net);
      for (const tensor of Object.values(tensors)) tensor.dtype = dtype;
      await writeSafetensors(path, tensors);
      const other = make(2);
      loadWeights(other, path);
      const [a, b] = [await content(net), await content(other)];
      for (const [name, values] of Object.entries(a))
        for (const [i, v] of values.entries()) expect(b[name]![i]).to.be.closeTo(v, Math.abs(v) / 128 + 1e-7);
    });
  }

  it('pass over num_batches_tracked and accept our own names', async () => {
    const net = make(1);
    const { 'stem.pool.weight': stem, ...tensors } = await saved(net);
    const count = { dtype: 'I64' as const, shape: [], data: BigInt64Array.of(4n) };
    await writeSafetensors(path, { ...tensors, 'stem.weight': stem!, 'norm1.bn.num_batches_tracked': count });
    const other = make(2);
    expect(loadWeights(other, path).unexpected).to.deep.equal([]);
    expect(await content(other)).to.deep.equal(await content(net));
  });

  it('strict: lists all that does not match and changes nothing', async () => {
    const { 'norm1.bn.bias': _gone, ...tensors } = await saved(make(1));
    tensors['stem.pool.weight'] = { dtype: 'F32', shape: [3, 1, 3, 2], data: new Float32Array(18) };
    tensors['fsta1.t'] = { dtype: 'I32', shape: [1], data: new Int32Array(1) };
    tensors['fc.conv.weight'] = { dtype: 'F32', shape: [1], data: new Float32Array(1) };
    await writeSafetensors(path, tensors);
    const net = make(2);
    const before = await content(net);
    expect(() => loadWeights(net, path)).to.throw(
      /not the weights of small.\n.*missing \(1\): norm1\.bn\.bias\n.*unexpected \(1\): fc\.conv\.weight\n.*\(2\): .*fsta1\.t is I32\[1\].*\[3,1,3,2\].*f32\[3,1,3,3\]/,
    );
    expect(await content(net)).to.deep.equal(before);
    const report = loadWeights(net, path, { strict: false });
    expect(report.missing).to.deep.equal(['norm1.bn.bias']);
    expect(report.unexpected).to.deep.equal(['fc.conv.weight']);
    expect(report.mismatched).to.have.length(2);
    expect(report.loaded).to.have.length(released.length - 3);
    expect(await content(net)).to.not.deep.equal(before);
  });

  it('of a layer whose own name is the released one of another come back', async () => {
    const design = define('twins', () => [
      ...[conv2d(3, { kernel: 3, name: 'a' }), conv2d(3, { kernel: 3, name: 'a.pool' })],
      norm({ name: 'b' }),
      conv2d(3, { kernel: 1, name: 'b.bn' }),
    ]);
    const options = { input: { channels: 3, height: 5, width: 5 } };
    const [from, to] = [1, 2].map((seed) => design({ ...options, seed })) as [Net, Net];
    nets.push(from, to);
    await saveWeights(from, path);
    expect(loadWeights(to, path).loaded).to.include.members(['a.pool.weight', 'a.pool.pool.weight', 'b.bn.weight']);
    expect(await content(to)).to.deep.equal(await content(from));
  });

  it('a damaged or absent file changes nothing', async () => {
    const net = make(1);
    const before = await content(net);
    expect(() => loadWeights(net, join(folder, 'none.safetensors'))).to.throw(/cannot open/);
    expect(existsSync(join(folder, 'none.safetensors'))).to.equal(false);
    expect(await content(net)).to.deep.equal(before);
  });

  it('two names for one tensor are no match', () => {
    const net = make(1);
    const entry = { dtype: 'F32', shape: [3, 1, 3, 3] };
    const entries = new Map([['stem.weight', entry]].concat([['stem.pool.weight', entry]]) as [string, typeof entry][]);
    const { report, pairs } = matchWeights(net, entries);
    expect(report.unexpected).to.deep.equal(['stem.pool.weight']);
    expect(pairs).to.have.length(1);
  });
});

describe('start values', () => {
  it('depend on seed and name, not on the layers beside', async () => {
    const design = (more: boolean) =>
      define('d', () => [...(more ? [norm(), lif()] : []), conv2d(4, { kernel: 3 }), fsta()], {
        defaults: { input: { channels: 2, height: 5, width: 5 } },
      });
    const [a, b, c] = [design(false)({ seed: 5 }), design(true)({ seed: 5 }), design(false)({ seed: 6 })];
    const [one, two, other] = await Promise.all([a, b, c].map(content));
    expect(two!['conv1.weight']).to.deep.equal(one!['conv1.weight']);
    expect(two!['fsta1.freq1']).to.deep.equal(one!['fsta1.freq1']);
    expect(other!['conv1.weight']).to.not.deep.equal(one!['conv1.weight']);
    for (const net of [a, b, c]) net.dispose();
  });

  it('have the published spread', async () => {
    const net = define('d', () => [conv2d(40, { kernel: 5 }), fsta(), plif({ decay: 0.2 })], {
      defaults: { steps: 9 },
    })({ seed: 1, dtype: 'f64' });
    const values = await content(net);
    const spread = (name: string) => Math.sqrt(values[name]!.reduce((s, v) => s + v * v, 0) / values[name]!.length);
    expect(spread('conv1.weight')).to.be.closeTo(Math.sqrt(2 / (25 * 40)), 0.03 * Math.sqrt(2 / 1000));
    expect(Math.max(...values['fsta1.time']!.map(Math.abs))).to.be.within(0.9 / 3, 1 / 3);
    expect(Math.max(...values['fsta1.freq1']!.map(Math.abs))).to.be.within(0.98 / 49, 1 / 49);
    expect(['alpha', 'beta', 'm', 'n'].map((role) => values[`fsta1.${role}`])).to.deep.equal([
      [0.5],
      [0.5],
      [0.6],
      [0.5],
    ]);
    expect(1 / (1 + Math.exp(-values['plif1.logit']![0]!))).to.be.closeTo(0.2, 1e-15);
    net.dispose();
  });
});
