import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { openSafetensors } from '../../lib/core/safetensors.ts';
import { alif, cubaLif, ifNode, lif, model, plif, releasedNames, zoo } from '../../lib/nn/index.ts';

const golden = fileURLToPath(new URL('../golden/', import.meta.url));
const image = (channels: number, side: number) => ({ channels, height: side, width: side });

describe('zoo: counts', () => {
  const cases = [
    { name: 'fsta-resnet20', options: {}, parameters: 11_293_717, neurons: 319_488, macs: 215_684_096 },
    {
      name: 'fsta-resnet20',
      options: { steps: 10, input: image(2, 64) },
      parameters: 11_294_965,
      neurons: 4 * 319_488,
    },
    { name: 'fsta-resnet19', options: { classes: 100 }, parameters: 12_735_533, neurons: 1_441_792 },
    { name: 'fsta-resnet18', options: {}, parameters: 11_730_669, neurons: 2_308_096 },
    { name: 'fsta-resnet8', options: {}, parameters: 325_513, neurons: 61_440 },
    { name: 'fsta-resnet34', options: {}, parameters: 21_877_565, neurons: 3_562_496 },
    {
      name: 'recurrent',
      options: { width: 200 },
      parameters: 1401 * 200 + 200 * 200 + 201 * 20,
      neurons: 200,
      macs: (1400 + 200 + 20) * 200,
    },
  ] as const;
  for (const { name, options, parameters, neurons, ...more } of cases) {
    it(`${name} ${JSON.stringify(options)}`, () => {
      const { totals } = zoo[name].plan(options).summary();
      expect(totals.parameters).to.equal(parameters);
      expect(totals.neuronsPerStep).to.equal(neurons);
      if ('macs' in more) expect(totals.macsPerStep).to.equal(more.macs);
    });
  }

  it('counts attention apart: DCT and learned convolutions of ResNet-20, by hand', () => {
    const pixels = 3 * 32 ** 2 + 4 * (16 ** 2 + 8 ** 2 + 4 ** 2 + 2 ** 2);
    const perImage = 2 * 49 * 49 * pixels + 19 * 2 * 2;
    expect(zoo['fsta-resnet20'].plan({ steps: 2 }).summary().totals.attentionMacsPerStep).to.equal(perImage / 2);
    expect(zoo['fsta-resnet20'].plan({ attention: 'none' }).summary().totals.attentionMacsPerStep).to.equal(0);
  });

  it('has the layers of the published ResNet-20', () => {
    const kinds = [...zoo['fsta-resnet20'].plan().walk()].map(({ layer }) => layer.kind);
    expect(kinds.filter((kind) => kind === 'lif')).to.have.length(19);
    expect(kinds.filter((kind) => kind === 'conv2d')).to.have.length(22);
  });

  it('counts the bytes of a batch: spikes as bits, all else as numbers', () => {
    const summary = zoo['fsta-resnet20'].plan().summary({ batch: 3 });
    const row = (path: string) => summary.rows.find((r) => r.path === path)!;
    expect(row('conv1.2').bytes).to.equal((3 * 2 * 64 * 32 * 32) / 8);
    expect(row('conv1.0').bytes).to.equal(4 * (3 * 2 * 64 * 32 * 32 + 1728));
    expect(summary.totals.stateBytes).to.be.greaterThan(12 * 11_293_717);
    expect(summary.totals.bytes).to.equal(summary.totals.stateBytes + summary.totals.activationBytes);
    expect(
      zoo['fsta-resnet20']
        .plan({ width: 33 })
        .summary()
        .rows.find((r) => r.path === 'conv1.2')!.bytes,
    ).to.equal(2 * 32 * 32 * 8);
  });

  it('renders a table whose totals stand in it', () => {
    const text = String(zoo['fsta-resnet20'].plan().summary());
    for (const part of ['conv1.0', 'layer4.1.relu2.dct', '11,293,717', '215,684,096', '319,488'])
      expect(text).to.include(part);
    expect(Math.max(...text.split('\n').map((line) => line.length))).to.be.lessThan(120);
  });
});

describe('zoo: options', () => {
  it('the blocks of ResNet-19 use reduction 16 whatever the option says, as released', () => {
    const hidden = (reduction?: number) => {
      const plan = zoo['fsta-resnet19'].plan({ reduction });
      const freq = (path: string) =>
        [...plan.walk()].find((l) => l.path === path)!.parameters.find((p) => p.role === 'freq1')!.shape[0];
      return [freq('relu.dct'), freq('layer1.0.relu1.dct')];
    };
    expect(hidden()).to.deep.equal([1, 3]);
    expect(hidden(7)).to.deep.equal([7, 3]);
  });

  it('ResNet-19 refuses fewer frequency maps than its blocks reduce by', () => {
    const plan = (options: object) => () => zoo['fsta-resnet19'].plan(options);
    const list = (count: number) => Array.from({ length: count }, (_, i) => i);
    for (const [options, maps] of [
      [{ basis: 3 }, 9],
      [{ basis: 3, reduction: 4 }, 9],
      [{ filters: 5 }, 1],
      [{ filters: list(15) }, 15],
    ] as const) {
      expect(plan(options), JSON.stringify(options)).to.throw(
        `fsta-resnet19: its blocks reduce the frequency maps by 16, as released, so it needs 16 of them at least, but here are ${maps}; use basis 7 with all filters or with 16 and more, or another network`,
      );
    }
    for (const options of [{ basis: 3, attention: 'none' }, { basis: 5 }, { filters: list(16) }])
      expect(plan(options), JSON.stringify(options)).not.to.throw();
    expect(plan({ basis: 2 })).to.throw(/relu\.dct \(fsta\): 'basis' must be odd/);
    expect(plan({ reduction: 50 })).to.throw(/reduction 50 leaves none of 49 frequency maps/);
  });

  it('takes any neuron', () => {
    const kinds = (options: object) =>
      new Set([...zoo['fsta-resnet20'].plan(options).walk()].filter((l) => l.neurons > 0).map((l) => l.layer.kind));
    expect([...kinds({ neuron: ifNode() })]).to.deep.equal(['if']);
    expect([...kinds({ neuron: { kind: 'if', decay: 0.5 } })]).to.deep.equal(['if']);
    for (const neuron of [cubaLif({ synapticDecay: 0.9, name: 'n' }), alif({ adaptationDecay: 0.5 })])
      expect([...kinds({ neuron })]).to.deep.equal([neuron.kind]);
    expect(zoo['fsta-resnet20'].plan({ neuron: plif() }).summary().totals.parameters).to.equal(11_293_717 + 19);
  });

  it('recurrent: takes lif and cubaLif, and no attention', () => {
    const hidden = (options: object) => zoo.recurrent.plan(options as never).layers[2]!.layer;
    expect(hidden({})).to.include({ kind: 'recurrentLif', name: 'hidden', decay: 0.25, synapticDecay: 0 });
    expect(hidden({ neuron: lif({ decay: 0.9, name: 'n' }) })).to.include({ name: 'hidden', decay: 0.9 });
    for (const given of [{}, { synapticDecay: undefined }])
      expect(hidden({ neuron: cubaLif({ reset: 'soft', ...given }) })).to.include({
        synapticDecay: 0.5,
        reset: 'soft',
      });
    expect(hidden({ neuron: cubaLif({ synapticDecay: 0 }) })).to.include({ synapticDecay: 0 });
    const refused = (options: object, message: RegExp) => expect(() => hidden(options)).to.throw(message);
    refused({ neuron: plif() }, /^recurrent: its neurons are lif or cubaLif, which hear each other, not "plif"$/);
    refused({ attention: 'fsta' }, /^recurrent: FSTA weighs pictures.*; use attention 'none'$/);
  });

  it('refuses what it does not know', () => {
    const refused = (options: object, message: RegExp) =>
      expect(() => zoo['fsta-resnet20'].plan(options as never)).to.throw(message);
    refused({ basis: 8 }, /conv1\.2\.dct \(fsta\): 'basis' must be odd/);
    refused({ depth: 3 }, /^fsta-resnet20: there is no option "depth"; the options are width, reduction, basis/);
    refused({ attention: 'se' }, /'attention' must be "fsta" or "none", but is "se"/);
    refused({ neuron: { kind: 'relu' } }, /'neuron\.kind' must be "lif" or "if" or "plif" or "cubaLif" or "alif"/);
    refused({ size: 1 }, /conv1\.9 \(avgPool2d\): a window of 2 does not fit/);
    expect(() => model('resnet50')).to.throw(/no network "resnet50"; the networks are fsta-resnet8, fsta-resnet18/);
    expect(() => model('constructor')).to.throw(/the networks are fsta-resnet8, fsta-resnet18/);
    expect(model('fsta-resnet34')).to.equal(zoo['fsta-resnet34']);
  });

  it('JSON gives the same plan for every network', () => {
    for (const factory of Object.values(zoo)) {
      const plan = factory.plan({ steps: 3, width: 5 });
      const again = new (plan.constructor as typeof import('../../lib/nn/plan.ts').ModelPlan)(
        JSON.parse(JSON.stringify(plan)),
      );
      expect(again.summary()).to.deep.equal(plan.summary());
    }
  });
});

describe('zoo: names and shapes are those of the released checkpoints', () => {
  for (const file of readdirSync(golden).filter((f) => f.startsWith('network-'))) {
    it(file, () => {
      const fixture = openSafetensors(golden + file);
      const config = JSON.parse(fixture.metadata.config!);
      const shape = fixture.entries.get('x')!.shape;
      const plan = model(config.model).plan({
        steps: config.steps,
        classes: config.classes,
        channels: config.channels,
        size: [shape.at(-2)!, shape.at(-1)!],
        width: config.width,
        reduction: config.reduction,
        basis: config.basis,
        attention: config.attention ? 'fsta' : 'none',
      });
      const names = releasedNames(plan);
      const ours = [...plan.walk()].flatMap((l) => [
        ...l.parameters.map((p) => `param.${names.get(p.name)} ${p.shape}`),
        ...l.buffers.map((p) => `buffer.${names.get(p.name)} ${p.shape}`),
      ]);
      const theirs = [...fixture.entries.values()]
        .filter((e) => /^(param|buffer)\./.test(e.name))
        .map((e) => `${e.name} ${e.shape}`);
      fixture.close();
      expect(ours.sort()).to.deep.equal(theirs.sort());
    });
  }
});
