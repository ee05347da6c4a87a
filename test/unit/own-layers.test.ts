// Layers of the user's own: what their definitions may say, what plans and JSON make of them, and what is refused.
// own-layer-nets.test.ts computes with them, test/train/own-layers.test.ts trains them.
import { expect } from 'chai';
import { z } from 'zod';
import { SpikeloomError, type Tensor } from '../../lib/core/index.ts';
import {
  conv2d,
  flatten,
  globalAvgPool,
  type Layer,
  layer,
  lif,
  linear,
  ModelPlan,
  meanOverTime,
  Net,
  norm,
  residual,
} from '../../lib/nn/index.ts';
import * as ops from '../../lib/ops/index.ts';
import { messageOf } from '../support/failure.ts';
import { channelScale, ownLinear, parallelNeurons, squeezeExcite } from '../support/own-layers.ts';
import { any, json, netOf, outputOf, plan, same } from '../support/own-nets.ts';

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
