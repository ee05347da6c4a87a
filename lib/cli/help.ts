import type { Command } from 'commander';

/** Gives a program, or a command with commands of its own, `help [command...]`: Commander's knows one name alone. */
export function addHelp(program: Command): void {
  program
    .helpCommand(false)
    .command('help')
    .description('print the help of a command')
    .argument('[command...]', 'its name; of one inside of another both names')
    .action((names: string[]) => {
      let found = program;
      for (const name of names) {
        const inner = found.commands.find((command) => command.name() === name);
        found = inner ?? found.error(`error: ${found.name()} has no command '${name}'`);
      }
      found.help();
    });
}
