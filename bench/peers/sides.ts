// The sides of a comparison: which programs they are, and a run of one in a process of its own.
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { EXIT, UsageError } from '../../lib/cli/exit.ts';
import { SpikeloomError } from '../../lib/core/errors.ts';
import { asArguments, libraryOf, type StepOptions } from '../options.ts';

/** What every program prints, among other things. */
export interface Measured {
  step_s: number;
  min_s: number;
  images_per_s: number;
  peak_bytes: number;
  parameters: number;
}

export interface Side {
  readonly name: string;
  readonly isOurs: boolean;
  /** The program as it is started, and as results name it: without paths of this machine. */
  readonly program: string;
  readonly shown: string;
  readonly args: readonly string[];
}

const start = promisify(execFile);
const root = fileURLToPath(new URL('../../', import.meta.url));
const INSTALL =
  "'python3 -m venv peers && peers/bin/pip install torch' installs it, '--python peers/bin/python' or SPIKELOOM_PEERS_PYTHON names it";

/** @param packages what must be importable */
export async function findPython(given: string | undefined, packages: readonly string[] = ['torch']): Promise<string> {
  const python = given || process.env.SPIKELOOM_PEERS_PYTHON;
  if (!python) throw new UsageError(`the peer needs a Python with PyTorch, and none is named; ${INSTALL}`);
  await start(python, ['-c', `import ${packages.join(', ')}`], { cwd: root }).catch((error: Error) => {
    const why = lastLine(error);
    throw new UsageError(
      `the peer needs a Python with ${packages.join(', ')}, but '${python}' has none: ${why}; ${INSTALL}`,
    );
  });
  return python;
}

/** What the peer's program imports. */
export const packagesOf = (model: string): string[] => ['torch', ...[libraryOf(model) ?? []].flat()];

const lastLine = (error: Error & { stderr?: string }): string =>
  (error.stderr?.trim() || error.message)
    .split('\n')
    .at(-1)!
    .replace(/^bench: /, '');

export function ourSide(options: StepOptions, precision: StepOptions['precision']): Side {
  const args = ['--import', 'tsx', 'bench/main.ts', 'step', '--json', ...asArguments({ ...options, precision })];
  return { name: `spikeloom ${precision}`, isOurs: true, program: process.execPath, shown: 'node', args };
}

/** Who the peer is, as sides are named. */
export const peerOf = (model: string): string => libraryOf(model) ?? 'torch';

/** `form` and `speedups`: see torch_step.py, or library_step.py, whose only form is its library's 'plain' one. */
export function torchSide(
  options: StepOptions,
  python: string,
  form: string,
  speedups: readonly string[] = [],
  name = `${peerOf(options.model)} ${form}`,
): Side {
  const library = libraryOf(options.model);
  const program = library ? ['bench/peers/library_step.py'] : ['bench/peers/torch_step.py', '--form', form];
  const more = speedups.length > 0 ? ['--speedups', ...speedups] : [];
  const args = [...program, ...asArguments({ ...options, recompute: false }), ...more];
  return { name, isOurs: false, program: python, shown: 'python', args };
}

export const commandOf = ({ shown, args }: Side): string => [shown, ...args].join(' ');

/**
 * @param variables of the environment, beside those of this process
 * @throws SpikeloomError with the last line the program wrote, UsageError where it took its options for wrong
 */
export async function runSide({ name, program, args }: Side, variables: NodeJS.ProcessEnv = {}): Promise<Measured> {
  const env = { ...process.env, ...variables };
  const { stdout } = await start(program, args, { cwd: root, maxBuffer: 2 ** 24, env }).catch(
    (error: Error & { code?: unknown }) => {
      const Kind = error.code === EXIT.usage ? UsageError : SpikeloomError;
      throw new Kind(`a run of ${name} failed: ${lastLine(error)}`, { cause: error });
    },
  );
  return JSON.parse(stdout.trim().split('\n').at(-1)!) as Measured;
}
