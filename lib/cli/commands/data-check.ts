import { type Command, Option } from 'commander';
import { isFolder } from '../../core/file-kind.ts';
import { quoted } from '../../core/shell.ts';
import { CLEAR_LINE, redraws } from '../../core/terminal.ts';
import { CATALOGUE, type CatalogueEntry } from '../../data/originals/catalogue.ts';
import { checkData, type FileFinding, type Finding, type PartFinding } from '../../data/originals/check.ts';
import { binaryBytes } from '../../nn/summary.ts';
import { EXIT, UsageError } from '../exit.ts';
import { coloured, table, writeJson, writeText } from '../output.ts';

interface Options {
  name?: string;
  json?: boolean;
}

export function addDataCheck(data: Command): void {
  const names = CATALOGUE.map(({ name }) => name);
  data
    .command('check')
    .description('say which data sets are in a folder, complete or not, and whether their files are the original ones')
    .argument('<root>', 'the folder, e.g. datasets')
    .addOption(new Option('--name <set>', 'look for this data set alone').choices(names))
    .option('--json', 'one JSON document on stdout')
    .addHelpText(
      'after',
      '\nExit status 0: what was found is complete and can be read (files that differ from the original are reported), else 1.',
    )
    .action(dataCheckCommand);
}

async function dataCheckCommand(root: string, { name, json }: Options): Promise<void> {
  if (!isFolder(root)) throw new UsageError(`there is no folder ${root}`);
  const findings = await checkData(root, { name, onFile: showFile });
  clearLine();
  const absent = CATALOGUE.filter(
    (set) => (name === undefined || set.name === name) && !findings.some((finding) => finding.set === set),
  );
  if (json) writeJson({ root, found: findings.map(asJson), absent: absent.map(absentJson) });
  else writeText([...findings.map(render), ...renderAbsent(absent, root, findings.length === 0)].join('\n\n'));
  const whole = findings.length > 0 && findings.every(({ state }) => state === 'complete');
  process.exitCode = whole ? EXIT.fine : EXIT.failure;
}

function showFile(file: string): void {
  if (redraws(process.stderr))
    process.stderr.write(`${CLEAR_LINE}reading ${file}`.slice(0, (process.stderr.columns ?? 80) + 4));
}

function clearLine(): void {
  if (redraws(process.stderr)) process.stderr.write(CLEAR_LINE);
}

/** Places count as users gave them: below the finding's folder. */
const inFolder = (folder: string, file: string): string =>
  file.startsWith(folder) ? file.slice(folder.length).replace(/^[/\\]/, '') : file;

const STATES: Record<FileFinding['state'], string> = {
  original: 'as distributed',
  differs: 'differs from the original',
  present: 'is there',
  damaged: 'DAMAGED',
  missing: 'MISSING',
};

function fileRow(folder: string, { file, state, bytes, note }: FileFinding): string[] {
  const colour = { original: 'green', differs: 'yellow', present: undefined, damaged: 'red', missing: 'red' } as const;
  const shown = colour[state] ? coloured(STATES[state], colour[state]) : STATES[state];
  const size = state === 'missing' ? '' : binaryBytes(bytes);
  return [`  ${inFolder(folder, file)}`, size, note === null ? shown : `${shown}: ${note}`];
}

function partRow(folder: string, { folder: place, ending, found, expected, bytes, empty }: PartFinding): string[] {
  const name = `  ${[inFolder(folder, place), `*${ending}`].filter((part) => part !== '').join('/')}`;
  const count = found >= expected ? `${found}` : coloured(`${found} of ${expected}`, 'yellow');
  const note = empty === null ? '' : coloured(`DAMAGED: ${inFolder(folder, empty)} is empty`, 'red');
  return [name, binaryBytes(bytes), `${count}${note === '' ? '' : `; ${note}`}`];
}

function samplesText({ samples, set }: Finding): string {
  if (!samples) return '';
  const whole = 'train' in set.samples ? set.samples : undefined;
  const part = whole && samples.train < whole.train ? ', a part of it' : '';
  return `, ${samples.train} training and ${samples.test} test samples${part}`;
}

function render(finding: Finding): string {
  const { set, label, folder, state, bytes, files, parts, archive } = finding;
  const colour = { complete: 'green', incomplete: 'yellow', damaged: 'red' } as const;
  const verdict = coloured(state === 'complete' ? 'complete' : state.toUpperCase(), colour[state]);
  const head = `${set.title}, ${label}: ${verdict}${samplesText(finding)}, ${binaryBytes(bytes)} in ${folder}`;
  const rows = [...files.map((file) => fileRow(folder, file)), ...parts.map((part) => partRow(folder, part))];
  const lines = [head, table(rows, [1])];
  if (state !== 'complete') lines.push(`  What is missing or damaged: ${set.page}; ${set.place}.`);
  else if (archive) lines.push(`  To use it: ${set.place}.`);
  return lines.join('\n');
}

function renderAbsent(sets: readonly CatalogueEntry[], root: string, nothing: boolean): string[] {
  if (sets.length === 0) return [];
  const rows = sets.map(({ title, name, page, fetch }) => [
    `  ${title}`,
    page,
    fetch.every(({ url }) => url)
      ? `npx spikeloom data fetch ${name} --to ${quoted(root)}`
      : `npx spikeloom data fetch ${name} says how`,
  ]);
  const head = nothing ? `No data set was found in ${root} or the folders in it.` : 'Not here:';
  return [`${head}\n${table(rows)}`];
}

function asJson({
  set,
  label,
  folder,
  archive,
  state,
  samples,
  bytes,
  files,
  parts,
}: Finding): Record<string, unknown> {
  return { name: set.name, label, folder, archive, state, samples, bytes, files, parts };
}

function absentJson({ name, page, licence, place, fetch }: CatalogueEntry): Record<string, unknown> {
  return { name, page, licence, place, can_fetch: fetch.every(({ url }) => url !== undefined) };
}
