// What README.md, CHANGELOG.md, docs/ and the pages beside results and fixtures promise: commands, options, scripts and files that they name are there, and the README's
// program runs.
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect } from 'chai';
import ts from 'typescript';
import { buildCommand } from '../../lib/core/native.ts';
import { root, spikeloom } from './spawn.ts';

const beside = ['CHANGELOG.md', 'datasets/README.md', 'bench/results/README.md', 'test/golden/README.md'];
const pages = ['README.md', ...beside, ...readdirSync(join(root, 'docs')).map((name) => `docs/${name}`)]
  .filter((name) => name.endsWith('.md'))
  .map((name) => ({ name, text: readFileSync(join(root, name), 'utf8') }));

const found = (pattern: RegExp): { name: string; match: RegExpMatchArray }[] =>
  pages.flatMap(({ name, text }) => [...text.matchAll(pattern)].map((match) => ({ name, match })));

/** The README's blocks of TypeScript as one program; the second uses the net of the first, and a batch. */
function readmeProgram(from: string, ...more: string[]): string {
  const blocks = [...pages[0]!.text.matchAll(/^```ts\n(.*?)^```/gms)].map(([, code]) => code!);
  expect(blocks).to.have.length(2);
  const imported = /^import \{(.*?)\} from 'spikeloom';\n/s;
  const names = blocks.flatMap((code) =>
    imported
      .exec(code)![1]!
      .split(',')
      .map((name) => name.trim()),
  );
  const [first, second] = blocks.map((code) => code.replace(imported, ''));
  const batch = 'const pixels = new Float32Array(64 * 28 * 28);\nconst classes = new Int32Array(64);\n';
  return `import { ${[...new Set([...names, ...more])].join(', ')} } from '${from}';\n${first}\n${batch}${second}`;
}

describe('README.md and docs/', () => {
  let folder = '';
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'spikeloom-docs-'));
    writeFileSync(join(folder, 'package.json'), '{"type":"module"}');
  });
  after(() => rmSync(folder, { recursive: true }));

  it('link to what is there', () => {
    const links = found(/\]\((?!https?:|#)([^)#]+)[^)]*\)/g);
    expect(links.length).to.be.above(10);
    const broken = links.filter(({ name, match }) => !existsSync(join(root, dirname(name), match[1]!)));
    expect(broken.map(({ name, match }) => `${name}: ${match[1]}`)).to.deep.equal([]);
  });

  it('name scripts that package.json has', () => {
    const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
    const named = found(/npm run ([a-z][a-z:-]*)/g);
    expect(named.length).to.be.above(10);
    expect(named.filter(({ match }) => !(match[1]! in scripts)).map(({ match }) => match[0])).to.deep.equal([]);
  });

  it('name commands and options that the program has', async () => {
    const lines = found(/(?:^ {4}|`)(?:npx )?spikeloom ((?:data )?[a-z]+)\b([^`\n#]*)/gm);
    const commands = [...new Set(lines.map(({ match }) => match[1]!))];
    expect(commands).to.include.members(['train', 'eval', 'data show', 'verify', 'doctor']);
    const helps = await Promise.all(commands.map((command) => spikeloom([...command.split(' '), '--help'])));
    for (const [i, command] of commands.entries()) {
      const { status, stdout } = helps[i]!;
      expect(status, command).to.equal(0);
      expect(stdout, command).to.match(new RegExp(`^Usage: spikeloom ${command} `));
      const options = lines
        .filter(({ match }) => match[1] === command)
        .flatMap(({ match }) => match[2]!.match(/--[a-z]+/g) ?? []);
      for (const option of options) expect(stdout, `${command} ${option}`).to.contain(`${option} `);
    }
  });

  it('show a program that the compiler takes as strictly as it can', () => {
    const file = join(folder, 'strict.ts');
    writeFileSync(file, readmeProgram('spikeloom'));
    const { config } = ts.readConfigFile(join(root, 'tsconfig.json'), ts.sys.readFile);
    const { options } = ts.parseJsonConfigFileContent({ ...config, files: [], include: undefined }, ts.sys, root);
    const paths = { spikeloom: [join(root, 'lib/index.ts')] };
    const program = ts.createProgram([file], {
      ...options,
      paths,
      noEmit: true,
      noUnusedLocals: false,
      typeRoots: [join(root, 'node_modules/@types')],
    });
    const problems = ts
      .getPreEmitDiagnostics(program)
      .map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, '\n'));
    expect(problems).to.deep.equal([]);
  });

  it('show a program that trains', () => {
    const data = "fashionMnist('datasets/fashion-mnist-small')";
    const program = readmeProgram(pathToFileURL(join(root, 'lib/index.ts')).href, 'limit')
      .replace(data, `(({ train, test }) => ({ train: limit(train, 128), test: limit(test, 64) }))(${data})`)
      .replace('epochs: 5', 'epochs: 1');
    expect(program).to.contain('limit(train, 128)').and.contain('epochs: 1 }');
    const file = join(folder, 'run.ts');
    writeFileSync(file, program);
    const { status, stdout, stderr } = spawnSync(process.execPath, ['--import', 'tsx', file], {
      cwd: root,
      encoding: 'utf8',
    });
    expect(status, stderr).to.equal(0);
    const lines = stdout.trimEnd().split('\n');
    expect(stdout).to.match(/^conv2d|^layer/m);
    expect(stdout).to.match(/^0\.\d+ 0\.\d+ \{/m); // accuracy, firing rate, firing rates
    expect(Number(lines.at(-1))).to.be.within(0.01, 10); // the loss of the loop
  });

  it('name a program of examples/ that learns a regression', () => {
    const file = join(root, 'examples/sine.ts');
    const { status, stdout, stderr } = spawnSync(process.execPath, ['--import', 'tsx', file], { encoding: 'utf8' });
    expect(status, stderr).to.equal(0);
    const [, lowest] = /^lowest mean squared error (0\.\d+), epoch \d$/m.exec(stdout) ?? [];
    expect(Number(lowest)).to.be.within(0, 0.01);
    expect(stderr)
      .to.match(/epoch 8\/8 {2}loss 0\.\d+ {2}test loss 0\.\d+ {2}firing rate/)
      .and.not.contain('accuracy');
  });

  it('tell how the addon is built where the package is installed', () => {
    expect(buildCommand('build')).to.equal('npm run build');
    expect(buildCommand('build', 'file:///a/node_modules/spikeloom/dist/core/native.js')).to.equal(
      'npm explore spikeloom -- npm run build',
    );
    const { files } = JSON.parse(
      execFileSync('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], { cwd: root, encoding: 'utf8' }),
    )[0];
    const packed = new Set(files.map(({ path }: { path: string }) => path));
    for (const needed of [
      'binding.gyp',
      'scripts/build.mjs',
      'scripts/sources.cjs',
      'native/core/addon.cpp',
      'LICENSE',
    ]) {
      expect(packed.has(needed), needed).to.equal(true);
    }
    expect(packed.has('tsconfig.build.json'), 'by this build.mjs knows where it is').to.equal(false);
  });
});
