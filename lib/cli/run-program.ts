import { type Command, CommanderError } from 'commander';
import { EXIT, explainError } from './exit.ts';
import { writeJson } from './output.ts';

/** What commander refuses; it exits with 0 after help and version. */
const usageOf = ({ message, exitCode }: CommanderError) => ({
  message: message.replace(/^error: /, ''),
  status: exitCode === 0 ? EXIT.fine : EXIT.usage,
});

/**
 * Runs a program with its arguments. With `--json` among them, what goes wrong is also a line of JSON on stdout.
 * @param makeProgram with exitOverride(): errors of usage come as CommanderError, already written
 * @param writeError shows any other error
 * @returns the exit status: process.exitCode where a command has set it
 */
export async function runProgram(
  makeProgram: () => Command,
  args: readonly string[],
  writeError: (message: string) => void,
): Promise<number> {
  try {
    const program = makeProgram();
    if (args.length === 0) program.help({ error: true });
    await program.parseAsync(args, { from: 'user' });
    return Number(process.exitCode ?? EXIT.fine);
  } catch (error) {
    const { message, status } = error instanceof CommanderError ? usageOf(error) : explainError(error);
    if (!(error instanceof CommanderError)) writeError(message);
    if (status !== EXIT.fine && args.includes('--json')) writeJson({ event: 'error', error: message, status });
    return status;
  }
}
