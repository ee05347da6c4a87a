import { needArguments } from '../../core/options.ts';
import { DataError, readDataFile } from '../files.ts';

/** A part of a DVS128 Gesture recording in which one gesture is made. */
export interface GestureLabel {
  /** 0..10; the files count from 1. */
  label: number;
  /** Microseconds, on the clock of the recording. */
  start: number;
  /** Microseconds; the part ends before it. */
  end: number;
}

const COLUMNS = 'class,startTime_usec,endTime_usec';
const CLASSES = 11;
const MAX_BYTES = 2 ** 20;

/**
 * Reads the labels of a recording of DVS128 Gesture (A. Amir et al., 2017): userNN_LIGHT_labels.csv beside
 * userNN_LIGHT.aedat.
 * @throws DataError with file and byte offset if it is missing or a line is not a class from 1 to 11 and two times in
 * order
 * @example readGestureLabels('user01_natural_labels.csv')[0] // { label: 0, start: 53036986, end: 59508469 }
 */
export function readGestureLabels(file: string): GestureLabel[] {
  return parseGestureLabels(readDataFile(file, MAX_BYTES).toString('latin1'), file);
}

/** {@link readGestureLabels} for text that is in memory already, such as an entry of an archive. */
export function parseGestureLabels(text: string, file: string): GestureLabel[] {
  needArguments('parseGestureLabels()', 'a text', { text, file });
  const labels: GestureLabel[] = [];
  let offset = 0;
  for (const [index, line] of text.split('\n').entries()) {
    const content = line.trim();
    if (index === 0) {
      if (content !== COLUMNS)
        throw new DataError(file, `labels of gestures begin with the line '${COLUMNS}'`, { offset });
    } else if (content !== '') {
      const [, label, start, end] = (/^(\d{1,2}),(\d{1,15}),(\d{1,15})$/.exec(content) ?? []).map(Number);
      if (!(label! >= 1 && label! <= CLASSES && start! < end!)) {
        const rule = `a line has a class from 1 to ${CLASSES}, a start and a later end`;
        throw new DataError(file, `${rule}, but this one is '${content.slice(0, 80)}'`, { offset });
      }
      labels.push({ label: label! - 1, start: start!, end: end! });
    }
    offset += line.length + 1;
  }
  return labels;
}
