import type { Command } from 'commander';
import { SpikeloomError } from '../../core/errors.ts';
import { mixSettings } from '../../data/augment/mix.ts';
import type { ModelPlan } from '../../nn/index.ts';
import { loadRecipe } from '../../train/recipe.ts';
import type { Settings } from '../../train/settings.ts';
import { asUsage } from '../exit.ts';
import { writeJson, writeText } from '../output.ts';
import { memoryLine, snakeCase } from '../results.ts';

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
  const found = plan.summary({ batch: batchOf(settings, settings.data.train_limit), dtype: dtypeOf(settings) });
  const memory = await memoryOf(settings, plan);
  if (!json) return writeText(`${found}\n${memory.text}`);
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
    training_memory: memory.json,
    layers: rows,
  });
}

const dtypeOf = ({ precision }: Settings): 'f32' | 'f64' => (precision === 'fp64' ? 'f64' : 'f32');

/** Samples of a batch of a set that is cut to so many (0: not cut): no more than there are. */
const batchOf = ({ batch }: Settings, limit: number): number => (limit > 0 ? Math.min(batch, limit) : batch);

/** Refuses what a loader would. */
function checkFull({ batch, drop_last: dropLast, data }: Settings): void {
  if (!dropLast || data.train_limit === 0 || batch <= data.train_limit) return;
  throw new SpikeloomError(
    `with drop_last a batch of ${batch} is never full: data.train_limit leaves ${data.train_limit} samples; use a smaller batch`,
  );
}

/** What training takes of the memory, planned on the CPU; or why that cannot be known, as without the addon. */
async function memoryOf(settings: Settings, { input, output }: ModelPlan): Promise<{ text: string; json: unknown }> {
  const { netOf, optimizerOf } = await import('../../train/assemble.ts');
  const { factsOf } = await import('../../train/data-sets.ts');
  const { trainingMemory } = await import('../../train/memory.ts');
  const { plannedBytes } = await import('../../train/residence.ts');
  const facts = factsOf(settings);
  const train = { ...facts, ...input, classes: { length: output.shape[0]! } };
  try {
    checkFull(settings);
    using net = netOf({ ...settings, device: 'cpu' }, { train });
    const { data, device, loss } = settings;
    const [batch, tested] = [batchOf(settings, data.train_limit), batchOf(settings, data.test_limit)];
    const residence = { resident: data.resident, device, dtype: dtypeOf(settings), batches: [batch, tested] };
    const dataBytes = plannedBytes(facts, residence);
    const mix = mixSettings(settings.mix) !== undefined;
    const { steps, binary, unit } = facts;
    const kind = { steps, binary, unit, mix, loss, optimizer: optimizerOf(settings) };
    const memory = trainingMemory(net, { batch, ...kind, dataBytes });
    const json = { ...snakeCase(memory), data_bytes: dataBytes ?? null };
    const rest = dataBytes === undefined ? '; images that rest on the device (data.resident) come beside' : '';
    return { text: `${memoryLine(memory)}${rest}`, json };
  } catch (error) {
    if (!(error instanceof SpikeloomError)) throw error;
    return { text: `the training step was not planned: ${error.message}`, json: null };
  }
}

/** The network for the data set as it is by definition, so that it can be looked at before the data is there. */
async function planOf(settings: Settings): Promise<ModelPlan> {
  const { model } = await import('../../nn/index.ts');
  const { factsOf } = await import('../../train/data-sets.ts');
  const { name, ...options } = settings.model;
  const { classes, channels, height, width } = factsOf(settings);
  const known = { classes: classes.length, channels, size: [height, width] as [number, number] };
  const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
  return asUsage(() => model(name).plan({ ...known, ...given }));
}
