import { closeSync, fstatSync, read as readCallback, readSync } from 'node:fs';
import { promisify } from 'node:util';
import { DataError, openDataFile, unreadable } from '../files.ts';

const readAt = promisify(readCallback);

/** Bytes with random access: an open file, or memory. */
export interface ByteSource {
  /** The file, as it was asked for. */
  readonly file: string;
  readonly size: number;
  /** Bytes offset .. offset + length - 1; a {@link DataError} where they are not all there. */
  readSync(offset: number, length: number): Buffer;
  read(offset: number, length: number): Promise<Buffer>;
  close(): void;
}

/** A regular file, opened here or already (`handle`); it stays open until `close()`. */
export function fileSource(file: string, handle = guarded(file, () => openDataFile(file))): ByteSource {
  const { size } = fstatSync(handle);
  const begin = (offset: number, length: number): Buffer => {
    if (handle < 0) throw new DataError(file, 'was closed; open it again to read on');
    refuseOutside(file, size, offset, length);
    return Buffer.allocUnsafe(length);
  };
  return {
    file,
    size,
    readSync(offset, length) {
      const bytes = begin(offset, length);
      for (let at = 0; at < length; ) {
        const got = guarded(file, () => readSync(handle, bytes, at, length - at, offset + at));
        if (got === 0) throw shrunk(file, offset + at);
        at += got;
      }
      return bytes;
    },
    async read(offset, length) {
      const bytes = begin(offset, length);
      for (let at = 0; at < length; ) {
        const { bytesRead } = await readAt(handle, bytes, at, length - at, offset + at).catch((cause) => {
          throw unreadable(file, cause);
        });
        if (bytesRead === 0) throw shrunk(file, offset + at);
        at += bytesRead;
      }
      return bytes;
    },
    close() {
      if (handle >= 0) closeSync(handle);
      handle = -1;
    },
  };
}

/** Bytes in memory, for what was unpacked from `file`. Reads return views. */
export function memorySource(file: string, memory: Buffer): ByteSource {
  const readSync = (offset: number, length: number): Buffer => {
    refuseOutside(file, memory.length, offset, length);
    return memory.subarray(offset, offset + length);
  };
  return { file, size: memory.length, readSync, read: async (offset, length) => readSync(offset, length), close() {} };
}

/** The `size` bytes of another source from `offset` on, called `file` in messages. Closing it closes nothing. */
export function partOf(source: ByteSource, file: string, offset: number, size: number): ByteSource {
  const inside = (at: number, length: number): number => {
    refuseOutside(file, size, at, length);
    return offset + at;
  };
  return {
    file,
    size,
    readSync: (at, length) => source.readSync(inside(at, length), length),
    read: async (at, length) => source.read(inside(at, length), length),
    close() {},
  };
}

function guarded<T>(file: string, body: () => T): T {
  try {
    return body();
  } catch (cause) {
    throw unreadable(file, cause);
  }
}

function shrunk(file: string, offset: number): DataError {
  return new DataError(file, 'ends here although it was longer when it was opened', { offset });
}

function refuseOutside(file: string, size: number, offset: number, length: number): void {
  if (offset + length <= size) return;
  throw new DataError(file, `${length} bytes are needed from here on, but it has ${size} in all: it is cut off`, {
    offset,
  });
}
