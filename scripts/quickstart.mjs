#!/usr/bin/env node
// npm run quickstart: installs, builds, trains a small FSTA-ResNet on the Fashion-MNIST images that ship with the
// project, and shows the result; then the same net without FSTA, if there is time left. Minutes on two cores; needs no
// GPU and no network but npm's.
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { build, checkNode, install, root } from './prepare.mjs';

const started = Date.now();
const seconds = () => (Date.now() - started) / 1000;
const budget = 330; // seconds for everything; the second net is left out when it would not fit

/** Runs a command of Spikeloom and hands each JSON line to `listen`. The progress bar goes to stderr. */
function spikeloom(args, listen) {
  const child = spawn(process.execPath, ['dist/cli/main.js', ...args, '--json'], {
    cwd: root,
    stdio: ['inherit', 'pipe', 'inherit'],
  });
  createInterface({ input: child.stdout }).on('line', (line) => listen(JSON.parse(line)));
  process.on('SIGINT', () => {}); // the child gets it from the terminal as well, and saves
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (status, signal) => resolve(status ?? (signal ? 1 : 0)));
  });
}

const percent = (share) => `${(100 * share).toFixed(1)} %`;

async function train(title, ...settings) {
  console.log(`\n== ${title}`);
  let end;
  const status = await spikeloom(['train', 'recipes/quickstart.yaml', ...settings], (line) => {
    if (line.event === 'end') end = line;
    if (line.event === 'interrupted') console.log(`interrupted, and saved; to go on:\n  ${line.resume}`);
  });
  if (status !== 0) process.exit(status);
  return end;
}

function table(fsta, plain) {
  const row = (name, a, b) => console.log(`  ${name.padEnd(20)}${a.padStart(10)}${b.padStart(14)}`);
  row('firing rate', 'FSTA', plain ? 'without FSTA' : '');
  for (const [layer, rate] of Object.entries(fsta.firing_rates))
    row(layer, percent(rate), plain ? percent(plain.firing_rates[layer]) : '');
  row('all neurons', percent(fsta.firing_rate), plain ? percent(plain.firing_rate) : '');
}

try {
  checkNode();
  console.log('== packages and build');
  install();
  build('--addon', '--js');
  const before = seconds();
  console.log(`ready after ${before.toFixed(0)} s`);
  const fsta = await train('FSTA-ResNet-8, width 32, T = 2, on 12,000 images of Fashion-MNIST');
  const took = seconds() - before;
  const plain =
    seconds() + took < budget
      ? await train('the same without FSTA', 'model.attention=none', 'name=quickstart-plain')
      : undefined;
  console.log('\n== result');
  table(fsta, plain);
  if (plain) console.log(`without FSTA: accuracy ${percent(plain.test_accuracy)}, run folder ${plain.run}`);
  else console.log('without FSTA: no time left; npx spikeloom train recipes/quickstart.yaml model.attention=none');
  console.log(`run folder ${fsta.run} (weights, metrics, settings); ${seconds().toFixed(0)} s in all`);
  console.log(`test accuracy ${percent(fsta.test_accuracy)}`);
} catch (error) {
  console.error(`quickstart: ${error.message}`);
  process.exitCode = 1;
}
