// Headers of recordings: the format, where the events begin, the size of the sensor.
import { extname } from 'node:path';
import { kindOf, needOptions } from '../../core/options.ts';
import { DataError } from '../files.ts';
import { openAedat4, type Packets } from './aedat4.ts';

/**
 * Formats of recordings, and data sets that read one of them their own way:
 * 'nmnist' (40-bit events, 34x34), 'ncaltech101' (the same, 240x180), 'aedat2' (AEDAT 2.0 of a DVS128, 128x128, as jAER
 * shows it), 'cifar10-dvs' (the same with the camera turned upright), 'aedat3' (AEDAT 3.1), 'aedat4' (AEDAT 4.0), 'dat'
 * (Prophesee DAT 2), 'evt2' and 'evt3' (Prophesee RAW).
 */
export type EventFormat = (typeof EVENT_FORMATS)[number];

export const EVENT_FORMATS = [
  'nmnist',
  'ncaltech101',
  'aedat2',
  'cifar10-dvs',
  'aedat3',
  'aedat4',
  'dat',
  'evt2',
  'evt3',
] as const;

export interface SensorSize {
  width: number;
  height: number;
}

export interface EventOptions {
  /** Default: told by content and extension. */
  format?: EventFormat;
  /** Of the sensor in pixels; an event outside of it is an error. Default: the header's, or the format's usual one. */
  size?: SensorSize;
  /** What a file that is cut off gives: an error (default), or the complete events before the cut. */
  truncated?: 'error' | 'keep';
}

/** @internal Their names. */
export const EVENT_OPTIONS: Record<keyof EventOptions, true> = { format: true, size: true, truncated: true };

/** A recording whose header was read. */
export interface Recording extends SensorSize {
  format: EventFormat;
  /** The name of the native decoder, see native/events/decoder.h. */
  decoder: string;
  /** The byte where the events, or the first packet, begin. */
  start: number;
  /** The fewest bytes that an event takes. */
  bytesPerEvent: number;
  /** Whether columns and rows are swapped. */
  turned: boolean;
  /** Where events lie in packets that must be unpacked first. */
  packets?: Packets;
}

/** The longest text header, in bytes. */
export const MAX_HEADER = 2 ** 20;

const USUAL: Record<EventFormat, SensorSize> = {
  nmnist: { width: 34, height: 34 },
  ncaltech101: { width: 240, height: 180 },
  aedat2: { width: 128, height: 128 },
  'cifar10-dvs': { width: 128, height: 128 },
  aedat3: { width: 128, height: 128 },
  aedat4: { width: 346, height: 260 },
  dat: { width: 304, height: 240 },
  evt2: { width: 640, height: 480 },
  evt3: { width: 1280, height: 720 },
};

/** Chips of AEDAT headers and plugins of RAW headers whose size is known. */
const SENSORS: [name: RegExp, size: SensorSize][] = [
  [/DVS128/i, { width: 128, height: 128 }],
  [/DAVIS240/i, { width: 240, height: 180 }],
  [/DAVIS346/i, { width: 346, height: 260 }],
  [/DAVIS640/i, { width: 640, height: 480 }],
  [/gen3/i, { width: 640, height: 480 }],
  [/gen4|imx636/i, { width: 1280, height: 720 }],
  [/genx320/i, { width: 320, height: 320 }],
];

const sensorNamed = (text: string | undefined): SensorSize | undefined =>
  text === undefined ? undefined : SENSORS.find(([name]) => name.test(text))?.[1];

/**
 * The lines that begin with `mark`, decoded as Latin-1, and the byte after them. `last` matches a line that ends the
 * header.
 */
function textHeader(head: Uint8Array, mark: number, last: RegExp, file: string): { lines: string[]; end: number } {
  const lines: string[] = [];
  let at = 0;
  while (head[at] === mark) {
    const end = head.indexOf(0x0a, at);
    if (end < 0) {
      const rule = `a header ends within ${MAX_HEADER} bytes, each line of it with a line feed`;
      throw new DataError(file, `${rule}, but the line that begins here does not`, { offset: at });
    }
    const line = Buffer.from(head.subarray(at, end)).toString('latin1').trimEnd();
    // A Prophesee header ends with the first line that is not text: data can begin with its mark, too.
    if (mark === 0x25 && /[^\x20-\x7e\t]/.test(line)) break;
    lines.push(line);
    at = end + 1;
    if (last.test(line)) break;
  }
  return { lines, end: at };
}

/** What the first bytes say: an AEDAT version, a Prophesee text header, HDF5, or nothing. */
function formatOf(head: Uint8Array, file: string): EventFormat {
  const text = Buffer.from(head.subarray(0, 4096)).toString('latin1');
  if (text.startsWith('#!AER-DAT')) {
    const version = text.slice(9, 12);
    const known: Record<string, EventFormat> = { '2.0': 'aedat2', '3.1': 'aedat3', '4.0': 'aedat4' };
    const format = known[version];
    if (format) return format;
    throw new DataError(file, `AEDAT 2.0, 3.1 and 4.0 are read, but this is AEDAT ${version}`, { offset: 9 });
  }
  if (text.startsWith('%')) return propheseeFormat(head, file);
  if (text.startsWith('\x89HDF')) {
    throw new DataError(file, 'this is an HDF5 file: read it with readShd() or readHdf5Events()', { offset: 0 });
  }
  if (['.bin', '.bs2'].includes(extname(file).toLowerCase())) return 'nmnist';
  throw new DataError(
    file,
    `neither its first bytes nor its name tell which format this is; give the format, one of ${EVENT_FORMATS.join(', ')}`,
    { offset: 0 },
  );
}

function propheseeFormat(head: Uint8Array, file: string): EventFormat {
  const { lines } = propheseeHeader(head, file);
  if (lines.some((line) => /^% (evt 2\.0|format EVT2\b(?!\.1))/i.test(line))) return 'evt2';
  if (lines.some((line) => /^% (evt 3\.0|format EVT3\b)/i.test(line))) return 'evt3';
  if (lines.some((line) => /^% Data file containing/i.test(line))) return 'dat';
  throw new DataError(
    file,
    "a Prophesee header names its format ('evt 2.0', 'evt 3.0', 'Data file containing ...'), but this one names no format that can be read; give the format",
    { offset: 0 },
  );
}

const propheseeHeader = (head: Uint8Array, file: string) => textHeader(head, 0x25, /^% end$/, file);

/** The sensor's size from RAW and DAT headers, in any of the forms in use. */
function propheseeSize(lines: string[]): SensorSize | undefined {
  const found = (pattern: RegExp): string[] | undefined =>
    lines
      .map((line) => pattern.exec(line))
      .find((hit) => hit !== null)
      ?.slice(1);
  const [width, height] = found(/^% geometry (\d+)x(\d+)/i) ??
    found(/^% format .*\bwidth=(\d+).*\bheight=(\d+)/i) ??
    found(/^% format .*\bheight=(\d+).*\bwidth=(\d+)/i)?.reverse() ?? [
      found(/^% Width (\d+)/i)?.[0],
      found(/^% Height (\d+)/i)?.[0],
    ];
  if (width && height) return { width: Number(width), height: Number(height) };
  return sensorNamed(found(/^% (?:plugin_name|plugin_integrator_name|sensor_name) (.*)/i)?.[0]);
}

type Opened = Partial<SensorSize> & { start: number; packets?: Packets };

function openAedat2(head: Uint8Array, file: string): Opened {
  const { lines, end } = textHeader(head, 0x23, /^#End Of ASCII Header$/, file);
  const chip = lines.map((line) => /^# AEChip: (.*)/.exec(line)?.[1]).find((name) => name !== undefined);
  if (chip !== undefined && !/DVS128/i.test(chip)) {
    throw new DataError(file, `AEDAT 2.0 is read of a DVS128, but this recording is of ${chip}`, { offset: 0 });
  }
  return { start: end };
}

function openAedat3(head: Uint8Array, file: string): Opened {
  const { lines, end } = textHeader(head, 0x23, /^#!END-HEADER$/, file);
  if (lines.at(-1) !== '#!END-HEADER') {
    throw new DataError(file, "the header of AEDAT 3.1 ends with '#!END-HEADER', but this one does not", {
      offset: end,
    });
  }
  const format = lines
    .find((line) => line.startsWith('#Format:'))
    ?.slice(8)
    .trim();
  if (format !== undefined && format !== 'RAW') {
    throw new DataError(file, `AEDAT 3.1 is read in the format RAW, but this is ${format}`, { offset: 0 });
  }
  return { start: end, ...sensorNamed(lines.find((line) => line.startsWith('#Source '))) };
}

function openDat(head: Uint8Array, file: string): Opened {
  const { lines, end } = propheseeHeader(head, file);
  if (head.length < end + 2) {
    throw new DataError(file, 'the header of DAT ends with two bytes of type and size, but the file is cut off', {
      offset: head.length,
    });
  }
  const [type, size] = [head[end]!, head[end + 1]!];
  if (![0x00, 0x0c].includes(type) || size !== 8) {
    const rule = 'DAT is read with events of type 0 or 12 and 8 bytes';
    throw new DataError(file, `${rule}, but these have type ${type} and ${size} bytes`, { offset: end });
  }
  return { start: end + 2, ...propheseeSize(lines) };
}

function openRaw(head: Uint8Array, file: string): Opened {
  const { lines, end } = propheseeHeader(head, file);
  return { start: end, ...propheseeSize(lines) };
}

const OPEN: Record<
  EventFormat,
  { decoder: string; bytesPerEvent: number; open?: (head: Uint8Array, file: string) => Opened }
> = {
  nmnist: { decoder: 'nmnist', bytesPerEvent: 5 },
  ncaltech101: { decoder: 'nmnist', bytesPerEvent: 5 },
  aedat2: { decoder: 'aedat2', bytesPerEvent: 8, open: openAedat2 },
  'cifar10-dvs': { decoder: 'aedat2', bytesPerEvent: 8, open: openAedat2 },
  aedat3: { decoder: 'aedat3', bytesPerEvent: 8, open: openAedat3 },
  aedat4: { decoder: 'aedat4', bytesPerEvent: 1, open: openAedat4 },
  dat: { decoder: 'dat', bytesPerEvent: 8, open: openDat },
  evt2: { decoder: 'evt2', bytesPerEvent: 4, open: openRaw },
  evt3: { decoder: 'evt3', bytesPerEvent: 1, open: openRaw },
};

/**
 * Reads the header of a recording.
 * @param head the first bytes of the file: all of it, or MAX_HEADER
 * @throws DataError if the format cannot be told, is not read, or the header breaks its rules
 */
export function openRecording(head: Uint8Array, file: string, options: EventOptions = {}): Recording {
  const format = options.format ?? formatOf(head, file);
  if (!EVENT_FORMATS.includes(format)) {
    throw new DataError(file, `${kindOf(format)} is not a format of recordings; known: ${EVENT_FORMATS.join(', ')}`);
  }
  const { decoder, bytesPerEvent, open } = OPEN[format];
  const { start, width, height, packets }: Opened = open?.(head, file) ?? { start: 0 };
  needOptions('size', options.size ?? {}, { width: true, height: true });
  const size = options.size ?? (width && height ? { width, height } : USUAL[format]);
  if (![size.width, size.height].every((side) => Number.isInteger(side) && side >= 1 && side <= 0x8000)) {
    throw new DataError(
      file,
      `a sensor has 1 to 32768 columns and rows, but this one would have ${kindOf(size.width)}x${kindOf(size.height)}`,
    );
  }
  return {
    format,
    decoder,
    start,
    bytesPerEvent,
    turned: format === 'cifar10-dvs',
    packets,
    width: size.width,
    height: size.height,
  };
}
