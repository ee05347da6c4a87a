// The program as a user meets it: help, wrong usage, summary, doctor.
import { spawn } from 'node:child_process';
import { expect } from 'chai';
import { native } from '../../lib/core/native.ts';
import { program, root, spikeloom } from './spawn.ts';

describe('spikeloom', () => {
  it('prints its commands', async () => {
    const { status, stdout, stderr } = await spikeloom(['--help']);
    expect(status).to.equal(0);
    expect(stderr).to.equal('');
    for (const command of ['train', 'eval', 'report', 'compare', 'summary', 'doctor', 'verify', 'data']) {
      expect(stdout).to.match(new RegExp(`^  ${command} `, 'm'));
    }
  });

  it('lists every key of a recipe in the help of train', async () => {
    const { status, stdout } = await spikeloom(['train', '--help']);
    expect(status).to.equal(0);
    for (const key of ['model.neuron.decay', 'optimizer.lr (lr)', 'data.train_limit', 'schedule.cooldown (cooldown)']) {
      expect(stdout).to.contain(key);
    }
  });

  it('prints the help of a command, and of one inside of another', async () => {
    const same = [
      [['help'], ['--help']],
      [
        ['help', 'train'],
        ['train', '--help'],
      ],
      ...['check', 'fetch', 'show'].flatMap((name) => [
        [
          ['help', 'data', name],
          ['data', name, '--help'],
        ],
        [
          ['data', 'help', name],
          ['data', name, '--help'],
        ],
      ]),
    ];
    for (const pair of same) {
      const [help, option] = await Promise.all(pair.map((args) => spikeloom(args)));
      expect(help, pair[0]!.join(' ')).to.deep.equal(option).and.to.include({ status: 0, stderr: '' });
    }
  });

  it('ends with 2 and a message for what does not exist', async () => {
    const wrong = [
      { args: ['trian'], says: /^spikeloom: unknown command 'trian'/ },
      { args: ['help', 'trian'], says: /^spikeloom: spikeloom has no command 'trian'\nSee 'spikeloom --help'/ },
      { args: ['help', 'data', 'fecth'], says: /^spikeloom: data has no command 'fecth'\nSee 'spikeloom data --help'/ },
      { args: ['help', 'train', 'x'], says: /^spikeloom: train has no command 'x'\nSee 'spikeloom train --help'/ },
      { args: ['summary', '--jsno'], says: /^spikeloom: unknown option '--jsno'/ },
      { args: ['summary', 'recipes/cifar10.yaml', 'model.widht=3'], says: /did you mean 'model.width'\?/ },
      { args: ['summary', 'recipes/cifar10.yaml', 'lr=fast'], says: /'optimizer.lr' .* must be number >= 0/ },
      {
        args: ['summary', 'recipes/none.yaml'],
        says: /cannot read the recipe recipes\/none.yaml: ENOENT.*These recipes ship: .*recipes\/quickstart.yaml/,
      },
      { args: ['verify', 'x', '--dtype', 'f16'], says: /argument 'f16' is invalid/ },
    ];
    const outcomes = await Promise.all(wrong.map(({ args }) => spikeloom(args)));
    outcomes.forEach(({ status, stdout, stderr }, i) => {
      expect(stderr).to.match(wrong[i]!.says);
      expect(stderr).not.to.contain('    at ');
      expect(stdout).to.equal('');
      expect(status).to.equal(2);
    });
  });

  it('gives the published size of the network of the cifar10 recipe, without addon and data', async () => {
    const env = { SPIKELOOM_BUILD: '/nonexistent' };
    const { status, stdout } = await spikeloom(['summary', 'recipes/cifar10.yaml', '--json'], { env });
    expect(status).to.equal(0);
    const { layers, ...facts } = JSON.parse(stdout);
    expect(facts).to.include({ model: 'fsta-resnet20', steps: 2, parameters: 11_293_717, neurons_per_step: 319_488 });
    expect(facts.training_memory).to.equal(null);
    const sum = (key: string) => layers.reduce((n: number, layer: Record<string, number>) => n + layer[key]!, 0);
    expect(sum('parameters')).to.equal(facts.parameters);
    expect(sum('macs')).to.equal(facts.macs_per_step);
    // 19 neuron layers with an FSTA each: 49 DCT filters and their mix on every pixel once for all T, and the T x T
    // matrix
    const pixels = 3 * 32 ** 2 + 4 * 16 ** 2 + 4 * 8 ** 2 + 4 * 4 ** 2 + 4 * 2 ** 2;
    const perPixel = 2 * 49 * 49;
    expect(facts.attention_macs_per_step).to.equal((perPixel * pixels) / 2 + 19 * 2);
  });

  it('takes what the command line says, and the size of the data set', async () => {
    const args = ['summary', 'recipes/quickstart.yaml', 'model.width=4', 'model.attention=none', '--json'];
    const facts = JSON.parse((await spikeloom(args)).stdout);
    expect(facts.input).to.deep.equal({ channels: 1, height: 28, width: 28 });
    expect(facts.attention_macs_per_step).to.equal(0);
    const { bytes, weight_bytes, optimizer_bytes, step_bytes, data_bytes } = facts.training_memory;
    expect(weight_bytes).to.be.within(4 * facts.parameters, facts.state_bytes);
    expect(bytes).to.equal(weight_bytes + optimizer_bytes + step_bytes + data_bytes);
    // less than all layers' outputs: what lies between a convolution and its neurons is not kept
    expect(step_bytes).to.be.within(facts.activation_bytes / 8, facts.activation_bytes);
    expect(facts.layers[0]).to.include({ path: 'conv1.0', parameters: 4 * 9, macs: 4 * 9 * 28 * 28 });
  });

  it('says in the summary that images which may rest on the device are not in the plan', async () => {
    for (const key of ['data.resident=on', 'device=cuda']) {
      const args = ['summary', 'recipes/quickstart.yaml', 'model.width=2', key];
      const [text, json] = await Promise.all([spikeloom(args), spikeloom([...args, '--json'])]);
      expect(text.stdout).to.match(
        /, a step [\d.]+ MiB; images that rest on the device \(data\.resident\) come beside\n$/,
      );
      expect(JSON.parse(json.stdout).training_memory.data_bytes).to.equal(null);
    }
  });

  it('says in the summary that no batch is ever full, as training would', async () => {
    const args = ['summary', 'recipes/quickstart.yaml', 'model.width=2', 'drop_last=true', 'data.train_limit=20'];
    const [none, full] = await Promise.all(['batch=21', 'batch=20'].map((batch) => spikeloom([...args, batch])));
    expect(none!.stdout).to.match(/was not planned: with drop_last a batch of 21 is never full: .* leaves 20 samples/);
    expect(full!.stdout).to.match(/training with batch 20 takes/);
  });

  it('examines the machine', async () => {
    const { status, stdout } = await spikeloom(['doctor', '--json']);
    const report = JSON.parse(stdout);
    expect(status).to.equal(0);
    expect(report).to.deep.include({ ok: true, training: { ok: true, problem: null } });
    expect(report.addon).to.include({ ok: true, contract: native().abi });
    expect(report.addon.file).to.match(/spikeloom\.node$/);
    expect(['baseline', 'avx2', 'avx512', 'avx512bf16', 'amx']).to.include(report.cpu.level);
    expect(report.cuda.score > 0 || report.cuda.reason.length > 0).to.equal(true);
    expect(report.datasets[0].images).to.deep.equal({ train: 12_000, test: 2000 });
  });

  it('says what is missing where there is no addon', async () => {
    const { status, stdout } = await spikeloom(['doctor'], { env: { SPIKELOOM_BUILD: '/nonexistent' } });
    expect(status).to.equal(1);
    expect(stdout).to.match(/\/nonexistent\/spikeloom.node: not there[\s\S]*npm run build/);
  });

  it('is silent when the reader goes away', async () => {
    const child = spawn(process.execPath, [...program, 'train', '--help'], { cwd: root });
    let stderr = '';
    child.stderr.on('data', (data) => {
      stderr += data;
    });
    child.stdout.destroy();
    const status = await new Promise((resolve) => child.on('close', resolve));
    expect(stderr).to.equal('');
    expect(status).to.equal(0);
  });
});
