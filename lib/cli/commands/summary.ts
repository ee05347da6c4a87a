import type { Command } from 'commander';
import { SpikeloomError } from '../../core/errors.ts';
import type { ModelPlan } from '../../nn/index.ts';
import type { TrainingMemory } from '../../train/memory.ts';
import { loadRecipe } from '../../train/recipe.ts';
import type { Settings } from '../../train/settings.ts';
import { asUsage } from '../exit.ts';
import { writeJson, writeText } from '../output.ts';
import { memoryLine, snakeCase } from '../results.ts';

/** Images of the data sets, so that a network can be looked at before its data is there. */
const KNOWN_DATA: Readonly<Record<Settings['data']['name'], { classes: number; channels: number; size: number }>> = {
  cifar10: { classes: 10, channels: 3, size: 32 },
  cifar100: { classes: 100, channels: 3, size: 32 },
  mnist: { classes: 10, channels: 1, size: 28 },
  'fashion-mnist': { classes: 10, channels: 1, size: 28 },
};

export function addSummary(program: Command): void {
  program
    .command('summary')
    .description("show a network's layers, parameters and cost; nothing is trained and no data is read")
    .argument('<recipe>', 'recipe file (YAML)')
    .argument('[key=value...]', "settings in place of the recipe's, e.g. model.width=16")
    .option('--json', 'one JSON document on stdout')
    .action(summary);
}

async function summary(recipe: string, overrides: string[], { json }: { json?: boolean }): Promise<void> {
  const settings = asUsage(() => loadRecipe(recipe, overrides));
  const plan = await planOf(settings);
  const found = plan.summary({ batch: settings.batch, dtype: settings.precision === 'fp64' ? 'f64' : 'f32' });
  const memory = await memoryOf(settings, plan);
  if (!json) return writeText(`${found}\n${typeof memory === 'string' ? memory : memoryLine(memory)}`);
  const { totals, rows } = found;
  writeJson({
    model: found.model,
    steps: found.steps,
    batch: found.batch,
    input: plan.input,
    classes: plan.output.shape[0],
    parameters: totals.parameters,
    macs_per_step: totals.macsPerStep,
    neurons_per_step: totals.neuronsPerStep,
    attention_macs_per_step: totals.attentionMacsPerStep,
    state_bytes: totals.stateBytes,
    activation_bytes: totals.activationBytes,
    training_memory: typeof memory === 'string' ? null : snakeCase(memory),
    layers: rows,
  });
}

/** What training takes of the memory, planned on the CPU; a line that says why not where that cannot be, as without the addon. */
async function memoryOf(settings: Settings, { input, output }: ModelPlan): Promise<TrainingMemory | string> {
  const { netOf, optimizerOf } = await import('../../train/assemble.ts');
  const { trainingMemory } = await import('../../train/memory.ts');
  const train = { name: settings.data.name, ...input, classes: { length: output.shape[0]! } };
  try {
    using net = netOf({ ...settings, device: 'cpu' }, { train });
    return trainingMemory(net, { batch: settings.batch, optimizer: optimizerOf(settings), loss: settings.loss });
  } catch (error) {
    if (error instanceof SpikeloomError) return `the training step was not planned: ${error.message}`;
    throw error;
  }
}

async function planOf({ model: chosen, data }: Settings): Promise<ModelPlan> {
  const { model } = await import('../../nn/index.ts');
  const { name, ...options } = chosen;
  const known = KNOWN_DATA[data.name];
  const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
  return asUsage(() => model(name).plan({ ...known, ...given }));
}
