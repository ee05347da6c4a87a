import type { Command } from 'commander';
import { diagnose, type Report } from '../diagnosis.ts';
import { EXIT } from '../exit.ts';
import { coloured, table, writeJson, writeText } from '../output.ts';

export function addDoctor(program: Command): void {
  program
    .command('doctor')
    .description('say what was found on this machine; exit status 0 if networks can be trained on the CPU')
    .option('--json', 'one JSON document on stdout')
    .action(async ({ json }: { json?: boolean }) => {
      const report = await diagnose();
      if (json) writeJson(report);
      else writeText(render(report));
      process.exitCode = report.ok ? EXIT.fine : EXIT.failure;
    });
}

const gib = (bytes: number): string => `${(bytes / 2 ** 30).toFixed(1)} GiB`;
const mark = (good: boolean): string => (good ? coloured('ok', 'green') : coloured('FAIL', 'red'));

function cudaFacts(cuda: Report['cuda'], training: Report['cuda_training']): string[][] {
  const { score, reason, description, driver, gpus, library, toolkit, advice } = cuda;
  const facts = [['CUDA', score > 0 ? `score ${score}: ${description}` : `score 0: ${reason}`]];
  if (gpus > 0 || driver !== null) {
    const seen = `${gpus} NVIDIA ${gpus === 1 ? 'GPU' : 'GPUs'} on the bus`;
    facts.push(['CUDA driver', `${driver ?? 'none is loaded'}; ${seen}`]);
    const built = toolkit === null ? 'no nvcc, which only builds it' : `nvcc ${toolkit}`;
    facts.push(['CUDA library', `${library ?? 'not built'}; ${built}`]);
  }
  if (training)
    facts.push(['on the GPU', training.ok ? `the same step: ${mark(true)}` : `${mark(false)}: ${training.problem}`]);
  if (advice !== null) facts.push(['to use the GPU', advice]);
  return facts;
}

function imageFacts({ libjpeg_turbo: jpeg, sharp }: Report['images']): string[][] {
  const slower = `${jpeg.problem}; with it JPEG files (ImageNet) are read several times as fast`;
  return [
    ['libjpeg-turbo', jpeg.ok ? `decodes JPEG files: ${mark(true)}` : `not in use: ${slower}`],
    [
      'sharp',
      sharp.ok ? `decodes other pictures: ${mark(true)}` : `not found; it would add PNG, WebP and TIFF pictures`,
    ],
  ];
}

function render(report: Report): string {
  const { spikeloom, node, platform, cpu, addon, training, cuda, cuda_training, images, tools, datasets, ok } = report;
  const levels =
    cpu.level === null ? 'unknown without the addon' : `${cpu.level} in use, ${cpu.best_level} is the best here`;
  const contract = `${addon.file}, contract version ${addon.contract}, ${addon.ops} ops`;
  const facts = [
    ['spikeloom', spikeloom],
    ['Node.js', `${node.version} (needs ${node.required}): ${mark(node.ok)}`],
    ['platform', `${platform.platform} ${platform.arch}, ${platform.os}, ${gib(platform.memory_bytes)} of memory`],
    ['CPU', `${platform.cpu}; instructions: ${levels}`],
    ['threads', `${cpu.threads}`],
    ['addon', addon.ok ? `${contract}: ${mark(true)}` : `${mark(false)}: ${addon.problem}`],
    [
      'training step',
      training.ok ? `a small network on the CPU: ${mark(true)}` : `${mark(false)}: ${training.problem}`,
    ],
    ...cudaFacts(cuda, cuda_training),
    ...imageFacts(images),
    ...tools.map(({ name, path, adds }) => [name, path ?? `not found; it would add ${adds}`]),
    ...datasets.map(({ name, folder, ok: good, images, problem }) => [
      name,
      good ? `${images.train} training and ${images.test} test images in ${folder}: ${mark(true)}` : `${problem}`,
    ]),
  ];
  const where = cuda_training?.ok ? 'on the CPU and on the GPU' : 'on the CPU';
  const verdict = ok ? `Networks can be trained ${where}.` : 'Networks cannot be trained here: see FAIL above.';
  return `${table(facts as string[][])}\n${verdict}`;
}
