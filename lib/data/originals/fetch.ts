// Downloads of a data set's files: resumable, verified, and complete or not there at all.
import { constants, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { type FileHandle, open, rename, statfs } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { makeFolders, syncFolder } from '../../core/atomic-file.ts';
import { SpikeloomError } from '../../core/errors.ts';
import { statOf } from '../../core/file-kind.ts';
import { native } from '../../core/native.ts';
import type { KnownFile } from './catalogue.ts';
import { type Digests, digestContent, digestFile, isOriginal } from './digest.ts';
import { type Answer, ConnectionError, getFile } from './http.ts';

export interface FetchOptions {
  /** Called as bytes arrive; `total` is that of the whole file, `done` counts what was there before. */
  onProgress?: ((done: number, total: number) => void) | undefined;
  /** Aborted: what has arrived is kept, and another call continues from there. */
  signal?: AbortSignal | undefined;
  /** Tries in a row without a single byte before it gives up. Default 3. */
  tries?: number;
  /** Pause before another try, in ms; doubled each time. Default 1000. */
  pauseMs?: number;
  /** The connection is given up when nothing arrives for this long, in ms. Default 60,000. */
  idleMs?: number;
}

/** A file that is fetched, and its part, which is open and locked. */
interface Place {
  file: string;
  part: FileHandle;
}

/** What is known of a partly downloaded file: to continue, the file on the server must still be the same. */
interface PartFacts {
  url: string;
  validator: string;
}

const partOf = (file: string): string => `${file}.part`;
const factsOf = (file: string): string => `${file}.part.json`;

const sizeOf = async (part: FileHandle): Promise<number> => (await part.stat()).size;

function readFacts(file: string): PartFacts | undefined {
  try {
    const facts = JSON.parse(readFileSync(factsOf(file), 'utf8'));
    return typeof facts?.url === 'string' && typeof facts?.validator === 'string' ? facts : undefined;
  } catch {
    return undefined; // without it the download starts again from 0
  }
}

function dropPart(file: string): void {
  for (const path of [partOf(file), factsOf(file)]) rmSync(path, { force: true });
}

/** Whether this process has the lock now; without the addon files are fetched, but not locked. */
function locked(descriptor: number): boolean {
  try {
    return native().lockFile(descriptor);
  } catch {
    return true;
  }
}

/**
 * Opens the part, made where there is none, and locks it until it is closed: one at a time fetches a file.
 * @throws SpikeloomError where somebody fetches it now
 */
async function claimPart(file: string): Promise<FileHandle> {
  for (;;) {
    const part = await open(partOf(file), constants.O_RDWR | constants.O_CREAT);
    try {
      if (!locked(part.fd)) {
        throw new SpikeloomError(`${file} is being fetched by another process; wait until it has ended, or stop it`);
      }
      if ((await part.stat()).ino === statOf(partOf(file))?.ino) return part;
    } catch (error) {
      await part.close();
      throw error;
    }
    await part.close(); // it was renamed or deleted after it was opened
  }
}

/** What identifies the version of a file on a server: a strong ETag, else its date. */
function validatorOf({ etag, 'last-modified': date }: Answer['headers']): string | undefined {
  return etag?.startsWith('"') ? etag : date;
}

/** The whole file's size according to the server, and where in it the answer's body starts. */
function extentOf({ status, headers }: Answer): { start: number; total: number | undefined } {
  if (status === 200) {
    const length = Number(headers['content-length'] ?? Number.NaN);
    return { start: 0, total: Number.isSafeInteger(length) ? length : undefined };
  }
  const [, start, total] = /^bytes (?:(\d+)-\d+|\*)\/(\d+)$/.exec(headers['content-range'] ?? '') ?? [];
  return { start: Number(start ?? Number.NaN), total: total === undefined ? undefined : Number(total) };
}

/** @throws SpikeloomError where sizes disagree or nothing says how large the file is */
function wholeSize(known: KnownFile, total: number | undefined, url: URL): number {
  if (known.bytes === undefined && total === undefined) {
    throw new SpikeloomError(
      `${url}: neither the server nor the catalogue says how large ${known.name} is; fetch it by hand`,
    );
  }
  if (known.bytes !== undefined && total !== undefined && known.bytes !== total) {
    throw new SpikeloomError(
      `${url}: ${known.name} has ${known.bytes} bytes, but the server has ${total}: another file`,
    );
  }
  return (known.bytes ?? total)!;
}

async function needRoom(file: string, bytes: number): Promise<void> {
  const { bavail, bsize } = await statfs(dirname(file));
  if (bavail * bsize >= bytes) return;
  throw new SpikeloomError(`${file}: ${bytes} more bytes are needed, but ${bavail * bsize} are free on its disk`);
}

async function append(
  part: FileHandle,
  answer: Answer,
  at: number,
  total: number,
  options: FetchOptions,
): Promise<void> {
  let done = at;
  for await (const chunk of answer.body as AsyncIterable<Buffer>) {
    if (done + chunk.length > total)
      throw new SpikeloomError(`${answer.url}: more than the ${total} bytes of the file come`);
    for (let sent = 0; sent < chunk.length; )
      sent += (await part.write(chunk, sent, undefined, done + sent)).bytesWritten;
    done += chunk.length;
    options.onProgress?.(done, total);
  }
  if (done < total)
    throw new ConnectionError(`${answer.url.host}: the connection ended after ${done} of ${total} bytes`);
}

/** One request: the part grows until it is whole. */
async function fetchOnce({ file, part }: Place, known: KnownFile, url: string, options: FetchOptions): Promise<void> {
  const { signal, idleMs } = options;
  const have = await sizeOf(part);
  const facts = readFacts(file);
  const resumable = have > 0 && facts?.url === url ? { from: have, validator: facts.validator } : undefined;
  const answer = await getFile(url, { resume: resumable, signal, ...(idleMs === undefined ? {} : { idleMs }) });
  const { start, total } = extentOf(answer);
  if (answer.status === 416 && total === have) {
    answer.body.destroy();
    return;
  }
  if (answer.status === 416 || (answer.status === 206 && start !== have)) {
    answer.body.destroy();
    await part.truncate();
    throw new ConnectionError(`${answer.url.host}: the server has another part than was asked for`);
  }
  try {
    const whole = wholeSize(known, total, answer.url);
    await needRoom(file, whole - start);
    if (answer.status === 200) await part.truncate();
    const validator = validatorOf(answer.headers);
    if (answer.status === 200) rmSync(factsOf(file), { force: true });
    if (answer.status === 200 && validator) writeFileSync(factsOf(file), JSON.stringify({ url, validator }));
    await append(part, answer, start, whole, options);
    await part.sync();
  } finally {
    answer.body.destroy();
  }
}

/** Errors of a broken connection, as the streams raise them, and of the disk. */
function explain(error: unknown, file: string): Error {
  if (error instanceof SpikeloomError) return error;
  const { code = '', message } = error as NodeJS.ErrnoException;
  if (/^(ECONN|EPIPE|ETIMEDOUT|ERR_STREAM|HPE_)/.test(code) || message === 'aborted') {
    return new ConnectionError(`the connection broke (${message})`, { cause: error });
  }
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    return new SpikeloomError(`${partOf(file)}: the disk is full; make room and fetch again to go on`, {
      cause: error,
    });
  }
  return error as Error;
}

/** @throws SpikeloomError where the file is not the one on record */
async function refuseOthers(file: string, known: KnownFile, found: Digests, remedy: string): Promise<void> {
  if (isOriginal(known, found) !== false) return;
  if (known.content && (await digestContent(file)).md5 === known.content.md5) return; // the same files, packed again
  const [kind, wanted] = known.sha256 ? (['SHA-256', known.sha256] as const) : (['MD5', known.md5] as const);
  const has = known.sha256 ? found.sha256 : found.md5;
  throw new SpikeloomError(`${known.name} must have the ${kind} ${wanted}, but has ${has}: ${remedy}`);
}

async function fetchPart(place: Place, known: KnownFile, url: string, options: FetchOptions): Promise<void> {
  const { tries = 3, pauseMs = 1000, signal } = options;
  for (let failed = 0; ; ) {
    const before = await sizeOf(place.part);
    try {
      return await fetchOnce(place, known, url, options);
    } catch (caught) {
      const error = explain(caught, place.file);
      failed = (await sizeOf(place.part)) > before ? 0 : failed + 1;
      if (!(error instanceof ConnectionError) || failed >= tries || signal?.aborted) throw error;
      await pause(pauseMs * 2 ** Math.max(0, failed - 1), undefined, { signal });
    }
  }
}

/** Deletes a part that is not the file on record. @throws SpikeloomError */
async function verifyPart(file: string, known: KnownFile, url: string): Promise<void> {
  const remedy = `what came from ${url} was deleted; fetch it again, or from elsewhere`;
  try {
    await refuseOthers(partOf(file), known, await digestFile(partOf(file)), remedy);
  } catch (error) {
    dropPart(file);
    throw error;
  }
}

/**
 * Downloads a file into a folder under its own name. It arrives as NAME.part, which another call continues as long as
 * the file on the server is the same, and gets its name when it is complete and has the hash on record.
 * @param url where it comes from; default: the public address on record
 * @returns 'there' where the file was there already, as it should be
 * @throws SpikeloomError for what a server, a hash or the disk refuses, and where another process fetches the file;
 * what has arrived is kept unless it is wrong
 * @example await fetchFile(catalogueEntry('mnist')!.fetch[0]!, 'datasets/mnist');
 */
export async function fetchFile(
  known: KnownFile,
  folder: string,
  { url = known.url, ...options }: FetchOptions & { url?: string | undefined } = {},
): Promise<'there' | 'fetched'> {
  const file = join(folder, known.name);
  if (url === undefined) throw new SpikeloomError(`there is no public address of ${known.name}`);
  if (existsSync(file)) {
    await refuseOthers(file, known, await digestFile(file), `${file} is another file; move it away`);
    return 'there';
  }
  try {
    makeFolders(folder);
  } catch (cause) {
    throw new SpikeloomError(`cannot make the folder ${folder}: ${(cause as Error).message}`, { cause });
  }
  const part = await claimPart(file);
  try {
    await fetchPart({ file, part }, known, url, options);
    await verifyPart(file, known, url);
    await rename(partOf(file), file);
    rmSync(factsOf(file), { force: true });
    syncFolder(folder);
    return 'fetched';
  } finally {
    if ((await sizeOf(part)) === 0) dropPart(file);
    await part.close();
  }
}
