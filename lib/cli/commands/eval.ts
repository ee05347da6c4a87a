import { type Command, Option } from 'commander';
import { readEvaluationSettings } from '../../train/run-folder.ts';
import { asUsage } from '../exit.ts';
import { writeJson, writeText } from '../output.ts';
import { readStoppably } from '../reading.ts';
import { firingTable, percent, replacedLine } from '../results.ts';

interface Options {
  weights: 'best' | 'last';
  json?: boolean;
}

export function addEval(program: Command): void {
  program
    .command('eval')
    .description('evaluate the saved weights of a run on its test images')
    .argument('<run>', 'folder of the run, e.g. runs/quickstart-0001')
    .argument(
      '[key=value...]',
      "in place of the run's settings: device, threads, data.root, data.cache, data.workers, data.resident",
    )
    .addOption(new Option('--weights <which>', 'which weights').choices(['best', 'last']).default('best'))
    .option('--json', 'one JSON document on stdout')
    .action(evalCommand);
}

async function evalCommand(run: string, overrides: string[], { weights, json }: Options): Promise<void> {
  asUsage(() => readEvaluationSettings(run, overrides));
  const { evaluateRun } = await import('../../train/evaluate-run.ts');
  const found = await readStoppably(json, ({ signal, onProgress: onPrepare }) =>
    evaluateRun(run, { weights, overrides, signal, onPrepare }),
  );
  if (!found) return;
  const { accuracy, loss, firingRate, firingRates, images, skipped, seconds } = found;
  if (json) {
    const rates = { firing_rate: firingRate, firing_rates: firingRates };
    writeJson({ run, weights, images, test_accuracy: accuracy, test_loss: loss, ...rates, skipped, seconds });
    return;
  }
  writeText(firingTable(firingRates, firingRate));
  writeText(`test loss ${loss.toFixed(4)}`);
  writeText(`test accuracy ${percent(accuracy)}`);
  if (skipped > 0) writeText(replacedLine(skipped));
}
