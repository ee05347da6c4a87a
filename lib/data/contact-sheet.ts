// Samples of a batch as one picture: images in a grid, recordings as a row of frames each.
import type { AnySet } from './batch.ts';

/** Pixels [H,W,3], 0..255. */
export interface Picture {
  rgb: Uint8Array;
  width: number;
  height: number;
}

/** Position of a text on a sheet, in pixels: the middle of its left edge, or its center where `centred`. */
export interface SheetText {
  x: number;
  y: number;
  text: string;
  centred: boolean;
}

export interface Sheet extends Picture {
  texts: SheetText[];
}

/** A batch as a loader makes it. */
export interface ShownBatch {
  /** Normalized pixels [B,C,H,W], or frames [T,B,C,H,W] where the set has steps. */
  images: Float32Array;
  labels: Int32Array;
}

const GAP = 4;
const TEXT_HEIGHT = 18;
const TEXT_WIDTH = 110;
/** Small pictures are enlarged to about this width, and rows are at most so wide. */
const TILE_WIDTH = 96;
const SHEET_WIDTH = 1100;

const byte = (value: number): number => Math.max(0, Math.min(255, Math.round(value)));

/** Mean and standard deviation that undo a set's normalization; 0 and 1 for frames and sets without one. */
function statisticsOf(set: AnySet): { mean: readonly number[]; std: readonly number[] } {
  const { mean, std } = set as { mean?: readonly number[]; std?: readonly number[] };
  const { channels } = set;
  return { mean: mean ?? Array(channels).fill(0), std: std ?? Array(channels).fill(1) };
}

/** An image [C,H,W] of one channel or three. */
function imagePicture(set: AnySet, values: Float32Array): Picture {
  const { channels, height, width } = set;
  const { mean, std } = statisticsOf(set);
  const rgb = new Uint8Array(3 * height * width);
  for (let pixel = 0; pixel < height * width; pixel++) {
    for (let colour = 0; colour < 3; colour++) {
      const c = channels >= 3 ? colour : 0;
      rgb[3 * pixel + colour] = byte(255 * (values[c * height * width + pixel]! * std[c]! + mean[c]!));
    }
  }
  return { rgb, width, height };
}

/** The count that is drawn in full color: a few hot pixels must not leave the rest pale. */
function fullCount(frames: readonly Float32Array[]): number {
  const counts = frames.flatMap((frame) => [...frame.filter((value) => value > 0)]).sort((a, b) => a - b);
  return counts[Math.floor(0.98 * (counts.length - 1))] ?? 1;
}

/**
 * A frame [C,H,W]: on white, more of channel 1 (brighter) is redder, of channel 0 (darker) bluer; one channel alone is
 * gray.
 */
function framePicture({ channels, height, width }: AnySet, values: Float32Array, full: number): Picture {
  const rgb = new Uint8Array(3 * height * width);
  const size = height * width;
  for (let pixel = 0; pixel < size; pixel++) {
    const share = (c: number) => Math.min(1, Math.max(0, values[c * size + pixel]! / full));
    const [off, on] = channels > 1 ? [share(0), share(1)] : [share(0), share(0)];
    rgb.set([byte(255 * (1 - off)), byte(255 * (1 - Math.max(on, off))), byte(255 * (1 - on))], 3 * pixel);
  }
  return { rgb, width, height };
}

/** Draws a picture enlarged by whole pixels. */
function draw(sheet: Picture, { rgb, width, height }: Picture, left: number, top: number, scale: number): void {
  for (let y = 0; y < height * scale; y++) {
    const row = 3 * width * Math.floor(y / scale);
    for (let x = 0; x < width * scale; x++) {
      const from = row + 3 * Math.floor(x / scale);
      sheet.rgb.set(rgb.subarray(from, from + 3), 3 * ((top + y) * sheet.width + left + x));
    }
  }
}

const blank = (width: number, height: number, grey: number): Sheet => ({
  ...{ width, height, texts: [] },
  rgb: new Uint8Array(3 * width * height).fill(grey),
});

const WHITE = 255;
/** Around frames, which are white themselves. */
const PALE = 238;

/** Images side by side, the class under each where there are to be texts. */
function gridOf(set: AnySet, { images, labels }: ShownBatch, texts: boolean): Sheet {
  const size = set.channels * set.height * set.width;
  const scale = Math.max(1, Math.floor(TILE_WIDTH / set.width));
  const [width, height] = [scale * set.width + GAP, scale * set.height + GAP + (texts ? TEXT_HEIGHT : 0)];
  const columns = Math.min(labels.length, Math.max(1, Math.floor(SHEET_WIDTH / width)));
  const sheet = blank(columns * width + GAP, Math.ceil(labels.length / columns) * height + GAP, WHITE);
  for (const [i, label] of labels.entries()) {
    const [left, top] = [GAP + (i % columns) * width, GAP + Math.floor(i / columns) * height];
    draw(sheet, imagePicture(set, images.subarray(i * size, (i + 1) * size)), left, top, scale);
    const middle = { x: left + (width - GAP) / 2, y: top + scale * set.height + TEXT_HEIGHT / 2 };
    if (texts) sheet.texts.push({ ...middle, text: set.classes[label]!, centred: true });
  }
  return sheet;
}

/** A row for each recording, a column for each time step, the class on the left where there are to be texts. */
function rowsOf(set: AnySet, { images, labels }: ShownBatch, texts: boolean): Sheet {
  const [steps, count] = [set.steps!, labels.length];
  const size = set.channels * set.height * set.width;
  const scale = Math.max(1, Math.floor(TILE_WIDTH / set.width));
  const [width, height] = [scale * set.width + GAP, scale * set.height + GAP];
  const [left, top] = texts ? [TEXT_WIDTH, TEXT_HEIGHT] : [GAP, GAP];
  const sheet = blank(left + steps * width, top + count * height, PALE);
  for (const [i, label] of labels.entries()) {
    const frames = Array.from({ length: steps }, (_, t) =>
      images.subarray((t * count + i) * size, (t * count + i + 1) * size),
    );
    const full = fullCount(frames);
    for (const [t, frame] of frames.entries()) {
      draw(sheet, framePicture(set, frame, full), left + t * width, top + i * height, scale);
    }
    const y = top + i * height + (height - GAP) / 2;
    if (texts) sheet.texts.push({ x: GAP, y, text: set.classes[label]!, centred: false });
  }
  for (let t = 0; texts && t < steps; t++) {
    sheet.texts.push({ x: left + t * width + (width - GAP) / 2, y: TEXT_HEIGHT / 2, text: `t = ${t}`, centred: true });
  }
  return sheet;
}

/** The batch as one picture. @param texts whether to leave room for class names and to say where they belong */
export function contactSheet(set: AnySet, batch: ShownBatch, { texts = true } = {}): Sheet {
  return (set.steps === undefined ? gridOf : rowsOf)(set, batch, texts);
}
