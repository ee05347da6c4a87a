import { closeSync, fstatSync, fsyncSync, ftruncateSync, openSync, readSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { SpikeloomError } from '../core/errors.ts';
import { readTextFile } from '../core/file-kind.ts';
import { native } from '../core/native.ts';

/** One line of a metrics file. Numbers that JSON lacks (NaN, infinities) become null. */
export type MetricsRecord = Record<string, unknown>;

/**
 * An append-only file of JSON records, one a line. A record counts once its newline is written: what a crash left of an
 * unfinished last line is cut off on opening, so a new record never joins it. An open file is locked: until it is
 * closed, or its process ends in whatever way, nobody else opens it to write, and no two runs are trained in one
 * folder.
 */
export class MetricsLog {
  readonly path: string;
  #fd: number | undefined;
  #bytes: number;

  /** @throws SpikeloomError if the file cannot be opened or made, or somebody has it open. */
  constructor(path: string) {
    this.path = path;
    try {
      this.#fd = openSync(path, 'a+');
      if (!native().lockFile(this.#fd)) throw inUse(path);
      this.#bytes = completeBytes(this.#fd, fstatSync(this.#fd).size);
      ftruncateSync(this.#fd, this.#bytes);
    } catch (error) {
      this.close();
      if (error instanceof SpikeloomError) throw error;
      throw new SpikeloomError(`cannot open the metrics ${path}: ${(error as Error).message}`, { cause: error });
    }
  }

  /** Length of the file in bytes. */
  get bytes(): number {
    return this.#bytes;
  }

  /** @throws SpikeloomError if the record cannot be written; the file then ends with the record before it. */
  append(record: MetricsRecord): void {
    const fd = this.#open();
    const line = Buffer.from(`${JSON.stringify(record)}\n`);
    try {
      for (let at = 0; at < line.length; ) at += writeSync(fd, line, at);
    } catch (error) {
      try {
        ftruncateSync(fd, this.#bytes);
      } catch {} // the next opening drops an incomplete line
      throw new SpikeloomError(`cannot write to ${this.path}: ${(error as Error).message}`, { cause: error });
    }
    this.#bytes += line.length;
  }

  /** Makes all records durable and returns the length in bytes, for a checkpoint to remember. */
  checkpoint(): number {
    fsyncSync(this.#open());
    return this.#bytes;
  }

  /**
   * Drops the records written after a checkpoint.
   * @throws SpikeloomError if the file is shorter than the checkpoint says or has no line end there: another file
   */
  rewind(bytes: number): void {
    const fd = this.#open();
    const last = Buffer.alloc(1);
    if (!Number.isSafeInteger(bytes) || bytes < 0 || bytes > this.#bytes) {
      throw this.#mismatch(bytes, `has ${this.#bytes} complete bytes`);
    }
    if (bytes > 0 && (readSync(fd, last, 0, 1, bytes - 1) !== 1 || last[0] !== NEWLINE)) {
      throw this.#mismatch(bytes, 'has no line end there');
    }
    ftruncateSync(fd, bytes);
    this.#bytes = bytes;
  }

  close(): void {
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
  }

  #open(): number {
    if (this.#fd === undefined) throw new SpikeloomError(`${this.path}: the metrics were closed`);
    return this.#fd;
  }

  #mismatch(bytes: number, fact: string): SpikeloomError {
    const rule = `the checkpoint was taken when this file had ${bytes} bytes`;
    return new SpikeloomError(`${this.path}: ${rule}, but it ${fact}. It was changed since; put the original back`);
  }
}

/**
 * All records of a metrics file; an unfinished last line is left out.
 * @throws SpikeloomError with file and line for any other line that is not a JSON object
 */
export function readMetrics(path: string): MetricsRecord[] {
  let text: string;
  try {
    text = readTextFile(path);
  } catch (error) {
    throw new SpikeloomError(`cannot read the metrics ${path}: ${(error as Error).message}`, { cause: error });
  }
  const lines = text.split('\n').slice(0, -1);
  return lines.map((line, i) => parseRecord(line, `${path}:${i + 1}`));
}

const inUse = (path: string): SpikeloomError =>
  new SpikeloomError(
    `the run in ${dirname(path)} is under way: one training at a time writes to a folder. Wait until it ends or stop it, or start a new run`,
  );

const NEWLINE = 10;
const TAIL_BYTES = 65536;

function parseRecord(line: string, where: string): MetricsRecord {
  let record: unknown;
  try {
    record = JSON.parse(line);
  } catch (error) {
    throw new SpikeloomError(`${where}: a metrics line is one JSON object, but ${(error as Error).message}`);
  }
  if (typeof record !== 'object' || record === null || Array.isArray(record)) {
    throw new SpikeloomError(`${where}: a metrics line is one JSON object, but this is ${line.slice(0, 60)}`);
  }
  return record as MetricsRecord;
}

/** Length of a file up to and with its last newline. */
function completeBytes(fd: number, size: number): number {
  const tail = Buffer.alloc(Math.min(size, TAIL_BYTES));
  for (let end = size; end > 0; end -= tail.length) {
    const begin = Math.max(0, end - tail.length);
    const got = readSync(fd, tail, 0, end - begin, begin);
    const newline = tail.subarray(0, got).lastIndexOf(NEWLINE);
    if (newline >= 0) return begin + newline + 1;
  }
  return 0;
}
