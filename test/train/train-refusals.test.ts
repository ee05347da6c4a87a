// What train() refuses: options and data that do not fit, runs that cannot be gone on with, damaged files.
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect } from 'chai';
import { device, SpikeloomError, type Tensor } from '../../lib/core/index.ts';
import { openSafetensors, writeSafetensors } from '../../lib/core/safetensors.ts';
import { imageSet } from '../../lib/data/images/image-set.ts';
import { type NumberSet, numberSet } from '../../lib/data/numbers/number-set.ts';
import { loadWeights, type NamedTensor } from '../../lib/nn/index.ts';
import { crossEntropy } from '../../lib/ops/cross-entropy.ts';
import { adamw, constant, lamb, type Optimizer, optimizerFrom, type Schedule, sgd } from '../../lib/optim/index.ts';
import { loadNet } from '../../lib/train/evaluate-run.ts';
import { readMetrics } from '../../lib/train/metrics-log.ts';
import { runPaths } from '../../lib/train/run-folder.ts';
import { train } from '../../lib/train/train.ts';
import { abortAfter } from '../support/abort-after.ts';
import { refusal } from '../support/failure.ts';
import { freeGarbage } from '../support/garbage.ts';
import { randomSet } from '../support/image-sets.ts';
import { CLASSES, data, go, makeNet, newFolders, tiny, usual } from '../support/small-training.ts';

/** Adds 1 to a byte in the last tensor of a file. */
function damage(path: string): void {
  const bytes = readFileSync(path);
  bytes[bytes.length - 3]! += 1;
  writeFileSync(path, bytes);
}

/** Writes a file's tensors again, with other metadata. */
async function withMetadata(path: string, change: (metadata: Record<string, string>) => object): Promise<void> {
  const file = openSafetensors(path);
  const tensors = [...file.entries.values()].map(({ name, dtype, shape }) => [
    name,
    { dtype, shape, data: file.read(name) },
  ]);
  const metadata = change({ ...file.metadata }) as Record<string, string>;
  file.close();
  await writeSafetensors(path, Object.fromEntries(tensors), metadata);
}

describe('train() refuses what cannot work', () => {
  const folder = newFolders();

  it('but not settings that are the same, written otherwise', async () => {
    const out = folder();
    const loss = (settings: { kind: string; [key: string]: unknown }) =>
      Object.assign((x: Tensor, labels: Tensor) => crossEntropy(x, labels), { settings });
    const one = { groups: [{ names: 'linear1.*', weightDecay: 0 }] };
    await go(makeNet(), {
      ...{ out, loss: loss({ kind: 'own', a: { b: 1, c: 2 } }), optimizer: adamw({ lr: 0.02, ...one }) },
      ...abortAfter(3),
    });
    const other = { groups: [{ weightDecay: 0, lrScale: 1, names: ['linear1.*'] }] };
    const same = { loss: loss({ a: { c: 2, b: 1 }, kind: 'own' }), optimizer: adamw({ ...other, lr: 0.02 }) };
    expect((await go(makeNet(), { out, ...same, resume: true })).reports).to.have.length(3);
  });

  it('has classes of the same names in the same order for training and tests', () => {
    using net = makeNet();
    const named = (...classes: string[]) => ({ ...data.test, classes });
    const run = (test: typeof data.test) => train(net, { ...usual, data: { train: data.train, test } });
    run(named('a', 'b', 'c'));
    expect(() => run(named('a', 'c', 'b'))).to.throw(
      SpikeloomError,
      /in the same order, but class 1 of 'cifar10' is "b" in training and "c" in tests; give both sets the same list$/,
    );
  });

  it('has time steps in both halves of the data or in none', () => {
    using net = makeNet();
    const set = (shape: number[]) => {
      const numbers = new Float32Array(2 * 105 * (shape.length - 2));
      return numberSet({ name: 'own', numbers, shape, labels: [0, 1], classes: CLASSES });
    };
    const [still, timed] = [set([3, 7, 5]), set([2, 3, 7, 5])];
    const run = (one: NumberSet, test: NumberSet) =>
      train(net, { ...usual, augment: 'none', data: { train: one, test } });
    run(still, still);
    run(timed, timed);
    const rule = /time steps both or neither, but of 'own' only the (test|training) samples have; make the \w+ samples/;
    expect(() => run(still, timed)).to.throw(SpikeloomError, rule);
    expect(() => run(timed, still)).to.throw(SpikeloomError, rule);
  });

  it('notices bytes of weights and states that have changed, where the files have a hash', async () => {
    const out = folder();
    await go(makeNet(), { out, ...abortAfter(8) });
    const { best, last, state } = runPaths(out);
    for (const path of [best, last, state]) {
      const bytes = readFileSync(path);
      const file = openSafetensors(path);
      file.close();
      const data = bytes.subarray(8 + Number(bytes.readBigUInt64LE()));
      expect(file.metadata.data_sha256, path).to.equal(createHash('sha256').update(data).digest('hex'));
      damage(path);
    }
    const resumed = await refusal(go(makeNet(), { out, resume: true }));
    expect(resumed).to.match(
      /state.safetensors: the numbers must have the SHA-256 .* is damaged, or was changed. Restore the file/,
    );
    const says =
      /(best|last).safetensors: .* is damaged, or was changed. Restore a copy, or take the run's other weights \(best, last\); where/;
    for (const weights of ['best', 'last'] as const)
      expect(() => loadNet(out, { weights })).to.throw(SpikeloomError, says);
    using net = makeNet();
    const before = await net.parameters()[0]!.tensor.array();
    expect(() => loadWeights(net, best, { strict: false })).to.throw(SpikeloomError, says);
    expect(await net.parameters()[0]!.tensor.array()).to.deep.equal(before);
    for (const path of [last, state]) await withMetadata(path, ({ data_sha256: _, ...rest }) => rest);
    loadNet(out, { weights: 'last' }).dispose();
    expect((await go(makeNet(), { out, resume: true })).reports).to.have.length(2);
  });

  it('refuses a schedule of the same settings whose rates of the epochs that have begun are others', async () => {
    const out = folder();
    const scheduled = (...rates: number[]) => ({
      out,
      schedule: { ...constant({ epochs: 3 }), lrAt: (epoch: number) => rates[epoch]! },
    });
    await go(makeNet(), { ...scheduled(0.1, 0.05, 0.02), ...abortAfter(8) });
    for (const [rates, says] of [
      [[0.1, 0.06, 0.02], 'epoch 2 was 0.05 then and is 0.06 now'],
      [[0, 0.05, 0.02], 'epoch 1 was 0.1 then and is 0 now'],
    ] as const) {
      const message = await refusal(go(makeNet(), { ...scheduled(...rates), resume: true }));
      expect(message).to.contain(`state.safetensors: a run goes on under the schedule it began with`).and.contain(says);
    }
    const { state } = runPaths(out);
    await withMetadata(state, ({ position, ...rest }) => {
      const { rates, skipped, ...older } = JSON.parse(position!);
      expect([rates, skipped]).to.deep.equal([[0.1, 0.05], 0]);
      return { ...rest, position: JSON.stringify(older) };
    });
    await go(makeNet(), { ...scheduled(0.1, 0.05, 0.02), resume: true, ...abortAfter(3) });
    // what is not known, and what is to come, may be another one
    const { reports } = await go(makeNet(), { ...scheduled(0.2, 0.05, 0.01), resume: true });
    expect(reports.at(-1)!.lr).to.equal(0.01);
  });

  it('refuses a state whose position lies outside of the run', async () => {
    const out = folder();
    await go(makeNet(), { out, ...abortAfter(8) });
    const { state } = runPaths(out);
    const whole = readFileSync(state);
    for (const wrong of [
      ...[{ epoch: 4 }, { batch: 7 }, { images: 24 }, { correct: 23 }, { seconds: -1 }],
      ...[{ best: { epoch: 0, accuracy: 1.5 } }, { best: { epoch: 3, accuracy: 0.5 } }],
    ]) {
      writeFileSync(state, whole);
      await withMetadata(state, ({ position, ...rest }) => ({
        ...rest,
        position: JSON.stringify({ ...JSON.parse(position!), ...wrong }),
      }));
      expect(await refusal(go(makeNet(), { out, resume: true })), JSON.stringify(wrong)).to.match(
        /state.safetensors: the state's 'position' is damaged. Restore the file from a copy, or start a new run/,
      );
    }
    writeFileSync(state, whole);
    expect((await go(makeNet(), { out, resume: true })).reports).to.have.length(2);
  });

  it('refuses to go on under other settings, to overwrite a run, and to resume nothing', async () => {
    const out = folder();
    await go(makeNet(), { out, epochs: 1 });
    const net = makeNet();
    expect(await refusal(go(net, { out, epochs: 1, resume: true, batch: 5 }))).to.match(/batch: 4 then, 5 now/);
    expect(() => train(net, { data, ...usual, out })).to.throw(/needs a folder of its own/);
    expect(() => train(net, { data, ...usual, out: folder(), resume: true })).to.throw(/is not there/);
    expect(() => train(net, { data, ...usual, resume: true })).to.throw(/give the folder/);
    truncateSync(runPaths(out).state, 1000);
    expect(await refusal(go(net, { out, epochs: 1, resume: true }))).to.contain(runPaths(out).state);
    net.dispose();
  });

  it('refuses to go on with samples that are presented in another way, where the state says how they were', async () => {
    const out = folder();
    await go(makeNet(), { out, ...abortAfter(8) });
    const { state } = runPaths(out);
    const brighter = { ...data, train: { ...data.train, mean: [0.5, 0.5, 0.1 + 0.2] } };
    const failed = await refusal(go(makeNet(), { out, resume: true, data: brighter }));
    expect(failed).to.match(
      /these differ:\n {2}samples: {"train":{"mean":\[0.5,0.5,0.5\]}} then, {"train":{"mean":\[0.5,0.5,0.30+4\]}} now\n/,
    );
    const again = { train: imageSet({ ...data.train, images: data.train.images.slice() }), test: data.test };
    await go(makeNet(), { out, resume: true, data: again, ...abortAfter(2) });
    await withMetadata(state, ({ course, ...rest }) => {
      const { samples, ...older } = JSON.parse(course!);
      expect(samples).to.have.all.keys('train', 'test');
      return { ...rest, course: JSON.stringify(older) };
    });
    await go(makeNet(), { out, resume: true, data: brighter, ...abortAfter(1) });
    expect(await refusal(go(makeNet(), { out, resume: true }))).to.match(/samples: /);
    expect((await go(makeNet(), { out, resume: true, data: brighter })).reports).to.have.length.above(0);
  });

  it('refuses a folder with what is left of a run whose state is gone, and changes nothing there', async () => {
    const [out, part] = [folder(), folder()];
    await go(makeNet(), { out, epochs: 1 });
    const { state, best, last, metrics, model } = runPaths(out);
    rmSync(state);
    const kept = [best, last, metrics, model].map((path) => readFileSync(path));
    const net = makeNet();
    const begin = (at: string) => () => train(net, { data, ...usual, epochs: 1, out: at });
    expect(begin(out)).to.throw(
      SpikeloomError,
      /folder of its own, but \S+ holds best.safetensors, last.safetensors, metrics.jsonl of one whose state is gone; give another folder$/,
    );
    expect([best, last, metrics, model].map((path) => readFileSync(path))).to.deep.equal(kept);
    for (const [i, name] of (['best', 'last', 'metrics'] as const).entries()) {
      const paths = runPaths(join(part, name));
      mkdirSync(dirname(paths.last), { recursive: true });
      writeFileSync(paths[name], kept[i]!);
      expect(begin(paths.folder), name).to.throw(SpikeloomError, /holds (\w+\.\w+) of one whose state is gone/);
    }
    const late = begin(join(part, 'late'))()[Symbol.asyncIterator]();
    mkdirSync(join(part, 'late'));
    writeFileSync(runPaths(join(part, 'late')).metrics, kept[2]!);
    expect(await refusal(late.next())).to.match(/holds metrics.jsonl of one whose state is gone/);
    net.dispose();
  });

  it('begins in a folder that is empty, or holds what a run that never began has left', async () => {
    const [empty, prepared] = [folder(), folder()];
    mkdirSync(empty);
    const { last, metrics, settings, model } = runPaths(prepared);
    mkdirSync(dirname(last), { recursive: true });
    for (const path of [settings, model]) writeFileSync(path, '{}\n');
    writeFileSync(metrics, '');
    for (const out of [empty, prepared]) {
      const { reports } = await go(makeNet(), { out, epochs: 1 });
      expect(reports).to.have.length(1);
      expect(readMetrics(runPaths(out).metrics)).to.have.length(1);
    }
  });

  it('refuses options and data that do not fit', () => {
    const net = makeNet();
    const wide = { ...data, test: randomSet('cifar10', [4, 3, 8, 7]) };
    expect(() => train(net, { data: wide, epochs: 1 })).to.throw(/images \[3,7,5\].*\[3,8,7\]/);
    expect(() => train(net, { data, epochs: 1, loss: { kind: 'tet' } })).to.throw(/'tet'.*meanOverTime/);
    expect(() => train(net, { data })).to.throw(/epochs/);
    expect(() => train(net, { data, epochs: 1.5 })).to.throw(/1\.5/);
    const refused: [options: object, says: RegExp][] = [
      [{ learningRate: 0.1 }, /train\(\) has no option learningRate; it has data, epochs, .*, signal/],
      [{ loss: { label_smoothing: 0.1 } }, /loss has no option label_smoothing; it has kind, smoothing/],
      [{ loss: 'ce' }, /the options of loss are an object of kind, smoothing, not "ce"/],
      [{ mix: true }, /the options of mix are an object of mixup, .*, not true/],
      [{ data: data.train }, /data is two sets, \{ train, test \}/],
      [{ optimizer: { lr: 0.1 } }, /optimizer is what sgd\(\), adamw\(\) or lamb\(\) makes/],
      [{ schedule: 'cosine' }, /schedule is what constant\(\), step\(\) or cosine\(\) makes/],
      [{ record: 'no' }, /^train\(\): record is true or false, not "no"$/],
      [{ resume: 1 }, /^train\(\): resume is true or false, not 1$/],
      [{ signal: new AbortController() }, /^train\(\): signal is an AbortSignal, .*, not AbortController$/],
      [{ signal: 'SIGINT' }, /signal is an AbortSignal, .*, not "SIGINT"$/],
      ...[{}, 'runs/x-0001', null, { paths: {} }].map((run): [object, RegExp] => [
        { run },
        /^train\(\): run is what createRun\(\) or openRun\(\) gives; the path of a folder is out$/,
      ]),
      ...['', 3, null].map((out): [object, RegExp] => [{ out }, /out is the path of a folder/]),
    ];
    for (const [options, says] of refused) {
      expect(() => train(net, { data, epochs: 1, ...options }), JSON.stringify(options)).to.throw(SpikeloomError, says);
    }
    expect(() => train(net, { data, epochs: 1, batch: 0 })).to.throw(/batch/);
    const four = tiny({ steps: 2, channels: 3, size: [7, 5], classes: 4 });
    expect(() => train(four, { data, epochs: 1 })).to.throw(/gives \[4\].*3 classes/);
    for (const made of [net, four]) made.dispose();
  });

  it('keeps a factory of the user: clipNorm beside it is refused, beside one of the library it is used', () => {
    const net = makeNet();
    const base = sgd({ lr: 0.1 });
    const optimizer = Object.assign((all: readonly NamedTensor[]) => base(all.slice(-2)), { settings: base.settings });
    expect(() => train(net, { data, epochs: 1, optimizer, clipNorm: 1 })).to.throw(
      SpikeloomError,
      /^train\(\): clipNorm goes with what sgd\(\), .* leave clipNorm out and clip in it, as in sgd\(\{ clipNorm: 1 \}\)/,
    );
    for (const made of [base, adamw(), lamb(), optimizerFrom(base.settings), undefined])
      train(net, { data, epochs: 1, optimizer: made, clipNorm: 1 });
    net.dispose();
  });

  it('refuses a schedule without settings where the run is saved, and takes it elsewhere', async () => {
    const [lrAt, epochs] = [() => 0.01, 1];
    const bare = { epochs, lrAt } as unknown as Schedule;
    const net = makeNet();
    for (const schedule of [bare, { ...bare, settings: null }, { ...bare, settings: {} }] as Schedule[]) {
      expect(() => train(net, { data, ...usual, schedule, out: folder() })).to.throw(
        SpikeloomError,
        /^train\(\): schedule has settings where the run is saved .* \{ \.\.\.constant\(\{ epochs: 3 \}\), lrAt \}$/,
      );
    }
    expect(() => train(net, { data, ...usual, schedule: null as never, out: folder() })).to.throw(/schedule is what/);
    expect((await go(net, { schedule: bare })).reports).to.have.length(1);
    const out = folder();
    const schedule = { ...constant({ epochs }), lrAt };
    expect((await go(makeNet(), { schedule, out })).reports).to.have.length(1);
  });

  it('refuses a factory that makes no optimizer, and frees what it took', async () => {
    await freeGarbage();
    const net = makeNet();
    const before = device().stats().handles;
    const { settings } = sgd();
    const returned: [value: unknown, says: string][] = [
      [{}, 'Object'],
      [undefined, 'undefined'],
      [null, 'null'],
      [{ step() {} }, 'Object'],
      [Promise.resolve(), 'Promise'],
      [sgd(), 'a function'],
    ];
    for (const [value, says] of returned) {
      const optimizer = Object.assign(() => value as Optimizer, { settings });
      const rule = `optimizer is a function that makes one, with step() and dispose(), but this one returned ${says}; return what sgd()(parameters) gives`;
      const run = train(net, { data, ...usual, epochs: 1, optimizer });
      expect(await refusal(run[Symbol.asyncIterator]().next())).to.equal(`train(): ${rule}`);
      expect(() => run.memory()).to.throw(SpikeloomError, `trainingMemory(): ${rule}`);
    }
    expect(device().stats().handles).to.equal(before);
    expect((await go(net, { epochs: 1 })).reports).to.have.length(1);
  });

  it('refuses a network that another run is training, until that one is left', async () => {
    const net = tiny({ steps: 2, input: { channels: 3, height: 7, width: 5 }, classes: CLASSES, seed: 1 });
    for await (const _ of train(net, { data, ...usual, epochs: 2 })) {
      const second = train(net, { data, ...usual, epochs: 1 })[Symbol.asyncIterator]();
      expect(await refusal(second.next())).to.match(/another run is training this network/);
      break;
    }
    let epochs = 0;
    for await (const _ of train(net, { data, ...usual, epochs: 1 })) epochs++;
    expect(epochs).to.equal(1);
    net.dispose();
  });
});
