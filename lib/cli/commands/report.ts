import type { Command } from 'commander';
import { writeReport } from '../../train/report.ts';
import { readRun } from '../../train/run-record.ts';
import { asUsage } from '../exit.ts';
import { writeJson, writeText } from '../output.ts';

interface Options {
  out?: string;
  json?: boolean;
}

export function addReport(program: Command): void {
  program
    .command('report')
    .description("write a run's curves, settings and environment as one HTML file that loads nothing")
    .argument('<run>', 'folder of the run, e.g. runs/quickstart-0001')
    .option('--out <file>', 'default: report.html in the folder, which a run writes as well, at most every half minute')
    .option('--json', 'one JSON document on stdout')
    .action((run: string, { out, json }: Options) => {
      asUsage(() => readRun(run));
      const report = writeReport(run, out);
      if (json) writeJson({ run, report });
      else writeText(report);
    });
}
