import { expect } from 'chai';
import { z } from 'zod';
import {
  alif,
  avgPool2d,
  block,
  conv2d,
  cubaLif,
  define,
  dropout,
  flatten,
  fsta,
  globalAvgPool,
  type Layer,
  lif,
  linear,
  ModelPlan,
  maxPool2d,
  meanOverTime,
  model,
  norm,
  plif,
  recurrentLif,
  relu,
  residual,
  stage,
  vote,
} from '../../lib/nn/index.ts';

const plan = (layers: readonly unknown[], input = { channels: 3, height: 9, width: 7 }, steps = 2) =>
  new ModelPlan({ format: 'spikeloom-model', version: 1, model: 'test', steps, input, layers });

const shapes = (layers: readonly Layer[]) =>
  Object.fromEntries([...plan(layers).walk()].map((l) => [l.path, l.output.shape]));

describe('models: shapes', () => {
  it('follows convolutions and pools of odd sizes through to features', () => {
    const layers = [
      conv2d(5, { kernel: 3, stride: 2 }),
      conv2d(6, { kernel: 2 }),
      avgPool2d(2, { ceilMode: true }),
      maxPool2d(3, { stride: 1, padding: 1 }),
      flatten(),
      linear(4),
      meanOverTime(),
    ];
    expect(shapes(layers)).to.deep.equal({
      conv1: [5, 5, 4],
      conv2: [6, 6, 5],
      pool1: [6, 3, 3],
      pool2: [6, 3, 3],
      flatten1: [54],
      linear1: [4],
      mean1: [4],
    });
  });

  it('drops a last window that would start in the right padding (PyTorch ceil_mode)', () => {
    expect(shapes([avgPool2d(2, { stride: 3, padding: 1, ceilMode: true })])).to.deep.equal({ pool1: [3, 4, 3] });
    expect(shapes([avgPool2d(1, { stride: 4, ceilMode: true })])).to.deep.equal({ pool1: [3, 3, 2] });
    expect(shapes([avgPool2d(2, { stride: 5, padding: 1, ceilMode: true })])).to.deep.equal({ pool1: [3, 2, 2] });
  });

  it('lets a window hang over the only pixel with ceilMode: pooled shortcuts of small images need it', () => {
    const pixel = { channels: 3, height: 1, width: 1 };
    const pooled = (kernel: number, stride: number, ceilMode: boolean) => () =>
      plan([avgPool2d(kernel, { stride, ceilMode })], pixel).output.shape;
    expect(pooled(2, 2, true)()).to.deep.equal([3, 1, 1]);
    expect(pooled(4, 4, true)()).to.deep.equal([3, 1, 1]);
    expect(pooled(3, 2, true)).to.throw(/a window of 3 does not fit into 1 pixels/);
    expect(pooled(2, 2, false)).to.throw(/a window of 2 does not fit into 1 pixels/);
    expect(model('fsta-resnet20').plan({ size: 8 }).output.shape).to.deep.equal([10]);
  });

  it('counts names by kind, in residual layers below their path', () => {
    const layers = [
      conv2d(3, { kernel: 3 }),
      residual({ body: [norm(), conv2d(3, { kernel: 1 })], shortcut: [norm()] }),
      lif(),
      conv2d(2, { kernel: 1 }),
      lif(),
    ];
    expect(Object.keys(shapes(layers))).to.deep.equal([
      'conv1',
      'residual1.norm1',
      'residual1.conv1',
      'residual1.shortcut.norm1',
      'residual1',
      'lif1',
      'conv2',
      'lif2',
    ]);
  });

  it('knows where spikes flow and where time ends', () => {
    const signals = [...plan([lif(), maxPool2d(2), avgPool2d(2), flatten(), meanOverTime()]).walk()].map(
      (l) => l.output,
    );
    expect(signals.map((s) => s.spikes)).to.deep.equal([true, true, false, false, false]);
    expect(signals.map((s) => s.timed)).to.deep.equal([true, true, true, true, false]);
  });

  it('uses the shortcut of a block only where it is needed', () => {
    const paths = (layers: readonly Layer[]) =>
      Object.keys(shapes(layers)).filter((path) => path.includes('downsample'));
    expect(paths(block(3, { name: 'b' }))).to.deep.equal([]);
    expect(paths(block(4, { name: 'b' }))).to.deep.equal(['b.downsample.0', 'b.downsample.1', 'b.downsample.2']);
    expect(paths(block(3, { name: 'b', stride: 2, shortcut: 'strided' }))).to.deep.equal([
      'b.downsample.0',
      'b.downsample.1',
    ]);
    expect(shapes(stage(4, { blocks: 2, stride: 2 }))['stage4.1']).to.deep.equal([4, 5, 4]);
  });
});

describe('models: messages name the layer, the rule and the remedy', () => {
  const cases: [string, readonly unknown[], RegExp][] = [
    [
      'unequal sum',
      [residual({ body: [conv2d(4, { kernel: 3 })], name: 'r' })],
      /^r \(residual\): adds equal shapes.*\[4,9,7\].*\[3,9,7\].*shortcut/,
    ],
    [
      'inside of a residual',
      [residual({ body: [conv2d(3, { kernel: 12, padding: 0 })], name: 'a.b' })],
      /^a\.b\.conv1 \(conv2d\): a window of 12/,
    ],
    [
      'too few pixels',
      [conv2d(4, { kernel: 8, padding: 0 })],
      /^conv1 \(conv2d\): a window of 8 does not fit into 7 pixels/,
    ],
    ['linear on an image', [linear(4)], /^linear1 \(linear\): .*\[3,9,7\].*globalAvgPool/],
    [
      'voters left over',
      [flatten(), vote(10)],
      /^vote1 \(vote\): needs whole groups of 10 features, but gets features \[189\]/,
    ],
    ['norm of features', [globalAvgPool(), norm()], /^norm1 \(norm\): needs an image/],
    ['neurons behind the mean', [meanOverTime(), lif()], /^lif1 \(lif\): needs the time axis/],
    ['twice the mean', [meanOverTime(), meanOverTime()], /^mean2 \(meanOverTime\): needs the time axis/],
    ['neurons on spikes', [lif(), lif()], /^lif2 \(lif\): needs a current of real numbers, but gets spikes/],
    ['norm of spikes', [lif(), maxPool2d(2), norm()], /^norm1 \(norm\): needs a current/],
    ['attention to spikes', [lif(), fsta()], /^fsta1 \(fsta\): needs a current/],
    [
      'a filter twice',
      [fsta({ filters: [2, 2] })],
      /^fsta1 \(fsta\): 'filters' names each filter once, but is \[2,2\]/,
    ],
    ['relu of spikes', [lif(), relu()], /^relu1 \(relu\): changes nothing on spikes/],
    ['even basis', [fsta({ basis: 8 })], /^\[0\] \(fsta\): 'basis' must be odd.*one pixel too small.*but is 8/],
    ['reduction', [fsta({ basis: 3, reduction: 16 })], /^fsta1 \(fsta\): reduction 16 leaves none of 9/],
    ['filter index', [fsta({ basis: 3, filters: [1, 9] })], /^fsta1 \(fsta\): .*filters 0 to 8, but 'filters' names 9/],
    ['no channels', [conv2d(0, { kernel: 3, name: 'c' })], /^c \(conv2d\): 'channels' must be at least 1, but is 0/],
    ['half a channel', [conv2d(1.5, { kernel: 3 })], /'channels' must be an integer, but is 1.5/],
    ['no number', [conv2d(Number.NaN, { kernel: 3 })], /'channels' must be .*but is NaN/],
    ['text', [linear('4' as never)], /'features' must be of type number, but is "4"/],
    ['unknown option', [lif({ leak: 1 } as never)], /there is no option "leak"; the options are kind, name, decay/],
    ['decay of plif', [plif({ decay: 1 })], /'decay' must be less than 1, but is 1/],
    ['dropout', [dropout(1)], /'p' must be less than 1/],
    [
      'an adaptation of cubaLif',
      [cubaLif({ adaptationDecay: 0.5 } as never)],
      /no option "adaptationDecay"; the options/,
    ],
    ['synaptic decay', [cubaLif({ synapticDecay: 1.1 })], /'synapticDecay' must be at most 1, but is 1.1/],
    ['adaptation', [alif({ adaptationStrength: -1 })], /'adaptationStrength' must be at least 0, but is -1/],
    ['alif on spikes', [lif(), alif()], /^alif1 \(alif\): needs a current of real numbers, but gets spikes/],
    ['recurrent neurons of an image', [recurrentLif()], /^recurrentLif1 \(recurrentLif\): needs features.*\[3,9,7\]/],
    ['recurrent neurons on spikes', [flatten(), linear(3), lif(), recurrentLif()], /^recurrentLif1 .*but gets spikes/],
    ['recurrent neurons behind the mean', [globalAvgPool(), meanOverTime(), recurrentLif()], /needs the time axis/],
    ['an adaptation of recurrentLif', [recurrentLif({ adaptationDecay: 1 } as never)], /no option "adaptationDecay"/],
    ['deviation', [flatten(), linear(3, { std: 0 })], /'std' must be more than 0, but is 0/],
    ['surrogate', [lif({ surrogate: 'step' as never })], /'surrogate' must be "tanh" or "atan".*but is "step"/],
    ['pool padding', [maxPool2d(2, { padding: 2 })], /padding 2 is more than half of the kernel 2/],
    ['same name twice', [norm({ name: 'n' }), norm({ name: 'n' })], /^n \(norm\): another layer has this path/],
    ['name', [norm({ name: 'a..b' })], /'name' must be letters/],
    ['unknown kind', [{ kind: 'conv3d' }], /^\[0\]: .*no kind "conv3d"; the kinds are conv2d, norm/],
    ['prototype key as a kind', [{ kind: '__proto__' }], /no kind "__proto__"/],
    ['constructor as a kind', [{ kind: 'constructor' }], /no kind "constructor"/],
    ['no layer', [7], /a layer is an object/],
    ['null', [null], /a layer is an object/],
    ['no layers', [], /'layers' must hold at least one layer/],
  ];
  for (const [name, layers, message] of cases) it(name, () => expect(() => plan(layers)).to.throw(message));

  it('stage and factories too', () => {
    expect(() => stage(4, { blocks: 0 })).to.throw(/stage4: a stage has 1 to 1000 blocks, not 0/);
    const net = define('mine', () => [norm()]);
    expect(() => net.plan({ steps: 0 })).to.throw(/^mine: 'steps' must be at least 1, but is 0/);
    expect(() => net.plan({ size: [3] as never })).to.throw(
      /^mine: 'size' must be an integer from 1 to 65536, or \[height, width\]/,
    );
  });
});

describe('models: limits', () => {
  it('refuses more than 2^31 parameters before anything is allocated', () => {
    const huge = Array.from({ length: 3 }, () => conv2d(32_768, { kernel: 1 }));
    expect(() => plan(huge, { channels: 1, height: 1, width: 1 })).to.throw(
      /conv3 \(conv2d\): a model has at most 2\^31 parameters/,
    );
  });

  it('refuses layers whose output cannot be addressed', () => {
    expect(() => plan([conv2d(2 ** 20, { kernel: 1 })], { channels: 1, height: 500, width: 500 })).to.throw(
      /conv1 .*2\^31 elements/,
    );
  });

  it('refuses deep nesting and long lists', () => {
    let deep: Layer = norm();
    for (let i = 0; i < 2000; i++) deep = residual({ body: [deep] });
    expect(() => plan([deep])).to.throw(/at most 16 deep/);
    expect(() => plan(Array.from({ length: 10_001 }, () => norm()))).to.throw(/at most 10000 layers/);
  });
});

describe('models: define()', () => {
  const layers = ({ classes, width }: { classes: number; width: number }) => [
    conv2d(width, { kernel: 3 }),
    norm(),
    lif(),
    globalAvgPool(),
    linear(classes),
    meanOverTime(),
  ];
  const tiny = define('tiny', layers, { own: ['width'] });

  it('counts of what runs once, behind the mean over time, a share for each step', () => {
    const late = define('late', () => [flatten(), linear(3), lif(), meanOverTime(), linear(5)]);
    const plan = late.plan({ steps: 4, input: { channels: 1, height: 2, width: 2 }, classes: 5 });
    expect(plan.summary().totals.macsPerStep).to.equal(4 * 3 + (3 * 5) / 4);
  });

  it('hands common and own options to the design', () => {
    const made = tiny.plan({ steps: 3, input: { channels: 1, height: 5, width: 4 }, classes: 7, width: 6 });
    expect(made.output.shape).to.deep.equal([7]);
    expect(made.steps).to.equal(3);
    expect(made.summary().totals.parameters).to.equal(6 * 9 + 12 + 6 * 7 + 7);
  });

  it('takes channels and size in place of input', () => {
    expect(tiny.plan({ channels: 2, size: [5, 6], width: 1 }).input).to.deep.equal({
      channels: 2,
      height: 5,
      width: 6,
    });
    expect(tiny.plan({ size: 8, width: 1 }).input).to.deep.equal({ channels: 3, height: 8, width: 8 });
  });

  it('checks own options by a schema, which gives their defaults', () => {
    const checked = define<{ width?: number }>('checked', (o) => layers({ ...o, width: o.width! }), {
      own: z.object({ width: z.int().min(1).default(5) }),
    });
    expect(checked.plan().summary().totals.parameters).to.equal(3 * 5 * 9 + 10 + 5 * 10 + 10);
    expect(() => checked.plan({ width: 0 })).to.throw(/^checked: 'width' must be at least 1, but is 0$/);
    expect(() => checked.plan({ widht: 6 } as object)).to.throw(
      /^checked: there is no option "widht"; the options are width, steps, .*, device; did you mean 'width'\?$/,
    );
  });

  it('refuses options that a design has not named', () => {
    const plain = define('plain', () => [norm()]);
    expect(() => plain.plan({ width: 3 } as object)).to.throw(
      /^plain: there is no option "width"; the options are steps/,
    );
    expect(() => plain({ precison: 'bf16' } as object)).to.throw(/"precison".*; did you mean 'precision'\?$/);
    expect(() => define('odd', () => [norm()], { default: {} } as object)).to.throw(/define\(\) has no option default/);
    expect(() => define('odd', () => [norm()], { defaults: { step: 3 } as object })).to.throw(
      /^'defaults' of odd has no option step; it has steps, input, classes; did you mean 'steps'\?$/,
    );
  });
});

describe('models: JSON', () => {
  const every = [
    conv2d(4, { kernel: 3, bias: true, name: 'first' }),
    norm({ eps: 1e-3 }),
    fsta({ filters: [3, 1], reduction: 2 }),
    plif({ reset: 'soft' }),
    residual({ body: [conv2d(5, { kernel: 3 })], shortcut: [conv2d(5, { kernel: 1 })] }),
    { kind: 'if' },
    avgPool2d(2, { countIncludePad: false }),
    cubaLif({ synapticDecay: 0.9 }),
    conv2d(5, { kernel: 1 }),
    alif({ name: 'last', adaptationStrength: 0.2, surrogate: 'atan' }),
    conv2d(5, { kernel: 1 }),
    relu(),
    maxPool2d(2),
    dropout(0.5),
    flatten(),
    linear(3, { bias: false }),
    recurrentLif({ synapticDecay: 0.3, temperature: 2 }),
    linear(2, { std: 0.5 }),
    meanOverTime(),
  ];

  it('goes to text and back without loss', () => {
    const made = plan(every);
    const text = JSON.stringify(made);
    const again = new ModelPlan(JSON.parse(text));
    expect(JSON.stringify(again)).to.equal(text);
    expect(again.summary()).to.deep.equal(made.summary());
    expect(JSON.parse(text).layers[1]).to.deep.equal({ kind: 'norm', momentum: 0.1, eps: 1e-3 });
  });

  const valid = () => JSON.parse(JSON.stringify(plan([norm(), lif()])));
  const broken: [string, (json: Record<string, unknown>) => unknown, RegExp][] = [
    ['nothing', () => undefined, /this is not a model: it must be of type object/],
    ['an array', () => [], /this is not a model/],
    ['another format', (json) => ({ ...json, format: 'onnx' }), /'format' must be "spikeloom-model", but is "onnx"/],
    ['another version', (json) => ({ ...json, version: 2 }), /'version' must be 1, but is 2/],
    ['no steps', (json) => ({ ...json, steps: 1e9 }), /'steps' must be at most 1024, but is 1000000000/],
    [
      'infinite size',
      (json) => ({ ...json, input: { channels: 1, height: Infinity, width: 1 } }),
      /'input.height' must be/,
    ],
    ['layers that are none', (json) => ({ ...json, layers: 'norm' }), /'layers' must be of type array, but is "norm"/],
    ['more keys', (json) => ({ ...json, weights: [] }), /there is no option "weights"/],
    [
      'a prototype key',
      () => JSON.parse(`{"__proto__": {"steps": 1}, ${JSON.stringify(valid()).slice(1)}`),
      /__proto__/,
    ],
    [
      'a prototype key in a layer',
      (json) => ({ ...json, layers: [JSON.parse('{"kind":"norm","__proto__":{"eps":1}}')] }),
      /__proto__/,
    ],
  ];
  for (const [name, change, message] of broken)
    it(`refuses ${name}`, () => expect(() => new ModelPlan(change(valid()))).to.throw(message));
});
