// Recordings in HDF5 files, by h5wasm (the HDF5 library as WebAssembly), which is loaded when it is first needed.
import { closeSync, readSync } from 'node:fs';
import type { Dataset, Entity, File, Metadata } from 'h5wasm/node';
import { f16ToF32 } from '../../core/half-float.ts';
import { needOptions } from '../../core/options.ts';
import { DataError, openDataFile, unreadable } from '../files.ts';
import type { Events } from './events.ts';
import type { SensorSize } from './formats.ts';

/** More recordings in a file, or events in a recording, are refused: sizes in a damaged header could be anything. */
const MOST = 2 ** 26;
const ROWS = 2 ** 16;
/** H5T_INTEGER, H5T_FLOAT, H5T_COMPOUND, H5T_VLEN */
const [INTEGER, FLOAT, COMPOUND, VLEN] = [0, 1, 6, 9];

/** A recording with the class that it shows. */
export interface LabelledEvents {
  events: Events;
  label: number;
}

function needHdf5(file: string): void {
  let descriptor: number | undefined;
  try {
    descriptor = openDataFile(file);
    const head = Buffer.alloc(8);
    if (readSync(descriptor, head) < 8 || head.toString('latin1') !== '\x89HDF\r\n\x1a\n') {
      throw new DataError(file, 'an HDF5 file begins with 89 48 44 46 0d 0a 1a 0a, but this one does not', {
        offset: 0,
      });
    }
  } catch (cause) {
    throw unreadable(file, cause);
  } finally {
    if (descriptor !== undefined) closeSync(descriptor);
  }
}

async function openHdf5(file: string): Promise<File> {
  needHdf5(file);
  const { File, ready } = await import('h5wasm/node');
  (await ready).activate_throwing_error_handler();
  try {
    return new File(file, 'r');
  } catch (cause) {
    throw unreadable(file, cause);
  }
}

/** A damaged file may fail to close, too; its damage has been reported already. */
function close(from: File): void {
  try {
    from.close();
  } catch {}
}

const isDataset = (entity: Entity | null): entity is Dataset => entity !== null && 'slice' in entity;

/** A dataset of one axis. */
function column(from: File, path: string, file: string): Dataset & { length: number } {
  const found = from.get(path);
  if (!isDataset(found))
    throw new DataError(file, `there is no dataset '${path}'; at the top are ${from.keys().join(', ')}`);
  const [length, ...more] = found.shape ?? [];
  if (length === undefined || more.length > 0 || length > MOST) {
    throw new DataError(
      file,
      `'${path}' has the shape [${found.shape}], but one axis of at most ${MOST} elements is read`,
    );
  }
  return Object.assign(found, { length });
}

/** Makes h5wasm return 16-bit floats as their bits; it refuses them otherwise. */
function readableVlen(dataset: Dataset, path: string, file: string): 'float16' | 'other' {
  const metadata = dataset.metadata as Metadata & { vlen_type?: Metadata };
  const element = metadata.vlen_type;
  if (metadata.type !== VLEN || !element || ![INTEGER, FLOAT].includes(element.type)) {
    throw new DataError(file, `'${path}' must hold a list of numbers for each recording`);
  }
  if (element.type !== FLOAT || element.size !== 2) return 'other';
  element.type = INTEGER;
  return 'float16';
}

/** The values of 16-bit floats that h5wasm returned as bits. */
function widened(bits: ArrayLike<number>): Float32Array {
  const numbers = new Float32Array(bits.length);
  f16ToF32(Uint16Array.from(bits), numbers);
  return numbers;
}

const SHD = { units: 700, classes: 20 };

/** The recordings from an index on, as lists of units and times. */
function shdRows(units: Dataset, times: Dataset, first: number, end: number): [ArrayLike<number>, ArrayLike<number>][] {
  const [rows, at] = [units, times].map((dataset) => dataset.slice([[first, end]]) as unknown as ArrayLike<number>[]);
  return Array.from({ length: end - first }, (_, i) => [rows![i]!, at![i]!]);
}

function shdEvents(
  units: ArrayLike<number>,
  times: ArrayLike<number>,
  half: boolean,
  where: string,
  file: string,
): Events {
  const count = units.length;
  if (times.length !== count) throw new DataError(file, `${where} has ${count} units, but ${times.length} times`);
  const x = Uint16Array.from(units);
  const t = new Float64Array(count);
  const seconds = half ? widened(times) : times;
  for (let i = 0; i < count; i++) {
    t[i] = Math.round(1e6 * seconds[i]!);
    if (!(units[i]! >= 0 && units[i]! < SHD.units)) {
      throw new DataError(file, `units go from 0 to ${SHD.units - 1}, but ${where} has ${units[i]}`);
    }
    if (!(t[i]! >= 0 && t[i]! < 1e12))
      throw new DataError(file, `times are seconds from 0 on, but ${where} has ${t[i]! / 1e6}`);
  }
  return { width: SHD.units, height: 1, count, x, y: new Uint16Array(count), p: new Uint8Array(count).fill(1), t };
}

/**
 * The recordings of the Spiking Heidelberg Digits (B. Cramer et al., 2020; shd_train.h5, shd_test.h5), in the order of
 * the file, some hundred in memory at a time. A unit is a column of a sensor of 700x1, every polarity is 1, times are
 * rounded to microseconds.
 * @throws DataError if the file is missing, damaged or of another layout
 * @example for await (const { events, label } of readShd('shd_train.h5')) console.log(label, events.count);
 */
export async function* readShd(file: string): AsyncGenerator<LabelledEvents, void, undefined> {
  const from = await openHdf5(file);
  try {
    const [units, times, labels] = ['spikes/units', 'spikes/times', 'labels'].map((path) => column(from, path, file));
    if (units!.length !== labels!.length || times!.length !== labels!.length) {
      throw new DataError(
        file,
        `${labels!.length} labels, ${units!.length} units and ${times!.length} times must be of one number`,
      );
    }
    const half = readableVlen(times!, 'spikes/times', file) === 'float16';
    readableVlen(units!, 'spikes/units', file);
    const classes = labels!.value as unknown as ArrayLike<number>;
    for (let first = 0, end = 0; first < labels!.length; first = end) {
      end = Math.min(first + 256, labels!.length);
      for (const [i, [row, at]] of shdRows(units!, times!, first, end).entries()) {
        const where = `recording ${first + i}`;
        const label = Number(classes[first + i]);
        if (!(label >= 0 && label < SHD.classes)) {
          throw new DataError(file, `labels go from 0 to ${SHD.classes - 1}, but ${where} has ${label}`);
        }
        yield { events: shdEvents(row, at, half, where, file), label };
      }
    }
  } catch (cause) {
    throw unreadable(file, cause);
  } finally {
    close(from);
  }
}

const TIMES = ['t', 'ts', 'timestamp'];

/** Which member of an event holds what, and the unit of its time in microseconds. */
function members({ type, compound_type: compound }: Metadata, path: string, file: string) {
  const list = type === COMPOUND ? (compound?.members ?? []) : [];
  const index = (...names: string[]): number => list.findIndex(({ name }) => names.includes(name));
  const [x, y, p, t] = [index('x'), index('y'), index('p'), index(...TIMES)] as const;
  if (Math.min(x, y, p, t) < 0) {
    throw new DataError(file, `'${path}' must hold events with the members x, y, p and ${TIMES.join(' or ')}`);
  }
  return { x, y, p, t, unit: list[t]!.type === FLOAT ? 1e6 : 1 };
}

/**
 * A recording in an HDF5 file: a dataset of one axis whose elements have the members x, y, p and t (or ts, timestamp),
 * as AERTB and Prophesee write them. Times that are floats are seconds, integers are microseconds.
 * @param path of the dataset in the file: '0/00004', 'CD/events'
 * @throws DataError if the file is missing, damaged or of another layout, or an event lies outside of the sensor
 * @example await readHdf5Events('nmnist.h5', '0/00004', { width: 34, height: 34 })
 */
export async function readHdf5Events(file: string, path: string, size: SensorSize): Promise<Events> {
  needOptions('the sensor', size, { width: true, height: true });
  const { width, height } = size;
  const from = await openHdf5(file);
  try {
    const dataset = column(from, path, file);
    const at = members(dataset.metadata, path, file);
    const count = dataset.length;
    const [x, y, p, t] = [
      new Uint16Array(count),
      new Uint16Array(count),
      new Uint8Array(count),
      new Float64Array(count),
    ];
    for (let first = 0, end = 0; first < count; first = end) {
      end = Math.min(first + ROWS, count);
      for (const [i, row] of (dataset.slice([[first, end]]) as unknown as (number | bigint)[][]).entries()) {
        const [column, line] = [Number(row[at.x]), Number(row[at.y])];
        if (!(column >= 0 && line >= 0 && column < width && line < height)) {
          throw new DataError(
            file,
            `event ${first + i} of '${path}' lies at ${column}, ${line}, outside of a sensor of ${width}x${height}`,
          );
        }
        x[first + i] = column;
        y[first + i] = line;
        p[first + i] = Number(row[at.p]) > 0 ? 1 : 0;
        t[first + i] = Math.round(at.unit * Number(row[at.t]));
      }
    }
    return { width, height, count, x, y, p, t };
  } catch (cause) {
    throw unreadable(file, cause);
  } finally {
    close(from);
  }
}
