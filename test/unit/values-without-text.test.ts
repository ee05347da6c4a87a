// Values that cannot be put into a text (symbols, bigints, objects without a prototype), in every place of calls that
// are right otherwise: refused as every other wrong value, or taken; the message itself never fails.
import { expect } from 'chai';
import * as api from '../../lib/index.ts';
import { randomSet } from '../support/image-sets.ts';
import { tinyNet } from '../support/tiny-net.ts';

const { ops, zeros } = api;
const bare = (entries: object = {}): object => Object.assign(Object.create(null), entries);

const VALUES: Record<string, unknown> = {
  'a symbol': Symbol('s'),
  'a bigint': 10n,
  'an object without a prototype': bare({ a: 1 }),
  'a symbol in an array': [Symbol('s')],
  'a bigint in an array': [10n, 1],
  'objects without prototypes in arrays': [[bare()], bare()],
  'an object whose constructor is none': { constructor: null },
};

type Call = [args: unknown[], call: (...args: never[]) => unknown];

const set = randomSet();
const data = { train: set, test: set };
const trained = tinyNet('cpu', 'f32', { size: [8, 7], classes: 4 });
const images = () => zeros([2, 1, 3, 4, 4]);
const labels = () => api.tensor(Int32Array.of(1, 2));
const picture = { name: 'n', count: 1, channels: 3, height: 9, width: 7, classes: ['a', 'b'] };
const events = { count: 0, width: 3, height: 3, x: new Uint16Array(0), y: new Uint16Array(0), p: new Uint8Array(0) };

/** A network of the layer, which is a description until then. */
const net =
  (layer: (...args: never[]) => api.Layer | api.Layer[]) =>
  (...args: never[]) => {
    const model = api.define('m', () => [layer(...args)].flat());
    model({ steps: 2, input: { channels: 3, height: 8, width: 8 }, classes: 4 })[Symbol.dispose]();
  };

const CALLS: Record<string, Call> = {
  tensor: [[[1, 2], { shape: [2], dtype: 'f32', device: api.device() }], api.tensor],
  empty: [[[2, 3], 'f32'], api.empty],
  device: [['cpu'], api.device],
  philox: [[1, 2, 3], api.philox],
  permutation: [[4], (n: never) => api.philox(1).permutation(n)],
  sgd: [[{ lr: 0.1, momentum: 0.9, nesterov: true, weightDecay: 0, clipNorm: 0 }], api.sgd],
  lamb: [[{ lr: 0.1, betas: [0.9, 0.99], eps: 1e-8, weightDecay: 0.1 }], api.lamb],
  optimizerFrom: [[{ kind: 'sgd', lr: 0.1 }], api.optimizerFrom],
  cosine: [[{ epochs: 3, warmup: 1, minLr: 0.1, cooldown: 1 }], api.cosine],
  scheduleFrom: [[{ kind: 'step', epochs: 3, stepSize: 1, gamma: 0.5 }], api.scheduleFrom],
  'conv2d()': [[6, { kernel: 3, stride: 1, padding: 1, groups: 3, dilation: 2, name: 'a' }], net(api.conv2d)],
  'lif()': [[{ vth: 1, decay: 0.5, reset: 'hard', name: 'x' }], net(api.lif)],
  'fsta()': [[{ filters: [1], name: 'x' }], net(api.fsta)],
  'stage()': [[4, { blocks: 1, stride: 1, name: 'x' }], net(api.stage)],
  'block()': [[4, { stride: 1, name: 'x' }], net(api.block)],
  model: [['fsta-resnet8'], api.model],
  'a network': [
    [{ steps: 2, input: { channels: 3, height: 8, width: 8 }, classes: 4, seed: 1, dtype: 'f32', precision: 'fp32' }],
    (options: never) => (api.model('fsta-resnet8')(options) as Disposable)[Symbol.dispose](),
  ],
  'conv2d op': [
    [images(), zeros([3, 1, 3, 3]), { stride: 1, padding: [1, 1], groups: 3, dilation: [1, 1] }],
    ops.conv2d,
  ],
  'lif op': [[images(), { vth: 1, decay: 0.5, reset: 'hard', surrogate: 'sigmoid' }], ops.lif],
  reshape: [[images(), [2, 1, 48]], ops.reshape],
  dropout: [[images(), zeros([1], 'i32'), { p: 0.5, seed: 1 }], ops.dropout],
  scale: [[images(), 2], ops.scale],
  maxPool2d: [[images(), { kernel: 2, stride: [2, 2] }], ops.maxPool2d],
  eventFrames: [
    [zeros([1], 'i32'), zeros([1, 2], 'i32'), { window: [4, 4], corner: [0, 0], clip: 0 }],
    ops.eventFrames,
  ],
  encodePrograms: [[[{ index: 0, changes: [{ kind: 'affine', map: [1, 0, 0, 0, 1, 0] }] }], 2], ops.encodePrograms],
  crossEntropy: [[zeros([2, 3]), labels(), { smoothing: 0.1 }], api.crossEntropy],
  bceWithLogits: [[zeros([2, 3]), labels(), { smoothing: 0.1 }], api.bceWithLogits],
  loader: [[set, { batch: 4, seed: 1, augment: 'basic', workers: 0 }], api.loader],
  epoch: [
    [0, { startBatch: 0 }],
    (...args: never[]) => api.loader(set, { batch: 4, workers: 0 }).epoch(...(args as [never])),
  ],
  imageSet: [[{ ...picture, images: new Uint8Array(189), labels: [0], mean: [0, 0, 0], std: [1, 1, 1] }], api.imageSet],
  numberSet: [
    [
      {
        ...{ name: 'n', numbers: new Float32Array(12), shape: [1, 2, 1, 3], labels: [0, 1] },
        ...{ classes: ['a', 'b'], binary: true, chosen: [0] },
      },
    ],
    api.numberSet,
  ],
  limit: [[{ ...set }, 3], api.limit],
  nMnist: [['/nowhere', { steps: 2, size: [4, 4], crop: [4, 4], clip: 1, binning: 'count', split: 'x' }], api.nMnist],
  imageFolder: [['/nowhere', { size: 2, resize: 3, scale: [0.1, 1], ratio: [1, 2], broken: 'skip' }], api.imageFolder],
  readEvents: [['/nowhere.aedat', { format: 'x', width: 3, height: 3 }], api.readEvents],
  eventSlices: [
    [
      { ...events, t: new Float64Array(0) },
      { by: 'count', steps: 2 },
    ],
    api.eventSlices,
  ],
  loadRecipe: [['recipes/mnist.yaml', ['epochs=1']], api.loadRecipe],
  'set()': [[new Float32Array(6)], (numbers: never) => zeros([2, 3]).set(numbers)],
  'setRows()': [[0, new Float32Array(3)], (...args: [never, never]) => zeros([2, 3]).setRows(...args)],
  'summary()': [[{ batch: 2, dtype: 'f32' }], (options: never) => trained.summary(options)],
  'lrAt()': [[0, 0.1], (...args: [never, never]) => api.cosine({ epochs: 3 }).lrAt(...args)],
  'fillNormal()': [[new Float32Array(3), 2], (...args: [never, never]) => api.philox(1).fillNormal(...args)],
  'an optimizer': [[trained.parameters().map((each) => ({ ...each }))], api.sgd({ lr: 1 })],
  'load()': [
    [{}, 3],
    (...args: [never, never]) =>
      api
        .sgd({ lr: 1 })(trained.parameters())
        .load(...args),
  ],
  dctBasis: [[3, [0, 1]], ops.dctBasis],
  createRun: [[{ name: 'x', out: '/proc/nowhere' }], api.createRun],
  decodeEvents: [[new Uint8Array(10), { file: 'x', format: 'nmnist' }], api.decodeEvents],
  train: [
    [
      trained,
      {
        ...{
          data: { train: { ...data.train }, test: { ...data.test } },
          epochs: 1,
          batch: 4,
          seed: 1,
          augment: 'none',
        },
        ...{
          workers: 0,
          mix: { mixup: 0.1, p: 1 },
          loss: { kind: 'ce', smoothing: 0.1 },
          logEvery: 1,
          resident: 'off',
        },
      },
    ],
    api.train,
  ],
};

/** The places in arguments: of themselves, of their elements and entries. */
function* places(value: unknown, at: string[] = []): Generator<string[]> {
  if (at.length > 0) yield at;
  const isPlain = Array.isArray(value) || (value && Object.getPrototypeOf(value) === Object.prototype);
  if (isPlain) for (const [key, inner] of Object.entries(value as object)) yield* places(inner, [...at, key]);
}

function replaced(value: unknown, [key, ...rest]: string[], by: unknown): unknown {
  if (key === undefined) return by;
  const copy = (Array.isArray(value) ? [...value] : { ...(value as object) }) as Record<string, unknown>;
  copy[key] = replaced(copy[key], rest, by);
  return copy;
}

describe('values without a text', () => {
  for (const [name, [args, call]] of Object.entries(CALLS)) {
    it(`${name}: in every place of its arguments`, async () => {
      let refused = 0;
      for (const place of places(args)) {
        for (const [what, value] of Object.entries(VALUES)) {
          try {
            await call(...(replaced(args, place, value) as never[]));
          } catch (error) {
            expect(error, `${what} as ${place.join('.')}`).to.be.instanceOf(api.SpikeloomError);
            refused++;
          }
        }
      }
      expect(refused).to.be.above(0);
    });
  }
});
