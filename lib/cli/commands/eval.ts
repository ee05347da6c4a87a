import { type Command, Option } from 'commander';
import { readSettings } from '../../train/run-folder.ts';
import { asUsage } from '../exit.ts';
import { writeJson, writeText } from '../output.ts';
import { firingTable, percent } from '../results.ts';

interface Options {
  weights: 'best' | 'last';
  json?: boolean;
}

export function addEval(program: Command): void {
  program
    .command('eval')
    .description('evaluate the saved weights of a run on its test images')
    .argument('<run>', 'folder of the run, e.g. runs/quickstart-0001')
    .addOption(new Option('--weights <which>', 'which weights').choices(['best', 'last']).default('best'))
    .option('--json', 'one JSON document on stdout')
    .action(evalCommand);
}

async function evalCommand(run: string, { weights, json }: Options): Promise<void> {
  asUsage(() => readSettings(run));
  const { evaluateRun } = await import('../../train/assemble.ts');
  const { accuracy, loss, firingRate, firingRates, images, seconds } = await evaluateRun(run, { weights });
  if (json) {
    const rates = { firing_rate: firingRate, firing_rates: firingRates };
    writeJson({ run, weights, images, test_accuracy: accuracy, test_loss: loss, ...rates, seconds });
    return;
  }
  writeText(firingTable(firingRates, firingRate));
  writeText(`test loss ${loss.toFixed(4)}`);
  writeText(`test accuracy ${percent(accuracy)}`);
}
