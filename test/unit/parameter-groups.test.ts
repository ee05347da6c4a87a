import { expect } from 'chai';
import { device } from '../../lib/core/device.ts';
import { recordStep, SpikeloomError, tensor } from '../../lib/core/index.ts';
import { adamw, lamb, type NamedParameter, optimizerFrom, type ParameterGroup, sgd } from '../../lib/optim/index.ts';
import { noise } from '../support/op-table.ts';

const SHAPES = { 'stem.weight': [4, 3], 'stem.bias': [4], 'head.weight': [3, 5], 'head.bias': [3] };

function parameters(only: (name: string) => boolean = () => true): NamedParameter[] {
  return Object.entries(SHAPES)
    .filter(([name]) => only(name))
    .map(([name, shape]) => ({ name, tensor: tensor(noise(shape, name.length).data, { shape, dtype: 'f64' }) }));
}

function give(list: readonly NamedParameter[], i: number): void {
  for (const { name, tensor: t } of list) {
    t.grad = tensor(noise(t.shape, 100 * i + name.length).data, { shape: t.shape, dtype: 'f64' });
  }
}

const numbersOf = async (list: readonly NamedParameter[]) =>
  Object.fromEntries(
    await Promise.all(list.map(async ({ name, tensor: t }) => [name, [...(await t.array())]] as const)),
  );

const dispose = (list: readonly NamedParameter[]) => {
  for (const { tensor: t } of list) t.dispose();
};

const isHead = (name: string) => name.startsWith('head.');
const rules = {
  sgd: (options: object) => sgd({ momentum: 0.9, nesterov: true, ...options }),
  adamw,
  lamb,
};

describe('parameter groups', () => {
  for (const [kind, rule] of Object.entries(rules)) {
    it(`train each group as an optimizer of its own would, to the same bits: ${kind}`, async () => {
      const all = parameters();
      const grouped = rule({
        lr: 0.1,
        weightDecay: 0.3,
        groups: [{ names: 'head.*', lrScale: 10, weightDecay: 0.05 }],
      })(all);
      const parts = [parameters((name) => !isHead(name)), parameters(isHead)];
      const decayed = { groups: [{ names: '*', weightDecay: 0.05 }] }; // of one dimension, too
      const single = [rule({ lr: 0.1, weightDecay: 0.3 })(parts[0]!), rule({ ...decayed })(parts[1]!)];
      for (let i = 0; i < 4; i++) {
        const lr = 0.1 / (i + 1);
        grouped.lr = lr;
        single[0]!.lr = lr;
        single[1]!.lr = lr * 10;
        for (const list of [all, ...parts]) give(list, i);
        for (const optimizer of [grouped, ...single]) optimizer.step();
      }
      expect(await numbersOf(all)).to.deep.equal({ ...(await numbersOf(parts[0]!)), ...(await numbersOf(parts[1]!)) });
      for (const optimizer of [grouped, ...single]) optimizer.dispose();
      for (const list of [all, ...parts]) dispose(list);
    });
  }

  it('keep their rates in a recorded step, where the rate changes between two replays', async () => {
    const [plain, recorded] = [parameters(), parameters()];
    const options = { lr: 0.1, momentum: 0.9, groups: [{ names: ['*.bias', 'stem.weight'], lrScale: 0.5 }] };
    const [a, b] = [sgd(options)(plain), sgd(options)(recorded)];
    const gradients = recorded.map(({ tensor: t }) =>
      tensor(new Float64Array(t.size), { shape: t.shape, dtype: 'f64' }),
    );
    const step = recordStep(device('cpu'), () => {
      for (const [k, { tensor: t }] of recorded.entries()) t.grad = gradients[k]!.detach();
      b.step();
    });
    for (let i = 0; i < 3; i++) {
      a.lr = b.lr = 0.1 * 0.5 ** i;
      give(plain, i);
      for (const [k, { name, tensor: t }] of recorded.entries()) {
        gradients[k]!.set(Float64Array.from(noise(t.shape, 100 * i + name.length).data));
      }
      a.step();
      step.replay();
    }
    expect(await numbersOf(recorded)).to.deep.equal(await numbersOf(plain));
    step.dispose();
    for (const held of [a, b, ...gradients] as { dispose(): void }[]) held.dispose();
    for (const list of [plain, recorded]) dispose(list);
  });

  it('leave a parameter as it is at a scale of 0', async () => {
    const all = parameters();
    const before = await numbersOf(all);
    const optimizer = adamw({ weightDecay: 0.5, groups: [{ names: 'stem.*', lrScale: 0 }] })(all);
    give(all, 1);
    optimizer.step();
    const after = await numbersOf(all);
    for (const name of Object.keys(SHAPES)) {
      if (isHead(name)) expect(after[name], name).to.not.deep.equal(before[name]);
      else expect(after[name], name).to.deep.equal(before[name]);
    }
    optimizer.dispose();
    dispose(all);
  });

  const scaled = async (groups: readonly ParameterGroup[]) => {
    const all = parameters();
    const ones = all.map(({ tensor: t }) => tensor(new Float64Array(t.size).fill(1), { shape: t.shape, dtype: 'f64' }));
    for (const [k, { tensor: t }] of all.entries()) {
      t.set(new Float64Array(t.size));
      t.grad = ones[k]!;
    }
    const optimizer = sgd({ lr: 1, groups })(all);
    optimizer.step();
    const rates = Object.values(await numbersOf(all)).map(([first]) => -first!);
    optimizer.dispose();
    dispose(all);
    return rates;
  };

  it('take names, patterns and lists of them; the first group that names a parameter has it', async () => {
    const cases: [ParameterGroup[], number[]][] = [
      [[{ names: 'head.bias', lrScale: 3 }], [1, 1, 1, 3]],
      [[{ names: '*.bias', lrScale: 3 }], [1, 3, 1, 3]],
      [[{ names: '*', lrScale: 3 }], [3, 3, 3, 3]],
      [[{ names: 's*m.*t', lrScale: 3 }], [3, 1, 1, 1]],
      [[{ names: '*e*.*e*', lrScale: 3 }], [3, 1, 3, 1]],
      [[{ names: ['stem.weight', 'head.*'], lrScale: 3 }], [3, 1, 3, 3]],
      [
        [
          { names: '*.bias', lrScale: 2 },
          { names: 'head.*', lrScale: 3 },
        ],
        [1, 2, 3, 2],
      ],
    ];
    for (const [groups, rates] of cases) expect(await scaled(groups), JSON.stringify(groups)).to.deep.equal(rates);
  });

  it('are plain data of the settings, absent where there are none', () => {
    const names = ['head.*'];
    const { settings } = sgd({ groups: [{ names, lrScale: 2, weightDecay: undefined }] });
    names.push('stem.*');
    expect(settings.groups).to.deep.equal([{ names: ['head.*'], lrScale: 2 }]);
    expect(optimizerFrom(JSON.parse(JSON.stringify(settings))).settings).to.deep.equal(settings);
    const written: ParameterGroup[] = [{ names: 'head.*' }, { weightDecay: 0, lrScale: 1, names: ['head.*'] }];
    const texts = written.map((group) => JSON.stringify(sgd({ groups: [group] }).settings.groups));
    expect(texts).to.deep.equal([
      '[{"names":["head.*"],"lrScale":1}]',
      '[{"names":["head.*"],"lrScale":1,"weightDecay":0}]',
    ]);
    expect(sgd({ groups: [] }).settings).to.deep.equal(sgd().settings);
    expect(sgd({ groups: undefined }).settings).to.not.have.property('groups');
  });

  it('are refused where they make no sense, with the rule', () => {
    const wrong: [unknown, RegExp][] = [
      ['head.*', /sgd: groups are a list, as in .*, not "head\.\*"/],
      [[null], /group 0 .*not null/],
      [[{ lrScale: 2 }], /sgd: group 0: names are a parameter's name.*not undefined/],
      [[{ names: [] }], /group 0: names are.*not \[\]/],
      [[{ names: '' }], /group 0: names are/],
      [[{ names: 'head.*' }, { names: [3] }], /group 1: names are.*not \[3\]/],
      [[{ names: 'head.*', lrScale: -1 }], /group 0: lrScale is a finite number of at least 0, not -1/],
      [
        [{ names: 'head.*', weightDecay: Number.NaN }],
        /group 0: weightDecay is a finite number of at least 0, not NaN/,
      ],
      [[{ names: 'head.*', lr: 1 }], /sgd: group 0 has no option lr; it has names, lrScale, weightDecay/],
    ];
    for (const [groups, rule] of wrong) expect(() => sgd({ groups } as never)).to.throw(SpikeloomError, rule);
  });

  it('are refused where they name no parameter, or those of earlier groups alone', () => {
    const all = parameters();
    const shadowed = {
      groups: [{ names: ['*.bias', 'head.*'] }, { names: 'stem.*' }, { names: ['head.weight', '*.bias'] }],
    };
    expect(() => sgd(shadowed)(all)).to.throw(
      SpikeloomError,
      /the first group that names it, but groups before group 2 \(head\.weight, \*\.bias\) name all of its own; put it before/,
    );
    for (const [names, hint] of [
      ['haed.*', ''],
      ['head.weights', "did you mean 'head.weight'\\?"],
    ] as const) {
      const rule = new RegExp(`a group names '${names.replace('*', '\\*')}'.*stem\\.weight, stem\\.bias.*${hint}`);
      expect(() => sgd({ groups: [{ names }] })(all)).to.throw(SpikeloomError, rule);
    }
    dispose(all);
  });
});
