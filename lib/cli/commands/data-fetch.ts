import { join } from 'node:path';
import { Argument, type Command } from 'commander';
import { SpikeloomError } from '../../core/errors.ts';
import { quoted } from '../../core/shell.ts';
import { CATALOGUE, type CatalogueEntry, catalogueEntry, type KnownFile } from '../../data/originals/catalogue.ts';
import { fetchFile } from '../../data/originals/fetch.ts';
import { ConnectionError, httpAddress } from '../../data/originals/http.ts';
import { asUsage, EXIT } from '../exit.ts';
import { writeJson, writeText } from '../output.ts';
import { listenForStop } from '../signals.ts';
import { Transfer } from '../transfer.ts';

interface Options {
  to: string;
  from?: string;
  json?: boolean;
}

export function addDataFetch(data: Command): void {
  const names = CATALOGUE.map(({ name }) => name);
  data
    .command('fetch')
    .description('download the original files of a data set, verified by their hashes; an interrupted download goes on')
    .addArgument(new Argument('<name>', 'the data set').choices(names))
    .option('--to <root>', 'the files come into ROOT/NAME', 'datasets')
    .option('--from <url>', 'folder on a server that holds the files under their original names')
    .option('--json', 'JSON lines on stdout: start, file, and end, interrupted or manual')
    .action(dataFetchCommand);
}

/** Where a file is on the server that the user names, else its public address. */
function addressOf(file: KnownFile, from: string | undefined): string | undefined {
  return from === undefined
    ? file.url
    : asUsage(() => httpAddress(file.name, httpAddress(from.replace(/\/*$/, '/')))).href;
}

async function dataFetchCommand(name: string, options: Options): Promise<void> {
  const set = catalogueEntry(name)!;
  const folder = join(options.to, name);
  const addresses = set.fetch.map((file) => addressOf(file, options.from));
  if (addresses.includes(undefined)) return sayManual(set, folder, options);
  using stopping = listenForStop('what has arrived is kept');
  try {
    for (const [i, file] of set.fetch.entries()) {
      await fetchOne(file, { folder, url: addresses[i]!, signal: stopping.signal, json: options.json });
    }
  } catch (error) {
    if (!stopping.signal.aborted) throw withPage(error, set);
    sayInterrupted(set, folder, options);
    process.exitCode = stopping.status ?? EXIT.failure;
    return;
  }
  if (options.json) writeJson({ event: 'end', name, folder, place: set.place });
  else writeText(`${set.title} is in ${folder}. Next: ${set.place}. Licence: ${set.licence} (${set.page})`);
}

interface One {
  folder: string;
  url: string;
  signal: AbortSignal;
  json: boolean | undefined;
}

async function fetchOne(file: KnownFile, { folder, url, signal, json }: One): Promise<void> {
  const path = join(folder, file.name);
  if (json) writeJson({ event: 'start', file: path, url });
  const transfer = new Transfer(file.name);
  try {
    const onProgress = (done: number, total: number) => transfer.update(done, total);
    const state = await fetchFile(file, folder, { url, signal, onProgress });
    transfer.close();
    const hash = file.sha256 ? 'SHA-256 verified' : file.md5 ? 'MD5 verified' : 'no hash of it is known';
    if (json) writeJson({ event: 'file', file: path, state });
    else writeText(`${path}: ${state === 'there' ? 'is there already' : 'fetched'}, ${hash}`);
  } finally {
    transfer.close();
  }
}

/** Where an address has moved, the owners' page says so; what a server is at fault for names its address. */
function withPage(error: unknown, { page }: CatalogueEntry): unknown {
  const isServers =
    error instanceof ConnectionError || (error instanceof SpikeloomError && /:\/\//.test(error.message));
  if (!isServers) return error;
  return new SpikeloomError(`${error.message}. The data set's page: ${page}`, { cause: error });
}

function sayManual({ name, title, page, place, licence }: CatalogueEntry, folder: string, { json }: Options): void {
  process.exitCode = EXIT.failure;
  if (json) writeJson({ event: 'manual', name, page, place, licence, folder });
  else
    writeText(
      `${title} has no public address to fetch from.\n  page     ${page}\n  licence  ${licence}\n  to do    ${place}\n  place    ${folder}`,
    );
}

function sayInterrupted({ name }: CatalogueEntry, folder: string, { to, from, json }: Options): void {
  const words = ['npx spikeloom data fetch', name, '--to', quoted(to), ...(from ? ['--from', quoted(from)] : [])];
  const resume = words.join(' ');
  if (json) writeJson({ event: 'interrupted', folder, resume });
  else writeText(`interrupted; what has arrived is kept in ${folder}; to go on:\n  ${resume}`);
}
