import { expect } from 'chai';
import { backward, device, noGrad, scope, type Tensor, tensor, zeros } from '../../lib/core/index.ts';
import { philox } from '../../lib/core/random.ts';
import {
  alif,
  avgPool2d,
  conv2d,
  cubaLif,
  define,
  dropout,
  flatten,
  fsta,
  globalAvgPool,
  ifNode,
  layer,
  lif,
  linear,
  maxPool2d,
  meanOverTime,
  Net,
  norm,
  plif,
  recurrentLif,
  relu,
  residual,
  stage,
  zoo,
} from '../../lib/nn/index.ts';
import { crossEntropy } from '../../lib/ops/cross-entropy.ts';
import { scale } from '../../lib/ops/mul.ts';

const noise = (shape: number[], dtype: 'f32' | 'f64' = 'f64', seed = 1): Tensor => {
  const random = philox(seed, 99);
  const data = Float64Array.from({ length: shape.reduce((a, b) => a * b) }, () => random.normal());
  return tensor(dtype === 'f64' ? data : Float32Array.from(data), { shape });
};

const total = (values: ArrayLike<number>): number => Array.from(values).reduce((a, b) => a + b, 0);

const handles = () => device('cpu').stats().handles;

const tiny = define('tiny', ({ classes }) => [
  conv2d(5, { kernel: 3 }),
  norm(),
  lif(),
  ...stage(6, { blocks: 2, stride: 2 }),
  globalAvgPool(),
  linear(classes),
  meanOverTime(),
]);
const shape = { steps: 3, input: { channels: 2, height: 7, width: 5 }, classes: 4, dtype: 'f64' } as const;

describe('frames of spikes', () => {
  const own = layer({ kind: 'halved', forward: (x) => scale(x, 0.5) });
  for (const [name, first] of Object.entries({
    'recurrent neurons': [flatten(), recurrentLif()],
    'a norm': [norm(), lif(), flatten()],
    'neurons with a current': [cubaLif(), flatten()],
    "a layer of one's own in a branch": [residual({ body: [own()] }), lif(), flatten()],
    'a convolution': [conv2d(3, { kernel: 3 }), lif(), flatten()],
  })) {
    it(`are numbers to ${name} that read them first`, async () => {
      const net = define('first', ({ classes }) => [...first, linear(classes), meanOverTime()])({ ...shape, seed: 2 });
      const bits = Uint8Array.from({ length: 3 * 2 * 2 * 7 * 5 }, (_, i) => Number((i * i) % 7 < 3));
      const x = tensor(bits, { shape: [3, 2, 2, 7, 5], dtype: 'spike' });
      const same = tensor(Float64Array.from(bits), { shape: [3, 2, 2, 7, 5] });
      const held = handles();
      const [ofSpikes, ofNumbers] = noGrad(() => [net(x), net(same)]);
      expect([...(await ofSpikes!.array())]).to.deep.equal([...(await ofNumbers!.array())]);
      for (const t of [ofSpikes!, ofNumbers!]) t.dispose();
      expect(handles()).to.equal(held);
      for (const t of [x, same, net]) t.dispose();
    });
  }
});

describe('networks', () => {
  const nets: Net[] = [];
  const held = (net: Net): Net => {
    nets.push(net);
    return net;
  };
  afterEach(() => {
    for (const net of nets.splice(0)) net.dispose();
  });

  for (const [name, size] of [
    ['fsta-resnet18', [33, 35]],
    ['fsta-resnet19', [9, 11]],
    ['fsta-resnet20', [17, 16]],
    ['fsta-resnet34', [32, 33]],
  ] as const) {
    it(`${name}: logits and a gradient for every parameter`, async () => {
      const net = held(zoo[name]({ steps: 2, width: 3, size, classes: 5, seed: 1, dtype: 'f64' }));
      const logits = scope(() => {
        const y = net(noise([2, 3, ...size]));
        backward(crossEntropy(y, tensor(Int32Array.of(1, 4))));
        return y;
      });
      expect(logits.shape).to.deep.equal([2, 5]);
      expect([...(await logits.array())].every(Number.isFinite)).to.equal(true);
      expect(net.parameters().filter(({ tensor: t }) => !t.grad)).to.deep.equal([]);
      logits.dispose();
    });
  }

  it('an image gives what the same frame at every step gives, and the same statistics', async () => {
    const [a, b] = [held(tiny({ ...shape, seed: 4 })), held(tiny({ ...shape, seed: 4 }))];
    const image = noise([2, 2, 7, 5]);
    const once = [...(await image.array())];
    const frames = tensor(Float64Array.from([...once, ...once, ...once]), { shape: [3, 2, 2, 7, 5] });
    for (const training of [true, false]) {
      if (!training) for (const net of [a, b]) net.eval();
      const [one, two] = noGrad(() => [a(image), b(frames)]);
      expect([...(await one!.array())]).to.deep.equal([...(await two!.array())]);
    }
    const running = async (net: Net) => Promise.all(net.buffers().map(async ({ tensor: t }) => [...(await t.array())]));
    // an image's moments are taken over its one step, those of frames over all: the same sums, but not in the same
    // order
    const [ofImage, ofFrames] = [(await running(a)).flat(), (await running(b)).flat()];
    expect(ofImage.length).to.equal(ofFrames.length);
    ofImage.forEach((value, i) => {
      expect(value).to.be.closeTo(ofFrames[i]!, 1e-14);
    });
  });

  it('training moves the running statistics, evaluation does not', async () => {
    const net = held(tiny({ ...shape, seed: 4 }));
    const statistics = async () => [...(await net.buffers()[0]!.tensor.array())];
    const start = await statistics();
    noGrad(() =>
      net
        .eval()(noise([2, 2, 7, 5]))
        .dispose(),
    );
    expect(await statistics()).to.deep.equal(start);
    noGrad(() =>
      net
        .train()(noise([2, 2, 7, 5]))
        .dispose(),
    );
    expect(await statistics()).to.not.deep.equal(start);
  });

  it('takes spikes as frames and computes in f32', async () => {
    const net = held(tiny({ ...shape, dtype: 'f32', seed: 4 }));
    const frames = tensor(
      Uint8Array.from({ length: 3 * 2 * 2 * 7 * 5 }, (_, i) => Number(i % 3 === 0)),
      { shape: [3, 2, 2, 7, 5], dtype: 'spike' },
    );
    const y = noGrad(() => net(frames));
    expect([y.dtype, ...y.shape]).to.deep.equal(['f32', 2, 4]);
    y.dispose();
    frames.dispose();
  });

  it('a plain network: pools, relu, dropout, neurons on features, every kind of neuron', async () => {
    const plain = define('plain', ({ classes }) => [
      conv2d(4, { kernel: 3, bias: true }),
      relu(),
      avgPool2d(2, { ceilMode: true }),
      norm(),
      ifNode(),
      conv2d(4, { kernel: 3 }),
      norm(),
      cubaLif({ detachReset: true }),
      maxPool2d(2),
      residual({ body: [conv2d(4, { kernel: 3 }), norm(), plif(), conv2d(4, { kernel: 1 })] }),
      lif({ reset: 'soft' }),
      flatten(),
      dropout(0.3),
      linear(9),
      lif({ surrogate: 'atan', temperature: 2 }),
      linear(9),
      alif({ synapticDecay: 0.3, reset: 'soft' }),
      linear(9),
      recurrentLif({ synapticDecay: 0.3, surrogate: 'sigmoid' }),
      linear(classes),
      meanOverTime(),
    ]);
    const net = held(plain({ ...shape, seed: 2 }));
    const y = scope(() => {
      const logits = net(noise([3, 2, 7, 5]));
      backward(crossEntropy(logits, tensor(Int32Array.of(0, 3, 1))));
      return logits;
    });
    expect(y.shape).to.deep.equal([3, 4]);
    expect(net.parameters().filter(({ tensor: t }) => !t.grad)).to.deep.equal([]);
    const evaluated = noGrad(() => [net.eval()(noise([3, 2, 7, 5])), net(noise([3, 2, 7, 5]))]);
    expect([...(await evaluated[0]!.array())]).to.deep.equal([...(await evaluated[1]!.array())]);
    for (const t of [y, ...evaluated]) t.dispose();
  });

  it('dropout: new masks every training pass, the same ones for the same number of the pass, none in evaluation', async () => {
    const net = held(define('d', () => [dropout(0.5), flatten(), meanOverTime()])({ ...shape, seed: 3 }));
    const x = tensor(new Float64Array(2 * 2 * 7 * 5).fill(1), { shape: [2, 2, 7, 5] });
    const pass = async () => {
      const y = noGrad(() => net(x));
      const values = [...(await y.array())];
      y.dispose();
      return values;
    };
    const [first, second] = [await pass(), await pass()];
    expect(new Set(first)).to.deep.equal(new Set([0, 2]));
    expect(second).to.not.deep.equal(first);
    expect(net.passes).to.equal(2);
    net.passes = 0;
    expect(await pass()).to.deep.equal(first);
    net.eval();
    expect(new Set(await pass())).to.deep.equal(new Set([1]));
    expect(net.passes).to.equal(1);
    x.dispose();
  });

  for (const [name, layers] of Object.entries({
    norm: [norm()],
    lif: [lif()],
    alif: [alif()],
    relu: [relu()],
    fsta: [fsta()],
    maxPool2d: [maxPool2d(2)],
    residual: [residual({ body: [conv2d(4, { kernel: 3 }), norm()] }), lif()],
    'a fused group': [conv2d(4, { kernel: 3 }), norm(), lif()],
    nothing: [],
  })) {
    for (const p of [0.3, 0]) {
      it(`dropout of p = ${p} gives ${name} real numbers of spikes, in training and in evaluation`, () => {
        const design = define('d', () => [conv2d(4, { kernel: 3 }), norm(), lif(), dropout(p), ...layers]);
        for (const options of [{}, { dtype: 'f64' }, { precision: 'bf16' }] as const) {
          const net = held(design({ ...shape, dtype: 'f32', ...options }));
          const x = noise([2, 2, 7, 5], net.dtype);
          const types = new Map<string, string>();
          for (const isWatched of [false, true]) {
            net.onLayer = isWatched ? (path, { dtype }) => types.set(path, dtype) : undefined;
            const made = scope(() => {
              const trained = net.train()(x);
              backward(trained, zeros(trained.shape, net.dtype));
              return [trained.dtype, net.eval()(x).dtype, noGrad(() => net(x)).dtype];
            });
            expect(new Set(made).size, String(made)).to.equal(1);
          }
          expect(types.get('dropout1')).to.equal(net.dtype);
          x.dispose();
        }
      });
    }
  }

  it('dropout takes frames of spikes, in training and in evaluation', () => {
    const net = held(define('d', () => [dropout(0.3), norm()])({ ...shape, dtype: 'f32' }));
    const frames = tensor(new Uint8Array(3 * 2 * 2 * 7 * 5).fill(1), { shape: [3, 2, 2, 7, 5], dtype: 'spike' });
    for (const made of noGrad(() => [net.train()(frames), net.eval()(frames)])) {
      expect(made.dtype).to.equal('f32');
      made.dispose();
    }
    frames.dispose();
  });

  it('without a mean the output has a time axis', () => {
    const images = held(define('d', () => [conv2d(2, { kernel: 1 })])({ ...shape, seed: 1 }));
    const y = noGrad(() => images(noise([2, 2, 7, 5])));
    expect(y.shape).to.deep.equal([3, 2, 2, 7, 5]);
    y.dispose();
  });

  it('counts spikes only when asked to', async () => {
    const net = held(tiny({ ...shape, seed: 4 }));
    const x = noise([2, 2, 7, 5]);
    noGrad(() => net(x).dispose());
    expect(net.firing).to.deep.equal([]);
    net.trackFiring = true;
    const spikes = new Map<string, number>();
    net.onLayer = (path, output) => {
      if (output.dtype === 'spike') void output.array().then((s) => spikes.set(path, total(s)));
    };
    noGrad(() => net(x).dispose());
    expect(net.firing.map(({ name, neurons }) => [name, neurons])).to.deep.equal([
      ['lif1', 5 * 35],
      ['stage6.0.relu1', 6 * 12],
      ['stage6.0.relu2', 6 * 12],
      ['stage6.1.relu1', 6 * 12],
      ['stage6.1.relu2', 6 * 12],
    ]);
    for (const { name, spikes: count } of net.firing) {
      const counted = total(await count.array());
      expect(counted, name).to.equal(spikes.get(name));
    }
    expect(Math.max(...spikes.values())).to.be.greaterThan(0);
    x.dispose();
  });

  it('tells every layer as it is run', () => {
    const net = held(tiny({ ...shape, seed: 4 }));
    const paths: string[] = [];
    net.onLayer = (path) => paths.push(path);
    noGrad(() => scope(() => void net(noise([2, 2, 7, 5]))));
    expect(paths).to.deep.equal([...net.plan.walk()].map(({ path }) => path));
  });

  it('frees what it made: the passes, then the network', () => {
    const before = handles();
    const net = tiny({ ...shape, seed: 4 });
    const x = noise([2, 2, 7, 5]);
    const made = handles();
    let most = 0;
    net.onLayer = () => {
      most = Math.max(most, handles());
    };
    noGrad(() => net(x).dispose());
    expect(handles(), 'after evaluation').to.equal(made);
    expect(
      most - made,
      'at most the pass number, the image with a time axis, x of a block, its shortcut or body, input and output of a layer',
    ).to.be.at.most(6);
    scope(() => {
      const y = net(x);
      backward(crossEntropy(y, tensor(Int32Array.of(0, 1))));
    });
    expect(handles(), 'after training').to.equal(made + net.parameters().length);
    net.trackFiring = true;
    noGrad(() => net(x).dispose());
    net.dispose();
    x.dispose();
    expect(handles(), 'after dispose()').to.equal(before);
  });

  it('JSON and seed give the same network again', async () => {
    const net = held(tiny({ ...shape, seed: 9 }));
    const again = held(Net.fromJSON(JSON.parse(JSON.stringify(net)), { seed: 9, dtype: 'f64' }));
    const x = noise([2, 2, 7, 5]);
    const [a, b] = noGrad(() => [net(x), again(x)]);
    expect([...(await a!.array())]).to.deep.equal([...(await b!.array())]);
    for (const t of [a!, b!, x]) t.dispose();
  });

  it('refuses wrong input and options', () => {
    const net = held(tiny({ ...shape, seed: 9 }));
    const refused = (x: Tensor, message: RegExp) => {
      expect(() => net(x)).to.throw(message);
      x.dispose();
    };
    refused(noise([2, 2, 5, 7]), /^tiny: takes images \[B,2,7,5\] or frames \[3,B,2,7,5\].*not f64\[2,2,5,7\]/);
    refused(noise([2, 2, 2, 7, 5]), /T = 3/);
    refused(noise([2, 7, 5]), /takes images/);
    refused(noise([2, 2, 7, 5], 'f32'), /computes in f64, but the input is f32/);
    expect(() => tiny({ ...shape, seed: -1 })).to.throw(/a seed is an integer/);
    expect(() => tiny({ ...shape, dtype: 'bf16' as never })).to.throw(/'f32' or 'f64', not "bf16"/);
    expect(() => tiny({ ...shape, device: 'tpu' })).to.throw(/"tpu" is not a device/);
  });
});
