// Networks with layers of the user's own: what they compute, keep and free, and what is refused in a pass.
import { constants as limits } from 'node:buffer';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import {
  backward,
  cudaBackend,
  device,
  keep,
  noGrad,
  OutOfMemoryError,
  scope,
  type Tensor,
  tensor,
} from '../../lib/core/index.ts';
import { openSafetensors } from '../../lib/core/safetensors.ts';
import {
  avgPool2d,
  conv2d,
  dropout,
  globalAvgPool,
  type Layer,
  layer,
  lif,
  linear,
  loadWeights,
  meanOverTime,
  norm,
  residual,
  saveWeights,
  stage,
} from '../../lib/nn/index.ts';
import * as ops from '../../lib/ops/index.ts';
import { testDevices } from '../support/devices.ts';
import { messageOf } from '../support/failure.ts';
import { noise, toDevice } from '../support/op-table.ts';
import { channelScale, ownLinear, parallelNeurons, refire, squeezeExcite } from '../support/own-layers.ts';
import { netOf, outputOf, plan, same } from '../support/own-nets.ts';

describe('networks with layers of your own', () => {
  for (const on of testDevices) {
    for (const dtype of ['f32', 'f64'] as const) {
      it(`on ${on} in ${dtype}: neurons that mix time steps equal their equation`, async function () {
        if (on === 'cuda' && (cudaBackend().score === 0 || dtype === 'f64')) this.skip();
        const net = netOf([parallelNeurons()], { steps: 4, dtype, device: on });
        const [w, b] = await Promise.all(
          net.parameters().map(async ({ tensor: t }) => [...(await t.array())].map(Number)),
        );
        const host = noise([4, 2, 3, 6, 5], 4, 2);
        const x = toDevice(host, dtype, on);
        const spikes = noGrad(() => scope(() => ops.toReal(net.eval()(x), { real: dtype })));
        const size = host.data.length / 4;
        const expected = host.data.map((_, at) => {
          const [t, i] = [Math.floor(at / size), at % size];
          const membrane = [0, 1, 2, 3].reduce((sum, s) => sum + w![t * 4 + s]! * host.data[s * size + i]!, b![t]!);
          return Number(membrane > 0.5);
        });
        const found = [...(await spikes.array())].map(Number);
        expect(found.filter((s, i) => s !== expected[i]).length).to.be.at.most(dtype === 'f64' ? 0 : 1);
        expect(found.reduce((sum, s) => sum + s)).to.be.within(10, found.length - 10);
        for (const held of [x, spikes, net]) held.dispose();
      });
    }
  }

  it('compute single steps of an image once, and all of them where a layer needs them', async () => {
    const seen: string[] = [];
    const watching = (overTime: 'each' | 'all') =>
      same(
        {
          overTime,
          forward(x: Tensor, _none: object, { steps, training }: { steps: number; training: boolean }) {
            seen.push(`${overTime} ${x.shape[0]} of ${steps}, ${training}`);
            return ops.scale(x, 2);
          },
        },
        overTime,
      );
    const [each, all] = [watching('each'), watching('all')];
    const head = [lif(), globalAvgPool(), linear(4)];
    const once = await outputOf(netOf([each(), ...head], { steps: 3 }));
    expect(once).to.deep.equal(await outputOf(netOf([all(), ...head], { steps: 3 })));
    expect(once.shape).to.deep.equal([3, 2, 4]);
    await outputOf(netOf([all(), each()], { steps: 3 }));
    expect(seen).to.deep.equal(['each 1 of 3, false', 'all 3 of 3, false', 'all 3 of 3, false', 'each 3 of 3, false']);
  });

  it('end with one without time, and go on behind meanOverTime()', async () => {
    const last = same({ output: () => ({ timed: false }), forward: (x: Tensor) => ops.mean(x, { axes: [0] }) }, 'last');
    const head = [globalAvgPool(), linear(4, { name: 'fc' })];
    const expected = await outputOf(netOf([...head, meanOverTime()]));
    expect(await outputOf(netOf([...head, last()]))).to.deep.equal(expected);
    const behind = same({ forward: (x: Tensor) => ops.scale(x, 2) }, 'behind');
    const { shape, data } = await outputOf(netOf([...head, meanOverTime(), behind(), ownLinear({ features: 2 })]));
    expect(shape).to.deep.equal([2, 2]);
    expect(data.some((v) => v !== 0)).to.equal(true);
  });

  it('count the spikes of neurons, not those that are passed on', () => {
    const mirror = layer({
      kind: 'mirror',
      output: () => ({ spikes: true }),
      neurons: false,
      overTime: 'each',
      forward: (x) => ops.reshape(x, x.shape),
    });
    using net = netOf([lif(), mirror(), parallelNeurons(), refire()]);
    net.trackFiring = true;
    const x = toDevice(noise([2, 3, 6, 5], 4), 'f32', 'cpu');
    noGrad(() => scope(() => void net(x)));
    expect(net.firing.map(({ name }) => name)).to.deep.equal(['lif1', 'parallelNeurons1', 'refire1']);
    x.dispose();
  });

  it('hold constants, of every type, and do not save them', async () => {
    const mask = layer({
      kind: 'mask',
      constants: ({ input: { shape } }) => ({
        rows: { shape, values: () => Array.from({ length: shape[0]! * shape[1]! * shape[2]! }, (_, i) => i % 2) },
      }),
      forward: (x, { rows }) => ops.mul(x, ops.expand(rows, x.shape)),
    });
    for (const dtype of ['f32', 'f64'] as const) {
      const net = netOf([mask()], { dtype });
      expect([net.parameters(), net.buffers()]).to.deep.equal([[], []]);
      const { data } = await outputOf(net);
      const plain = await outputOf(netOf([same()()], { dtype }));
      expect(data).to.deep.equal(plain.data.map((v, i) => v * (i % 2)));
    }
    const wrong = (values: () => unknown) => same({ constants: () => ({ rows: { shape: [2], values } }) }, 'wrong');
    for (const [values, shown] of [
      [() => [1, 2, 3], '[1,2,3]'],
      [() => [1, 'a'], '[1,"a"]'],
      [() => undefined, 'undefined'],
      [() => 'ab', '"ab"'],
    ] as const)
      expect(messageOf(() => netOf([wrong(values)()]))).to.equal(
        `wrong1 (wrong): 'values' of 'rows' of constants() gives 2 numbers, not ${shown}`,
      );
  });

  it('are not made where a constant is none, and leave nothing behind', () => {
    const { handles } = device().stats();
    const refused = (values: () => unknown) => {
      const constants = () => ({ rows: { shape: [2], values } });
      const own = same({ constants, parameters: () => ({ w: { shape: [2], init: { std: 1 } } }) }, 'own');
      return messageOf(() => netOf([conv2d(4, { kernel: 3 }), own({ name: 'mine' })]));
    };
    const thrower = () => {
      throw new RangeError('no table');
    };
    expect(refused(thrower)).to.equal('mine (own): no table');
    expect(refused(() => [1, Number.NaN])).to.match(
      /^mine \(own\): 'values' of 'rows' .* but at index 1 NaN; see what/,
    );
    expect(refused(async () => Promise.reject(new Error('late')))).to.match(
      /^mine \(own\): 'values' .* gave a promise/,
    );
    expect(device().stats().handles).to.equal(handles);
    const mask = same({ constants: () => ({ m: { shape: [2], values: () => [0, Number.NEGATIVE_INFINITY] } }) });
    netOf([mask()]).dispose();
  });

  it('are refused by name where their tensors are too large for the memory', function () {
    const big = (shape: number[]) => ({ big: { shape, init: { constant: 0 } } });
    const own = same({ buffers: () => big([2 ** 16, 2 ** 15]) });
    expect(messageOf(() => plan(own(), own()))).to.match(
      /^same2 \(same\): a model has at most 2\^31 parameters, with the elements of buffers .* there are 4294967296; use f/,
    );
    const all = () => ({ c: { shape: [2 ** 16, 2 ** 15], values: () => [] } });
    expect(messageOf(() => plan(same({ constants: all }, 'other')(), own()))).to.match(
      /at most 2\^31 .* are 4294967296; use f/,
    );
    if (limits.MAX_LENGTH > 2 ** 33) this.skip(); // a Node.js that has buffers of this size
    expect(() => netOf([own()])).to.throw(OutOfMemoryError, /largest tensor .* there is none of 8589934592 bytes/);
  });

  it('may give a tensor that they hold: a pass frees it not, and a gradient reaches it', async () => {
    const bias = layer({
      kind: 'bias',
      parameters: ({ input, steps }) => ({ w: { shape: [steps, 1, ...input.shape], init: { constant: 2 } } }),
      forward: (_x, { w }) => w,
    });
    using net = netOf([bias(), globalAvgPool()]);
    const x = toDevice(noise([1, 3, 6, 5], 4), 'f32', 'cpu');
    for (let pass = 0; pass < 2; pass++) {
      const y = noGrad(() => scope(() => net(x)));
      expect([...(await y.array())]).to.deep.equal(Array(6).fill(2));
      y.dispose();
    }
    scope(() => backward(ops.mean(net(x))));
    const [w] = net.parameters();
    const gradient = [...(await w!.tensor.grad!.array())].map(Number);
    expect(gradient.reduce((sum, g) => sum + g)).to.be.closeTo(1, 1e-5);
    x.dispose();
  });

  for (const [whence, give] of Object.entries({
    'that is theirs from before': (kept: Tensor) => () => kept,
    'that they keep since their first pass': () => {
      let kept: Tensor | undefined;
      return (x: Tensor) => {
        kept ??= keep(ops.shift(x, 0));
        return kept;
      };
    },
    'that they were given': () => (x: Tensor) => x,
  })) {
    it(`may give a tensor ${whence}: a pass frees it not, first, last or between layers`, async () => {
      const x = toDevice(noise([2, 1, 3, 6, 5], 4), 'f32', 'cpu');
      const kept = toDevice(noise([2, 1, 3, 6, 5], 4), 'f32', 'cpu');
      const scaled = [...(await x.array())].map((value) => 2 * Number(value));
      const twice = () => same({ forward: (t: Tensor) => ops.scale(t, 2) }, 'twice')();
      for (const at of [0, 1]) {
        const own = same({ forward: give(kept) })();
        using net = netOf(at === 0 ? [own, twice()] : [twice(), own]);
        const handles = device().stats().handles;
        for (let pass = 0; pass < 3; pass++) {
          const y = noGrad(() => net(x));
          const numbers = [...(await y.array())].map(Number);
          y.dispose();
          if (at === 0 || whence.endsWith('given')) expect(numbers).to.deep.equal(scaled);
          expect(numbers.some((value) => value !== 0)).to.equal(true);
          await x.array();
          await kept.array();
        }
        const more = device().stats().handles - handles;
        expect(more, 'handles').to.equal(whence.endsWith('pass') ? 1 : 0);
      }
      for (const held of [x, kept]) held.dispose();
    });
  }

  it('save and load their tensors under path and role', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'own-layers-'));
    try {
      const layers = [squeezeExcite(), residual({ body: [channelScale({ name: 'scale' })] }), globalAvgPool()];
      using saved = netOf(layers, { seed: 1 });
      const path = join(folder, 'w.safetensors');
      await saveWeights(saved, path);
      const file = openSafetensors(path);
      expect([...file.entries.keys()]).to.have.members(saved.parameters().map(({ name }) => name));
      expect([...file.entries.keys()]).to.include('residual1.scale.weight');
      file.close();
      const other = netOf(layers, { seed: 2 });
      loadWeights(other, path);
      expect(await outputOf(other)).to.deep.equal(await outputOf(netOf(layers, { seed: 1 })));
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('show their layers, and stand as attention and neurons in stages', async () => {
    const net = netOf([
      conv2d(4, { kernel: 3 }),
      ...stage(4, { blocks: 1, attention: squeezeExcite({ reduction: 2 }), neuron: parallelNeurons() }),
      globalAvgPool(),
    ]);
    const seen: string[] = [];
    net.onLayer = (path, y) => void seen.push(`${path} ${y.dtype}`);
    net.trackFiring = true;
    const x = toDevice(noise([2, 3, 6, 5], 4), 'f32', 'cpu');
    noGrad(() => scope(() => void net.eval()(x)));
    expect(seen).to.include.members(['stage4.0.relu1.dct f32', 'stage4.0.relu1 spike', 'stage4.0.relu2 spike']);
    const counts = net.firing.map(({ name, neurons }) => `${name} ${neurons}`);
    expect(counts).to.deep.equal(['stage4.0.relu1 120', 'stage4.0.relu2 120']);
    for (const held of [x, net]) held.dispose();
  });

  const c = () => [conv2d(8, { kernel: 3 }), norm()];
  const bodies: Record<string, Layer[]> = {
    'in front of a convolution': [channelScale(), ...c(), lif()],
    'neurons in front of a convolution': [refire(), ...c(), lif()],
    'first in a branch beside the identity': [residual({ body: [channelScale(), ...c()] }), lif()],
    'neurons first in a branch': [residual({ body: [refire(), ...c()] }), lif()],
    'a convolution of its own first in a branch': [residual({ body: [convolution(), ...c()] }), lif()],
    'first in a branch beside a convolution': [residual({ body: [channelScale(), ...c()], shortcut: c() }), lif()],
    'between two convolutions': [residual({ body: [...c(), lif(), channelScale(), ...c()] }), lif()],
    'neurons between two convolutions': [residual({ body: [...c(), lif(), refire(), ...c()] }), lif()],
    'behind an average': [avgPool2d(2), channelScale(), residual({ body: c() }), lif()],
    'between norm and neurons': [...c(), squeezeExcite(), lif()],
  };
  for (const [name, body] of Object.entries(bodies)) {
    it(`bf16: ${name}, the gradients are near those of fp32`, async () => {
      const gradients = async (precision: 'fp32' | 'bf16') => {
        const net = netOf([...c(), lif(), ...body, globalAvgPool(), linear(3), meanOverTime()], {
          precision,
          steps: 3,
        });
        const x = toDevice(noise([8, 3, 6, 5], 4, 2), 'f32', 'cpu');
        scope(() => backward(ops.crossEntropy(net(x), tensor(Int32Array.from([0, 1, 2, 0, 1, 2, 0, 1])))));
        const all = await Promise.all(net.parameters().map(async ({ tensor: { grad } }) => [...(await grad!.array())]));
        for (const held of [x, net]) held.dispose();
        return all.map((values) => values.map(Number));
      };
      const [full, rounded] = [await gradients('fp32'), await gradients('bf16')];
      const length = (values: number[]) => Math.hypot(...values);
      for (const [i, expected] of full.entries()) {
        const off = length(expected.map((v, j) => v - rounded[i]![j]!)) / length(expected);
        // spikes flip, of which the head sees the means
        expect(off, `parameter ${i}`).to.be.below(i < full.length - 2 ? 0.9 : 0.12);
      }
    });
  }

  it('refuse what forward() gives where it is not what output() says', () => {
    const x = tensor(new Float32Array(2 * 3 * 6 * 5), { shape: [2, 3, 6, 5] });
    const says = (forward: (x: Tensor) => unknown, more: object = {}) => {
      using net = netOf([same({ forward, ...more })({ name: 'mine' })]);
      return messageOf(() => scope(() => void net(x)));
    };
    const rule = 'mine (same): forward() gives f32[2,2,3,6,5], an image [3,6,5] as output() says, but it gave';
    expect(says((y) => ops.mean(y, { axes: [3, 4] }))).to.equal(`${rule} f32[2,2,3]; make the two agree`);
    expect(says((y) => ops.lif(y))).to.equal(`${rule} spike[2,2,3,6,5]; make the two agree`);
    expect(says(() => undefined)).to.equal(`${rule} undefined; make it of x by ops`);
    expect(says(async (y) => y)).to.match(/but it gave a promise; it must not be async/);
    expect(says(async () => Promise.reject(new Error('late')))).to.match(/but it gave a promise/);
    const spiking = { output: () => ({ spikes: true }) };
    expect(says((y) => y, spiking)).to.match(/gives spike\[2,2,3,6,5\], .* but it gave f32\[2,2,3,6,5\]/);
    const timeless = { output: () => ({ timed: false }) };
    expect(says((y) => y, timeless)).to.match(/gives f32\[2,3,6,5\], .* but it gave f32\[2,2,3,6,5\]/);
    expect(says(() => ops.relu(undefined as never))).to.match(/^relu: 'x' is missing/);
    x.dispose();
  });

  it('drop as dropout() does, by the counter and the seed of their place', async () => {
    const own = layer({
      kind: 'drop',
      forward: (x, _none, { counter, seed, training }) => (training ? ops.dropout(x, counter, { p: 0.5, seed }) : x),
    });
    const x = toDevice(noise([2, 3, 6, 5], 4), 'f32', 'cpu');
    const passes = async (made: Layer) => {
      using net = netOf([{ ...made, name: 'here' }]);
      const outputs = [net(x), net(x)];
      const numbers = await Promise.all(outputs.map(async (y) => [...(await y.array())]));
      for (const y of outputs) if (y !== x) y.dispose();
      return numbers;
    };
    const [first, second] = await passes(own());
    expect([first, second]).to.deep.equal(await passes(dropout(0.5)));
    expect(first).to.not.deep.equal(second);
    x.dispose();
  });
});

/** A convolution that is in no group. */
function convolution(): Layer {
  const own = layer({
    kind: 'own',
    parameters: ({ input: { shape } }) => ({
      weight: { shape: [shape[0]!, shape[0]!, 3, 3], init: { std: (9 * shape[0]!) ** -0.5 } },
    }),
    forward: (x, { weight }) => ops.conv2d(x, weight, { padding: 1 }),
  });
  return own();
}
