import { type Command, CommanderError } from 'commander';
import { EXIT, explainError } from './exit.ts';

/**
 * Runs a program with its arguments.
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
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.fine : EXIT.usage;
    const { message, status } = explainError(error);
    writeError(message);
    return status;
  }
}
