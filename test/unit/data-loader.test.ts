import { spawn } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { expect } from 'chai';
import { SpikeloomError } from '../../lib/core/errors.ts';
import { type Batch, type LoaderOptions, loader } from '../../lib/data/loader.ts';
import { WorkerPool } from '../../lib/data/pool.ts';
import { failure } from '../support/failure.ts';
import { randomSet, testFolder, writeMnistLike } from '../support/image-sets.ts';

const set = randomSet();
const tsx = pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href;
const full: LoaderOptions = { batch: 4, seed: 7, shuffle: true, augment: 'basic' };

async function collect(options: LoaderOptions, epoch = 0, startBatch = 0): Promise<Batch[]> {
  await using source = loader(set, options);
  const batches: Batch[] = [];
  for await (const batch of source.epoch(epoch, { startBatch })) batches.push(batch);
  return batches;
}

describe('data: loader', () => {
  it('gives every image once an epoch, with its own pixels and label', async () => {
    const batches = await collect({ ...full, augment: 'none', workers: 0 });
    expect(batches.map((batch) => batch.shape)).to.deep.equal([...Array(5).fill([4, 3, 8, 7]), [3, 3, 8, 7]]);
    expect(batches.map((batch) => batch.index)).to.deep.equal([0, 1, 2, 3, 4, 5]);
    const seen = batches.flatMap((batch) => [...batch.indices]);
    expect(seen).not.to.deep.equal([...seen].sort((a, b) => a - b));
    expect([...seen].sort((a, b) => a - b)).to.deep.equal(Array.from({ length: 23 }, (_, i) => i));
    for (const { images, labels, indices, shape } of batches) {
      expect(images.length).to.equal(shape.reduce((a, b) => a * b));
      for (const [i, index] of indices.entries()) {
        expect(labels[i]).to.equal(set.labels[index]);
        const pixel = set.images[index * 168 + 100]!;
        expect(images[i * 168 + 100]).to.equal(Math.fround((pixel / 255 - 0.4) / 0.25));
      }
    }
  });

  for (const augment of ['basic', 'published'] as const) {
    it(`gives identical batches with 0, 1 and 2 workers and any prefetch, ${augment}`, async () => {
      const here = await collect({ ...full, augment, workers: 0 }, 3);
      for (const options of [
        { workers: 1 },
        { workers: 2 },
        { workers: 2, prefetch: 1 },
        { workers: 1, prefetch: 9 },
      ]) {
        expect(await collect({ ...full, augment, ...options }, 3)).to.deep.equal(here);
      }
    });
  }

  it('resumes inside an epoch with the identical remainder', async () => {
    const whole = await collect({ ...full, workers: 0 }, 1);
    for (const workers of [0, 2]) expect(await collect({ ...full, workers }, 1, 4)).to.deep.equal(whole.slice(4));
    expect(await collect({ ...full, workers: 1 }, 1, 6)).to.deep.equal([]);
  });

  it('shows a sample the same way whatever the batch size', async () => {
    const pictures = (batches: Batch[]) => {
      const byIndex = new Map<number, number[]>();
      for (const { images, indices } of batches) {
        for (const [i, index] of indices.entries()) byIndex.set(index, [...images.subarray(i * 168, (i + 1) * 168)]);
      }
      return byIndex;
    };
    const small = pictures(await collect({ ...full, batch: 1, workers: 0 }));
    expect(pictures(await collect({ ...full, batch: 23, workers: 0 }))).to.deep.equal(small);
  });

  it('draws a new order and new crops every epoch, and for every seed', async () => {
    const name = async (seed: number, epoch: number) =>
      (await collect({ ...full, seed, workers: 0 }, epoch))
        .map(({ indices, images }) => `${indices} ${images[5]}`)
        .join();
    expect(await name(7, 0)).to.equal(await name(7, 0));
    expect(new Set([await name(7, 0), await name(7, 1), await name(8, 0)]).size).to.equal(3);
    expect([...loader(set, { batch: 4 }).order(5)]).to.deep.equal(Array.from({ length: 23 }, (_, i) => i));
  });

  it('counts batches with and without the incomplete last one', async () => {
    expect(loader(set, { batch: 4 }).batches).to.equal(6);
    expect(loader(set, { batch: 4, dropLast: true }).batches).to.equal(5);
    expect((await collect({ batch: 4, dropLast: true, workers: 1 })).map(({ labels }) => labels.length)).to.deep.equal([
      4, 4, 4, 4, 4,
    ]);
  });

  it('makes `prefetch` batches ahead and not one more', async () => {
    const mine = randomSet();
    await using source = loader(mine, { batch: 1, prefetch: 3, workers: 1 });
    const black = (images: Float32Array) =>
      images.every(
        (value) =>
          value === Math.fround(-0.5 / 0.2) || value === Math.fround(-0.4 / 0.25) || value === Math.fround(-0.3 / 0.3),
      );
    const seen: boolean[] = [];
    for await (const { images, index } of source.epoch(0)) {
      if (index === 0) {
        await sleep(2000);
        mine.images.fill(0);
      }
      seen.push(black(images));
    }
    expect(seen.indexOf(true)).to.equal(4);
    expect(seen.lastIndexOf(false)).to.equal(3);
  });

  it('counts as waiting only the time in which the consumer waits', async () => {
    await using source = loader(set, { batch: 8, workers: 1 });
    expect(source.waitMs).to.equal(0);
    const started = performance.now();
    for await (const _ of source.epoch(0)) await sleep(100);
    expect(source.waitMs).to.be.above(0);
    expect(source.waitMs).to.be.at.most(performance.now() - started - 290);
  });

  it('lets the event loop turn between batches when it works in the calling thread', async () => {
    await using source = loader(set, { batch: 1, workers: 0 });
    const batches = source.epoch(0);
    for (let i = 0; i < 3; i++) {
      let turned = false;
      setImmediate(() => {
        turned = true;
      });
      await batches.next();
      expect(turned).to.equal(true);
    }
  });

  it('starts afresh after a loop was left early', async () => {
    const whole = await collect({ ...full, workers: 0 });
    for (const workers of [0, 2]) {
      await using source = loader(set, { ...full, workers });
      for await (const { index } of source.epoch(0)) if (index === 1) break;
      const again: Batch[] = [];
      for await (const batch of source.epoch(0)) again.push(batch);
      expect(again).to.deep.equal(whole);
    }
  });

  it('serves two epochs at a time', async () => {
    await using source = loader(set, { ...full, workers: 2 });
    const [a, b] = [source.epoch(0), source.epoch(1)];
    const mixed: Batch[][] = [[], []];
    for (let i = 0; i < 6; i++) {
      mixed[0]!.push((await a.next()).value);
      mixed[1]!.push((await b.next()).value);
    }
    expect(mixed[0]).to.deep.equal(await collect({ ...full, workers: 0 }, 0));
    expect(mixed[1]).to.deep.equal(await collect({ ...full, workers: 0 }, 1));
  });

  it('refuses to go on after close, which may come twice and in the middle of a wait', async () => {
    const source = loader(set, { ...full, workers: 1 });
    const batches = source.epoch(0);
    await batches.next();
    const pending = Promise.allSettled([1, 2, 3, 4].map(() => batches.next()));
    await Promise.all([source.close(), source.close()]);
    const refused = (await pending).filter((result) => result.status === 'rejected');
    expect(refused).to.have.length(1);
    expect(refused[0]!.reason).to.be.instanceOf(SpikeloomError);
    expect(refused[0]!.reason.message).to.include('closed');
    expect(() => source.epoch(0)).to.throw(SpikeloomError, 'closed');
    expect((await batches.next()).done).to.equal(true);
    const open = loader(set, { ...full, workers: 0 });
    const iterator = open.epoch(0);
    await iterator.next();
    await open.close();
    expect(await failure(iterator.next())).to.be.instanceOf(SpikeloomError);
  });

  it('refuses options that make no sense', () => {
    const refuse = (options: object, message: string) =>
      expect(() => loader(set, { batch: 4, ...options })).to.throw(SpikeloomError, message);
    refuse({ batch: 0 }, 'batch must be an integer from 1');
    refuse({ batch: 2.5 }, 'batch');
    refuse({ workers: -1 }, 'workers must be an integer from 0 to 64, but is -1');
    refuse({ prefetch: 0 }, 'prefetch');
    refuse({ seed: -1 }, 'seed');
    refuse({ batchSize: 3 }, 'no option batchSize; it has batch, seed, shuffle');
    refuse({ batch: 24, dropLast: true }, 'never full');
    refuse({ augment: 'all' }, 'none, basic, published');
    expect(() => loader({ ...set, count: 22 }, { batch: 4 })).to.throw(SpikeloomError, 'image set');
    const source = loader(set, { batch: 4 });
    expect(() => source.epoch(-1)).to.throw(SpikeloomError, 'epoch');
    expect(() => source.epoch(0, { startBatch: 7 })).to.throw(
      SpikeloomError,
      'startBatch must be an integer from 0 to 6',
    );
  });
});

describe('data: worker pool', () => {
  const folder = testFolder();
  const script = (name: string, body: string): URL => {
    const text = `import { parentPort as port, workerData } from 'node:worker_threads';\n${body}\n`;
    writeFileSync(folder.path(`${name}.mjs`), text);
    return pathToFileURL(folder.path(`${name}.mjs`));
  };
  const pool = (name: string, body: string, count = 2) =>
    new WorkerPool<unknown, unknown>(script(name, body), { factor: 3 }, count);
  const run = async (workers: WorkerPool<unknown, unknown>, job: unknown) => {
    workers.hold();
    return workers.run(job).finally(() => workers.release());
  };

  it('answers every job, also out of order', async () => {
    const late =
      "port.on('message', ({ id, job }) => setTimeout(() => port.postMessage({ id, result: job * workerData.factor }), 40 - 10 * job));";
    const workers = pool('late', late);
    expect(await Promise.all([1, 2, 3, 4].map((job) => run(workers, job)))).to.deep.equal([3, 6, 9, 12]);
    await workers.close();
  });

  it('passes on an error of one job and goes on', async () => {
    const picky =
      "port.on('message', ({ id, job }) => port.postMessage(job === 1 ? { id, error: 'no ones' } : { id, result: job }));";
    const workers = pool('picky', picky);
    expect((await failure(run(workers, 1))).message).to.include('no ones');
    expect(await run(workers, 2)).to.equal(2);
    await workers.close();
  });

  const broken = {
    'throws when it loads': ["throw new Error('broken on arrival');", /broken on arrival/],
    'cannot be parsed': ['this is no program', /failed/],
    'throws at a job': ["port.on('message', () => { throw new Error('bang'); });", /bang/],
    'throws nothing in particular': ["port.on('message', () => { throw null; });", /failed/],
    'leaves at a job': ["port.on('message', () => process.exit(0));", /ended with exit code 0/],
    'leaves with a code': ["port.on('message', () => process.exit(3));", /ended with exit code 3/],
  } as const;
  for (const [what, [body, message]] of Object.entries(broken)) {
    it(`rejects every open job when a thread ${what}`, async () => {
      const workers = pool(what.replaceAll(' ', '-'), body);
      const errors = await Promise.all([1, 2, 3].map((job) => failure(run(workers, job))));
      for (const error of errors) expect(error).to.be.instanceOf(SpikeloomError);
      expect(errors[0]!.message).to.match(message);
      expect(workers.failure).to.equal(errors[0]);
      expect(await failure(workers.run(4))).to.equal(errors[0]);
    });
  }

  it('rejects open jobs when it is closed, even if a thread never answers', async () => {
    const workers = pool('deaf', "port.on('message', () => { for (;;); });");
    const open = failure(run(workers, 1));
    await workers.close();
    expect(await open).to.be.instanceOf(SpikeloomError);
  });
});

describe('data: a process with a loader', () => {
  const folder = testFolder();

  /** Runs a TypeScript module that has `loader` and a tiny `train` set; gives its output and exit code. */
  const runModule = async (body: string): Promise<{ code: number | null; output: string }> => {
    const root = folder.path('set');
    mkdirSync(root, { recursive: true });
    writeMnistLike(root);
    const file = folder.path('program.mts');
    const at = (name: string) => JSON.stringify(new URL(`../../lib/data/${name}.ts`, import.meta.url).href);
    const imports = `import { mnist } from ${at('images/idx')};\nimport { loader } from ${at('loader')};`;
    writeFileSync(file, `${imports}\nconst { train } = mnist(${JSON.stringify(root)});\n${body}\n`);
    const child = spawn(process.execPath, ['--import', tsx, file], { timeout: 30_000 });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (text) => (output += text));
    const code = await new Promise<number | null>((resolve) => child.on('close', resolve));
    return { code, output };
  };

  it('stays alive while it waits for batches and ends without close()', async () => {
    const body = `
      let n = 0;
      for await (const { labels } of loader(train, { batch: 1, workers: 2 }).epoch(0)) n += labels.length;
      console.log('images', n);`;
    expect(await runModule(body)).to.deep.equal({ code: 0, output: 'images 5\n' });
  });

  it('ends after a loop that was left early, with batches still in the making', async () => {
    const body = `
      for await (const { index } of loader(train, { batch: 1, prefetch: 4 }).epoch(0)) if (index === 0) break;
      console.log('left');`;
    expect(await runModule(body)).to.deep.equal({ code: 0, output: 'left\n' });
  });

  for (const [when, wait] of [
    ['while the order is drawn', ''],
    ['while threads start', 'await new Promise((resolve) => setTimeout(resolve, 5));'],
  ]) {
    it(`goes on behind a close() that ends a wait for a batch, ${when}`, async () => {
      const body = `
        const source = loader(train, { batch: 1, workers: 2 });
        const waiting = source.epoch(0).next().catch(({ message }) => console.log(message));
        ${wait}
        await source.close();
        await waiting;
        console.log('closed');`;
      const output = 'the loader was closed while a batch was awaited\nclosed\n';
      expect(await runModule(body)).to.deep.equal({ code: 0, output });
    });
  }
});
