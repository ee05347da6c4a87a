import { extname } from 'node:path';
import { type Command, Option } from 'commander';
import { writeFileAtomic } from '../../core/atomic-file.ts';
import { AUGMENT_NAMES, type AugmentName } from '../../data/augment/augment.ts';
import { contactSheet, type Sheet } from '../../data/contact-sheet.ts';
import { loader } from '../../data/loader.ts';
import { encodePng } from '../../data/png.ts';
import { openData } from '../../train/data-sets.ts';
import { loadRecipe, resolveSettings } from '../../train/recipe.ts';
import { escaped } from '../../train/report-chart.ts';
import { DATA_NAMES, type Settings } from '../../train/settings.ts';
import { asUsage, UsageError } from '../exit.ts';
import { table, writeJson, writeText } from '../output.ts';
import { readStoppably } from '../reading.ts';
import { wholeNumber } from '../whole-number.ts';

interface Options {
  samples: number;
  augment?: AugmentName;
  steps?: number;
  epoch: number;
  seed?: number;
  test?: boolean;
  out: string;
  json?: boolean;
}

export function addDataShow(data: Command): void {
  data
    .command('show')
    .description('draw samples as training sees them: images after augmentation, events as frames over time')
    .argument('<recipe>', 'recipe file (YAML), or the name of a data set')
    .argument('[root]', "folder that holds the files (default: the recipe's)")
    .option('--samples <n>', 'how many', wholeNumber(1, 1000), 20)
    .addOption(new Option('--augment <kind>', "default: the recipe's; of a name: none").choices(AUGMENT_NAMES))
    .option('--steps <t>', 'event sets: frames of a recording', wholeNumber(1, 1024))
    .option('--epoch <n>', 'the samples that open this epoch, from 1', wholeNumber(1, 1e6), 1)
    .option('--seed <n>', 'of order and augmentation', wholeNumber(0, Number.MAX_SAFE_INTEGER))
    .option('--test', 'test samples, in file order and without augmentation')
    .option('--out <file>', 'an .svg with class names, or a .png', 'samples.svg')
    .option('--json', 'one JSON document on stdout')
    .action(dataShowCommand);
}

const isName = (text: string): text is Settings['data']['name'] => (DATA_NAMES as readonly string[]).includes(text);

/** Settings of the recipe, or of a data set by its name, with what the command line says in place of theirs. */
function settingsFor(recipe: string, root: string | undefined, { augment, steps, seed }: Options): Settings {
  const overrides = Object.entries({ 'data.root': root, 'data.augment': augment, 'model.steps': steps, seed })
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => `${key}=${value}`);
  if (!isName(recipe)) return asUsage(() => loadRecipe(recipe, overrides));
  if (root === undefined) throw new UsageError(`give the folder that holds the files: data show ${recipe} ROOT`);
  const model = { name: 'fsta-resnet20', steps: 10 };
  return asUsage(() => resolveSettings({ model, data: { name: recipe, root } }, overrides));
}

/** The sheet as an SVG file with the texts; the pixels are in it. */
function sheetSvg({ rgb, width, height, texts }: Sheet): string {
  const image = encodePng(rgb, width, height).toString('base64');
  const labels = texts.map(
    ({ x, y, text, centred }) =>
      `  <text x="${x}" y="${y + 4}"${centred ? ' text-anchor="middle"' : ''}>${escaped(text)}</text>`,
  );
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}">`,
    "  <style>text { font: 12px system-ui, 'Segoe UI', Helvetica, Arial, sans-serif; fill: #1f2328; }</style>",
    `  <rect width="${width}" height="${height}" fill="#ffffff"/>`,
    `  <image width="${width}" height="${height}" style="image-rendering: pixelated" href="data:image/png;base64,${image}"/>`,
    ...labels,
    '</svg>',
    '',
  ].join('\n');
}

async function dataShowCommand(recipe: string, root: string | undefined, options: Options): Promise<void> {
  const { samples, epoch, test, out, json } = options;
  const kind = extname(out).toLowerCase();
  if (kind !== '.svg' && kind !== '.png') throw new UsageError(`--out takes an .svg or .png file, not '${out}'`);
  const settings = settingsFor(recipe, root, options);
  const opened = await readStoppably(json, (reading) => openData(settings, reading));
  if (opened === undefined) return;
  const { train, test: held } = opened;
  const set = test ? held : train;
  if (options.steps !== undefined && set.kind !== 'events') {
    throw new UsageError(`--steps is for recordings, but '${set.name}' has pictures; leave it out`);
  }
  const order = test ? {} : { shuffle: true, augment: settings.data.augment };
  await using batches = loader(set, { batch: samples, seed: settings.seed, workers: 0, ...order });
  const { value: batch } = await batches
    .epoch(epoch - 1)
    [Symbol.asyncIterator]()
    .next();
  const sheet = contactSheet(set, batch, { texts: kind === '.svg' });
  writeFileAtomic(out, kind === '.svg' ? sheetSvg(sheet) : encodePng(sheet.rgb, sheet.width, sheet.height));
  const names = Array.from(batch.labels as Int32Array, (label) => set.classes[label]!);
  const augment = test ? 'none' : settings.data.augment;
  if (json) {
    writeJson({ out, name: set.name, augment, samples: Array.from(batch.indices), labels: names });
    return;
  }
  const rows = names.map((name, i) => [String(i + 1), String(batch.indices[i]), name]);
  writeText(table([['', 'sample', 'class'], ...rows], [0, 1]));
  writeText(`${out}: ${names.length} ${test ? 'test' : 'training'} samples of ${set.name}, augment ${augment}`);
}
