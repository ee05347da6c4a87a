import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import fc from 'fast-check';
import { SpikeloomError } from '../../lib/core/errors.ts';
import { nearestKey } from '../../lib/train/nearest-key.ts';
import { formatSettings, loadRecipe, MAX_RECIPE_BYTES, parseRecipe, resolveSettings } from '../../lib/train/recipe.ts';
import { renderSettingKeys, SETTING_GROUPS, SETTING_KEYS } from '../../lib/train/settings.ts';

const MINIMAL = 'model: { name: fsta-resnet20 }\ndata: { name: cifar10, root: somewhere }\n';
const withOverrides = (...overrides: string[]) => parseRecipe(MINIMAL, 'r.yaml', overrides);
const messageOf = (action: () => unknown): string => {
  try {
    action();
  } catch (error) {
    expect(error).to.be.instanceOf(SpikeloomError);
    return (error as Error).message;
  }
  throw new Error('nothing was thrown');
};

describe('settings', () => {
  it('fill in every default and leave what the data set or the network decides', () => {
    expect(withOverrides()).to.deep.equal({
      name: 'run',
      seed: 3407,
      epochs: 10,
      batch: 128,
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
    expect(text).to.match(/fsta-resnet34; required\n/);
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
      ['smoothing=1', /must be number >= 0 and < 1/],
      ['optimizer.nesterov=yes', /must be true or false, but it is 'yes'/],
      ['optimizer.betas=[0.9]', /'optimizer.betas' .* must be \[number, number\]/],
      ['optimizer.betas=[0.9, 1]', /'optimizer.betas'/],
      ['model.basis=8', /even basis .* but it is 8/],
      ['model.size=[3]', /or \[height, width\], but it is \[ 3 \]/],
      ['model.name=resnet', /must be one of fsta-resnet8, fsta-resnet18, fsta-resnet19/],
      ['device=gpu', /must be cpu, cuda or cuda:N, but it is 'gpu'/],
      ['name=../up', /must be up to 80 letters/],
      ['data.augment=full', /must be one of none, basic, published/],
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

  describe('a recipe', () => {
    const wrong: [string, string, RegExp][] = [
      ['a syntax error', `${MINIMAL}loss: [\n`, /^r.yaml:\d: this is not valid YAML/],
      ['a tab', 'model:\n\tname: x', /^r.yaml:2: this is not valid YAML: Tabs/],
      ['a key twice', 'epochs: 1\nbatch: 2\nepochs: 3', /^r.yaml:3: .*unique/],
      [
        'two documents',
        'epochs: 1\n---\nepochs: 2',
        /^r.yaml:\d: this is not valid YAML: Source contains multiple documents$/,
      ],
      ['an unknown tag', 'name: !!js/function x', /^r.yaml:1: .*js\/function/],
      ['a missing anchor', 'name: *nobody', /^r.yaml: cannot read this YAML: .*alias.*nobody/],
      ['nothing', '# only a comment\n', /settings are a group of keys .* but it is nothing/],
      ['a list', '- 1\n- 2', /settings are a group of keys .* but it is \[ 1, 2 \]/],
      [
        'a value where a group belongs',
        `${MINIMAL}loss: 3`,
        /^r.yaml:3: 'loss' is a group of keys \(kind, smoothing\), but it is 3/,
      ],
      ['an empty group', `${MINIMAL}loss:\n`, /^r.yaml:3: 'loss' is a group of keys .* but it is nothing/],
      ['an unknown key', `${MINIMAL}\nbacth: 3`, /^r.yaml:4: there is no key 'bacth'; did you mean 'batch'\?/],
      [
        'an unknown key in a group',
        `${MINIMAL}loss:\n  smothing: 3`,
        /^r.yaml:4: .* 'loss.smothing'; did you mean 'loss.smoothing'/,
      ],
      [
        'a wrong type',
        `${MINIMAL}loss:\n  kind: ce\n  smoothing: much`,
        /^r.yaml:5: 'loss.smoothing' .* but it is 'much'/,
      ],
      ['a number for text', `${MINIMAL}out: 3`, /^r.yaml:3: 'out' .* must be a path, but it is 3/],
      ['a short form', `${MINIMAL}lr: 3`, /^r.yaml:3: 'lr' is a short form .* write optimizer: \{ lr: \.\.\. \}/],
      ['a dotted key', `${MINIMAL}loss.kind: ce`, /^r.yaml:3: .*'loss.kind' with a dot in it; write loss: \{ kind/],
      ['merge keys', `${MINIMAL}<<: { epochs: 3 }`, /^r.yaml:3: there is no key '<<'/],
      ['a prototype', `${MINIMAL}__proto__: { polluted: 1 }`, /^r.yaml:3: there is no key '__proto__'/],
      ['a prototype in a group', `${MINIMAL}loss: { __proto__: { polluted: 1 } }`, /'loss.__proto__'/],
      ['a constructor', `${MINIMAL}constructor: { prototype: { polluted: 1 } }`, /'constructor'/],
      ['an empty key inside itself', `${MINIMAL}"": &a { "": *a }`, /there is no key ''/],
      ['a list inside itself', `${MINIMAL}epochs: &a [*a]`, /'epochs' .* must be integer/],
      [
        'no network',
        'data: { name: cifar10, root: x }',
        /'model.name' \(network\) is missing; it must be one of fsta-resnet8, fsta-resnet18/,
      ],
      ['deep nesting', '['.repeat(100_000), /^r.yaml:1: this YAML is nested too deeply/],
    ];
    for (const [what, text, message] of wrong) {
      it(`refuses ${what}`, () => {
        expect(messageOf(() => parseRecipe(text, 'r.yaml'))).to.match(message);
        expect(({} as Record<string, unknown>).polluted).to.equal(undefined);
      });
    }

    it('may use anchors, but not a bomb of them', () => {
      const text = 'model: { name: fsta-resnet20, steps: &t 4, width: *t }\ndata: { name: mnist, root: x }';
      expect(parseRecipe(text, 'r.yaml').model.width).to.equal(4);
      const levels = Array.from({ length: 30 }, (_, i) =>
        `l${i}: &l${i} [${`*l${i - 1}, `.repeat(9)}]`.replaceAll('*l-1', 'x'),
      );
      const begin = Date.now();
      expect(messageOf(() => parseRecipe(levels.join('\n'), 'r.yaml'))).to.match(
        /^r.yaml: cannot read this YAML: .*alias/,
      );
      expect(Date.now() - begin).to.be.below(2000);
    });

    it('lists several problems at once, and says how many it left out', () => {
      const text = `${MINIMAL}${Array.from({ length: 13 }, (_, i) => `wrong${i}: 1`).join('\n')}`;
      const lines = messageOf(() => parseRecipe(text, 'r.yaml')).split('\n');
      expect(lines).to.have.length(11);
      expect(lines[9]).to.match(/^r.yaml:12: there is no key 'wrong9'/);
      expect(lines[10]).to.equal('and 3 more');
    });

    it('any text gives settings or a SpikeloomError', () => {
      const piece = fc.constantFrom(
        'model',
        'data',
        ': ',
        '\n',
        '  ',
        '{',
        '}',
        '[',
        ']',
        '&a ',
        '*a',
        '- ',
        '"',
        '!!',
        '#',
        '|',
        '%',
        '\t',
        '1',
      );
      const text = fc.oneof(
        fc.string({ unit: 'binary' }),
        fc.array(piece, { maxLength: 40 }).map((pieces) => pieces.join('')),
      );
      fc.assert(
        fc.property(text, (yaml) => {
          messageOf(() => parseRecipe(yaml, 'r.yaml'));
        }),
        { numRuns: 500 },
      );
    });

    describe('that extends another', () => {
      const folder = mkdtempSync(join(tmpdir(), 'spikeloom-extends-'));
      after(() => rmSync(folder, { recursive: true }));
      const write = (name: string, text: string) => writeFileSync(join(folder, name), text);
      const load = (name: string, ...overrides: string[]) => loadRecipe(join(folder, name), overrides);

      it("has its keys, and its own and the command line's in their place", () => {
        write('base.yaml', `${MINIMAL}epochs: 7\nbatch: 3\noptimizer: { kind: lamb, lr: 0.5 }\n`);
        write('middle.yaml', 'extends: base.yaml\nepochs: 8\noptimizer: { lr: 0.25 }\n');
        write('top.yaml', 'extends: ./middle.yaml\nmodel: { attention: none }\n');
        const { epochs, batch, optimizer, model, data } = load('top.yaml', 'batch=5');
        expect({ epochs, batch, kind: optimizer.kind, lr: optimizer.lr }).to.deep.equal({
          ...{ epochs: 8, batch: 5, kind: 'lamb', lr: 0.25 },
        });
        expect([model.name, model.attention, data.root]).to.deep.equal(['fsta-resnet20', 'none', 'somewhere']);
      });

      it('names the file of a wrong value', () => {
        write('wrong.yaml', `${MINIMAL}epochs: 0\n`);
        write('child.yaml', 'extends: wrong.yaml\nbatch: none\n');
        const message = messageOf(() => load('child.yaml'));
        expect(message).to.match(/wrong\.yaml:3: 'epochs' .* must be integer >= 1/);
        expect(message).to.match(/child\.yaml:2: 'batch' .* must be integer/);
      });

      it('refuses circles, what is no path, and what is not there', () => {
        write('a.yaml', 'extends: b.yaml\n');
        write('b.yaml', 'extends: a.yaml\n');
        write('self.yaml', 'extends: self.yaml\n');
        write('number.yaml', 'extends: 3\n');
        write('lost.yaml', 'extends: nowhere.yaml\n');
        for (let i = 0; i < 12; i++) write(`deep${i}.yaml`, `extends: deep${i + 1}.yaml\n`);
        expect(messageOf(() => load('a.yaml'))).to.match(/b\.yaml:1: a\.yaml extends this recipe itself/);
        expect(messageOf(() => load('self.yaml'))).to.match(/self\.yaml:1: self\.yaml extends this recipe itself/);
        expect(messageOf(() => load('number.yaml'))).to.match(/number\.yaml:1: 'extends' is the path .* but it is 3/);
        expect(messageOf(() => load('lost.yaml'))).to.match(/cannot read the recipe .*nowhere\.yaml/);
        expect(messageOf(() => load('deep0.yaml'))).to.match(/at most 8 recipes build on each other/);
      });
    });

    it('that cannot be read is named', () => {
      const folder = mkdtempSync(join(tmpdir(), 'spikeloom-settings-'));
      try {
        expect(messageOf(() => loadRecipe(join(folder, 'none.yaml')))).to.match(
          /cannot read the recipe .*none.yaml: ENOENT/,
        );
        expect(messageOf(() => loadRecipe(folder))).to.match(/not a folder or device/);
        writeFileSync(join(folder, 'latin.yaml'), Buffer.from([0x6e, 0xff]));
        expect(messageOf(() => loadRecipe(join(folder, 'latin.yaml')))).to.match(/cannot read the recipe .*latin.yaml/);
        writeFileSync(join(folder, 'big.yaml'), Buffer.alloc(MAX_RECIPE_BYTES + 1, '#'));
        expect(messageOf(() => loadRecipe(join(folder, 'big.yaml')))).to.match(
          /262144 bytes at most, but this has 262145/,
        );
      } finally {
        rmSync(folder, { recursive: true });
      }
    });
  });

  it('can be given as an object', () => {
    const input = { epochs: 2, model: { name: 'fsta-resnet19' }, data: { name: 'cifar100', root: 'x' } };
    const settings = resolveSettings(input, ['batch=4']);
    expect([settings.epochs, settings.batch, settings.model.name]).to.deep.equal([2, 4, 'fsta-resnet19']);
    expect(input).to.deep.equal({ epochs: 2, model: { name: 'fsta-resnet19' }, data: { name: 'cifar100', root: 'x' } });
    expect(messageOf(() => resolveSettings(null))).to.match(/^settings: settings are a group/);
  });
});

describe('the nearest key', () => {
  const known = ['batch', 'model.steps', 'schedule.step_size', 'optimizer.lr', 'lr'];
  const cases: [string, string | undefined][] = [
    ['bacth', 'batch'],
    ['Batch', 'batch'],
    ['steps', 'model.steps'],
    ['stepSize', 'schedule.step_size'],
    ['optimiser.lr', 'optimizer.lr'],
    ['colour', undefined],
    ['', undefined],
    ['x'.repeat(100_000), undefined],
  ];
  for (const [given, near] of cases) {
    it(`of '${given.slice(0, 20)}' is ${near}`, () => expect(nearestKey(given, known)).to.equal(near));
  }
});
