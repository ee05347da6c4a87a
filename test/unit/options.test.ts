import { expect } from 'chai';
import { needOptions } from '../../lib/core/options.ts';
import * as api from '../../lib/index.ts';
import { tinyNet } from '../support/tiny-net.ts';

const { ops } = api;

describe('options', () => {
  it('that are unknown are refused with what there is and what was probably meant', () => {
    const refuse = (options: object) => () => needOptions<object>('mixing', options, { share: 1, keep: true });
    expect(refuse({ share: undefined, keep: 0 })).not.to.throw();
    expect(refuse({ colour: 1 })).to.throw(api.SpikeloomError, /^mixing has no option colour; it has share, keep$/);
    expect(refuse({ colour: 1, Keep: 1 })).to.throw(
      /^mixing has no option colour, Keep; it has share, keep; did you mean 'keep'\?$/,
    );
    expect(refuse({ toString: 1 })).to.throw(/no option toString/);
    for (const none of [null, 3, 'keep'] as unknown as object[]) {
      expect(refuse(none)).to.throw(api.SpikeloomError, /^the options of mixing are an object of share, keep, not /);
    }
  });
});

/** Types that callers name in code of their own: tsc finds one that the package does not export. */
interface Named {
  load: api.LoadOptions;
  define: api.DefineSettings;
  evaluateRun: api.EvaluateRunOptions;
  progress: api.ProgressOptions;
  step: api.StepProgress;
  epoch: api.EpochProgress;
  loss: api.LossSettings;
  mix: api.MixSettings;
  images: api.ImageSetInit;
  idx: api.IdxArray;
  tree: api.TreeKind;
  backward: api.Backward;
}

describe('options of a type of their own', () => {
  it('are made apart from the call', () => {
    const { define, backward }: Pick<Named, 'define' | 'backward'> = {
      define: { own: ['width'], defaults: { steps: 1 } },
      backward: ([gy]) => [gy],
    };
    const x = api.parameter(api.tensor([1]));
    const y = x.alias([1]);
    api.record([y], [x], backward);
    api.backward(y);
    expect(x.grad!.shape).to.deep.equal([1]);
    expect(api.define('d', () => [api.relu()], define).plan().steps).to.equal(1);
    for (const t of [x, y]) t.dispose();
  });
});

// Every public function that takes options. What else it needs is there, so that nothing but the option is wrong.
describe('a misspelled option is refused by', () => {
  const bad: object = { colour: 1 };
  const cut = (shape: readonly number[]) => api.zeros(shape);
  const frames = () => cut([2, 1, 3, 4, 4]);
  const four = () => cut([4]);
  const normed = () => {
    const norm = { gamma: four(), beta: four(), runningMean: four(), runningVar: four(), training: true };
    return { y: cut([1, 2, 4, 3, 3]), norm };
  };
  const labels = () => api.tensor(Int32Array.of(1, 0));
  const set = () => {
    const about = { name: 'none', count: 2, channels: 3, height: 9, width: 7, classes: ['a', 'b', 'c', 'd'] };
    const pixels = { images: new Uint8Array(2 * 3 * 63), labels: [0, 1], mean: [0, 0, 0], std: [1, 1, 1] };
    return api.imageSet({ ...about, ...pixels });
  };
  const events = { count: 0, t: new Float64Array(), x: new Uint16Array(), y: new Uint16Array(), p: new Uint8Array() };
  const inSpan = { by: 'count', steps: 2 } as const;
  const ownModel = (layer: api.Layer) => ({ ...tinyNet('cpu').toJSON(), layers: [layer] });
  const calls: Record<string, () => unknown> = {
    tensor: () => api.tensor([1], bad),
    add: () => ops.add(four(), four(), bad),
    alif: () => ops.alif(frames(), bad),
    avgPool2d: () => ops.avgPool2d(frames(), { kernel: 2, ...bad }),
    batchNorm: () => ops.batchNorm(normed().y, { ...normed().norm, ...bad }),
    bceWithLogits: () => ops.bceWithLogits(cut([2, 3]), labels(), bad),
    bytesToReal: () => ops.bytesToReal(api.zeros([3], 'u8'), bad),
    clamp: () => ops.clamp(four(), bad),
    concat: () => ops.concat([four()], { axis: 0, ...bad }),
    conv2d: () => ops.conv2d(frames(), cut([4, 3, 3, 3]), bad),
    conv2dWithMoments: () => ops.conv2dWithMoments(frames(), cut([4, 3, 3, 3]), bad),
    crossEntropy: () => ops.crossEntropy(cut([2, 3]), labels(), bad),
    cubaLif: () => ops.cubaLif(frames(), { adaptationDecay: 0.5 } as never),
    dropout: () => ops.dropout(frames(), api.zeros([1], 'i32'), { p: 0.5, seed: 1, ...bad }),
    eventFrames: () => ops.eventFrames(api.zeros([1], 'i32'), api.zeros([1, 2], 'i32'), { window: [2, 2], ...bad }),
    fire: () => ops.fire(normed().y, { norm: normed().norm, ...bad }),
    'fire (neuron)': () => ops.fire(normed().y, { norm: normed().norm, neuron: bad }),
    fsta: () => ops.fsta(frames(), {} as never, { basis: ops.dctBasis(3), ...bad }),
    globalAvgPool: () => ops.globalAvgPool(frames(), bad),
    ifNode: () => ops.ifNode(frames(), { decay: 0.5 } as never),
    lif: () => ops.lif(frames(), bad),
    'linear (op)': () => ops.linear(cut([2, 3]), cut([4, 3]), undefined, bad),
    lifWithState: () => ops.lifWithState(frames(), bad),
    matmul: () => ops.matmul(cut([2, 3]), cut([3, 2]), bad),
    'max (op)': () => ops.max(four(), bad),
    maxPool2d: () => ops.maxPool2d(frames(), { kernel: 2, ...bad }),
    'meanOverTime (op)': () => ops.meanOverTime(frames(), bad),
    'mean (op)': () => ops.mean(four(), bad),
    oneHot: () => ops.oneHot(labels(), { classes: 2, ...bad }),
    plif: () => ops.plif(frames(), cut([1]), bad),
    recurrentLif: () => ops.recurrentLif(cut([1, 2, 3]), cut([3, 3]), bad),
    'slice (op)': () => ops.slice(four(), { axis: 0, ...bad }),
    'sum (op)': () => ops.sum(four(), bad),
    tetLoss: () => ops.tetLoss(cut([2, 2, 3]), labels(), bad),
    toReal: () => ops.toReal(api.zeros([3], 'spike'), bad),
    block: () => api.block(4, { name: 'b', ...bad }),
    stage: () => api.stage(4, { blocks: 1, ...bad }),
    define: () => api.define('none', () => [], bad),
    'a factory': () => api.model('fsta-resnet8')(bad),
    'a plan': () => api.model('fsta-resnet8').plan(bad),
    layer: () => api.layer({ kind: 'own', forward: (x) => x, ...bad }),
    'a layer of your own': () => new api.ModelPlan(ownModel(api.layer({ kind: 'own', forward: (x) => x })(bad))),
    ModelPlan: () => new api.ModelPlan(tinyNet('cpu').toJSON(), bad),
    loadNet: () => api.loadNet('none', bad),
    'Net.fromJSON': () => api.Net.fromJSON(tinyNet('cpu').toJSON(), bad),
    'net.summary': () => tinyNet('cpu').summary(bad),
    loadWeights: () => api.loadWeights(tinyNet('cpu'), 'none.safetensors', bad),
    matchWeights: () => api.matchWeights(tinyNet('cpu'), new Map(), bad),
    sgd: () => api.sgd(bad),
    adamw: () => api.adamw(bad),
    lamb: () => api.lamb(bad),
    optimizerFrom: () => api.optimizerFrom({ ...api.sgd().settings, ...bad }),
    constant: () => api.constant({ epochs: 1, ...bad }),
    step: () => api.step({ epochs: 1, ...bad }),
    cosine: () => api.cosine({ epochs: 1, ...bad }),
    scheduleFrom: () => api.scheduleFrom({ ...api.cosine({ epochs: 1 }).settings, ...bad }),
    decodeEvents: () => api.decodeEvents(new Uint8Array(), { format: 'nmnist', ...bad }),
    readEvents: () => api.readEvents('none.bin', { format: 'nmnist', ...bad }),
    streamEvents: () => api.streamEvents('none.bin', { format: 'nmnist', ...bad }).next(),
    eventSlices: () => api.eventSlices({ ...events, width: 1, height: 1 } as never, { ...inSpan, ...bad }),
    nMnist: () => api.nMnist('none', { steps: 2, ...bad }),
    shd: () => api.shd('none', { steps: 2, ...bad }),
    imageFolder: () => api.imageFolder('none', bad),
    imageShards: () => api.imageShards('none', bad),
    randAugment: () => api.randAugment(bad),
    colorJitter: () => api.colorJitter(bad),
    loader: () => api.loader(set(), { batch: 1, ...bad }),
    'loader.epoch': () => api.loader(set(), { batch: 1, workers: 0 }).epoch(0, bad),
    evaluate: () => api.evaluate(tinyNet('cpu'), set(), bad),
    evaluateRun: () => api.evaluateRun('none', bad),
    train: () => api.train(tinyNet('cpu'), { data: { train: set(), test: set() }, epochs: 1, ...bad }),
    trainRecipe: () => api.trainRecipe(undefined, bad),
    trainingMemory: () => api.trainingMemory(tinyNet('cpu'), { batch: 1, ...bad }),
    'trainingMemory (loss)': () => api.trainingMemory(tinyNet('cpu'), { batch: 1, loss: bad }),
    Progress: () => new api.Progress({ epochs: 1, steps: 1, ...bad }),
  };
  for (const [name, call] of Object.entries(calls)) {
    it(name, async () => {
      const refused = await failureOf(call);
      expect(refused).to.be.instanceOf(api.SpikeloomError);
      expect(String(refused)).to.match(
        name === 'ifNode'
          ? /no option decay; it has/
          : name === 'cubaLif'
            ? /no option adaptationDecay; it/
            : /no option "?colour"?; (it has|the)/,
      );
    });
  }
});

/** What a call throws, or rejects with; the tensors that it was given are freed. */
async function failureOf(call: () => unknown): Promise<unknown> {
  try {
    let result: unknown;
    api.scope(() => {
      result = call();
    });
    await result;
    return undefined;
  } catch (error) {
    return error;
  }
}
