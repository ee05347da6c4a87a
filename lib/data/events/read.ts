// Recordings from files and from memory: whole, or in blocks with bounded memory.
import { closeSync, fstatSync, readSync } from 'node:fs';
import { type FileHandle, stat as look, open } from 'node:fs/promises';
import { SpikeloomError } from '../../core/errors.ts';
import { kindOf, needOptions } from '../../core/options.ts';
import { DataError, needRegularFile, openDataFile, unreadable } from '../files.ts';
import { Aedat4Feed } from './aedat4.ts';
import { EventBlock, type EventFeed, FlatFeed, LEAST_ROOM } from './decoder.ts';
import type { Events } from './events.ts';
import { EVENT_OPTIONS, type EventOptions, MAX_HEADER, openRecording, type Recording } from './formats.ts';

const CHUNK = 2 ** 18;

const feedOf = (recording: Recording, file: string): EventFeed =>
  recording.packets ? new Aedat4Feed(recording, recording.packets, file) : new FlatFeed(recording, file);

/** The part of a file that is being decoded. A buffer that is full of bytes that are still needed grows. */
class Window {
  bytes: Uint8Array;
  have = 0;
  /** Where bytes[0] lies in the file. */
  offset: number;

  /** @param head the beginning of the file, whose events begin at `start` */
  constructor(head: Uint8Array, start: number) {
    this.bytes = head;
    this.have = head.length;
    this.offset = 0;
    if (start > 0) this.drop(start);
  }

  get filled(): Uint8Array {
    return this.bytes.subarray(0, this.have);
  }

  drop(used: number): void {
    this.bytes.copyWithin(0, used, this.have);
    this.have -= used;
    this.offset += used;
    if (this.have < this.bytes.length) return;
    const larger = new Uint8Array(2 * this.bytes.length);
    larger.set(this.bytes);
    this.bytes = larger;
  }
}

function finish(feed: EventFeed, left: number, end: number, file: string, options: EventOptions): void {
  if ((left === 0 && feed.complete()) || options.truncated === 'keep') return;
  const remedy = "fetch it again, or read what is there with truncated: 'keep'";
  throw new DataError(file, `the recording is cut off within an event or a packet; ${remedy}`, { offset: end });
}

/**
 * A block with room for all events of a file; where their size varies, for its beginning, from which the rest is
 * estimated.
 */
function blockFor({ start, bytesPerEvent }: Recording, bytes: number, file: string): EventBlock {
  const events = Math.ceil(Math.max(0, bytes - start) / (bytesPerEvent === 1 ? 64 : bytesPerEvent));
  try {
    return new EventBlock(events);
  } catch (cause) {
    throw tooLarge(file, cause);
  }
}

const tooLarge = (file: string, cause: unknown): DataError =>
  new DataError(file, 'the recording has more events than fit in memory; read it in parts with streamEvents()', {
    cause,
  });

/** Decodes a piece of a file of `size` bytes into a block that grows with it; returns the bytes that were used. */
function decodeAll(
  feed: EventFeed,
  bytes: Uint8Array,
  offset: number,
  block: EventBlock,
  { file, size, start }: { file: string; size: number; start: number },
): number {
  const steps = feed.push(bytes, offset, block);
  for (;;) {
    const step = steps.next();
    if (step.done) return step.value;
    const share = (offset + step.value - start) / (size - start);
    try {
      block.grow(share > 0 ? Math.min(size, Math.ceil((1.05 * block.count) / share)) : 0);
    } catch (cause) {
      throw tooLarge(file, cause);
    }
  }
}

/**
 * Decodes a recording that is in memory, such as an entry of an archive.
 * @param bytes the content of the whole file
 * @param options as for readEvents(); `file` is the name used in messages, and its extension may tell the format
 * @throws DataError with file and byte offset if the bytes are damaged, cut off or of another format
 * @example decodeEvents(bytes, { file: '00002.bin', format: 'nmnist' }).count
 */
export function decodeEvents(bytes: Uint8Array, options: EventOptions & { file?: string } = {}): Events {
  if (!(bytes instanceof Uint8Array))
    throw new SpikeloomError('decodeEvents() takes the bytes of a file, a Uint8Array');
  needOptions('decodeEvents()', options, { ...EVENT_OPTIONS, file: true });
  const file = options.file ?? 'recording';
  const recording = openRecording(bytes.subarray(0, MAX_HEADER), file, options);
  const feed = feedOf(recording, file);
  const block = blockFor(recording, bytes.length, file);
  const data = bytes.subarray(recording.start);
  const used = decodeAll(feed, data, recording.start, block, { file, size: bytes.length, start: recording.start });
  finish(feed, data.length - used, bytes.length, file, options);
  return block.take(recording);
}

/**
 * Reads a whole recording of an event camera; the format is told from content and extension, or given.
 * Formats: N-MNIST and N-Caltech101 (.bin, .bs2), AEDAT 2.0, 3.1 and 4.0, Prophesee DAT and RAW (EVT 2.0, EVT 3.0);
 * docs/data.md has them all.
 * @throws DataError with file and byte offset if the file is missing, damaged, cut off, too large for memory or of
 * another format
 * @example const { count, x, y, p, t } = readEvents('user01_natural.aedat');
 */
export function readEvents(file: string, options: EventOptions = {}): Events {
  needOptions('readEvents()', options, EVENT_OPTIONS);
  let descriptor: number | undefined;
  try {
    descriptor = openDataFile(file);
    const stat = fstatSync(descriptor);
    const room = new Uint8Array(Math.min(MAX_HEADER, stat.size));
    const head = room.subarray(0, readSync(descriptor, room, 0, room.length, 0));
    const recording = openRecording(head, file, options);
    const feed = feedOf(recording, file);
    const block = blockFor(recording, stat.size, file);
    const window = new Window(head, recording.start);
    const whole = { file, size: stat.size, start: recording.start };
    for (let read = 1; read > 0; ) {
      window.drop(decodeAll(feed, window.filled, window.offset, block, whole));
      const { bytes, have, offset } = window;
      read = readSync(descriptor, bytes, have, bytes.length - have, offset + have);
      window.have += read;
    }
    finish(feed, window.have, window.offset + window.have, file, options);
    return block.take(recording);
  } catch (cause) {
    throw unreadable(file, cause);
  } finally {
    if (descriptor !== undefined) closeSync(descriptor);
  }
}

/**
 * Reads a recording in blocks of up to `chunk` events (2^18 without it), in order, with memory for some blocks however
 * large the file is. Errors are those of {@link readEvents}, thrown where reading gets to them.
 * @example for await (const { count, t } of streamEvents('traffic.raw', { chunk: 100_000 })) console.log(count, t[0]);
 */
export async function* streamEvents(
  file: string,
  options: EventOptions & { chunk?: number } = {},
): AsyncGenerator<Events, void, undefined> {
  needOptions('streamEvents()', options, { ...EVENT_OPTIONS, chunk: true });
  const chunk = options.chunk ?? CHUNK;
  if (!Number.isInteger(chunk) || chunk < LEAST_ROOM || chunk > 2 ** 28) {
    throw new SpikeloomError(
      `streamEvents: chunk is a number of events from ${LEAST_ROOM} to 2^28, not ${kindOf(chunk)}`,
    );
  }
  let handle: FileHandle | undefined;
  try {
    needRegularFile(file, await look(file)); // before it is opened, see openDataFile()
    handle = await open(file, 'r');
    const { size } = await handle.stat();
    const room = new Uint8Array(Math.min(MAX_HEADER, size));
    const head = room.subarray(0, (await handle.read(room, 0, room.length, 0)).bytesRead);
    const recording = openRecording(head, file, options);
    const feed = feedOf(recording, file);
    const window = new Window(head, recording.start);
    const block = new EventBlock(chunk);
    for (let read = 1; read > 0; ) {
      const steps = feed.push(window.filled, window.offset, block);
      let step = steps.next();
      for (; !step.done; step = steps.next()) {
        if (block.count > 0) yield block.take(recording);
        block.renew(chunk);
      }
      window.drop(step.value);
      const { bytes, have, offset } = window;
      read = (await handle.read(bytes, have, bytes.length - have, offset + have)).bytesRead;
      window.have += read;
    }
    finish(feed, window.have, window.offset + window.have, file, options);
    if (block.count > 0) yield block.take(recording);
  } catch (cause) {
    throw unreadable(file, cause);
  } finally {
    await handle?.close();
  }
}
