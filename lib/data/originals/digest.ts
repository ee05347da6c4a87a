import { createHash } from 'node:crypto';
import { createReadStream, type ReadStream, statSync } from 'node:fs';
import { createGunzip } from 'node:zlib';
import { DataError, needRegularFile, unreadable } from '../files.ts';
import type { KnownFile } from './catalogue.ts';

export interface Digests {
  bytes: number;
  md5: string;
  sha256: string;
}

/** A .gz holds at most this many bytes here; more is an attempt to keep the machine busy. */
const MAX_CONTENT = 2 ** 40;

async function digest(chunks: AsyncIterable<Buffer>): Promise<Digests> {
  const [md5, sha256] = [createHash('md5'), createHash('sha256')];
  let bytes = 0;
  for await (const chunk of chunks) {
    md5.update(chunk);
    sha256.update(chunk);
    bytes += chunk.length;
    if (bytes > MAX_CONTENT) throw new Error(`more than ${MAX_CONTENT} bytes are in it`);
  }
  return { bytes, md5: md5.digest('hex'), sha256: sha256.digest('hex') };
}

const READ_BYTES = 2 ** 20;

/** @throws DataError for what is no regular file: a pipe would be waited for */
function streamOf(file: string): ReadStream {
  try {
    needRegularFile(file, statSync(file));
  } catch (cause) {
    throw unreadable(file, cause);
  }
  return createReadStream(file, { highWaterMark: READ_BYTES });
}

/**
 * Size and hashes of a file, read once from end to end.
 * @throws DataError where it cannot be read
 */
export async function digestFile(file: string): Promise<Digests> {
  try {
    return await digest(streamOf(file));
  } catch (cause) {
    throw unreadable(file, cause);
  }
}

/**
 * The same of what is compressed in a .gz. Its checksum is verified on the way.
 * @throws DataError where the compressed data is damaged or cut off
 */
export async function digestContent(file: string): Promise<Digests> {
  const source = streamOf(file);
  const inflated = createGunzip();
  source.on('error', (error) => inflated.destroy(error));
  try {
    return await digest(source.pipe(inflated));
  } catch (cause) {
    throw new DataError(
      file,
      `the gzip data is damaged or cut off (${(cause as Error).message}): fetch the file again`,
      {
        cause,
      },
    );
  } finally {
    source.destroy();
  }
}

/** Whether a file is the one in the catalogue, by the strongest hash known of it; undefined where none is known. */
export function isOriginal({ md5, sha256 }: Pick<KnownFile, 'md5' | 'sha256'>, found: Digests): boolean | undefined {
  if (sha256 !== undefined) return found.sha256 === sha256;
  return md5 === undefined ? undefined : found.md5 === md5;
}
