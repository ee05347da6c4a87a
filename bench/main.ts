// Measurements: npm run bench -- COMMAND [options]. Exit status: 0 fine, 1 failure, 2 wrong usage.
import { availableParallelism } from 'node:os';
import { Command, InvalidArgumentError } from 'commander';
import { keepOnWithoutOutput } from '../lib/cli/output.ts';
import { runProgram } from '../lib/cli/run-program.ts';
import { wholeNumber } from '../lib/cli/whole-number.ts';
import { MOST_THREADS, usualThreads } from '../lib/core/index.ts';
import type { AccuracyOptions } from './accuracy.ts';
import type { ConvolutionOptions } from './convolutions.ts';
import type { CurveOptions } from './curve.ts';
import type { DataBenchOptions } from './data.ts';
import type { GradientsOptions } from './gradients.ts';
import type { KernelsOptions } from './kernels.ts';
import type { LatenessOptions } from './lateness.ts';
import type { OpsOptions } from './ops.ts';
import { addStepOptions, precisionOption, type StepOptions } from './options.ts';
import type { PeerOptions } from './peers/compare.ts';
import type { RooflineOptions } from './roofline.ts';

const HINT = "See 'npm run bench -- --help'.";

function share(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !(value >= 0 && value <= 1))
    throw new InvalidArgumentError('It takes a number from 0 to 1.');
  return value;
}

/** Options for the output of a measurement. */
const addOutput = (command: Command): Command =>
  command
    .option('--out <file>', 'also write the measurement to this JSON file')
    .option('--json', 'one JSON line on stdout');

function addPeers(program: Command): void {
  const command = program
    .command('peers')
    .description('time the same steps here and in PyTorch, SpikingJelly or snnTorch, in turn');
  addOutput(addStepOptions(command))
    .option('--python <file>', "Python with PyTorch and the network's library; else SPIKELOOM_PEERS_PYTHON names it")
    .option(
      '--forms <form...>',
      "ways to compute FSTA in the peer: 'expanded', 'expanded-amp' (GPU), 'collapsed' (default: expanded collapsed), 'best', the fastest that PyTorch makes of the latter, and speed-ups as in 'collapsed+bf16+compile'; of another library's network: 'plain' and 'best' (default: both), or 'bf16+compile'",
    )
    .addOption(precisionOption('--precisions <type...>', 'ours; default: fp32 and bf16, or what --precision asks for'))
    .option('--rounds <n>', 'times that every side runs', wholeNumber(1, 100), 3)
    .option('--memory-batch <n>', 'also measure the memory of one run at another batch', wholeNumber(1, 65_536))
    .action(async (options: PeerOptions) => (await import('./peers/compare.ts')).peersCommand(options));
}

function addAccuracy(program: Command): void {
  const command = program
    .command('accuracy')
    .description('train a recipe with several seeds for each value of a setting and compare the test accuracies')
    .argument('<recipe>', 'recipe file (YAML)')
    .argument('[key=value...]', "settings in place of the recipe's, e.g. epochs=2")
    .option('--seeds <seed...>', 'of weights and order of the images', ['1', '2', '3'])
    .requiredOption('--vary <key=values>', 'the setting and its values, e.g. model.attention=fsta,none');
  addOutput(command).action(async (recipe: string, overrides: string[], options: AccuracyOptions) =>
    (await import('./accuracy.ts')).accuracyCommand(recipe, overrides, options),
  );
}

function addGradients(program: Command): void {
  const command = program
    .command('gradients')
    .description('train a recipe in fp32 and in bf16 and report the range of the gradients of activations')
    .argument('<recipe>', 'recipe file (YAML)')
    .argument('[key=value...]', "settings in place of the recipe's, e.g. epochs=2");
  addOutput(command).action(async (recipe: string, overrides: string[], options: GradientsOptions) =>
    (await import('./gradients.ts')).gradientsCommand(recipe, overrides, options),
  );
}

function addLateness(program: Command): void {
  const command = program
    .command('lateness')
    .description(
      "train a recipe on random pictures in CIFAR-10's format and report how late a timer of the event loop is",
    )
    .argument('<recipe>', 'recipe file (YAML) with data.name cifar10')
    .argument('[key=value...]', "settings in place of the recipe's, e.g. epochs=2")
    .option('--images <n>', 'training images; a fifth as many are tested', wholeNumber(5, 50_000), 1600);
  addOutput(command).action(async (recipe: string, overrides: string[], options: LatenessOptions) =>
    (await import('./lateness.ts')).latenessCommand(recipe, overrides, options),
  );
}

function addConvolutions(program: Command): void {
  const command = program
    .command('convolutions')
    .description("time FSTA-ResNet-20's convolutions here and in PyTorch (oneDNN), in turn")
    .requiredOption('--python <file>', 'Python with PyTorch', process.env.SPIKELOOM_PEERS_PYTHON)
    .option('--images <n>', 'time steps x batch', wholeNumber(1, 65_536), 64)
    .option('--rate <share>', 'share of inputs that are spikes', share, 0.25)
    .option('--threads <n>', 'threads of the CPU', wholeNumber(1, MOST_THREADS), usualThreads())
    .option('--repeats <n>', 'calls that are timed', wholeNumber(5, 10_000), 25)
    .option('--rounds <n>', 'times that both sides run', wholeNumber(1, 100), 3);
  addOutput(command).action(async (options: ConvolutionOptions) =>
    (await import('./convolutions.ts')).convolutionsCommand(options),
  );
}

function addData(program: Command): void {
  const command = program
    .command('data')
    .description("events and images per second, here and in Python's libraries, in turn")
    .option('--recordings <path...>', 'recordings of event cameras, or folders of them', [])
    .option('--cifar <root>', 'CIFAR-10, binary version')
    .option('--imagenet <root>', 'a folder with train/WNID/*.JPEG')
    .option('--threads <n>', 'threads or worker processes', wholeNumber(1, 1024), availableParallelism())
    .option('--seconds <s>', 'how long a case is timed', Number, 0.5)
    .option('--python <file>', 'Python with the libraries; without it only ours is timed')
    .option('--libraries <name...>', 'tonic, expelliarmus, spikingjelly, torchvision, pillow', [
      'tonic',
      'expelliarmus',
    ])
    .option('--rounds <n>', 'times that every side runs', wholeNumber(1, 100), 3);
  addOutput(command).action(async (options: DataBenchOptions) => (await import('./data.ts')).dataCommand(options));
}

// What a command needs is loaded by the command, so that a comparison stays small beside what it measures.
function makeProgram(): Command {
  const program = new Command('bench')
    .description('Measure training steps, here and against peers')
    .helpOption('-h, --help', 'print this help')
    .exitOverride()
    .configureOutput({ outputError: (text) => writeError(`${text.trim().replace(/^error: /, '')}\n${HINT}`) });
  const measuring = (name: string, text: string) => addStepOptions(program.command(name).description(text));
  measuring('step', 'time whole training steps on random images')
    .option('--json', 'one JSON line on stdout')
    .action(async (options: StepOptions & { json?: boolean }) => (await import('./step.ts')).stepCommand(options));
  addPeers(program);
  addAccuracy(program);
  addGradients(program);
  addConvolutions(program);
  addData(program);
  addLateness(program);
  addOutput(measuring('ops', 'time every native op beside the ceilings of the machine')).action(
    async (options: OpsOptions) => (await import('./ops.ts')).opsCommand(options),
  );
  addOutput(measuring('roofline', 'a whole step, call by call, beside the ceilings of the machine')).action(
    async (options: RooflineOptions) => (await import('./roofline.ts')).rooflineCommand(options),
  );
  addOutput(measuring('kernels', 'how long each kernel of a step takes on a GPU (CUPTI)')).action(
    async (options: KernelsOptions) => (await import('./kernels.ts')).kernelsCommand(options),
  );
  const curve = program.command('curve').description('time and memory of a step for several numbers of time steps');
  addOutput(addStepOptions(curve, [2, 4, 8, 16])).action(async (options: CurveOptions) =>
    (await import('./curve.ts')).curveCommand(options),
  );
  program
    .command('picture')
    .description('draw what `peers --out` wrote as bars, what `accuracy --out` wrote as curves')
    .argument('<results>', 'its JSON file')
    .requiredOption('--out <file>', 'the SVG file')
    .action(async (results: string, options: { out: string }) =>
      (await import('./picture.ts')).pictureCommand(results, options),
    );
  return program;
}

function writeError(message: string): void {
  process.stderr.write(`bench: ${message}\n`);
}

keepOnWithoutOutput();
process.exitCode = await runProgram(makeProgram, process.argv.slice(2), writeError);
