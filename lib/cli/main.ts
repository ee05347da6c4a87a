#!/usr/bin/env node
// The program `spikeloom`. Exit status: 0 fine, 1 failure, 2 wrong usage, 128 + number of the signal that stopped it.
import { readFileSync } from 'node:fs';
import { Command } from 'commander';
import { addCompare } from './commands/compare.ts';
import { addData } from './commands/data.ts';
import { addDoctor } from './commands/doctor.ts';
import { addEval } from './commands/eval.ts';
import { addReport } from './commands/report.ts';
import { addSummary } from './commands/summary.ts';
import { addTrain } from './commands/train.ts';
import { addVerify } from './commands/verify.ts';
import { addHelp } from './help.ts';
import { keepOnWithoutOutput, writeError } from './output.ts';
import { runProgram } from './run-program.ts';
import { endWithTerminal } from './signals.ts';

const version = (): string => JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')).version;

function makeProgram(): Command {
  const program = new Command('spikeloom')
    .description('Train spiking neural networks, and look at what is trained')
    .version(version(), '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .configureHelp({ showGlobalOptions: false })
    .exitOverride();
  for (const add of [addTrain, addEval, addReport, addCompare, addSummary, addVerify, addData, addDoctor, addHelp])
    add(program);
  explainUsage(program, program.name());
  return program;
}

/** Wrong usage of a command is told with where its help is. */
function explainUsage(command: Command, words: string): void {
  const hint = `See '${words} --help'.`;
  command.configureOutput({ outputError: (text) => writeError(`${text.trim().replace(/^error: /, '')}\n${hint}`) });
  for (const inner of command.commands) explainUsage(inner, `${words} ${inner.name()}`);
}

keepOnWithoutOutput();
endWithTerminal();
process.exitCode = await runProgram(makeProgram, process.argv.slice(2), writeError);
