// Layers of the user's own: what their definitions may say, what plans, JSON and networks make of them, and what is
// refused. test/train/own-layers.test.ts trains them.
import { constants as limits } from 'node:buffer';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { z } from 'zod';
import {
  backward,
  cudaBackend,
  device,
  noGrad,
  OutOfMemoryError,
  SpikeloomError,
  scope,
  type Tensor,
  tensor,
} from '../../lib/core/index.ts';
import { openSafetensors } from '../../lib/core/safetensors.ts';
import {
  avgPool2d,
  conv2d,
  dropout,
  flatten,
  globalAvgPool,
  type Layer,
  type LayerDefinition,
  layer,
  lif,
  linear,
  loadWeights,
  ModelPlan,
  meanOverTime,
  Net,
  type NetOptions,
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

const input = { channels: 3, height: 6, width: 5 };
const json = (layers: readonly unknown[], steps = 2) =>
  ({ format: 'spikeloom-model', version: 1, model: 'own', steps, input, layers }) as const;
const plan = (...layers: Layer[]) => new ModelPlan(json(layers));
const netOf = (layers: Layer[], options: NetOptions & { steps?: number } = {}) => {
  const { steps, ...rest } = options;
  return new Net(new ModelPlan(json(layers, steps)), { seed: 3, ...rest });
};
const any = (value: unknown) => value as never;

/** A layer that gives x, but for what is said otherwise. */
const same = (more: object = {}, kind = 'same') =>
  layer({ kind, forward: (x: Tensor) => x, ...more } as LayerDefinition<Record<string, unknown>>);

/** Output of a network in evaluation, for noise, as numbers. */
async function outputOf(net: Net, batch = 2): Promise<{ shape: readonly number[]; data: number[] }> {
  const x = toDevice(noise([batch, 3, 6, 5], 4), net.dtype, net.device.name);
  const y = noGrad(() => scope(() => net.eval()(x)));
  const made = { shape: y.shape, data: [...(await y.array())].map(Number) };
  for (const held of [x, y, net]) held.dispose();
  return made;
}

describe('layer()', () => {
  const forward = (x: Tensor) => x;
  for (const [name, definition, message] of [
    ['nothing', undefined, /^layer\(\): 'definition' is an object, not undefined$/],
    ['no kind', { forward }, /'kind' is a name of up to 60 letters, .*, not undefined$/],
    ['a kind with a dot', { kind: 'a.b', forward }, /'kind' is a name .*, not "a.b"$/],
    ['the kind of a built-in layer', { kind: 'lif', forward }, /^layer\(\) of lif: there is a built-in layer of this/],
    ['neurons that are a number', { kind: 'a', forward, neurons: 3 }, /'neurons' is true or false, not 3$/],
    ['no forward()', { kind: 'a' }, /^layer\(\) of a: 'forward' is a function, not undefined$/],
    [
      'an output that is none',
      { kind: 'a', forward, output: [3] },
      /^layer\(\) of a: 'output' is a function, not Array$/,
    ],
    [
      'a misspelled function',
      { kind: 'a', forward, parameter: () => ({}) },
      /no option parameter; .*did you mean 'param/,
    ],
    ['another overTime', { kind: 'a', forward, overTime: 'one' }, /'overTime' is 'each' or 'all', not "one"$/],
    [
      'a setting named kind',
      { kind: 'a', forward, settings: { kind: 1 } },
      /no setting may be named 'kind', which every/,
    ],
    ['a setting named name', { kind: 'a', forward, settings: z.object({ name: z.string() }) }, /named 'name'/],
    [
      'a schema of another library',
      { kind: 'a', forward, settings: { _def: {}, parse: forward } },
      /^layer\(\) of a: a schema of settings is a z.object\(\) of zod 4.1 or later/,
    ],
    ['settings that are none', { kind: 'a', forward, settings: 3 }, /^layer\(\) of a: 'settings' is an object, not 3$/],
    [
      'a default that is a function',
      { kind: 'a', forward, settings: { b: forward } },
      /plain data .* 'settings' of layer\(\) of a.b is a f/,
    ],
  ] as const) {
    it(`refuses ${name}`, () => expect(messageOf(() => layer(any(definition)))).to.match(message));
  }

  it('fills in defaults, and refuses what they are not', () => {
    const own = same({ settings: { gain: 2, mode: 'a', taps: [1, 2], on: true, none: null } });
    const [filled] = plan(own({ gain: 3, mode: undefined, name: 'x' })).layers;
    expect(filled!.layer).to.deep.equal({
      kind: 'same',
      name: 'x',
      gain: 3,
      mode: 'a',
      taps: [1, 2],
      on: true,
      none: null,
    });
    const refused = (settings: object) => messageOf(() => plan(own(any(settings))));
    expect(refused({ gain: '3' })).to.equal('[0] (same): \'gain\' must be of type number, but is "3"');
    expect(refused({ gain: Number.NaN })).to.match(/'gain' must be of type number, but is NaN/);
    expect(refused({ on: 1 })).to.match(/'on' must be of type boolean, but is 1/);
    expect(refused({ gian: 1 })).to.match(/there is no option "gian"; the options are gain, .* did you mean 'gain'\?/);
    expect(refused({ name: 'a..b' })).to.match(/'name' must be letters, digits and _/);
    expect(refused({ taps: 'ab' })).to.match(/'taps' must be of type array, but is "ab"/);
    expect(refused({ taps: { 0: 1 } })).to.match(/'taps' must be of type array/);
    expect(refused({ none: () => 1 })).to.match(/the settings of same are plain data .* settings.none is a function/);
    expect(messageOf(() => own(any(3)))).to.equal("same(): 'settings' is an object, not 3");
  });

  it('takes a schema for settings without default and for rules', () => {
    const settings = z
      .object({ low: z.number().default(0), high: z.number() })
      .refine(({ low, high }) => low < high, "has 'low' below 'high'");
    const own = layer({ kind: 'clip', settings, forward: (x, _none, { settings: { low } }) => ops.shift(x, low) });
    expect(plan(own({ high: 2 })).layers[0]!.layer).to.deep.equal({ kind: 'clip', low: 0, high: 2 });
    expect(messageOf(() => plan(own({ high: -1 })))).to.match(/^\[0\] \(clip\): it has 'low' below 'high'/);
    expect(messageOf(() => plan(own({ high: 2, other: 1 } as never)))).to.match(/there is no option "other"/);
    // @ts-expect-error a setting without default must be given
    expect(messageOf(() => plan(own()))).to.match(/'high' must be of type number, but is undefined/);
  });

  it('refuses a schema that makes other settings of those it made, for JSON is read by it', () => {
    const planned = (settings: z.ZodObject, given: object) => plan(same({ settings })(any({ name: 'amp', ...given })));
    const fixed = z.object({ db: z.number().transform((v) => 10 ** (v / 20)) });
    const said = messageOf(() => planned(fixed, { db: 6 }));
    expect(said).to.match(
      /^amp \(same\): a schema gives the settings .* changes or refuses its own 'db'; let it check/,
    );
    const text = z.object({ gain: z.number().transform(String), rest: z.number().default(1) });
    expect(messageOf(() => planned(text, { gain: 2 }))).to.match(/changes or refuses its own 'gain'; let/);
    const deep = z.object({ taps: z.object({ all: z.array(z.number().transform((v) => v + 1)) }) });
    expect(messageOf(() => planned(deep, { taps: { all: [1] } }))).to.match(/its own 'taps'; let/);
    const settled = z.object({ mode: z.string().trim().toLowerCase(), more: z.object({ a: z.any().optional() }) });
    const [found] = planned(settled, { mode: ' A ', more: { a: undefined } }).layers;
    expect(found!.layer).to.deep.equal({ kind: 'same', name: 'amp', mode: 'a', more: {} });
  });

  it('refuses a schema that is async, or throws', () => {
    const refused = (rule: (v: number) => unknown) => {
      const settings = z.object({ gain: z.number().refine(rule) });
      return messageOf(() => plan(same({ settings })(any({ gain: 1, name: 'amp' }))));
    };
    expect(refused(async () => true)).to.match(/^amp \(same\): a schema .* is async; make its rules synchronous$/);
    const thrower = () => {
      throw new RangeError('no table for 1');
    };
    expect(refused(thrower)).to.equal('amp (same): its schema of settings fails: no table for 1');
  });

  it('copies settings and defaults: what is written to them later changes no layer', () => {
    const taps = { all: [[1], [2]] };
    const defaults = { taps, list: [[0]] };
    const own = same({ settings: defaults });
    const sweep = { taps: structuredClone(taps), list: [[5]] };
    const [made, filled] = [own(sweep), own()];
    const early = plan(made, filled);
    sweep.taps.all[0]![0] = 9;
    sweep.list[0]![0] = 9;
    taps.all[1]![0] = 9;
    defaults.list[0]![0] = 9;
    for (const found of [early, plan(made, filled)]) {
      expect(found.toJSON().layers).to.deep.equal([
        { kind: 'same', taps: { all: [[1], [2]] }, list: [[5]] },
        { kind: 'same', taps: { all: [[1], [2]] }, list: [[0]] },
      ]);
    }
    const read = { kind: 'same', taps: { all: [[3]] } };
    const given = new ModelPlan(json([read]), { layers: [own] });
    read.taps.all[0]![0] = 9;
    expect(given.toJSON().layers[0]).to.deep.include({ taps: { all: [[3]] } });
    (given.toJSON().layers[0] as unknown as typeof read).taps.all[0]![0] = 9;
    expect(given.toJSON().layers[0]).to.deep.include({ taps: { all: [[3]] } });
    const circle: { self?: unknown } = {};
    circle.self = circle;
    expect(messageOf(() => plan(own(any({ taps: circle }))))).to.match(/the settings of same .* holds itself/);
  });

  it('knows the types of settings and tensors', () => {
    layer({
      kind: 'typed',
      settings: { gain: 1 },
      parameters: () => ({ weight: { shape: [1], init: { constant: 1 } } }),
      // @ts-expect-error there is no tensor of this role
      forward: (_x, { wieght }) => wieght,
    });
    // @ts-expect-error the setting is a number
    squeezeExcite({ reduction: '4' });
  });
});

describe('plans of layers of your own', () => {
  it('have their shapes, parameters, neurons and multiply-accumulates, beside those of others', () => {
    const layers = [
      ...[conv2d(8, { kernel: 3 }), norm(), squeezeExcite({ reduction: 2 }), lif()],
      residual({ body: [channelScale(), squeezeExcite({ name: 'gate' })] }),
      ...[parallelNeurons(), parallelNeurons(), flatten(), ownLinear({ features: 4 })],
    ];
    const found = plan(...(layers as Layer[]));
    const rows = new Map(found.summary().rows.map((row) => [row.path, row]));
    expect(rows.get('squeezeExcite1')).to.include({ kind: 'squeezeExcite', parameters: 64, macs: 0, neurons: 0 });
    expect(rows.get('residual1.channelScale1')).to.deep.include({ shape: [8, 6, 5], parameters: 8 });
    expect(rows.get('parallelNeurons2')).to.include({ parameters: 6, neurons: 240, macs: 2 * 240 });
    expect(rows.get('ownLinear1')).to.deep.include({ shape: [4], parameters: 4 * 240 + 4, macs: 4 * 240 });
    const { uncounted, totals } = found.summary();
    expect(uncounted).to.deep.equal(['squeezeExcite1', 'residual1.channelScale1', 'residual1.gate']);
    expect(totals.neuronsPerStep).to.equal(3 * 240);
    const text = String(found.summary());
    expect(text).to.match(/^squeezeExcite1 +squeezeExcite +8x6x5 +64 +\? +\d/m);
    expect(text).to.include('MACs/step: ? counts as 0; layers of your own say theirs by macs()');
  });

  it('have multiply-accumulates of one time step where they end the time axis, a share of them behind it', () => {
    const untimed = same({ output: () => ({ timed: false }), macs: () => 60 }, 'ends');
    const behind = same({ macs: () => 60 }, 'behind');
    const { rows, totals } = plan(flatten(), untimed(), behind(), linear(4)).summary();
    expect(rows.map(({ macs }) => macs)).to.deep.equal([0, 60, 30, (4 * 90) / 2]);
    expect(totals.macsPerStep).to.equal(60 + 30 + 180);
  });

  it('take what is thrown for a refusal, and keep it as the cause', () => {
    const reason = new RangeError('needs an even number of channels, but gets 3');
    const odd = same({
      output() {
        throw reason;
      },
    });
    try {
      plan(odd({ name: 'block' }));
      expect.fail('nothing was refused');
    } catch (error) {
      expect(error)
        .to.be.instanceOf(SpikeloomError)
        .and.include({ message: `block (same): ${reason.message}`, cause: reason });
    }
    const thrower = same({
      macs() {
        throw undefined;
      },
    });
    expect(messageOf(() => plan(thrower()))).to.equal('same1 (same): macs() threw undefined');
  });

  const weight = (given: unknown) => ({ parameters: () => ({ weight: given }) });
  const shape = [3];
  const cases: [name: string, more: object, message: RegExp][] = [
    ['an output of numbers alone', { output: () => 3 }, /output\(\) gives an object with any of 'shape', .*, not 3/],
    ['an output that is forgotten', { output: () => undefined }, /any of 'shape', .*, not undefined/],
    ['an output with another key', { output: () => ({ shapes: [3] }) }, /any of 'shape', .*, not "shapes"/],
    ['an output of two sizes', { output: () => ({ shape: [3, 3] }) }, /shape that output\(\) gives is .*, not \[3,3\]/],
    ['an output of no channels', { output: () => ({ shape: [0, 3, 3] }) }, /not \[0,3,3\]/],
    [
      'an output beyond all bounds',
      { output: () => ({ shape: [2 ** 20, 2 ** 20, 1] }) },
      /one sample may make 2\^31 elements/,
    ],
    ['spikes that are no boolean', { output: () => ({ spikes: 1 }) }, /'spikes' of output\(\) is true or false, not 1/],
    ['spikes without time', { output: () => ({ spikes: true, timed: false }) }, /spikes without a time axis/],
    [
      'neurons of single steps',
      { overTime: 'each', output: () => ({ spikes: true }) },
      /makes spikes, .* leave out overT/,
    ],
    [
      'no time of single steps',
      { overTime: 'each', output: () => ({ timed: false }) },
      /ends the time axis, .* leave out/,
    ],
    ['an async output', { output: async () => ({}) }, /output\(\) gave a promise; it must not be async/],
    ['an async output that fails', { output: () => Promise.reject(new Error('late')) }, /output\(\) gave a promise/],
    ['parameters in a list', { parameters: () => [1] }, /a role in parameters\(\) is a name .*; not "0"/],
    [
      'parameters that are none',
      { parameters: () => null },
      /parameters\(\) gives an object of { shape, init } by role, not null/,
    ],
    [
      'a role with a dot',
      { parameters: () => ({ 'a.b': { shape, init: { constant: 1 } } }) },
      /a role in .*; not "a.b"/,
    ],
    ['a role that files skip', { buffers: () => ({ num_batches_tracked: 1 }) }, /a role in buffers\(\) .*files skip/],
    [
      'a parameter that is a shape',
      weight([3]),
      /'weight' of parameters\(\) is an object of { shape, init }, not of { 0 }/,
    ],
    ['a parameter without start', weight({ shape }), /'weight' of parameters\(\) is .*, not of { shape }/],
    ['a parameter without shape', weight({ shape: [], init: { std: 1 } }), /the shape of 'weight' .* not \[\]/],
    ['a parameter of half a row', weight({ shape: [1.5], init: { std: 1 } }), /the shape of 'weight' .* not \[1.5\]/],
    [
      'a parameter beyond all bounds',
      weight({ shape: [2 ** 20, 2 ** 20], init: { std: 1 } }),
      /2\^31 elements at most/,
    ],
    ['a start of two kinds', weight({ shape, init: { std: 1, bound: 1 } }), /the 'init' .*; not { std: 1, bound: 1 }/],
    ['a start of a big number', weight({ shape, init: { constant: 1n } }), /the 'init' .*; not { constant: 1n }/],
    ['a start below 0', weight({ shape, init: { std: -1 } }), /the 'init' .*; not { std: -1 }/],
    ['a start that is a number', weight({ shape, init: 1 }), /the 'init' .*; not 1/],
    [
      'constants without function',
      { constants: () => ({ c: { shape, values: [1] } }) },
      /'values' of 'c' .* function .*, not Array/,
    ],
    [
      'two tensors of a role',
      { ...weight({ shape, init: { std: 1 } }), constants: () => ({ weight: { shape, values: () => [] } }) },
      /holds two tensors 'weight'/,
    ],
    ['macs that are a text', { macs: () => '3' }, /macs\(\) gives a number of at least 0, not "3"/],
    [
      'macs without end',
      { macs: () => Number.POSITIVE_INFINITY },
      /macs\(\) gives a number of at least 0, not Infinity/,
    ],
  ];
  for (const [name, more, message] of cases) {
    it(`refuse ${name}`, () => {
      const said = messageOf(() => plan(same(more)()));
      expect(said)
        .to.match(/^same1 \(same\): /)
        .and.match(message);
    });
  }

  it('refuse to bring back a time axis', () => {
    const timed = same({ output: () => ({ timed: true }) });
    expect(messageOf(() => plan(meanOverTime(), timed()))).to.match(
      /^same1 \(same\): gives a time axis, but its input has/,
    );
  });

  it('are told what the input is, of which changes do not count', () => {
    const seen: unknown[] = [];
    const own = same({
      settings: { a: [1] },
      parameters({ input: { shape }, settings: { a } }: { input: { shape: number[] }; settings: { a: number[] } }) {
        shape.length = 0;
        a.push(3);
        return {};
      },
      buffers(place: object) {
        seen.push(place);
        return {};
      },
    });
    const found = plan(conv2d(4, { kernel: 1 }), own({ a: [2] }));
    expect(found.output.shape).to.deep.equal([4, 6, 5]);
    expect(found.toJSON().layers[1]).to.deep.equal({ kind: 'same', a: [2] });
    expect(seen).to.deep.equal([
      { input: { shape: [4, 6, 5], spikes: false, timed: true }, settings: { a: [2] }, steps: 2 },
    ]);
  });
});

describe('JSON of layers of your own', () => {
  const layers = [
    channelScale({ start: 0.5 }),
    residual({ body: [conv2d(3, { kernel: 3 }), squeezeExcite({ name: 'se' })] }),
    ...[globalAvgPool(), linear(4), meanOverTime()],
  ];
  const text = JSON.stringify(plan(...layers).toJSON());

  it('holds kind, name and settings, and is read where the layers are given', async () => {
    expect(JSON.parse(text).layers[0]).to.deep.equal({ kind: 'channelScale', start: 0.5 });
    const own = { layers: [squeezeExcite, channelScale] };
    expect(JSON.stringify(new ModelPlan(JSON.parse(text), own).toJSON())).to.equal(text);
    const again = Net.fromJSON(JSON.parse(text), { ...own, seed: 3 });
    expect(JSON.stringify(again)).to.equal(text);
    expect(await outputOf(again)).to.deep.equal(await outputOf(netOf(layers)));
    // made by their functions, layers need no list, whatever object they lie in
    expect(plan(...layers.map((one) => ({ ...one }))).toJSON()).to.deep.equal(JSON.parse(text));
  });

  it('is refused where they are not given, or others', () => {
    const read = (given?: unknown) => messageOf(() => new ModelPlan(JSON.parse(text), { layers: any(given) }));
    expect(read()).to.match(
      /^\[0\]: a layer is an object with a 'kind', but there is no kind "channelScale"; the kinds are/,
    );
    expect(read([channelScale])).to.match(
      /^residual1\.\[1\]: .* no kind "squeezeExcite"; .*, residual, channelScale\. A l/,
    );
    expect(read([channelScale, same({}, 'channelScale')])).to.match(
      /^two definitions in 'layers' have the kind "channelScale"/,
    );
    expect(read([channelScale, channelScale])).to.match(/no kind "squeezeExcite"/); // the same one is no other
    expect(read([lif])).to.equal('layers of your own are functions that layer() made, not a function');
    expect(read([channelScale()])).to.match(/^layers of your own are functions that layer\(\) made, not Object$/);
    expect(read(channelScale)).to.match(/^layers of your own: 'layers' is an array, not a function$/);
  });

  it('has one definition for a kind', () => {
    const other = same({}, 'channelScale');
    const said =
      /^\[1\] \(channelScale\): two definitions of layers have this kind in one model; give one of them anoth/;
    expect(messageOf(() => plan(channelScale(), other()))).to.match(said);
    const both = () => new ModelPlan(json([channelScale()]), { layers: [other] });
    expect(messageOf(both)).to.match(/two definitions of layers have this kind/);
    expect(messageOf(() => plan({ ...channelScale(), kind: 'lif' }))).to.match(
      /'kind' must be "channelScale", but is "lif"/,
    );
  });
});

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
