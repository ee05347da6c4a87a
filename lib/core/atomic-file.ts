import { randomBytes } from 'node:crypto';
import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  realpathSync,
  renameSync,
  statSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { open, rename } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { SpikeloomError } from './errors.ts';
import { isFolder, statOf } from './file-kind.ts';
import { kindOf } from './options.ts';

/** The largest number of bytes given to one read or write call: the system refuses 2 GiB and more. */
export const IO_CHUNK_BYTES = 2 ** 30;

/** What an atomic write accepts: the whole content, or its parts in order (made one at a time, never held together). */
export type FileContent = string | Uint8Array | Iterable<Uint8Array>;

/**
 * Writes a file that is either the old one or the complete new one, whenever the process or the machine stops:
 * a temporary file in the same folder, written, synced, renamed over `path`, and the folder synced.
 * Synchronous on purpose: nothing can change what is being saved while it is saved.
 *
 * @throws SpikeloomError if the folder is missing or read-only, the disk is full, or `path` is not a regular file. The
 * temporary file is removed and a former file under `path` stays as it was. Errors thrown by the iterable pass through
 * unchanged.
 */
export function writeFileAtomic(path: string, content: FileContent, { chunkBytes = IO_CHUNK_BYTES } = {}): void {
  const place = placeOf(path);
  const temporary = temporaryName(place);
  const fd = attempt(path, () => openSync(temporary, 'wx'));
  try {
    try {
      for (const part of parts(content)) attempt(path, () => writeFully(fd, part, chunkBytes));
      attempt(path, () => fsyncSync(fd));
    } finally {
      closeSync(fd);
    }
    attempt(path, () => renameSync(temporary, place));
  } catch (error) {
    removeIfThere(temporary);
    throw error;
  }
  attempt(path, () => syncFolder(dirname(place)));
}

/** Bytes of one asynchronous write. */
const WRITE_BYTES = 4 * 2 ** 20;

/**
 * {@link writeFileAtomic} without blocking the event loop: what is saved must not change before the promise is settled.
 * Parts are made one at a time, each when the one before is written.
 */
export async function writeFileAtomicAsync(
  path: string,
  content: FileContent | AsyncIterable<Uint8Array>,
): Promise<void> {
  const place = placeOf(path);
  const temporary = temporaryName(place);
  const file = await attemptAsync(path, () => open(temporary, 'wx'));
  try {
    try {
      for await (const part of isAsync(content) ? content : parts(content)) {
        for (let at = 0; at < part.byteLength; ) {
          const bytes = Math.min(WRITE_BYTES, part.byteLength - at);
          at += (await attemptAsync(path, () => file.write(part, at, bytes))).bytesWritten;
        }
      }
      await attemptAsync(path, () => file.sync());
    } finally {
      await file.close();
    }
    await attemptAsync(path, () => rename(temporary, place));
  } catch (error) {
    removeIfThere(temporary);
    throw error;
  }
  if (process.platform !== 'win32') await attemptAsync(path, () => syncFolderAsync(dirname(place)));
}

/** Writes `value` as indented JSON with a final newline, atomically; see {@link writeFileAtomic}. */
export function writeJsonAtomic(path: string, value: unknown): void {
  const text = JSON.stringify(value, null, 2);
  if (text === undefined)
    throw new SpikeloomError(`${path}: only values that JSON can hold are written, not ${kindOf(value)}`);
  writeFileAtomic(path, `${text}\n`);
}

/** Makes the names in a folder durable: a rename or a new file survives a power cut once its folder is synced. */
export function syncFolder(folder: string): void {
  if (process.platform === 'win32') return; // a folder cannot be opened there
  const fd = openSync(folder, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

async function syncFolderAsync(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/**
 * The file itself where `path` is a link to one. A device or a pipe is refused: a renamed file would take its place.
 */
function placeOf(path: string): string {
  const found = statOf(path);
  if (!found) return path;
  if (!found.isFile()) {
    const fact = found.isDirectory() ? REASONS.EISDIR : 'it is a device or a pipe. Choose the name of a file';
    throw new SpikeloomError(`cannot write ${path}: ${fact}`);
  }
  return attempt(path, () => realpathSync(path));
}

const temporaryName = (path: string): string =>
  join(dirname(path), `.${basename(path).slice(0, 200)}.${randomBytes(6).toString('hex')}.tmp`);

const isAsync = (content: object | string): content is AsyncIterable<Uint8Array> =>
  typeof content === 'object' && Symbol.asyncIterator in content;

function parts(content: FileContent): Iterable<Uint8Array> {
  if (typeof content === 'string') return [Buffer.from(content)];
  return content instanceof Uint8Array ? [content] : content;
}

function writeFully(fd: number, bytes: Uint8Array, chunkBytes: number): void {
  for (let at = 0; at < bytes.byteLength; ) {
    at += writeSync(fd, bytes, at, Math.min(chunkBytes, bytes.byteLength - at));
  }
}

/**
 * A temporary file that was not touched for this long is a leftover of a killed write; one in progress is touched every
 * few seconds.
 */
const STALE_MS = 10 * 60_000;

/**
 * Removes temporary files that writes of `path` have left behind when their process was killed.
 * @param ms how long they were not touched, at least; 0 where nobody else can be writing
 */
export function removeLeftovers(path: string, ms = STALE_MS): void {
  const folder = dirname(path);
  const name = basename(path).slice(0, 200);
  for (const found of readdirSync(folder)) {
    const isLeft = found.startsWith(`.${name}.`) && /^[0-9a-f]{12}\.tmp$/.test(found.slice(name.length + 2));
    const file = join(folder, found);
    const stat = isLeft ? statSync(file, { throwIfNoEntry: false }) : undefined;
    if (stat?.isFile() && Date.now() - stat.mtimeMs >= ms) removeIfThere(file);
  }
}

function removeIfThere(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    // the error that brought us here says more than a failed clean-up
  }
}

const refusal = (path: string, error: unknown): SpikeloomError =>
  new SpikeloomError(`cannot write ${path}: ${reason(error as NodeJS.ErrnoException)}`, { cause: error });

function attempt<T>(path: string, action: () => T): T {
  try {
    return action();
  } catch (error) {
    throw refusal(path, error);
  }
}

const attemptAsync = <T>(path: string, action: () => Promise<T>): Promise<T> =>
  action().catch((error: unknown) => {
    throw refusal(path, error);
  });

const REASONS: Record<string, string> = {
  ENOENT: 'its folder does not exist. Create the folder first',
  ENOTDIR: 'a part of its path is not a folder. Choose another place',
  EISDIR: 'there is a folder of that name. Choose another name',
  EACCES: 'permission denied. Choose a folder that you may write to',
  EROFS: 'the file system is read-only. Choose another place',
  ENOSPC: 'the disk is full. Free some space and try again',
  EDQUOT: 'the disk quota is used up. Free some space and try again',
  EFBIG: 'the file is larger than the system allows here. Raise the limit or choose another disk',
};

function reason(error: NodeJS.ErrnoException): string {
  return REASONS[error.code ?? ''] ?? error.message;
}

/**
 * Makes a folder and its missing parents. Parents are made one by one: Node's own recursive mkdir never returns where a
 * parent exists but nothing can be made in it (below /proc).
 * @throws the system's error
 */
export function makeFolders(folder: string): void {
  if (isFolder(folder)) return;
  const parent = dirname(folder);
  if (parent !== folder) makeFolders(parent);
  try {
    mkdirSync(folder);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST' || !statSync(folder).isDirectory()) throw error;
  }
}
