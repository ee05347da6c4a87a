// The hash that a run keeps in its weights and states: bytes that have changed since they were written are noticed.
import { createHash } from 'node:crypto';
import type { HostArray } from './dtype.ts';
import { SpikeloomError } from './errors.ts';
import type { SafetensorsFile } from './safetensors.ts';
import { Turns } from './turns.ts';

/** Where a file's metadata has the hash: SHA-256 of all bytes behind the header. */
const KEY = 'data_sha256';

/** Hashed at once, in bytes: takes about a quarter of a millisecond. */
const PIECE = 2 ** 18;

const bytesOf = ({ buffer, byteOffset, byteLength }: ArrayBufferView): Uint8Array =>
  new Uint8Array(buffer, byteOffset, byteLength);

/** As writeSafetensors() lays tensors out: the widest elements first, then by name. */
const inFileOrder = (tensors: Readonly<Record<string, HostArray>>): HostArray[] =>
  Object.entries(tensors)
    .sort(([a, x], [b, y]) => y.BYTES_PER_ELEMENT - x.BYTES_PER_ELEMENT || (a < b ? -1 : 1))
    .map(([, array]) => array);

/**
 * SHA-256 of the bytes of arrays, one behind the other; hexadecimal. The event loop has turns meanwhile.
 * @returns undefined when the signal ended it
 */
export async function hashOf(arrays: Iterable<ArrayBufferView>, signal?: AbortSignal): Promise<string | undefined> {
  const hash = createHash('sha256');
  const turns = new Turns();
  for (const { buffer, byteOffset, byteLength } of arrays) {
    for (let at = 0; at < byteLength; at += PIECE) {
      hash.update(new Uint8Array(buffer, byteOffset + at, Math.min(PIECE, byteLength - at))); // all may be too many bytes
      await turns.pause();
      if (signal?.aborted) return undefined;
    }
  }
  return hash.digest('hex');
}

/** Metadata with the hash of tensors that a file will hold, by their names there. */
export async function contentHash(tensors: Readonly<Record<string, HostArray>>): Promise<Record<string, string>> {
  return { [KEY]: (await hashOf(inFileOrder(tensors)))! };
}

/**
 * Compares an open file with the hash in it; files without one pass.
 * @param remedy what to do where they differ
 * @throws SpikeloomError naming the file
 */
export function checkContent(file: SafetensorsFile, remedy: string): void {
  const noted = file.metadata[KEY];
  if (noted === undefined) return;
  const hash = createHash('sha256');
  for (const name of file.names) hash.update(bytesOf(file.read(name)));
  if (hash.digest('hex') === noted) return;
  throw new SpikeloomError(
    `${file.path}: the numbers must have the SHA-256 that was noted when they were written, but have another: the file is damaged, or was changed. ${remedy}`,
  );
}
