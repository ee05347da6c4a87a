import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import fc from 'fast-check';
import { loadRecipe, MAX_RECIPE_BYTES, parseRecipe } from '../../lib/train/recipe.ts';
import { messageOf } from '../support/failure.ts';

const MINIMAL = 'model: { name: fsta-resnet20 }\ndata: { name: cifar10, root: somewhere }\n';

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

    it('drops the keys of its neurons that another kind does not have', () => {
      const neuronOf = (...args: Parameters<typeof load>) => load(...args).model.neuron;
      const neuron = (text: string) => `model: { neuron: { ${text} } }\n`;
      write('plain.yaml', `extends: recipes/shd.yaml\n${neuron('kind: lif')}`);
      const plain = { kind: 'lif', decay: 0.9048, reset: 'soft', temperature: 100 };
      for (const found of [
        neuronOf('plain.yaml'),
        loadRecipe('recipes/shd.yaml', ['model.neuron.kind=lif']).model.neuron,
      ])
        expect(found).to.include(plain).and.not.have.property('synapticDecay');
      expect(neuronOf('plain.yaml', 'model.neuron.kind=cubaLif')).not.to.have.property('synapticDecay');
      write('same.yaml', `extends: recipes/shd.yaml\n${neuron('kind: cubaLif, decay: 0.5')}`);
      for (const overrides of [[], ['model.neuron.kind=alif']])
        expect(neuronOf('same.yaml', ...overrides)).to.include({ synapticDecay: 0.8187, decay: 0.5 });
      write('both.yaml', `extends: recipes/shd.yaml\n${neuron('kind: lif, synapticDecay: 0.5')}`);
      write('late.yaml', `extends: plain.yaml\n${neuron('synapticDecay: 0.5')}`);
      for (const [file, override] of [
        ['both.yaml'],
        ['late.yaml'],
        ['plain.yaml', 'model.neuron.synapticDecay=0.5'],
      ] as const) {
        const place = override === undefined ? `${file}:2` : 'command line';
        const message = messageOf(() => load(file, ...[override ?? []].flat()));
        expect(message).to.contain(
          `${place}: 'model.neuron.synapticDecay' goes with model.neuron.kind cubaLif or alif, but`,
        );
      }
    });

    it('finds one that ships from any folder, unless there is one of that name', () => {
      write('shipped.yaml', 'extends: recipes/quickstart.yaml\nbatch: 7\n');
      expect(load('shipped.yaml')).to.deep.include({ batch: 7, epochs: loadRecipe('recipes/quickstart.yaml').epochs });
      mkdirSync(join(folder, 'recipes'));
      write('recipes/quickstart.yaml', `${MINIMAL}epochs: 77\n`);
      expect(load('shipped.yaml').epochs).to.equal(77);
    });

    it('names the file of a wrong value', () => {
      write('wrong.yaml', `${MINIMAL}epochs: 0\n`);
      write('child.yaml', 'extends: wrong.yaml\nbatch: none\n');
      const message = messageOf(() => load('child.yaml'));
      expect(message).to.match(/wrong\.yaml:3: 'epochs' .* must be integer >= 1/);
      expect(message).to.match(/child\.yaml:2: 'batch' .* must be integer/);
    });

    it('refuses circles, what is not a path, and what is not there', () => {
      write('a.yaml', 'extends: b.yaml\n');
      write('b.yaml', 'extends: a.yaml\n');
      write('self.yaml', 'extends: self.yaml\n');
      write('number.yaml', 'extends: 3\n');
      write('lost.yaml', 'extends: nowhere.yaml\n');
      for (let i = 0; i < 12; i++) write(`deep${i}.yaml`, `extends: deep${i + 1}.yaml\n`);
      expect(messageOf(() => load('a.yaml'))).to.match(/b\.yaml:1: a\.yaml extends this recipe itself/);
      expect(messageOf(() => load('self.yaml'))).to.match(/self\.yaml:1: self\.yaml extends this recipe itself/);
      expect(messageOf(() => load('number.yaml'))).to.match(/number\.yaml:1: 'extends' is the path .* but it is 3/);
      expect(messageOf(() => load('lost.yaml'))).to.contain(`cannot read the recipe ${join(folder, 'nowhere.yaml')}`);
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
