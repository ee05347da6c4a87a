// The README's example: a small FSTA network of one's own, trained on the images that ship with the project.
//   node scripts/run.mjs examples/tiny.ts
import {
  conv2d,
  cosine,
  define,
  fashionMnist,
  fsta,
  globalAvgPool,
  lif,
  linear,
  meanOverTime,
  norm,
  sgd,
  stage,
  train,
} from '../lib/index.ts';

const tiny = define('tiny', ({ classes }) => [
  conv2d(16, { kernel: 3 }),
  norm(),
  fsta(),
  lif(),
  ...stage(16, { blocks: 1 }),
  ...stage(32, { blocks: 1, stride: 2 }),
  globalAvgPool(),
  linear(classes),
  meanOverTime(),
]);
const net = tiny({ steps: 2, input: { channels: 1, height: 28, width: 28 }, classes: 10, seed: 3407 });
console.log(net.summary().toString());

const run = train(net, {
  data: fashionMnist('datasets/fashion-mnist-small'),
  batch: 64,
  optimizer: sgd({ lr: 0.1, momentum: 0.9, nesterov: true }),
  schedule: cosine({ epochs: 5 }),
  loss: { kind: 'ce', smoothing: 0.1 },
  progress: true,
});
for await (const epoch of run) console.log(epoch.accuracy, epoch.firingRate, epoch.firingRates);
