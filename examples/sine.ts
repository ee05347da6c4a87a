// A regression: the sine of an angle from the spikes of neurons that are tuned to it, samples made by a function.
//   node scripts/run.mjs examples/sine.ts
import {
  adamw,
  define,
  flatten,
  lif,
  linear,
  meanOverTime,
  numberSet,
  philox,
  type SampleMaker,
  train,
} from '../lib/index.ts';

const [steps, neurons, samples] = [16, 20, 1000];

/** Spikes [T,F,1,1] and the target [1] of a sample, the same ones whenever it is asked for. */
const made: SampleMaker = (index) => {
  const draws = philox(3407, 0, index);
  const angle = 2 * Math.PI * draws.uniform();
  const rates = Array.from({ length: neurons }, (_, i) =>
    Math.exp(3 * Math.cos(angle - (2 * Math.PI * i) / neurons) - 3),
  );
  const numbers = Uint8Array.from({ length: steps * neurons }, (_, i) => Number(draws.uniform() < rates[i % neurons]!));
  return { numbers, targets: [Math.sin(angle)] };
};

const all = {
  name: 'sine',
  numbers: made,
  count: samples,
  shape: [steps, neurons, 1, 1],
  binary: true,
  targetShape: [1],
};
const indices = Array.from({ length: samples }, (_, i) => i);
const data = {
  train: numberSet({ ...all, chosen: indices.slice(0, 800) }),
  test: numberSet({ ...all, chosen: indices.slice(800) }),
};

const tuned = define('tuned', () => [flatten(), linear(32), lif(), linear(1), meanOverTime()]);
const net = tuned({ steps, channels: neurons, size: 1, seed: 3407 });
const run = train(net, { data, epochs: 8, batch: 32, optimizer: adamw({ lr: 0.01 }), workers: 0, progress: true });
for await (const epoch of run) console.log(epoch.testLoss, epoch.firingRate);
console.log(`lowest mean squared error ${run.best!.testLoss}, epoch ${run.best!.epoch + 1}`);
