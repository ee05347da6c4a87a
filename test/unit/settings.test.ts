import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import fc from 'fast-check';
import { SpikeloomError } from '../../lib/core/errors.ts';
import { philox } from '../../lib/core/random.ts';
import { model, Net } from '../../lib/nn/index.ts';
import { lossOptions } from '../../lib/ops/cross-entropy.ts';
import { step } from '../../lib/optim/index.ts';
import { formatSettings, loadRecipe, parseRecipe, resolveSettings } from '../../lib/train/recipe.ts';
import { renderSettingKeys, SETTING_GROUPS, SETTING_KEYS } from '../../lib/train/settings.ts';
import { messageOf } from '../support/failure.ts';

const MINIMAL = 'model: { name: fsta-resnet20 }\ndata: { name: cifar10, root: somewhere }\n';
const withOverrides = (...overrides: string[]) => parseRecipe(MINIMAL, 'r.yaml', overrides);

describe('settings', () => {
  it('fill in every default and leave what the data set or the network decides', () => {
    expect(withOverrides()).to.deep.equal({
      name: 'run',
      seed: 3407,
      epochs: 10,
      batch: 128,
      drop_last: false,
      threads: 0,
      device: 'cpu',
      precision: 'fp32',
      recompute: false,
      out: 'runs',
      model: {
        name: 'fsta-resnet20',
        steps: 2,
        basis: 7,
        attention: 'fsta',
        neuron: {
          kind: 'lif',
          decay: 0.25,
          vth: 1,
          threshold: 0.5,
          reset: 'hard',
          detachReset: false,
          surrogate: 'tanh',
        },
      },
      data: {
        name: 'cifar10',
        root: 'somewhere',
        binning: 'count',
        clip: 0,
        normalise: false,
        window: 10_000,
        train_limit: 0,
        test_limit: 0,
        augment: 'none',
        workers: 1,
        resident: 'auto',
      },
      mix: { mixup: 0, cutmix: 0, p: 1, switch: 0.5 },
      optimizer: {
        kind: 'sgd',
        lr: 0.1,
        momentum: 0.9,
        nesterov: true,
        weight_decay: 0,
        betas: [0.9, 0.999],
        eps: 1e-8,
        clip_norm: 0,
      },
      schedule: {
        kind: 'cosine',
        warmup: 0,
        warmup_lr: 1e-5,
        min_lr: 1e-5,
        cooldown: 0,
        step_size: 30,
        gamma: 0.1,
      },
      loss: { kind: 'ce', smoothing: 0 },
    });
  });

  it('do not share lists between two runs', () => {
    withOverrides().optimizer.betas[0] = 0;
    expect(withOverrides().optimizer.betas).to.deep.equal([0.9, 0.999]);
  });

  it('describe every key with type, default and meaning', () => {
    for (const { key, type, fallback, description } of SETTING_KEYS.values()) {
      expect(
        [type, fallback, description].every((text) => text.length > 0),
        key,
      ).to.equal(true);
    }
    const text = renderSettingKeys();
    expect(text).to.match(/schedule\.warmup \(warmup\) +epochs of linear warm-up/);
    expect(text).to.match(/number >= 0; default 0\.1\n/);
    expect(text).to.match(/fsta-resnet34, recurrent; required\n/);
    expect([...SETTING_KEYS.keys()].filter((key) => !text.includes(`  ${key} `))).to.deep.equal([]);
  });

  it('survive being written and read again', () => {
    const settings = withOverrides('model.size=[32,48]', 'name=007', 'data.root=a: b #c', 'lr=1e-7', 'model.width=16');
    expect(parseRecipe(formatSettings(settings), 'again.yaml')).to.deep.equal(settings);
  });

  describe('the recipes that come with the project', () => {
    it('all of them resolve', () => {
      const files = readdirSync('recipes').filter((file) => file.endsWith('.yaml'));
      expect(files).to.include.members(['cifar10.yaml', 'quickstart.yaml']);
      for (const file of files) expect(loadRecipe(join('recipes', file)).name).to.equal(file.replace('.yaml', ''));
    });

    describe("have the publication's values", () => {
      const sgd = { kind: 'sgd', momentum: 0.9, nesterov: true, clip_norm: 0 };
      const lamb = { kind: 'lamb', betas: [0.9, 0.999], eps: 1e-8 };
      const long = { epochs: 600, batch: 128, seed: 3407, precision: 'fp32' };
      const ce = { kind: 'ce', smoothing: 0.1 };
      /** Data name and settings, model and T, lr to the least, weight decay, warm-up, loss, mixing. */
      const published: Record<string, [object, object, [string, number], object, object, object, object?]> = {
        cifar10: [
          long,
          { augment: 'published' },
          ['fsta-resnet20', 2],
          { ...sgd, lr: 0.1, weight_decay: 0 },
          { warmup: 10, min_lr: 1e-5 },
          ce,
        ],
        cifar100: [
          long,
          { augment: 'published' },
          ['fsta-resnet19', 2],
          { ...sgd, lr: 0.1, weight_decay: 1e-4 },
          { warmup: 0, min_lr: 1e-5 },
          ce,
        ],
        'cifar10-dvs': [
          { epochs: 500, batch: 32, seed: 42, precision: 'bf16' },
          { augment: 'published', split: 'fsta', size: [64, 64], binning: 'count' },
          ['fsta-resnet20', 10],
          { ...sgd, lr: 0.02, weight_decay: 1e-4 },
          { warmup: 10, min_lr: 1e-5 },
          { kind: 'ce', smoothing: 0 },
          { mixup: 0.5, cutmix: 0, p: 1 },
        ],
        'dvs128-gesture': [
          { epochs: 200, batch: 4, seed: 3407, precision: 'bf16' },
          { augment: 'none', split: 'official', binning: 'count' },
          ['fsta-resnet20', 16],
          { ...lamb, lr: 5e-3, weight_decay: 0.02, clip_norm: 1 },
          { warmup: 0, min_lr: 1e-5 },
          { kind: 'bce', smoothing: 0.1 },
        ],
        imagenet: [
          { epochs: 120, batch: 64, seed: 42, precision: 'bf16' },
          { augment: 'published', size: [224, 224] },
          ['fsta-resnet34', 4],
          { ...lamb, lr: 1.5e-3, weight_decay: 0.01 },
          { warmup: 5, min_lr: 1.5e-5 },
          { kind: 'ce', smoothing: 0 },
          { mixup: 0.2, cutmix: 1, p: 0.6 },
        ],
      };
      for (const [name, [run, data, [network, steps], optimizer, schedule, loss, mix]] of Object.entries(published)) {
        it(name, () => {
          const found = loadRecipe(`recipes/${name}.yaml`);
          expect(found).to.deep.include(run);
          expect(found.model).to.deep.include({ name: network, steps, attention: 'fsta', basis: 7 });
          expect(found.data).to.deep.include({ name, train_limit: 0, test_limit: 0, ...data });
          expect(found.optimizer).to.deep.include(optimizer);
          expect(found.schedule).to.include({ kind: 'cosine', warmup_lr: 1e-5, cooldown: 10, ...schedule });
          expect(found.loss).to.deep.equal(loss);
          expect(found.mix).to.include(mix ?? { mixup: 0, cutmix: 0 });
          const plain = loadRecipe(`recipes/${name}-plain.yaml`);
          const { name: _, model, ...rest } = found;
          expect(plain).to.deep.equal({ ...rest, name: `${name}-plain`, model: { ...model, attention: 'none' } });
        });
      }
    });
  });

  describe('key=value', () => {
    it('reads numbers, booleans, lists and text as the key wants them', () => {
      const { epochs, optimizer, model, data, name, out } = withOverrides(
        'epochs=3',
        'optimizer.lr=5e-3',
        'optimizer.nesterov=false',
        'optimizer.betas=[.8, 0.95]',
        'model.size=28',
        'data.root=a=b=c #1',
        'name=007',
        'out=true',
      );
      expect(epochs).to.equal(3);
      expect(optimizer).to.deep.include({ lr: 0.005, nesterov: false, betas: [0.8, 0.95] });
      expect(model.size).to.deep.equal([28, 28]);
      expect([data.root, name, out]).to.deep.equal(['a=b=c #1', '007', 'true']);
    });

    it('knows the short forms, and the last one wins', () => {
      const { optimizer, schedule, loss } = withOverrides(
        'lr=1',
        'optimizer.lr=2',
        'warmup=3',
        'cooldown=4',
        'smoothing=.5',
        'lr=.7',
      );
      expect([optimizer.lr, schedule.warmup, schedule.cooldown, loss.smoothing]).to.deep.equal([0.7, 3, 4, 0.5]);
    });

    it('takes every key that has a plain default', () => {
      for (const { key, fallback } of SETTING_KEYS.values()) {
        if (/^[a-z0-9.-]+$/.test(fallback) && fallback !== 'required') {
          expect(withOverrides(`${key}=${fallback}`), key).to.deep.equal(withOverrides());
        }
      }
    });

    it("have the network's own attention where none is given", () => {
      expect(withOverrides().model.attention).to.equal('fsta');
      expect(withOverrides('model.name=recurrent').model.attention).to.equal('none');
      expect(withOverrides('model.name=recurrent', 'model.attention=fsta').model.attention).to.equal('fsta');
      expect(withOverrides('model.attention=none').model.attention).to.equal('none');
      expect(renderSettingKeys()).to.match(/fsta or none; default fsta; recurrent: none\n/);
    });

    it('refuses keys that its kind of neuron does not have', () => {
      const keys = ['model.neuron.synapticDecay=0.5', 'model.neuron.adaptationStrength=0.2'];
      expect(withOverrides('model.neuron.kind=alif', ...keys).model.neuron).to.include({
        kind: 'alif',
        synapticDecay: 0.5,
      });
      expect(withOverrides('model.neuron.kind=cubaLif', keys[0]!).model.neuron).to.include({ synapticDecay: 0.5 });
      const message = messageOf(() => withOverrides(...keys));
      expect(message).to.match(
        /'model\.neuron\.synapticDecay' goes with model\.neuron\.kind cubaLif or alif, but the kind is lif/,
      );
      expect(message).to.match(/'model\.neuron\.adaptationStrength' goes with model\.neuron\.kind alif, but/);
    });

    it('replaces a wrong value of the recipe', () => {
      expect(parseRecipe(`${MINIMAL}epochs: many\n`, 'r.yaml', ['epochs=2']).epochs).to.equal(2);
    });

    const wrong: [string, RegExp][] = [
      ['epochs', /^command line: settings are given as key=value, but this is 'epochs'$/],
      ['=3', /given as key=value/],
      ['epochs=many', /^command line: 'epochs' \(.*\) must be integer >= 1, but it is 'many'$/],
      ['epochs=1.5', /must be integer >= 1, but it is 1.5/],
      ['epochs=0', /must be integer >= 1, but it is 0/],
      ['epochs=', /must be integer >= 1, but it is null/],
      ['lr=.inf', /'optimizer.lr' .* must be number >= 0, but it is Infinity/],
      ['lr=.nan', /but it is NaN/],
      ['smoothing=1.5', /must be number from 0 to 1/],
      ['mix.mixup=1001', /'mix.mixup' .* must be number from 0 to 1000, but it is 1001/],
      ['mix.cutmix=-1', /'mix.cutmix' .* must be number from 0 to 1000/],
      ['optimizer.momentum=1', /must be number >= 0 and < 1/],
      ['optimizer.nesterov=yes', /must be true or false, but it is 'yes'/],
      ['optimizer.betas=[0.9]', /'optimizer.betas' .* must be \[number, number\]/],
      ['optimizer.betas=[0.9, 1]', /'optimizer.betas'/],
      ['model.basis=8', /even basis .* but it is 8/],
      ['model.size=[3]', /or \[height, width\], but it is \[ 3 \]/],
      ['model.name=resnet', /must be one of fsta-resnet8, fsta-resnet18, fsta-resnet19/],
      ['device=gpu', /must be cpu, cuda or cuda:N, but it is 'gpu'/],
      ['name=../up', /must be up to 80 letters/],
      ['data.augment=full', /must be one of none, basic, published/],
      ['out=a\0b', /'out' .* must be a path, but it is/],
      ['out=', /'out' .* must be a path, but it is/],
      ['model=3', /'model' is a group; give one of its keys: name, steps/],
      ['epoch=3', /no key 'epoch'; did you mean 'epochs'\?/],
      ['weight_decay=1', /did you mean 'optimizer.weight_decay'\?/],
      ['optimizer.lrr=1', /did you mean 'optimizer.lr'\? The keys of 'optimizer' are kind, lr, momentum/],
      ['model.neuron.detach_reset=true', /did you mean 'model.neuron.detachReset'/],
      ['colour=red', /^command line: there is no key 'colour'. The keys are name, seed, .*model\.\*/],
      ['__proto__.polluted=1', /no key '__proto__.polluted'/],
      ['model.__proto__.polluted=1', /no key 'model.__proto__.polluted'/],
      ['constructor.prototype.polluted=1', /no key 'constructor.prototype.polluted'/],
      ['toString=1', /no key 'toString'/],
    ];
    for (const [override, message] of wrong) {
      it(`refuses ${override}`, () => {
        expect(messageOf(() => withOverrides(override))).to.match(message);
        expect(({} as Record<string, unknown>).polluted).to.equal(undefined);
      });
    }

    it('never throws anything but a SpikeloomError', () => {
      const key = fc.oneof(fc.constantFrom(...SETTING_KEYS.keys(), ...SETTING_GROUPS.keys(), '__proto__'), fc.string());
      const value = fc.oneof(
        fc.string(),
        fc.json(),
        fc.double().map(String),
        fc.constantFrom('[', '&a [*a]', '{a: *b}', '? x', '|'),
      );
      fc.assert(
        fc.property(key, value, (k, v) => {
          try {
            withOverrides(`${k}=${v}`);
          } catch (error) {
            expect(error).to.be.instanceOf(SpikeloomError);
          }
        }),
        { numRuns: 300 },
      );
    });
  });

  it('have the limits of what they are given to', () => {
    const most = Number.MAX_SAFE_INTEGER;
    const taken = withOverrides(`seed=${most}`, 'smoothing=1', 'schedule.gamma=0', `model.classes=${2 ** 20}`);
    const plan = (classes: number) => model('fsta-resnet8').plan({ width: 1, size: 8, classes });
    const seeded = (seed: number) => new Net(plan(2), { seed });
    const net = seeded(taken.seed);
    expect(net.seed).to.equal(most);
    net.dispose();
    expect(philox(taken.seed, 1).below(10)).to.be.within(0, 9);
    expect(lossOptions('loss', { smoothing: taken.loss.smoothing })).to.deep.equal({ smoothing: 1 });
    expect(step({ epochs: 2, stepSize: 1, gamma: taken.schedule.gamma }).lrAt(1, 1)).to.equal(0);
    expect(plan(taken.model.classes!).output.shape).to.deep.equal([2 ** 20]);
    const beyond: [override: string, below: () => unknown][] = [
      [`seed=${most + 1}`, () => seeded(most + 1)],
      ['smoothing=1.1', () => lossOptions('loss', { smoothing: 1.1 })],
      ['schedule.gamma=-1', () => step({ epochs: 2, gamma: -1 })],
      [`model.classes=${2 ** 20 + 1}`, () => plan(2 ** 20 + 1)],
    ];
    for (const [override, below] of beyond) {
      expect(messageOf(() => withOverrides(override))).to.contain(' must be ');
      messageOf(below);
    }
  });

  it('can be given as an object', () => {
    const input = { epochs: 2, model: { name: 'fsta-resnet19' }, data: { name: 'cifar100', root: 'x' } };
    const settings = resolveSettings(input, ['batch=4']);
    expect([settings.epochs, settings.batch, settings.model.name]).to.deep.equal([2, 4, 'fsta-resnet19']);
    expect(input).to.deep.equal({ epochs: 2, model: { name: 'fsta-resnet19' }, data: { name: 'cifar100', root: 'x' } });
    expect(resolveSettings({ ...settings, seed: undefined, loss: undefined })).to.deep.equal(settings);
    expect(messageOf(() => resolveSettings(null))).to.match(/^settings: settings are a group/);
  });
});
