// Images that rest on the device: the batches, the runs and what is kept of them have the bits of the host's way. On
// the CPU, and on a CUDA device where there is one.
import { expect } from 'chai';
import { cudaBackend, device, type RealType, SpikeloomError, scope, tensor } from '../../lib/core/index.ts';
import { openSafetensors } from '../../lib/core/safetensors.ts';
import { normaliseTable } from '../../lib/data/augment/augment.ts';
import { DeviceLoader } from '../../lib/data/images/device-loader.ts';
import { residentBytes, residentRoom, residentSet } from '../../lib/data/images/resident-set.ts';
import { type Batch, type BatchFeed, type LoaderOptions, loader } from '../../lib/data/loader.ts';
import { encodePrograms } from '../../lib/ops/index.ts';
import { sgd } from '../../lib/optim/index.ts';
import { EvaluationSteps, evaluate } from '../../lib/train/evaluate.ts';
import { LOSS_DEFAULTS } from '../../lib/train/loss.ts';
import type { Residence } from '../../lib/train/residence.ts';
import { runPaths } from '../../lib/train/run-folder.ts';
import type { AnyBatch } from '../../lib/train/step-inputs.ts';
import { train } from '../../lib/train/train.ts';
import type { TrainOptions } from '../../lib/train/train-options.ts';
import { abortAfter } from '../support/abort-after.ts';
import { freeGarbage } from '../support/garbage.ts';
import { randomSet, testFolder } from '../support/image-sets.ts';
import { tinyNet } from '../support/tiny-net.ts';

const data = { train: randomSet('cifar10', [23, 3, 9, 7]), test: randomSet('cifar10', [11, 3, 9, 7]) };

interface Outcome {
  /** What of the reports does not depend on the clock. */
  reports: Record<string, unknown>[];
  weights: Record<string, string>;
  interrupted: boolean;
}

async function trained(on: string, out: string, options: Partial<TrainOptions>, dtype?: RealType): Promise<Outcome> {
  using net = tinyNet(on, dtype);
  const usual = { data, batch: 4, epochs: 2, optimizer: sgd({ lr: 0.05, momentum: 0.9 }), augment: 'basic' as const };
  const run = train(net, { ...usual, seed: 11, workers: 0, out, ...options });
  const reports: Outcome['reports'] = [];
  for await (const { imagesPerSecond: _a, seconds: _b, waitShare: _c, ...numbers } of run) reports.push(numbers);
  const file = openSafetensors(runPaths(out).state);
  const weights = file.names.map((name) => [name, Buffer.from(file.read(name).buffer).toString('base64')]);
  file.close();
  return { reports, weights: Object.fromEntries(weights), interrupted: run.interrupted };
}

/** Pixels and labels of all batches of an epoch. */
async function hostBatches(options: LoaderOptions, startBatch = 0): Promise<unknown[]> {
  const found: unknown[] = [];
  await using source = loader(data.train, options);
  for await (const { images, labels, ...rest } of source.epoch(3, { startBatch }) as AsyncIterable<Batch>) {
    found.push({ images: [...images], labels: [...labels], ...rest });
  }
  return found;
}

async function deviceBatches(
  options: LoaderOptions,
  place: { dtype: RealType; on: string; whole: boolean },
  startBatch = 0,
): Promise<unknown[]> {
  const { on, ...kind } = place;
  const found: unknown[] = [];
  const source = new DeviceLoader(data.train, options, { ...kind, device: device(on) });
  for await (const { set, programs, programWords, bring, ...rest } of source.epoch(3, { startBatch })) {
    expect(bring === undefined).to.equal(place.whole);
    bring?.();
    const made = scope(() => set.take(tensor(programs, { shape: [rest.size, programWords], device: device(on) })));
    expect(made.images.shape).to.deep.equal(rest.shape);
    found.push({ images: [...(await made.images.array())], labels: [...(await made.labels.array())], ...rest });
    made.images.dispose();
    made.labels.dispose();
  }
  await source.close();
  return found;
}

function describeOn(on: string): void {
  const folders = testFolder();
  let made = 0;
  const folder = () => folders.path(String(made++));

  for (const options of [
    { batch: 5, seed: 9, shuffle: true, augment: 'basic' },
    { batch: 7 },
    { batch: 23, seed: 1, augment: 'basic', dropLast: true },
    { batch: 6, seed: 2, shuffle: true, augment: 'published' },
  ] satisfies LoaderOptions[]) {
    it(`batches have the bits of the host's, ${JSON.stringify(options)}`, async () => {
      const expected = await hostBatches(options);
      const later = Math.min(2, expected.length);
      for (const dtype of ['f32', 'f64'] as const) {
        for (const whole of [true, false]) {
          expect(await deviceBatches(options, { dtype, on, whole })).to.deep.equal(expected);
          expect(await deviceBatches(options, { dtype, on, whole }, later)).to.deep.equal(expected.slice(later));
        }
      }
    });
  }

  for (const [name, options, dtype] of [
    ['f32, recorded', {}, 'f32'],
    ['f64, recorded', {}, 'f64'],
    ['f32, call by call', { record: false }, 'f32'],
    ['f32, without augmentation', { augment: 'none' }, 'f32'],
    ['f32, with the published augmentation', { augment: 'published' }, 'f32'],
  ] satisfies [string, Partial<TrainOptions>, RealType][]) {
    it(`a run has the bits of the host's way, ${name}`, async () => {
      const expected = await trained(on, folder(), { ...options, resident: 'off' }, dtype);
      expect(await trained(on, folder(), { ...options, resident: 'on' }, dtype)).to.deep.equal(expected);
    });
  }

  for (const [first, second] of [
    ['on', 'on'],
    ['on', 'off'],
    ['off', 'on'],
  ] satisfies [Residence, Residence][]) {
    it(`interrupted within an epoch and resumed has the same bits, resident ${first}, then ${second}`, async () => {
      const whole = await trained(on, folder(), { resident: 'off' });
      const out = folder();
      const begun = await trained(on, out, { resident: first, ...abortAfter(8) });
      expect(begun.interrupted).to.equal(true);
      const rest = await trained(on, out, { resident: second, resume: true });
      expect(rest.weights).to.deep.equal(whole.weights);
      expect([...begun.reports, ...rest.reports]).to.deep.equal(whole.reports);
    });
  }

  it('an evaluation has the numbers of the host', async () => {
    using net = tinyNet(on);
    const numbers = async (resident: Residence) => {
      const { seconds: _, ...rest } = await evaluate(net, data.test, { batch: 4, workers: 0, resident });
      return rest;
    };
    expect(await numbers('on')).to.deep.equal(await numbers('off'));
  });

  it('the plan of a run counts the images; they rest from the first epoch to the end', async () => {
    await freeGarbage();
    const before = device(on).stats();
    {
      using net = tinyNet(on);
      const run = train(net, { data, epochs: 2, batch: 4, resident: 'on' });
      const bytes = residentBytes(data.train, 23, 'f32') + residentBytes(data.test, 11, 'f32');
      const { dataBytes, bytes: all, weightBytes, optimizerBytes, stepBytes } = run.memory();
      expect(dataBytes)
        .to.equal(bytes)
        .and.to.equal(34 * (3 * 9 * 7 + 4) + 2 * 3 * 256 * 4);
      expect(all).to.equal(weightBytes + optimizerBytes + stepBytes + bytes);
      const seen: number[] = [];
      for await (const _ of run) seen.push(device(on).stats().systemAllocations);
      expect(seen[1]).to.equal(seen[0]);
    }
    expect(device(on).stats().handles).to.equal(before.handles);
    expect(device(on).stats().bytesInUse).to.equal(before.bytesInUse);
  });

  it('a run that leaves the finite numbers says where, and frees the images', async () => {
    await freeGarbage();
    const { handles } = device(on).stats();
    {
      using net = tinyNet(on);
      const options = { data, epochs: 2, batch: 4, resident: 'on', optimizer: sgd({ lr: 3e38 }) } as const;
      let error: unknown;
      try {
        for await (const _ of train(net, options));
      } catch (thrown) {
        error = thrown;
      }
      expect(error).to.be.instanceOf(SpikeloomError);
      expect((error as Error).message).to.match(/^epoch 1.*The first that is not finite: /);
    }
    expect(device(on).stats().handles).to.equal(handles);
  });
}

describe('images that rest on the CPU', () => {
  describeOn('cpu');

  it('do so only where asked for', () => {
    using net = tinyNet('cpu');
    const batches = residentBytes(data.train, 4, 'f32') + residentBytes(data.test, 4, 'f32');
    expect(train(net, { data, epochs: 1, batch: 4 }).memory().dataBytes).to.equal(batches);
    expect(train(net, { data, epochs: 1, batch: 4, resident: 'auto' }).memory().dataBytes).to.equal(batches);
    expect(() => train(net, { data, epochs: 1, resident: 'yes' as 'on' })).to.throw(
      SpikeloomError,
      'resident is one of auto, on, off, not "yes"',
    );
  });

  it('are not mixed up with those of another loader in recorded steps', async () => {
    using net = tinyNet('cpu');
    using steps = new EvaluationSteps(net, { loss: LOSS_DEFAULTS, record: true });
    const place = { dtype: 'f32', device: device(), whole: true } as const;
    const [mine, other] = [0, 0].map(() => new DeviceLoader(data.train, { batch: 4 }, place));
    await using host = loader(data.train, { batch: 4, workers: 0 });
    const batchOf = async (source: BatchFeed<AnyBatch>) => (await source.epoch(0).next()).value as AnyBatch;
    await (await steps.queue(await batchOf(mine!))).reading;
    for (const source of [other!, host]) {
      let error: unknown;
      await steps.queue(await batchOf(source)).catch((thrown) => {
        error = thrown;
      });
      expect(error).to.be.instanceOf(SpikeloomError);
      expect((error as Error).message).to.contain('from one loader');
    }
    for (const source of [mine!, other!]) await source.close();
  });

  it('serve two epochs at a time, and no more once closed', async () => {
    const source = new DeviceLoader(data.train, { batch: 9 }, { dtype: 'f32', device: device(), whole: true });
    const [a, b] = [source.epoch(0), source.epoch(1)];
    const [first, second] = [(await a.next()).value, (await b.next()).value];
    expect(first.set).to.equal(second.set);
    expect([...first.programs.subarray(7, 10)]).to.deep.equal([0, 1, 0]);
    expect(() => source.epoch(0, { startBatch: 4 })).to.throw(SpikeloomError, 'startBatch');
    await source.close();
    expect(() => source.epoch(0)).to.throw(SpikeloomError, 'closed');
    const refused = await a.next().then(String, (error: Error) => error.message);
    expect(refused).to.contain('closed');
  });

  it('are copied in pieces, and the event loop turns in between', async () => {
    const large = randomSet('cifar10', [1500, 3, 32, 32]);
    let turns = 0;
    const count = () => {
      turns++;
      timer = setImmediate(count);
    };
    let timer = setImmediate(count);
    using set = await residentSet(large, 'f32', device());
    clearImmediate(timer);
    expect(turns).to.be.above(1);
    const table = normaliseTable(large.mean, large.std);
    for (const index of [0, 1364, 1365, 1366, 1499]) {
      const pixels = large.images.subarray(index * 3072, (index + 1) * 3072);
      const expected = Float32Array.from(pixels, (pixel, at) => table[(at >> 10) * 256 + pixel]!);
      const program = tensor(encodePrograms([{ index }]), { shape: [1, 8] });
      const { images, labels } = scope(() => set.take(program));
      program.dispose();
      expect(await images.array(), `image ${index}`).to.deep.equal(expected);
      expect(await labels.item()).to.equal(large.labels[index]);
      for (const t of [images, labels]) t.dispose();
    }
  });
});

describe('images that rest on a CUDA device', () => {
  before(function () {
    if (cudaBackend().score === 0) this.skip();
  });
  describeOn('cuda');

  it('are refused where there is no room for them', async () => {
    const { handles } = device('cuda').stats();
    const count = Math.ceil((2 * device('cuda').memory()!.totalBytes) / (3 * 9 * 7));
    expect(() => residentRoom(data.train, count, 'f32', device('cuda'))).to.throw(
      SpikeloomError,
      /^\d+ images of 'cifar10' take \d+ bytes on 'cuda' and do not fit; leave the set on the host \(resident: 'off'\)/,
    );
    expect(device('cuda').stats().handles).to.equal(handles);
    await device('cuda').finish();
  });

  it('are taken in the graph of the step', async () => {
    const before = device('cuda').stats().capturesRun;
    using net = tinyNet('cuda');
    for await (const _ of train(net, { data, epochs: 1, batch: 4, workers: 0, resident: 'on' }));
    const { capturesRun, captureProblem } = device('cuda').stats();
    expect(captureProblem).to.equal('');
    // of 5 steps with 4 images all but the first, of 2 such evaluations the second
    expect(capturesRun - before).to.equal(4 + 1);
  });

  it('do so by themselves where they take a quarter of the free memory at most', () => {
    using net = tinyNet('cuda');
    const bytes = residentBytes(data.train, 23, 'f32') + residentBytes(data.test, 11, 'f32');
    expect(train(net, { data, epochs: 1 }).memory().dataBytes).to.equal(bytes);
    const batches = residentBytes(data.train, 4, 'f32') + residentBytes(data.test, 4, 'f32');
    expect(train(net, { data, epochs: 1, batch: 4, resident: 'off' }).memory().dataBytes).to.equal(batches);
    const { freeBytes } = device('cuda').memory()!;
    if (freeBytes > 2 ** 32) return; // an array of a third of that is more than this host may have
    const count = Math.ceil((0.3 * freeBytes) / (3 * 9 * 7));
    const shared = new SharedArrayBuffer(count * 3 * 9 * 7);
    const labels = new Int32Array(new SharedArrayBuffer(4 * count));
    const large = { ...data.train, count, images: new Uint8Array(shared), labels };
    const options = { data: { ...data, train: large }, epochs: 1, batch: 4 };
    expect(train(net, options).memory().dataBytes).to.equal(batches);
  });
});
