// Measurements: npm run bench -- COMMAND [options]. Exit status: 0 fine, 1 failure, 2 wrong usage.
import { Command, CommanderError } from 'commander';
import { EXIT, explainError } from '../lib/cli/exit.ts';
import { silenceClosedPipes } from '../lib/cli/output.ts';
import type { AccuracyOptions } from './accuracy.ts';
import type { OpsOptions } from './ops.ts';
import { addStepOptions, type StepOptions, wholeNumber } from './options.ts';
import type { PeerOptions } from './peers/compare.ts';
import type { RooflineOptions } from './roofline.ts';

const HINT = "See 'npm run bench -- --help'.";

// What a command needs is loaded by the command, so that a comparison stays small beside what it measures.
function makeProgram(): Command {
  const program = new Command('bench')
    .description('Measure training steps, here and against peers')
    .helpOption('-h, --help', 'print this help')
    .exitOverride()
    .configureOutput({ outputError: (text) => writeError(`${text.trim().replace(/^error: /, '')}\n${HINT}`) });
  addStepOptions(program.command('step').description('time whole training steps on random images'))
    .option('--json', 'one JSON line on stdout')
    .action(async (options: StepOptions & { json?: boolean }) => (await import('./step.ts')).stepCommand(options));
  addStepOptions(program.command('peers').description('time the same steps here and in PyTorch, in turn'))
    .option('--python <file>', 'Python with PyTorch; else SPIKELOOM_PEERS_PYTHON names it')
    .option('--forms <form...>', "ways to compute FSTA in the peer: 'expanded', 'collapsed'", ['expanded', 'collapsed'])
    .option('--rounds <n>', 'times that every side runs', wholeNumber(1, 100), 3)
    .option('--out <file>', 'also write the measurement to this JSON file')
    .option('--json', 'one JSON line on stdout')
    .action(async (options: PeerOptions) => (await import('./peers/compare.ts')).peersCommand(options));
  program
    .command('accuracy')
    .description('train a recipe with several seeds in several precisions and compare the test accuracies')
    .argument('<recipe>', 'recipe file (YAML)')
    .argument('[key=value...]', "settings in place of the recipe's, e.g. epochs=2")
    .option('--seeds <seed...>', 'of weights and order of the images', ['1', '2', '3'])
    .option('--precisions <type...>', 'fp32, bf16, fp64', ['fp32', 'bf16'])
    .option('--out <file>', 'also write the measurement to this JSON file')
    .option('--json', 'one JSON line on stdout')
    .action(async (recipe: string, overrides: string[], options: AccuracyOptions) =>
      (await import('./accuracy.ts')).accuracyCommand(recipe, overrides, options),
    );
  addStepOptions(program.command('ops').description('time every native op beside the ceilings of the machine'))
    .option('--out <file>', 'also write the measurement to this JSON file')
    .option('--json', 'one JSON line on stdout')
    .action(async (options: OpsOptions) => (await import('./ops.ts')).opsCommand(options));
  addStepOptions(
    program.command('roofline').description('a whole step, call by call, beside the ceilings of the machine'),
  )
    .option('--out <file>', 'also write the measurement to this JSON file')
    .option('--json', 'one JSON line on stdout')
    .action(async (options: RooflineOptions) => (await import('./roofline.ts')).rooflineCommand(options));
  return program;
}

function writeError(message: string): void {
  process.stderr.write(`bench: ${message}\n`);
}

async function main(args: readonly string[]): Promise<number> {
  try {
    const program = makeProgram();
    if (args.length === 0) program.help({ error: true });
    await program.parseAsync(args, { from: 'user' });
    return EXIT.fine;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.fine : EXIT.usage;
    const { message, status } = explainError(error);
    writeError(message);
    return status;
  }
}

silenceClosedPipes();
process.exitCode = await main(process.argv.slice(2));
