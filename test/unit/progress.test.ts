import { PassThrough } from 'node:stream';
import { expect } from 'chai';
import fc from 'fast-check';
import { Progress, type ProgressOptions } from '../../lib/train/progress.ts';

const CLEAR = '\r\x1b[2K';

/** A stream that keeps what was written, and a clock that is set by hand (in seconds). */
function setUp(options: Partial<ProgressOptions> & { columns?: number; isTTY?: boolean } = {}) {
  const { columns, isTTY = true, ...rest } = options;
  const written: string[] = [];
  const clock = { now: 0 };
  const stream = { isTTY, ...(columns === undefined ? {} : { columns }), write: (text: string) => written.push(text) };
  const bar = new Progress({
    epochs: 10,
    steps: 100,
    stream,
    clock: () => clock.now * 1000,
    env: { NO_COLOR: '1' },
    ...rest,
  });
  return { bar, written, clock, last: () => written.at(-1) };
}

describe('progress', () => {
  it('draws epoch, bar, step, speed, time left, loss and accuracy on one line of a terminal', () => {
    const { bar, clock, last } = setUp({ columns: 120 });
    clock.now = 10;
    bar.step({ epoch: 0, step: 50, images: 3200, loss: 1.23456, accuracy: 0.5 });
    const bar30 = '█'.repeat(15) + '░'.repeat(15);
    expect(last()).to.equal(`${CLEAR}epoch  1/10  ${bar30}  320 images/s  ETA 3:10  loss 1.2346  accuracy 50.0 %`);
  });

  it('redraws at most every 100 ms', () => {
    const { bar, clock, written } = setUp();
    for (let i = 1; i <= 100; i++) {
      clock.now = i * 0.01;
      bar.step({ epoch: 0, step: i, images: i });
    }
    expect(written).to.have.length(10);
  });

  it('leaves a line for a finished epoch in place of the bar, with the speed of training alone', () => {
    const { bar, clock, written } = setUp();
    clock.now = 8;
    bar.step({ epoch: 2, step: 100, images: 400 });
    clock.now = 75;
    bar.epoch({
      epoch: 2,
      loss: 0.5,
      accuracy: 0.812,
      testLoss: 0.7,
      testAccuracy: 0.8,
      firingRate: 0.125,
      waitShare: 0.004,
    });
    expect(written.slice(1)).to.deep.equal([
      CLEAR,
      'epoch  3/10  loss 0.5000  accuracy 81.2 %  test accuracy 80.0 %  firing rate 12.5 %  50.0 images/s  waiting for data 0.4 %  1:15\n',
    ]);
    bar.epoch({ epoch: 2, loss: 2e-5, accuracy: null, testAccuracy: null, testLoss: 3.1234567e-4 });
    expect(written.at(-1)).to.match(/^epoch {2}3\/10 {2}loss 0\.00002000 {2}test loss 0\.0003123 {2}0:00\n$/);
    bar.epoch({ epoch: 2, skipped: 12 });
    expect(written.at(-1)).to.match(/^epoch {2}3\/10 {2}12 broken samples replaced {2}0:00\n$/);
    clock.now = 77;
    bar.step({ epoch: 3, step: 1, images: 10 });
    expect(written.at(-1)).to.contain('5.0 images/s');
  });

  it('estimates from this process alone when a run is resumed', () => {
    const { bar, clock, last } = setUp({ startEpoch: 8, startStep: 50 });
    clock.now = 10;
    bar.step({ epoch: 8, step: 100, images: 500 });
    expect(last()).to.contain('ETA 0:20').and.contain('50.0 images/s');
    clock.now = 7230;
    bar.step({ epoch: 9, step: 0, images: 0 });
    expect(last()).to.contain('ETA 4:01:00');
  });

  it('shows signs, not numbers, before anything is known', () => {
    const { bar, last } = setUp();
    bar.step({ epoch: 0, step: 0, images: 0, loss: Number.NaN });
    expect(last()).to.contain('- images/s').and.contain('ETA -:--').and.contain('loss NaN');
  });

  it('colours the bar only where colour is wanted', () => {
    const draw = (env: Record<string, string>) => {
      const { bar, written } = setUp({ env });
      bar.step({ epoch: 0, step: 50, images: 1 });
      return written.join('');
    };
    expect(draw({})).to.contain('\x1b[32m█').and.contain('\x1b[0m');
    expect(draw({ NO_COLOR: '' })).to.contain('\x1b[32m');
    expect(draw({ NO_COLOR: '1' })).not.to.contain('m█');
    expect(draw({ TERM: 'dumb' })).not.to.contain('\x1b');
  });

  it('is quiet off a terminal: a line an epoch and one every 30 s, without control characters', () => {
    const { bar, clock, written } = setUp({ isTTY: false, env: {}, columns: 20 });
    for (let second = 1; second <= 100; second++) {
      clock.now = second;
      bar.step({ epoch: 0, step: second, images: second * 2, loss: 1 });
    }
    bar.epoch({ epoch: 0, loss: 1 });
    for (let second = 101; second <= 129; second++) {
      clock.now = second;
      bar.step({ epoch: 1, step: second - 100, images: 2 });
    }
    bar.close();
    expect(written).to.deep.equal([
      'epoch  1/10  step 30/100  2.0 images/s  ETA 16:10  loss 1.0000\n',
      'epoch  1/10  step 60/100  2.0 images/s  ETA 15:40  loss 1.0000\n',
      'epoch  1/10  step 90/100  2.0 images/s  ETA 15:10  loss 1.0000\n',
      'epoch  1/10  loss 1.0000  2.0 images/s  1:40\n',
    ]);
  });

  it('prints notes above the bar and draws the bar again at once', () => {
    const { bar, written } = setUp();
    bar.step({ epoch: 0, step: 1, images: 1 });
    bar.note('saved');
    bar.step({ epoch: 0, step: 2, images: 2 });
    expect(written.slice(1, 3)).to.deep.equal([CLEAR, 'saved\n']);
    expect(written).to.have.length(4);
  });

  it('says nothing after it was closed', () => {
    const { bar, written } = setUp();
    bar.step({ epoch: 0, step: 1, images: 1 });
    bar.close();
    bar.close();
    bar.step({ epoch: 0, step: 2, images: 2 });
    bar.epoch({ epoch: 0 });
    bar.note('late');
    expect(written.slice(1)).to.deep.equal([CLEAR]);
  });

  const number = fc.oneof(fc.integer(), fc.double());

  it('fits every terminal, however narrow, and never throws', () => {
    const state = fc.record({ epoch: fc.integer(), step: number, images: number, loss: number, accuracy: number });
    fc.assert(
      fc.property(fc.integer({ min: -1, max: 200 }), state, number, (columns, progress, now) => {
        const { bar, clock, written } = setUp({ columns });
        clock.now = Number.isNaN(now) ? 0 : now;
        bar.step(progress);
        expect(written).to.have.length(1);
        expect(written[0]!.length - CLEAR.length).to.be.below(columns > 0 ? columns : 80);
        bar.epoch(progress);
      }),
      { numRuns: 300 },
    );
  });

  it('gives up the bar before the figures, and the last figures before the first', () => {
    const draw = (columns: number) => {
      const { bar, clock, written } = setUp({ columns });
      clock.now = 1;
      bar.step({ epoch: 0, step: 100, images: 100, loss: 1, accuracy: 1 });
      return written[0]!.slice(CLEAR.length);
    };
    expect(draw(80)).to.equal(`epoch  1/10  ${'█'.repeat(11)}  100 images/s  ETA 0:09  loss 1.0000  accuracy 100.0 %`);
    expect(draw(70)).to.equal('epoch  1/10  100 images/s  ETA 0:09  loss 1.0000  accuracy 100.0 %');
    expect(draw(66)).to.equal(`epoch  1/10  ${'█'.repeat(15)}  100 images/s  ETA 0:09  loss 1.0000`);
    expect(draw(30)).to.equal('epoch  1/10  100 images/s');
    expect(draw(20)).to.equal(`epoch  1/10  ${'█'.repeat(6)}`);
    expect(draw(13)).to.equal('epoch  1/10');
    expect(draw(6)).to.equal('epoch');
    expect(draw(1)).to.equal('');
  });

  it('outlives a stream that throws and one that breaks', () => {
    const bar = new Progress({
      epochs: 1,
      steps: 1,
      env: {},
      stream: {
        write: () => {
          throw new Error('EIO');
        },
        isTTY: true,
      },
    });
    bar.step({ epoch: 0, step: 1, images: 1 });
    bar.note('x');
    const stream = new PassThrough();
    const other = new Progress({ epochs: 1, steps: 1, env: {}, stream: stream as never });
    stream.destroy();
    stream.emit('error', new Error('EPIPE'));
    other.note('x');
    other.close();
    expect(stream.listenerCount('error')).to.equal(1);
  });
});
