import { expect } from 'chai';
import { SpikeloomError } from '../../lib/core/index.ts';
import {
  constant,
  cosine,
  type Schedule,
  type ScheduleSettings,
  scheduleFrom,
  step,
} from '../../lib/optim/schedule.ts';
import { goldenCases } from '../support/golden-ops.ts';

const rates = (schedule: Schedule, lr: number) =>
  Array.from({ length: schedule.epochs }, (_, epoch) => schedule.lrAt(epoch, lr));

describe('schedules', () => {
  for (const { name, attributes, tensors } of goldenCases('op-cosine')) {
    it(`cosine equals the stated rule: ${name}`, () => {
      const { lr, floor, warmup, warmup_from, epochs, cooldown } = attributes as Record<string, number>;
      const schedule = cosine({ epochs: epochs!, warmup, warmupLr: warmup_from, minLr: floor, cooldown });
      const expected = tensors.lr!.data;
      expect(schedule.epochs).to.equal(expected.length);
      rates(schedule, lr!).forEach((rate, epoch) => {
        expect(Math.abs(rate - expected[epoch]!), `epoch ${epoch}`).to.be.at.most(1e-12 * Math.abs(expected[epoch]!));
      });
    });
  }

  it('constant and step hold and drop the rate, after a warm-up if there is one', () => {
    expect(rates(constant({ epochs: 3 }), 0.5)).to.deep.equal([0.5, 0.5, 0.5]);
    expect(rates(constant({ epochs: 3, warmup: 2, warmupLr: 0.25 }), 0.75)).to.deep.equal([0.25, 0.5, 0.75]);
    expect(rates(step({ epochs: 5, stepSize: 2, gamma: 0.5 }), 0.8)).to.deep.equal([0.8, 0.8, 0.4, 0.4, 0.2]);
  });

  it('fill in the defaults and come back from their settings as JSON', () => {
    const schedule = cosine({ epochs: 7, warmup: undefined });
    expect(schedule.settings).to.deep.equal({
      kind: 'cosine',
      epochs: 7,
      warmup: 0,
      warmupLr: 1e-5,
      minLr: 1e-5,
      cooldown: 0,
    });
    for (const made of [schedule, step({ epochs: 40, warmup: 3 }), constant({ epochs: 2 })]) {
      const again = scheduleFrom(JSON.parse(JSON.stringify(made.settings)) as ScheduleSettings);
      expect(rates(again, 0.1)).to.deep.equal(rates(made, 0.1));
    }
  });

  it('refuse settings outside of their range by name', () => {
    expect(() => cosine({ epochs: 0 })).to.throw(
      SpikeloomError,
      'cosine: epochs is a whole number of at least 1, not 0',
    );
    expect(() => cosine({ epochs: 5, warmup: 1.5 })).to.throw(SpikeloomError, /warmup is a whole number/);
    expect(() => cosine({ epochs: 5, minLr: -1 })).to.throw(SpikeloomError, /minLr is a number of at least 0, not -1/);
    expect(() => step({ epochs: 5, stepSize: 0 })).to.throw(SpikeloomError, /stepSize is a whole number of at least 1/);
    const misspelt = { epochs: 5, warm_up: 2 } as unknown as { epochs: number };
    expect(() => cosine(misspelt)).to.throw(
      SpikeloomError,
      'cosine has no option warm_up; it has epochs, warmup, warmupLr, minLr, cooldown',
    );
    expect(() => constant({ epochs: 5, warmupLr: Number.NaN })).to.throw(SpikeloomError, /warmupLr/);
    const unknown = { kind: 'linear', epochs: 5 } as unknown as ScheduleSettings;
    expect(() => scheduleFrom(unknown)).to.throw(SpikeloomError, /constant, step, cosine, not "linear"/);
  });
});
