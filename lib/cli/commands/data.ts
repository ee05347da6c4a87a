import type { Command } from 'commander';
import { addHelp } from '../help.ts';
import { addDataCheck } from './data-check.ts';
import { addDataFetch } from './data-fetch.ts';
import { addDataShow } from './data-show.ts';

export function addData(program: Command): void {
  const data = program.command('data').description('data sets: what is there, getting them, looking at them');
  for (const add of [addDataCheck, addDataFetch, addDataShow, addHelp]) add(data);
}
