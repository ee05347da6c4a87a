import { createReadStream } from 'node:fs';
import { createGunzip } from 'node:zlib';
import { DataError } from '../files.ts';
import { refuseLarge } from './entries.ts';
import { cutOff, type TarEntry, walkTar } from './tar.ts';

/** A regular file of an archive that is read from front to back. */
export interface StreamedEntry extends TarEntry {
  /** Its bytes, at most `maxBytes`; only before the next entry is asked for. */
  read(maxBytes: number): Promise<Buffer>;
}

/** Takes bytes off the front of a gzip file, holding no more than one chunk of it. */
class GzipBytes {
  readonly #file: string;
  readonly #packed: ReturnType<typeof createReadStream>;
  readonly #gunzip = createGunzip({ chunkSize: 1 << 18 });
  readonly #chunks: AsyncIterator<Buffer>;
  #chunk: Buffer = Buffer.alloc(0);
  /** Bytes taken so far. */
  offset = 0;

  constructor(file: string) {
    this.#file = file;
    this.#packed = createReadStream(file, { highWaterMark: 1 << 18 });
    this.#packed.on('error', (error) => this.#gunzip.destroy(error));
    this.#packed.pipe(this.#gunzip);
    this.#chunks = this.#gunzip[Symbol.asyncIterator]();
  }

  async take(length: number): Promise<Buffer> {
    const start = this.offset;
    if (this.#chunk.length >= length) return this.#shift(length);
    const bytes = Buffer.allocUnsafe(length);
    while (this.offset - start < length) {
      await this.#fill();
      const part = this.#shift(Math.min(this.#chunk.length, length - (this.offset - start)));
      part.copy(bytes, this.offset - start - part.length);
    }
    return bytes;
  }

  async skip(length: number): Promise<void> {
    const end = this.offset + length;
    while (this.offset < end) {
      await this.#fill();
      this.#shift(Math.min(this.#chunk.length, end - this.offset));
    }
  }

  /** Reads on to the end, so that the checksum is seen. */
  async drain(): Promise<void> {
    while (await this.#next());
  }

  close(): void {
    this.#packed.destroy();
    this.#gunzip.destroy();
  }

  #shift(length: number): Buffer {
    const part = this.#chunk.subarray(0, length);
    this.#chunk = this.#chunk.subarray(length);
    this.offset += length;
    return part;
  }

  async #fill(): Promise<void> {
    if (this.#chunk.length === 0 && !(await this.#next())) throw cutOff(this.#file, this.offset);
  }

  async #next(): Promise<boolean> {
    try {
      const { done, value } = await this.#chunks.next();
      if (!done) this.#chunk = value;
      return !done;
    } catch (cause) {
      const rule = `cannot be unpacked (${(cause as Error).message})`;
      throw new DataError(this.#file, rule, { offset: this.offset, cause });
    }
  }
}

/** The regular files of a .tar.gz in their order; the file is read once, in chunks. */
export async function* streamTarGz(file: string): AsyncGenerator<StreamedEntry, void, void> {
  const bytes = new GzipBytes(file);
  try {
    const walk = walkTar(file);
    for (let step = walk.next(); !step.done; ) {
      const request = step.value;
      if ('read' in request) {
        step = walk.next(await bytes.take(request.read));
        continue;
      }
      const end = bytes.offset + request.skip;
      if ('entry' in request) {
        const { entry } = request;
        const read = async (maxBytes: number): Promise<Buffer> => {
          const name = `${file}/${entry.path}`;
          if (bytes.offset !== entry.offset)
            throw new DataError(name, 'was passed by: an entry of a stream is read once, in its turn');
          refuseLarge(name, entry.size, maxBytes);
          return bytes.take(entry.size);
        };
        yield { ...entry, read };
      }
      await bytes.skip(end - bytes.offset);
      step = walk.next();
    }
    await bytes.drain();
  } finally {
    bytes.close();
  }
}
