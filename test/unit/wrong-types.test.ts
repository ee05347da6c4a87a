// What a program in plain JavaScript may hand over by mistake: refused with what is wanted, never computed with.
import { expect } from 'chai';
import * as api from '../../lib/index.ts';
import type { BatchNormOptions } from '../../lib/ops/index.ts';
import { tinyNet } from '../support/tiny-net.ts';

const { ops, tensor, zeros } = api;

/** Anything at all: the compiler would refuse it. */
const none = undefined as never;
const wrong = (value: unknown) => value as never;

const image = { name: 'n', count: 1, channels: 3, height: 9, width: 7, classes: ['a', 'b', 'c', 'd'] };
const arrays = { images: new Uint8Array(3 * 63), labels: [0], mean: [0, 0, 0], std: [1, 1, 1] };
const set = () => api.imageSet({ ...image, ...arrays });
const frames = () => zeros([2, 1, 3, 4, 4]);

const calls: Record<string, [call: () => unknown, message: RegExp]> = {
  'an op without its tensor': [() => ops.relu(none), /^relu: 'x' is missing; the op reads relu\(x/],
  'an op of an array': [() => ops.relu(wrong([1])), /^relu: 'x' is a tensor, not Array$/],
  'add of a number': [() => ops.add(zeros([1]), wrong(3)), /^add: 'y' is a tensor, not 3$/],
  'one-hot weights of spikes': [
    () => ops.oneHot(tensor(Int32Array.of(0, 1)), { classes: 2, real: wrong('spike') }),
    /^oneHot: a real type is f32 or f64, not "spike"$/,
  ],
  'reals in bf16': [
    () => ops.toReal(tensor([1, 0], { dtype: 'spike', shape: [2, 1] }), { real: wrong('bf16') }),
    /^toReal: a real type is f32 or f64, not "bf16"$/,
  ],
  'conv2d without weights': [() => ops.conv2d(frames(), none), /^conv2d: 'w' is a tensor, not undefined$/],
  'conv2d with a bias that is none': [
    () => ops.conv2d(frames(), zeros([4, 3, 3, 3]), { bias: wrong(3) }),
    /^conv2d: 'bias' is a tensor, not 3$/,
  ],
  'conv2d with a stride that is none': [
    () => ops.conv2d(frames(), zeros([4, 3, 3, 3]), { stride: wrong({}) }),
    /^conv2d: stride is a whole number of at least 1/,
  ],
  'conv2d of a picture without a batch': [
    () => ops.conv2d(zeros([3, 4, 4]), zeros([4, 3, 3, 3])),
    /^conv2d: takes pictures \[\.\.\., C, H, W\] of four axes or more, not f32\[3,4,4\]/,
  ],
  'conv2d with a padding beyond all pictures': [
    () => ops.conv2d(frames(), zeros([4, 3, 3, 3]), { padding: 2 ** 20 }),
    /padding of at least 0, below 2\^20/,
  ],
  'batch norm of a picture without a batch': [
    () => ops.batchNorm(zeros([3, 4, 4]), wrong({ gamma: zeros([3]) })),
    /^batchNorm: takes pictures \[\.\.\., C, H, W\] of four axes or more, not f32\[3,4,4\]/,
  ],
  'bf16 beside f64': [
    () => ops.conv2d(zeros([1, 3, 4, 4], 'bf16'), zeros([4, 3, 3, 3], 'f64')),
    /^conv2d: bf16 goes with f32, not with f64; make the others f32$/,
  ],
  'means of f64 as bf16': [
    () => ops.avgPool2d(zeros([1, 1, 8, 8, 8], 'f64'), { kernel: 2, precision: 'bf16' }),
    /^avgPool2d: bf16 goes with f32/,
  ],
  'a view of fewer channels of spikes': [() => zeros([1, 32], 'spike').alias([1, 20]), /keeps the number of elements/],
  'a view of other channels of spikes': [() => zeros([2, 20], 'spike').alias([1, 40]), /whole words of 32/],
  'lif of nothing': [() => ops.lif(none), /^lif: 'x' is a tensor, not undefined$/],
  'plif without a decay': [() => ops.plif(frames(), none), /^plif: 'logit' is a tensor/],
  'alif of nothing': [() => ops.alif(none), /^alif: 'x' is a tensor, not undefined$/],
  'recurrentLif without weights': [
    () => ops.recurrentLif(api.zeros([1, 1, 1]), none),
    /^recurrentLif: 'w' is a tensor/,
  ],
  'a pool without a kernel': [() => ops.maxPool2d(frames(), wrong({})), /^maxPool2d: kernel and stride are whole/],
  'batchNorm of nothing': [() => ops.batchNorm(none, wrong({})), /^batchNorm: 'x' is a tensor/],
  'fire without a norm': [
    () => ops.fire(frames(), wrong({})),
    /^the options of the norm of fire are an object of gamma/,
  ],
  'reshape without a shape': [
    () => ops.reshape(frames(), none),
    /^reshape: a shape is an array of sizes, not undefined$/,
  ],
  'a loss without labels': [() => api.crossEntropy(zeros([2, 3]), none), /^crossEntropy: 'labels' is a tensor/],
  'a loss of labels in an array': [
    () => api.bceWithLogits(zeros([2, 3]), wrong([0, 1])),
    /^bceWithLogits: 'labels' is a tensor, not Array$/,
  ],
  'classes as real numbers': [
    () => api.crossEntropy(zeros([2, 3]), tensor([1, 2])),
    /^labels are classes, i32 \[B\], as in tensor\(Int32Array.of\(3, 1\)\), .*; not f32\[2\]$/,
  ],
  'dropout without a counter': [
    () => ops.dropout(frames(), none, { p: 0.5, seed: 1 }),
    /^dropout: 'counter' is a tensor/,
  ],
  'scale by a text': [() => ops.scale(zeros([1]), wrong('2')), /^scale: attribute 'factor' is float, not "2"$/],
  'a window of one number': [
    () => ops.eventFrames(zeros([1], 'i32'), zeros([1, 2], 'i32'), { window: wrong(3) }),
    /^eventFrames: window is two integers from 1 to 4096, not 3$/,
  ],
  'a program of no image': [
    () => ops.encodePrograms([wrong({})]),
    /^a program has the index of an image, not undefined$/,
  ],
  'a change that there is not': [
    () => ops.encodePrograms([{ index: 0, changes: [wrong({ kind: 'zoom' })] }]),
    /^a change of an image is one of affine, color, .*, not "zoom"$/,
  ],
  'an affine change without a map': [
    () => ops.encodePrograms([{ index: 0, changes: [wrong({ kind: 'affine' })] }]),
    /^an affine change has a map of six numbers/,
  ],
  'an affine change with a map of five': [
    () => ops.encodePrograms([{ index: 0, changes: [wrong({ kind: 'affine', map: [1, 0, 0, 0, 1], fill: [0] })] }]),
    /^an affine change has a map of six numbers/,
  ],
  'a change of colours without its factor': [
    () => ops.encodePrograms([{ index: 0, changes: [wrong({ kind: 'color' })] }]),
    /^a change 'color' has a finite number as its factor, not undefined$/,
  ],
  'a device by its name': [
    () => tensor([1], { device: wrong('cpu') }),
    /^a device is what device\(\) gives, .*, not "cpu"$/,
  ],
  'a number for a device': [() => zeros([1], 'f32', wrong(3)), /^a device is what device\(\) gives/],
  'a tensor of a DataView': [
    () => tensor(wrong(new DataView(new ArrayBuffer(8)))),
    /^a tensor is made of an array of num/,
  ],
  'set of nothing': [() => zeros([2]).set(none), /^f32\[2\] takes a Float32Array of 2 elements, not undefined/],
  'setRows of nothing': [
    () => zeros([2, 2]).setRows(0, none),
    /^rows of f32\[2,2\] are Float32Arrays .*, not undefined/,
  ],
  'backward of nothing': [() => api.backward(none), /^backward\(\): 'loss' is a tensor, not undefined$/],
  'parameter of a number': [() => api.parameter(wrong(3)), /^parameter\(\): 't' is a tensor, not 3$/],
  'keep of nothing': [() => api.keep(none), /^keep\(\): 'tensor' is a tensor, not undefined$/],
  'a step recorded without a device': [
    () => api.recordStep(none, () => zeros([1])),
    /^a device is what device\(\) gives/,
  ],
  'define without layers': [() => api.define('x', none), /^define\(\) takes a name and a function that gives layers/],
  'a network of no plan': [() => new api.Net(wrong({})), /^a network is made of a ModelPlan/],
  'a network of nothing': [() => tinyNet('cpu')(none), /^tiny: 'x' is a tensor, not undefined$/],
  'recompute by a text': [
    () => api.Net.fromJSON(tinyNet('cpu').toJSON(), { recompute: wrong('no') }),
    /^recompute is true or false, not "no"$/,
  ],
  'a stage of no blocks': [() => api.stage(4, none), /^the options of stage\(\) are an object of/],
  'a summary of no batch': [
    () => tinyNet('cpu').summary({ batch: Number.NaN }),
    /^a summary is of a batch of at least 1/,
  ],
  'a summary of a type': [() => tinyNet('cpu').summary({ dtype: wrong('f16') }), /not of 1 in "f16"$/],
  'an optimizer of nothing': [() => api.sgd()(none), /^an optimizer needs at least one parameter/],
  'an image set of nothing': [() => api.imageSet(none), /^imageSet\(\): images is an array, not undefined$/],
  'an image set without labels': [() => api.imageSet({ ...image, ...arrays, labels: none }), /labels is an array/],
  'an image set of names': [() => api.imageSet({ ...image, ...arrays, labels: wrong(['a']) }), /is "a"$/],
  'an image set of labels with a gap': [
    () => api.imageSet({ ...image, ...arrays, count: 3, labels: wrong([0, undefined, 1]) }),
    /^imageSet\(\): labels are numbers of classes, here 0 to 3, but that of image 1 is undefined$/,
  ],
  'an image set of a sparse list of labels': [
    // biome-ignore lint/suspicious/noSparseArray: what a mistake of a comma makes
    () => api.imageSet({ ...image, ...arrays, count: 3, labels: wrong([0, , 1]) }),
    /but that of image 1 is undefined$/,
  ],
  'an image set of a label that 32 bits do not hold': [
    () => api.imageSet({ ...image, ...arrays, labels: [2 ** 32] }),
    /^imageSet\(\): labels are numbers of classes, here 0 to 3, but that of image 0 is 4294967296$/,
  ],
  'an image set of a label above its classes': [
    () => api.imageSet({ ...image, ...arrays, labels: Float64Array.of(4) }),
    /here 0 to 3, but that of image 0 is 4$/,
  ],
  'spikes of bytes that are none': [
    () => tensor(Uint8Array.of(0, 2, 1), { dtype: 'spike' }),
    /^spike holds 0 and 1, but number 1 is 2$/,
  ],
  'an image set of real pixels': [
    () => api.imageSet({ ...image, ...arrays, images: wrong(new Float32Array(3 * 63)) }),
    /images are a Uint8Array of pixels \[N,C,H,W\], 0 to 255, not Float32Array$/,
  ],
  'a batch in a text': [() => api.loader(set(), { batch: wrong('32') }), /^batch must be an integer .*, but is "32"$/],
  'an image set of one mean': [() => api.imageSet({ ...image, ...arrays, mean: wrong(0) }), /mean is an array, not 0$/],
  'a loader of nothing': [() => api.loader(none, { batch: 1 }), /^a data set is a half of what a reader gives/],
  'a loader of two sets': [() => api.loader(wrong({ train: set() }), { batch: 1 }), /^a data set is a half of what/],
  'events of a text': [() => api.decodeEvents(wrong('abc')), /^decodeEvents\(\) takes the bytes of a file/],
  'events without a sensor': [
    () => api.readHdf5Events('none.h5', 'x', none),
    /^the options of the sensor are an object/,
  ],
  'a size of one number': [() => api.shd('none', { steps: 2, size: wrong(3) }), /^size is two integers from 1 to 4096/],
  'a magnitude that is none': [
    () => api.randAugment({ magnitude: Number.NaN }),
    /^randAugment\(\): magnitude is a number/,
  ],
  'a billion changes': [() => api.randAugment({ count: 1e9 }), /^randAugment\(\): count is an integer from 0 to 100/],
  'a jitter by a text': [() => api.colorJitter({ contrast: wrong('x') }), /^colorJitter\(\): a change of contrast is/],
  'backward from a number': [
    () => api.backward(ops.relu(api.parameter(zeros([1]))), wrong(1)),
    /^backward\(\): 'gradient' is a tensor, not 1$/,
  ],
  'a recorded step of nothing': [
    () => api.recordStep(api.device(), none),
    /^a recorded step: 'body' is a function, not undefined$/,
  ],
  'a step recorded in turns that has none': [
    () =>
      api.recordStepInTurns(
        api.device(),
        wrong(() => 1),
      ),
    /'turns' is a generator, not 1$/,
  ],
  'a step recorded in turns that are asynchronous': [
    () =>
      api.recordStepInTurns(
        api.device(),
        wrong(async function* () {}),
      ),
    /'turns' is a generator, not AsyncGenerator$/,
  ],
  'a step that is recorded at once, of a generator': [
    () => api.recordStep(api.device(), function* () {}),
    /^recordStep\(\) records a plain function, not a generator; use recordStepInTurns\(\)$/,
  ],
  'noGrad() of an async function': [
    () => api.noGrad(async () => {}),
    /^noGrad\(\) ends when its function returns, .* but this one returned Promise; call noGrad\(\) within it/,
  ],
  'noGrad() of a generator': [() => api.noGrad(function* () {}), /but this one returned Generator; call/],
  'noGrad() of an asynchronous generator': [() => api.noGrad(async function* () {}), /returned AsyncGenerator; call/],
  'a norm without its scale': [
    () => ops.batchNorm(zeros([1, 2, 3, 3]), wrong({ training: true })),
    /^batchNorm: 'gamma' is a tensor, not undefined$/,
  ],
  'a residual that is a number': [
    () => {
      const four = zeros([4]);
      const norm = { gamma: four, beta: four, runningMean: four, runningVar: four, training: true };
      return ops.fire(zeros([1, 2, 4, 3, 3]), { norm, residual: wrong(3) });
    },
    /^fire: 'residual' is an object, not 3$/,
  ],
  'attention without parameters': [
    () => ops.fsta(frames(), none, { basis: ops.dctBasis(3) }),
    /^fsta: 'params' is an object, not undefined$/,
  ],
  'filters by a name': [() => ops.dctBasis(3, wrong('some')), /^dctBasis .*: 'filters' is an array, not "some"$/],
  'a program that is none': [() => ops.encodePrograms([none]), /^a program: 'program' is an object, not undefined$/],
  'a billion changes of a program': [() => ops.encodePrograms([{ index: 0 }], 1e9), /^a program has 0 to 1000 changes/],
  'options of a network that are none': [
    () => api.model('fsta-resnet8')(wrong(null)),
    /^fsta-resnet8: 'options' is an object, not null$/,
  ],
  'weights under a text': [
    () => api.matchWeights(tinyNet('cpu'), wrong('x')),
    /^matchWeights\(\): 'entries' is a Map, not "x"$/,
  ],
  'a state of nothing': [
    () =>
      api
        .sgd()([{ name: 'a', tensor: zeros([2]) }])
        .load(none, 1),
    /^an optimizer's load\(\): 'state' is an object, not undefined$/,
  ],
  'recordings without a folder': [
    () => api.nMnist(none, { steps: 2 }),
    /^an event set: 'root' is a text, not undefined$/,
  ],
  'more events than there are': [
    () => {
      const [x, y, p, t] = [new Uint16Array(2), new Uint16Array(2), new Uint8Array(2), new Float64Array(2)];
      return api.packEvents({ count: 1e9, width: 4, height: 4, x, y, p, t });
    },
    /^packEvents\(\): 'count' is a whole number of events, here up to 2, not 1000000000$/,
  ],
  'shards in a file': [() => api.imageShards('package.json'), /package\.json.* has neither train/],
  'a part of no set': [() => api.limit(none, 1), /^a data set is a half of what a reader gives/],
  'training on a set that is none': [
    () => api.train(tinyNet('cpu'), { data: wrong({ train: {}, test: set() }), epochs: 1 }),
    /^a data set is a half of what a reader gives/,
  ],
  'an optimizer that was not made': [
    () => api.train(tinyNet('cpu'), { data: { train: set(), test: set() }, epochs: 1, optimizer: wrong(api.sgd) }),
    /^train\(\): optimizer is what sgd\(\), adamw\(\) or lamb\(\) makes, as in sgd\(\{ lr: 0.1 \}\)$/,
  ],
  'memory of an optimizer that was not made': [
    () => api.trainingMemory(tinyNet('cpu'), { batch: 1, optimizer: wrong(api.sgd) }),
    /^trainingMemory\(\): optimizer is what sgd\(\)/,
  ],
  'a recipe by its path': [
    () => api.trainRecipe(wrong('recipes/quickstart.yaml')),
    /^trainRecipe\(\) takes settings, as loadRecipe\(path\) reads them, not "recipes\/quickstart.yaml"$/,
  ],
  'training of a design': [
    () => api.train(wrong(api.model('fsta-resnet8')), { data: { train: set(), test: set() }, epochs: 1 }),
    /^train\(\) takes a network/,
  ],
  'training with a text for smoothing': [
    () =>
      api.train(tinyNet('cpu'), { data: { train: set(), test: set() }, epochs: 1, loss: { smoothing: wrong('x') } }),
    /^train\(\): smoothing is between 0 and 1, not "x"$/,
  ],
  'evaluation of no set': [() => api.evaluate(tinyNet('cpu'), none), /^a data set is a half of what a reader gives/],
  'evaluation ended by a controller': [
    () => api.evaluate(tinyNet('cpu'), set(), { signal: wrong(new AbortController()) }),
    /^evaluate\(\): signal is an AbortSignal, as in new AbortController\(\).signal, not AbortController$/,
  ],
  'evaluation of a run ended by a text': [
    () => api.evaluateRun('runs/none', { signal: wrong('stop') }),
    /^evaluateRun\(\): signal is an AbortSignal/,
  ],
  'a recipe ended by a text': [
    () => api.trainRecipe(api.loadRecipe('recipes/quickstart.yaml'), { signal: wrong('stop') }),
    /^trainRecipe\(\): signal is an AbortSignal/,
  ],
  'memory of no network': [() => api.trainingMemory(none, { batch: 1 }), /^trainingMemory\(\) takes a network/],
};

describe('numbers of a batch norm are those that its layer takes:', () => {
  const refused: [numbers: object, message: string][] = [
    ...[0, -1e-5, Number.NaN, Number.POSITIVE_INFINITY, null].map((eps): [object, string] => [
      { eps },
      `eps is a number above 0, not ${eps}`,
    ]),
    ...[-0.1, 1.1, Number.NaN, Number.NEGATIVE_INFINITY, null].map((momentum): [object, string] => [
      { momentum },
      `momentum is between 0 and 1, not ${momentum}`,
    ]),
  ];
  for (const training of [true, false]) {
    const on = (numbers: object, call: (norm: BatchNormOptions) => unknown) =>
      api.scope(() => {
        const [gamma, beta, runningMean, runningVar] = Array.from({ length: 4 }, () => zeros([4]));
        const norm = { gamma, beta, runningMean, runningVar, training, ...numbers };
        call(norm as BatchNormOptions);
      });
    const batchNorm = (norm: BatchNormOptions) => ops.batchNorm(zeros([1, 2, 4, 3, 3]), norm);
    const fire = (norm: BatchNormOptions) => ops.fire(zeros([1, 2, 4, 3, 3]), { norm });
    it(`in ${training ? 'training' : 'evaluation'}`, () => {
      for (const [numbers, message] of refused) {
        expect(() => on(numbers, batchNorm)).to.throw(api.SpikeloomError, `batchNorm: ${message}`);
        expect(() => on(numbers, fire)).to.throw(api.SpikeloomError, `the norm of fire: ${message}`);
        const design = api.define('n', () => [{ ...api.norm(), ...numbers }]);
        expect(() => design.plan({ steps: 1, channels: 4, size: 3, classes: 2 })).to.throw(/ must be /);
      }
      for (const numbers of [{ momentum: 0 }, { momentum: 1, eps: 1e-30 }, { momentum: undefined, eps: undefined }])
        for (const call of [batchNorm, fire]) on(numbers, call);
    });
  }
});

describe('what is of a wrong type is refused:', () => {
  for (const [name, [call, message]] of Object.entries(calls)) {
    it(name, async () => {
      let result: unknown;
      const failure = await Promise.resolve()
        .then(() =>
          api.scope(() => {
            result = call();
          }),
        )
        .then(() => result)
        .catch((error: unknown) => error);
      expect(failure).to.be.instanceOf(api.SpikeloomError);
      expect((failure as Error).message).to.match(message);
    });
  }
});

describe('what is left out is refused:', () => {
  const functions = [...Object.entries(api), ...Object.entries(ops)].filter(
    ([name, value]) => typeof value === 'function' && /^[a-z]/.test(name),
  ) as [string, () => unknown][];
  it('every public function says so, or does without', async () => {
    expect(functions.length).to.be.above(100);
    for (const [name, call] of functions) {
      const failure = await Promise.resolve()
        .then(() => call())
        .catch((error: unknown) => error);
      if (failure instanceof Error)
        expect(failure, `${name}(): ${failure.message}`).to.be.instanceOf(api.SpikeloomError);
    }
  });
  for (const [name, message] of [
    ['mnist', /^mnist: 'root' is a text, not undefined$/i],
    ['scope', /^scope\(\): 'body' is a function, not undefined$/],
    ['openRun', /^a run: 'folder' is a text, not undefined$/],
    ['packEvents', /^packEvents\(\): 'events' is an object, not undefined$/],
  ] as const) {
    it(`${name}()`, () => expect(() => new Map(functions).get(name)!()).to.throw(api.SpikeloomError, message));
  }
});
